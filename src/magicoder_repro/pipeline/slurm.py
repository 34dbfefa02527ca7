"""A profile as jobs for Slurm: a script for each node, or for nodes that can be made side by side, and one that submits them all.

The scripts come from the templates in slurm/ of the checkout. Each makes its nodes by `magicoder run NODE --only`, so that what is up
to date, where it lies and how it goes on after a kill are decided as everywhere else.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from magicoder_repro import environment, outputs, records
from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.pipeline import container, plan, run, store
from magicoder_repro.pipeline.plan import Node
from magicoder_repro.pipeline.store import Run
from magicoder_repro.profile import Profile, ServerEngine, VllmEngine
from magicoder_repro.report import build as report
from magicoder_repro.stage import Stage
from magicoder_repro.train import SFT

TEMPLATES = environment.ROOT / "slurm"
_OF_DATA, _OF_REPORT = "data", "report"
_TEMPLATES = {
    **dict.fromkeys(("oss-instruct", "evol-instruct"), "teacher"),
    **{stage: stage for stage in ("sft", "generate", "score")},
    **dict.fromkeys(("analyze", "report"), _OF_REPORT),
}
"""Of each stage; the others are `data`."""
_NOTICE_SECONDS = 120  # before the end of its time a job is told to save its work, at least
_RESTARTS = 50  # of one job, at the end of its time: a stage that never gets on is not begun for ever
_MEMORY_OF_OURS = 4096  # megabytes beside those of the judged programs

_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,:@&|*()-]*$")]
_Count = Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]


class Resources(BaseModel):
    """What a job asks Slurm for, in Slurm's words. None: the cluster's own."""

    model_config = ConfigDict(extra="forbid")

    partition: _Word | None = None
    account: _Word | None = None
    qos: _Word | None = None
    constraint: _Word | None = None
    nodes: _Count = "1"
    cpus: _Count = "4"
    gpus: Annotated[str, Field(pattern=r"^([A-Za-z0-9_.-]+:)?(0|[1-9][0-9]*)$")] = "0"
    memory: Annotated[str, Field(pattern=r"^[0-9]+[KMGT]?$")] = "16G"
    time: Annotated[str, Field(pattern=r"^([0-9]+-[0-9]+(:[0-9]+){0,2}|[0-9]+(:[0-9]+){0,2})$")] = "4:00:00"


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. `common`: of all jobs; `settings`: `STAGE.KEY=VALUE` for those of one stage."""

    common: Mapping[str, str | None]
    settings: Sequence[str] = ()
    container: str = "none"


@dataclass(frozen=True)
class Job:
    """Nodes of one stage that need the same jobs, each a task of an array when there are several. `after`: of each job that it needs,
    the kind of Slurm's dependency."""

    name: str
    stage: Stage
    nodes: Sequence[Node]
    after: Mapping[str, str]

    @property
    def array(self) -> bool:
        return len(self.nodes) > 1


def write(profile: Profile, where: Run, targets: Sequence[str], asked: Asked, out: Path) -> list[Job]:
    """Writes a script for each job of what is not up to date, `submit.sh` and the empty folder `logs`; gives the jobs."""
    settings = _by_stage(asked.settings)
    report.check_names(profile)
    nodes = plan.needed(plan.expand(profile), targets)
    states = store.states(where, nodes, verify=False)
    if profile.report.comparable and asked.container == "none":
        run.nothing_missing(nodes, states)
    jobs = jobs_of([node for node in nodes if states[node.name].reason])
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # shell: the filters quote
    )
    templates.filters.update(quote=shlex.quote, words=shlex.join)
    files = {}
    for job in jobs:
        own = resources(profile, job.stage, asked.common, settings.get(job.stage.name, {}))
        template = templates.get_template(f"{_TEMPLATES.get(job.stage.name, _OF_DATA)}.sbatch.jinja")
        around = container.of(asked.container, profile, where, gpu=own.gpus != "0")
        notice = max(_NOTICE_SECONDS, round(job.stage.end_seconds) + 30)
        files[f"{job.name}.sbatch"] = template.render(
            job=job,
            own=own.model_dump(),
            notice=notice,
            restarts=_RESTARTS,
            folder=str(Path.cwd()),
            variables={**_variables(), **around.variables},
            container=around,
            magicoder=[around.python, "-m", "magicoder_repro.cli"],
            arguments=_arguments(profile, where),
        )
    files["submit.sh"] = templates.get_template("submit.sh.jinja").render(jobs=jobs)
    _replace(out, files)
    return jobs


def _arguments(profile: Profile, where: Run) -> list[str]:
    """Which profile and which run, of `magicoder run` in another folder."""
    name = profile.name
    words = ["--profile", str(Path(name).resolve()) if name.endswith((".yaml", ".yml")) else name]
    own = where.store.parent == where.folder
    return [*words, "--runs", str(where.folder.resolve())] if own else words


def _variables() -> dict[str, str]:
    """Those of ours that name a folder, as they are now."""
    names = ("MAGICODER_DATA", "MAGICODER_CACHE")
    return {name: str(Path(os.environ[name]).resolve()) for name in names if os.environ.get(name)}


