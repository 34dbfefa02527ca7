"""The chain of stages: what each one needs, which part of the profile it reads, and in which environment it runs.

The order here is the order of `make help`, of the run and of the report. A stage is stale when its fingerprint (its part of the
profile, the content of its inputs, its environments' locks, torch's version and this package's) or the hash of one of its files
differs.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicoder_repro import artifact, environment
from magicoder_repro.data import benchmark_texts, code_alpaca
from magicoder_repro.errors import Stopped, UsageError
from magicoder_repro.generate import complete
from magicoder_repro.profile import Profile
from magicoder_repro.progress import say
from magicoder_repro.report import compare
from magicoder_repro.score import ds1000, judges
from magicoder_repro.score.multipl_e import toolchains

Config = Callable[[Profile], dict[str, Any]]
_LOCK = ".lock"  # stays in a run's folder
_END_SECONDS = 10.0  # in which a stopped stage ends by itself


_OF_PROFILE = (
    "teacher.concurrency",
    "teacher.give_up_after",
    "teacher.server.servers",
    "training.magicoder.checkpoint_steps",
    "training.magicoder_s.checkpoint_steps",
    "scoring.workers",
    "scoring.executor",
)
# Where they stand in the stages' configs: as in the profile, in the recipe of one training, in the report's copy of the profile.
_SCHEDULE = frozenset({*_OF_PROFILE, "recipe.checkpoint_steps", *(f"profile.{key}" for key in _OF_PROFILE)})


@dataclass(frozen=True)
class Stage:
    """One stage: `body` is `module:function`; `inputs` maps the name the body knows to the stage it comes from. `alone`: whether
    it needs none of them with this profile."""

    name: str
    help: str
    body: str
    inputs: dict[str, str]
    config: Config
    environment: str = "core"
    alone: Callable[[Profile], bool] = lambda profile: False

    def sources(self, profile: Profile) -> dict[str, str]:
        """The inputs that it needs with this profile."""
        return {} if self.alone(profile) else self.inputs


def _section(*names: str) -> Config:
    def config(profile: Profile) -> dict[str, Any]:
        return {name: getattr(profile, name).model_dump(mode="json") for name in names}

    return config


def _teacher(*more: str) -> Config:
    def config(profile: Profile) -> dict[str, Any]:
        found = _section("teacher", *more)(profile)
        if os.environ.get("OPENAI_BASE_URL"):  # a server that runs somewhere else tomorrow is the same teacher
            found["teacher"]["server"] = {"kind": "server", "base_url": None}
        return found

    return config


def _evol_instruct(profile: Profile) -> dict[str, Any]:
    if profile.evol_instruct.released is not None:  # no teacher has a part in it
        return _section("evol_instruct")(profile)
    return _teacher("evol_instruct")(profile)


def _decontaminate(_: Profile) -> dict[str, Any]:
    return {"benchmark_texts": benchmark_texts.identity()}


def _sft(which: str, label: str) -> Config:
    def config(profile: Profile) -> dict[str, Any]:
        recipe = getattr(profile.training, which).model_dump(mode="json")
        return {"recipe": recipe, "label": label, "saved_dtype": profile.base_model.dtype}

    return config


def _generate(label: str, style: str) -> Config:
    def config(profile: Profile) -> dict[str, Any]:
        datasets = complete.identities(profile.generation)
        return {
            "generation": profile.generation.model_dump(mode="json"),
            "datasets": datasets,
            "label": label,
            "style": style,
        }

    return config


def _score(profile: Profile) -> dict[str, Any]:
    """The scoring and what judges: evalplus' environment, for MultiPL-E this machine's toolchains, for DS-1000 its
    environment: another one is another result."""
    found = _section("scoring")(profile)
    judge = judges.environment_of("paper")
    found[judge] = environment.lock_sha256(judge)
    if profile.generation.multipl_e or profile.generation.minibench_multipl_e:
        found["toolchains"] = toolchains.versions()
    if profile.generation.ds1000 or profile.generation.minibench_ds1000:
        found[ds1000.ENVIRONMENT] = environment.built(ds1000.ENVIRONMENT)
    return found


def _analyze(profile: Profile) -> dict[str, Any]:
    path = code_alpaca.find()
    return {**_section("analysis")(profile), "code_alpaca": None if path is None else environment.file_sha256(path)}


def _report(profile: Profile) -> dict[str, Any]:
    recorded = compare.recorded_folder(profile.report)
    return {
        "profile": profile.model_dump(mode="json"),
        "recorded": environment.file_sha256(recorded / compare.RECORDED) if recorded else None,
    }


STAGES = (
    Stage("corpus", "open-source documents of each language", "data.corpus:build", {}, _section("corpus")),
    Stage("seeds", "seed snippets from the corpus", "data.seeds:build", {"corpus": "corpus"}, _section("seeds")),
    Stage(
        "oss-instruct",
        "the teacher turns seeds into problems and solutions",
        "data.oss_instruct:build",
        {"seeds": "seeds"},
        _teacher(),
    ),
    Stage(
        "clean",
        "repeated records removed",
        "data.clean:build",
        {"records": "oss-instruct"},
        _section("clean"),
    ),
    Stage(
        "decontaminate",
        "records with benchmark text removed",
        "data.decontaminate:build",
        {"records": "clean"},
        _decontaminate,
    ),
    Stage(
        "evol-instruct",
        "the second training set, evolved by the teacher",
        "data.evol_instruct:build",
        {"records": "decontaminate"},
        _evol_instruct,
        alone=lambda profile: profile.evol_instruct.released is not None,
    ),
    Stage(
        "evol-decontaminate",
        "the second set, decontaminated",
        "data.decontaminate:build",
        {"records": "evol-instruct"},
        _decontaminate,
    ),
    Stage("base-model", "the base model as a model folder", "train.base_model:build", {}, _section("base_model")),
    Stage(
        "sft-magicoder",
        "Magicoder: base fine-tuned on OSS-Instruct",
        "train.sft:build",
        {"model": "base-model", "records": "decontaminate"},
        _sft("magicoder", "sft Magicoder"),
    ),
    Stage(
        "sft-magicoder-s",
        "MagicoderS: Magicoder fine-tuned on Evol-Instruct",
        "train.sft:build",
        {"model": "sft-magicoder", "records": "evol-decontaminate"},
        _sft("magicoder_s", "sft MagicoderS"),
    ),
    Stage(
        "generate-base",
        "completions of the base model",
        "generate.complete:build",
        {"model": "base-model"},
        _generate("generate base", "completion"),
    ),
    Stage(
        "generate-magicoder",
        "completions of Magicoder",
        "generate.complete:build",
        {"model": "sft-magicoder"},
        _generate("generate Magicoder", "magicoder"),
    ),
    Stage(
        "generate-magicoder-s",
        "completions of MagicoderS",
        "generate.complete:build",
        {"model": "sft-magicoder-s"},
        _generate("generate MagicoderS", "magicoder"),
    ),
    Stage(
        "score",
        "pass@1 by running every completion in the sandbox",
        "score.stage:build",
        {"base": "generate-base", "magicoder": "generate-magicoder", "magicoder-s": "generate-magicoder-s"},
        _score,
    ),
    Stage(
        "analyze",
        "figures of the training data",
        "analyze.data:build",
        {"oss-instruct": "decontaminate", "evol-instruct": "evol-decontaminate", "base-model": "base-model"},
        _analyze,
    ),
    Stage(
        "report",
        "tables, figures and the comparison with the reference numbers",
        "report.build:build",
        {
            name: name
            for name in (
                "corpus",
                "seeds",
                "oss-instruct",
                "clean",
                "decontaminate",
                "evol-instruct",
                "evol-decontaminate",
                "base-model",
                "sft-magicoder",
                "sft-magicoder-s",
                "generate-base",
                "generate-magicoder",
                "generate-magicoder-s",
                "score",
                "analyze",
            )
        },
        _report,
    ),
)
BY_NAME = {stage.name: stage for stage in STAGES}


def needed(targets: tuple[str, ...], profile: Profile) -> list[Stage]:
    """The targets and everything they depend on, in pipeline order; all stages without a target."""
    wanted: set[str] = set()

    def add(name: str) -> None:
        if name not in BY_NAME:
            raise UsageError(f"unknown stage {name!r}: one of {', '.join(BY_NAME)}")
        if name not in wanted:
            wanted.add(name)
            for source in BY_NAME[name].sources(profile).values():
                add(source)

    for target in targets or tuple(BY_NAME):
        add(target)
    return [stage for stage in STAGES if stage.name in wanted]


def request(stage: Stage, profile: Profile, folder: Path) -> artifact.Request:
    """What the stage is asked for in the run that lives in `folder`."""
    inputs = {name: folder / source for name, source in stage.sources(profile).items()}
    out, config = folder / stage.name, stage.config(profile)
    return artifact.Request(stage.name, out, config, inputs, stage.environment, _SCHEDULE)


def run_one(stage: Stage, profile: Profile, folder: Path) -> None:
    """Runs one stage in this process."""
    module, _, function = stage.body.partition(":")
    body = getattr(importlib.import_module(f"magicoder_repro.{module}"), function)
    artifact.build(request(stage, profile, folder), body)


def run(profile_name: str, profile: Profile, folder: Path, targets: tuple[str, ...]) -> int:
    """Makes every stale stage of the targets, each in a process of its environment; returns how many were made."""
    stages = needed(targets, profile)
    if BY_NAME["report"] in stages:
        compare.recorded_folder(profile.report)  # a wrong name is told now, not after the work
    made = 0
    for stage in stages if not (folder / _LOCK).exists() else ():
        if not artifact.is_ours(folder / stage.name):
            raise UsageError(f"{folder / stage.name} exists and is no result of ours: name another folder with --runs")
    folder.mkdir(parents=True, exist_ok=True)
    with _only_run(folder) as lock:
        for number, stage in enumerate(stages, 1):
            wanted = request(stage, profile, folder)
            artifact.tidy(wanted)
            reason = artifact.why_stale(wanted)
            if reason is None:
                continue
            note = "" if reason == "not made yet" else f" (again: {reason})"
            say(f"[{number}/{len(stages)}] {stage.name}: {stage.help}{note}")
            _in_process(stage, profile_name, folder, lock)
            seconds = artifact.read_manifest(folder / stage.name)["seconds"]
            say(f"[{number}/{len(stages)}] {stage.name}: done in {seconds:.0f} s{_drops(folder / stage.name)}")
            made += 1
    return made


def _drops(folder: Path) -> str:
    manifest = artifact.read_manifest(folder)
    kept = manifest["counts"].get("kept")
    parts = [f"{kept} kept"] if kept is not None else []
    parts += [f"{count} dropped: {reason}" for reason, count in manifest["dropped"].items()]
    return f", {', '.join(parts)}" if parts else ""


def _in_process(stage: Stage, profile_name: str, folder: Path, lock: int) -> None:
    """A process a stage: its memory is given back, and its environment may be another. It ends with this one, and holds the
    lock until it has ended."""
    command = [
        str(environment.interpreter(stage.environment)),
        "-m",
        "magicoder_repro.cli",
        "stage",
        stage.name,
    ]
    command += ["--profile", profile_name, "--runs", str(folder), "--parent", str(os.getpid())]
    # Threads that wait for each other sleep: spinning, they take the core from one that works as soon as anything else runs here.
    variables = {"OMP_WAIT_POLICY": "passive", **os.environ}
    process = subprocess.Popen(
        command,
        pass_fds=(lock,),
        env=variables,
        # a terminal sends Ctrl-C to both: the stage leaves it to this process, which then ends it by SIGTERM
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    if code in (-signal.SIGTERM, 128 + signal.SIGTERM):
        raise Stopped(signal.SIGTERM)
    if code < 0:
        raise UsageError(
            f"{stage.name}: ended by signal {-code} ({signal.Signals(-code).name}): "
            "out of memory? start the same command again, it goes on where it was"
        )
    if code:
        raise SystemExit(code)


@contextmanager
def _only_run(folder: Path) -> Iterator[int]:
    """Two runs in one folder would spoil each other: the second one is refused. Gives the lock's descriptor."""
    handle = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: another run works there: wait for it or stop it") from None
        yield handle
    finally:
        os.close(handle)
