"""The rehearsal of a profile: every node of it by the same code, environments and launchers, with everything large made small, so that
nothing of a run on rented GPUs is tried there for the first time. Its numbers mean nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from magicoder_repro import artifact, benchmarks, environment
from magicoder_repro import profile as profiles
from magicoder_repro.data import embedded_process
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import complete
from magicoder_repro.pipeline import plan, run, stand_ins
from magicoder_repro.pipeline.store import Run
from magicoder_repro.profile import Profile, ServerTeacher
from magicoder_repro.progress import say, tell

_TASKS, _SAMPLES, _NEW_TOKENS = 3, 2, 64
_RECIPE = {
    "batch": 8,
    "warmup_steps": 2,
    "checkpoint_steps": 2,
}  # three steps an epoch, of both processes' micro-batches
_PROCESSES = 2
_CONTEXT = 2048  # tokens, of the teacher
_TEACHER = {
    "grammar": True,
    "max_tokens": 300,
    "context_tokens": _CONTEXT,
    "tokenizer": "server",
    "concurrency": 2,
    "give_up_after": 5,
}
_SEEDS_A_LANGUAGE = 1


def rehearse(profile: Profile, of: Run, vllm: bool = False) -> None:
    """Runs the small profile and prints what each node did. `vllm`: of the models' completions, whatever the profile's engine is."""
    small, changes = shrunk(profile, of.folder / "stand-ins", vllm)
    say(f"rehearsal of {profile.name}: every node, small; its numbers mean nothing")
    for change in changes:
        say(f"  {change}")
    os.environ["HF_HUB_OFFLINE"] = "1"  # what is not here must not be looked for
    with _teacher(small):
        run.run_all(small, of, ())
    _tell(small, of)


def shrunk(profile: Profile, folder: Path, vllm: bool = False) -> tuple[Profile, list[str]]:
    """The small profile, whose stand-ins lie in `folder`, and what is another thing in it than in the large one."""
    changes: list[str] = []
    content = profile.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if vllm and content.get("generation"):
        content["generation"]["engine"] = {"kind": "vllm"}
    _shrink(content, profile, folder, changes)
    small = Profile.model_validate(content)
    profiles.check_names(small)
    return small, changes


def _shrink(content: dict[str, Any], profile: Profile, folder: Path, changes: list[str]) -> None:
    content["description"] = f"Rehearsal, whose numbers mean nothing, of: {profile.description}"
    content["report"] = {**content["report"], "recorded": None, "comparable": False}
    content["scoring"] = {**content["scoring"], "workers": min(profile.scoring.workers, len(os.sched_getaffinity(0)))}
    content["scoring"].pop("executor", None)
    _shrink_data(content, folder, changes)
    for name, model in content["models"].items():
        if "samples" in model or "archive" in model:
            raise UsageError(
                f"models.{name}: published answers have no rehearsal: `make rescore` takes minutes as it is"
            )
        if "source" in model and model["source"] != "embedded":
            changes.append(f"models.{name}: a random Llama with the tokenizer's class of {model['source']}")
            model["source"] = _made(
                folder / f"model-{name}", lambda path, source=model["source"]: stand_ins.model(source, path)
            )
            model["revision"] = None
    for name, recipe in content.get("recipes", {}).items():
        changes.append(f"recipes.{name}: batch {recipe['batch']} -> {_RECIPE['batch']}, in {_PROCESSES} processes")
        recipe.update(_RECIPE)
    if content.get("recipes"):
        content["training"] = {**content.get("training", {}), "processes": _PROCESSES}
    _shrink_evaluation(content, changes)
    if content.get("analysis") and content["analysis"]["tokenizer"] not in content["models"]:
        first = next(name for name, model in content["models"].items() if "source" in model)
        changes.append(f"analysis.tokenizer: {content['analysis']['tokenizer']} -> {first}'s")
        content["analysis"]["tokenizer"] = first


def _shrink_data(content: dict[str, Any], folder: Path, changes: list[str]) -> None:
    for number, source in enumerate((content.get("corpus") or {}).get("sources", ())):
        if "dataset" in source:
            place = folder / f"corpus-{number}"
            changes.append(
                f"corpus: {source['documents']} documents of {source['dataset']}/{source['data_dir']} -> a folder"
            )
            source["dataset"] = _made(place, lambda path, of=source["data_dir"]: stand_ins.corpus(path, of))
            source |= {"revision": None, "documents": 20}
    if content.get("seeds"):
        content["seeds"]["per_language"] = dict.fromkeys(content["seeds"]["per_language"], _SEEDS_A_LANGUAGE)
    if content.get("teacher"):
        changes.append(f"teacher: {content['teacher']['model']} -> a server of SmolLM2-135M here, with a grammar")
        content["teacher"] |= _TEACHER
    for name, data in content.get("data", {}).items():
        if data["kind"] == "released":
            changes.append(f"data.{name}: {data['dataset']} -> a folder in the hub's layout")
            data["dataset"] = _made(
                folder / f"data-{name}", lambda path, of=data["dataset"]: stand_ins.data_set(of, path)
            )
            data["revision"] = None
        elif "records" in data:
            data["records"] = min(data["records"], 3)


def _shrink_evaluation(content: dict[str, Any], changes: list[str]) -> None:
    found = {}
    for name, setting in content["evaluate"].items():
        own = _at_hand(name, setting.get("protocol", "paper"))
        if own != name:
            changes.append(f"evaluate.{name}: its data are not here: {own}, problems of this package in its format")
        setting["tasks"] = _TASKS
        if "samples" in setting:
            setting["samples"] = min(setting["samples"], _SAMPLES)
        if "max_new_tokens" in setting:
            setting["max_new_tokens"] = min(setting["max_new_tokens"], _NEW_TOKENS)
        found[own] = setting
    content["evaluate"] = found
    changes.append(f"evaluate: {_TASKS} tasks a benchmark or language, at most {_SAMPLES} samples")
    engine = content["generation"].get("engine", {})
    if engine.get("kind") == "vllm":
        if environment.ready("serve-cpu"):
            engine["environment"] = "serve-cpu"
        else:
            changes.append(
                "generation.engine: vLLM -> transformers: the environment serve-cpu is not built (make .envs/serve-cpu/.ready)"
            )
            del content["generation"]["engine"]


def _at_hand(name: str, protocol: str) -> str:
    """The benchmark, or the one of this package in its format where its data are not here."""
    missing = complete.missing(name, protocol)()
    return f"minibench-{name}" if len(missing) == len(benchmarks.get(name).subsets or (None,)) else name


def _made(folder: Path, make: Any) -> str:
    """The path of a stand-in, which stays the same file for the runs that follow."""
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return str(folder)


@contextmanager
def _teacher(profile: Profile) -> Iterator[None]:
    """A server at OPENAI_BASE_URL where the profile's teacher is one."""
    if profile.teacher is None or not isinstance(profile.teacher.server, ServerTeacher):
        yield
        return
    with embedded_process.started(_CONTEXT) as address:
        os.environ["OPENAI_BASE_URL"] = f"{address()}/v1"
        yield


def _tell(profile: Profile, of: Run) -> None:
    for node in plan.expand(profile):
        manifest = artifact.read_manifest(of.link(node.name))
        counts = ", ".join(
            f"{name} {value}" for name, value in manifest.counts.items() if isinstance(value, int | float)
        )
        tell(f"{node.name:36} {manifest.seconds:6.1f} s  {counts[:110]}")