def jobs_of(nodes: Sequence[Node]) -> list[Job]:
    """The nodes as jobs, each after those that it needs; an input that is no node here is there already."""
    grouped: dict[tuple[str, frozenset[int]], list[Node]] = {}
    home: dict[str, tuple[int, int]] = {}  # of each node, its job's number and its own in the job
    for node in nodes:
        needs = frozenset(home[source][0] for source in node.inputs.values() if source in home)
        group = grouped.setdefault((node.stage.name, needs), [])
        home[node.name] = (list(grouped).index((node.stage.name, needs)), len(group))
        group.append(node)
    width = len(str(len(grouped)))
    names = [f"{number:0{width}}-{_common(group)}" for number, group in enumerate(grouped.values(), 1)]
    found = []
    for (_, needs), name, group in zip(grouped, names, grouped.values(), strict=True):
        after = {names[number]: _how(group, number, list(grouped.values())[number], home) for number in sorted(needs)}
        found.append(Job(name, group[0].stage, group, after))
    return found


def _common(nodes: Sequence[Node]) -> str:
    """What the names of nodes have in common, as a file's name."""
    parts = [node.name.split("/") for node in nodes]
    same = [names[0] for names in zip(*parts, strict=True) if len(set(names)) == 1]
    return "-".join(same)


def _how(nodes: Sequence[Node], number: int, needed: Sequence[Node], home: Mapping[str, tuple[int, int]]) -> str:
    """`aftercorr` where each task of an array needs the task of the same number alone, else `afterok`: all of them."""
    if len(nodes) == 1 or len(needed) != len(nodes):
        return "afterok"
    for place, node in enumerate(nodes):
        if {home[source] for source in node.inputs.values() if home.get(source, (None,))[0] == number} != {
            (number, place)
        }:
            return "afterok"
    return "aftercorr"


def resources(profile: Profile, stage: Stage, common: Mapping[str, str | None], own: Mapping[str, str]) -> Resources:
    """Of a stage's jobs: the stage's own settings, those for all jobs, what the profile says, and what the stage usually takes."""
    usual = _usual(profile, stage)
    given = {key: value for key, value in common.items() if value is not None}
    if usual.get("gpus", "0") == "0":
        given.pop("gpus", None)
    if stage is not SFT and own.get("nodes", "1") != "1":
        raise UsageError(f"--set {stage.name}.nodes={own['nodes']:.80}: only sft works on several nodes: leave it out")
    try:
        return Resources.model_validate({**usual, **given, **own})
    except ValidationError as error:
        first = error.errors()[0]
        key, value = str(first["loc"][0]), str(first["input"])
        option = f"--set {stage.name}.{key}=" if key in own else f"--{key} "
        if first["type"] == "extra_forbidden":
            known = list(Resources.model_fields)
            raise UsageError(f"--set {stage.name}.{key}: {nearest(key, known)}one of {', '.join(known)}") from None
        raise UsageError(f"{option}{value:.80}: not as Slurm writes it: {_EXAMPLES[key]}") from None


_EXAMPLES = {
    **dict.fromkeys(("partition", "account", "qos", "constraint"), "give one word"),
    **dict.fromkeys(("nodes", "cpus"), "give a number from 1 on"),
    "gpus": "give a number, or a kind and a number as a100:4",
    "memory": "give megabytes, or as 64G",
    "time": "give minutes, or as 12:00:00 or 2-00:00:00",
}


def _usual(profile: Profile, stage: Stage) -> dict[str, str]:
    """What the jobs of a stage take where nothing else is said."""
    if stage.name in ("oss-instruct", "evol-instruct"):
        return {"memory": "8G", "time": "2-00:00:00"}
    if stage.name == "sft":
        gpus = profile.training.processes or 1
        return {"cpus": str(8 * gpus), "gpus": str(gpus), "memory": "128G", "time": "2-00:00:00"}
    if stage.name == "generate":
        engine = profile.generation and profile.generation.engine
        elsewhere = isinstance(engine, ServerEngine) or (
            isinstance(engine, VllmEngine) and engine.environment == "serve-cpu"
        )
        return {"cpus": "8", "gpus": "0" if elsewhere else "1", "memory": "64G", "time": "1-00:00:00"}
    if stage.name == "score":
        workers = profile.scoring.workers
        memory = workers * profile.scoring.memory_mb + _MEMORY_OF_OURS
        return {"cpus": str(workers), "memory": f"{memory}M", "time": "1-00:00:00"}
    return {}


def _by_stage(settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """`STAGE.KEY=VALUE` words as the settings of each stage."""
    found: dict[str, dict[str, str]] = {}
    stages = [stage.name for stage in plan.STAGES]
    for word in settings:
        key, equals, value = word.partition("=")
        stage, dot, name = key.partition(".")
        if not (equals and dot and name):
            raise UsageError(f"--set {word}: give STAGE.KEY=VALUE, as sft.gpus=8")
        if stage not in stages:
            raise UsageError(f"--set {word}: no such stage: {nearest(stage, stages)}one of {', '.join(stages)}")
        found.setdefault(stage, {})[name] = value
    return found


def _replace(out: Path, files: Mapping[str, str]) -> None:
    """Puts the files in place of those of an earlier call."""
    here = sorted(out.iterdir()) if out.is_dir() else []
    for path in here:
        if path.name not in ("logs", "submit.sh") and path.suffix != ".sbatch":
            raise UsageError(f"{out}: {path.name} is none of `magicoder slurm`'s: name another folder with -o")
    with outputs.claimed(out):
        (out / "logs").mkdir(parents=True, exist_ok=True)
        for path in here:
            if path.is_file() and path.name not in files:
                path.unlink()
        for name, text in files.items():
            records.write_text(out / name, text)
        (out / "submit.sh").chmod(0o755)
