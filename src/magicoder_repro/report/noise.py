"""What chance was measured to do to a greedy cell, which verdicts allow for and the page shows.

Three sources: what is recorded (`results/reference/noise.yaml`: others' counts and the scorer's own repeats), the measurements of
`magicoder agreement -o` that a profile names (`report.noise`), and what lies in `results/noise/`: defaults of the same kind, of a
model that is none of the paper's, which count where nothing else was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from magicoder_repro import benchmarks
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import agreement
from magicoder_repro.generate.published import place
from magicoder_repro.report.reference import REFERENCE, read_yaml

RECORDED = REFERENCE / "noise.yaml"
DEFAULTS = ROOT / "results" / "noise"
Kind = Literal["generation", "scorer"]
_WORDS: dict[Kind, str] = {"generation": "another engine or batch size", "scorer": "the scorer"}


class Noise(BaseModel):
    """What chance was measured to do to a cell of `of` tasks. `default`: measured on a model that is none of the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    metrics: list[str]
    tasks: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(gt=0)]
    what: str
    source: str
    default: bool = False


def collect(named: Sequence[str]) -> tuple[Noise, ...]:
    """All measurements. `named`: the profile's files, relative to the checkout."""
    for name in named:
        if not place(name).is_file():
            raise UsageError(
                f"report.noise: {place(name)}: no such file: `magicoder agreement MODEL -o FILE` writes one"
            )
    recorded: list[Noise] = read_yaml(RECORDED, TypeAdapter(list[Noise]))
    own = [one for name in named for one in _of_file(place(name), f"report.noise: {name}")]
    defaults = [
        one.model_copy(update={"default": True})
        for path in files(())
        for one in _of_file(path, f"{path.relative_to(ROOT)}, measured for this package")
    ]
    return (*recorded, *own, *defaults)


def files(named: Sequence[str]) -> list[Path]:
    """The files of measurements that `collect` reads beside the recorded ones."""
    return [*map(place, named), *sorted(DEFAULTS.glob("*.json"))]


def allowed(measured: Iterable[Noise], metric: str, kinds: Sequence[Kind] = ("generation", "scorer")) -> int | None:
    """Tasks that chance was measured to move in a cell: the largest of each kind, added; None where nothing was measured."""
    found = [max(one.tasks for one in chosen) for kind in kinds if (chosen := counting(measured, metric, kind))]
    return sum(found) if found else None


def counting(measured: Iterable[Noise], metric: str, kind: Kind) -> list[Noise]:
    """The measurements that count for a cell: a default does where there is no other."""
    found = [one for one in measured if one.kind == kind and metric in one.metrics]
    return [one for one in found if not one.default] or found


def words(measured: Iterable[Noise], metric: str) -> str:
    """What was measured for a cell."""
    every = list(measured)
    found = []
    for kind, text in _WORDS.items():
        if chosen := counting(every, metric, kind):
            found.append(f"{text} (a default: of another model)" if chosen[0].default else text)
    return " and ".join(found)


def _of_file(path: Path, source: str) -> list[Noise]:
    """The tasks whose verdict is another in some way of one measurement, for the cells of its benchmark."""
    found = agreement.read(path)
    names = benchmarks.get(found.benchmark).reference if found.benchmark in benchmarks.NAMES else {}
    metrics = {metric: name for (subset, metric), name in names.items() if subset is None}
    if not metrics:
        raise UsageError(
            f"{path}: benchmark: no greedy cell of the paper is of {found.benchmark}: give humaneval or mbpp"
        )
    if not found.judged:
        raise UsageError(f"{path}: judged: it has no verdicts: measure again where {found.benchmark} can be judged")
    if found.tasks < found.of:
        raise UsageError(
            f"{path}: tasks: {found.tasks} of {found.of}: measure all (`magicoder agreement` without --tasks)"
        )
    first, others = found.rows[0], found.rows[1:]
    if not others:
        raise UsageError(f"{path}: rows: one way has nothing beside it: measure again")
    moved = {
        "pass@1": (first.passed, max(one.other_verdicts for one in others)),
        "pass@1+": (first.passed_plus, max(one.other_verdicts_plus or 0 for one in others)),
    }
    same = min(one.identical for one in others)
    return [
        Noise(
            kind="generation",
            metrics=[metrics[metric]],
            tasks=tasks,
            of=found.of,
            what=f"{found.model} ({passed} tasks passed), {len(others)} other ways than {first.way}: verdicts that differ; at least "
            f"{same} of {found.tasks} completions are identical",
            source=source,
        )
        for metric, (passed, tasks) in moved.items()
        if metric in metrics and passed is not None
    ]
