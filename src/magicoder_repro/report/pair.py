"""Two runs side by side: for each set and model how many verdicts differ, on the terminal and as a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro import errors, records
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import tell
from magicoder_repro.report import drill, page, scored, statistics
from magicoder_repro.report.drill import Answer, TaskSet
from magicoder_repro.score.compare import run_of


@dataclass(frozen=True)
class Pair:
    """One model's verdicts of one set in both runs. `one`, `other`: tasks passed (of several samples a task the sum of its rates);
    `lost`, `gained`: tasks that do worse and better in the second run; `p`: McNemar's, of one sample a task."""

    link: str
    name: str
    model: str
    tasks: int
    one: float
    other: float
    lost: int
    gained: int
    p: float | None
    alone: int

    @property
    def points(self) -> float:
        return 100 * (self.other - self.one) / self.tasks


def compare(one: Path, other: Path, out: Path | None) -> int:
    """Tells for each set how many verdicts differ, and writes the page; exit code 1 when any differs."""
    sets = drill.merge(_sets(one, "A"), _sets(other, "B"))
    pairs = [pair for found in sets for pair in _pairs(found)]
    if not pairs:
        raise UsageError(f"{one} and {other}: no model and set is in both: compare runs of one profile")
    for pair in pairs:
        tell(f"{pair.name}, {pair.model}: {_said(pair)}")
    if out is not None:
        sets.sort(key=lambda found: -sum(_differing([pair]) for pair in pairs if pair.link == found.link))
        labels = {model: model for found in sets for model in found.models}
        context = {"one": str(one), "other": str(other), "pairs": pairs, "differing": _differing(pairs)}
        records.write_text(out, page.html("pair.html.jinja", context, drill.pack(sets, labels)))
        tell(f"page: {out}")
    return errors.EXIT_BAD_RESULT if _differing(pairs) else errors.EXIT_DONE


def _sets(path: Path, name: str) -> list[TaskSet]:
    run = run_of(path)
    if run is None:
        raise UsageError(f"{path}: not the folder of a run (runs/PROFILE) or of its report: it has no score/")
    nodes = drill.nodes_of(run)
    return drill.collect(scored.each(nodes), nodes, f"{name}: ")


def _differing(pairs: Sequence[Pair]) -> int:
    return sum(pair.lost + pair.gained + pair.alone for pair in pairs)


def _said(pair: Pair) -> str:
    words = f"{pair.lost} of {pair.tasks} tasks lost, {pair.gained} gained ({pair.points:+.1f} points"
    words += f", McNemar p = {pair.p:.2g})" if pair.p is not None else ")"
    return words + (f"; {pair.alone} tasks in one run only" if pair.alone else "")


def _pairs(found: TaskSet) -> list[Pair]:
    names = [model.partition(": ")[2] for model in found.models if model.startswith("A: ")]
    models = [name for name in names if f"B: {name}" in found.asked]
    return [
        _pair(found, model, base)
        for model in models
        for base in ((True, False) if found.plus else (False,))
        if any({f"A: {model}", f"B: {model}"} <= task.answers.keys() for task in found.tasks.values())
    ]


def _pair(found: TaskSet, model: str, base: bool) -> Pair:
    answers: list[tuple[Answer, Answer]] = []
    alone = 0
    for task in found.tasks.values():
        one, other = (task.answers.get(f"{run}: {model}") for run in "AB")
        if one is not None and other is not None:
            answers.append((one, other))
        else:
            alone += one is not other
    rates = [(one.rate(base), other.rate(base)) for one, other in answers]
    lost, gained = sum(one > other for one, other in rates), sum(one < other for one, other in rates)
    single = all(len(one.marks) == len(other.marks) == 1 for one, other in answers)
    return Pair(
        found.link,
        f"{found.link}+" if found.plus and not base else found.link,
        model,
        len(answers),
        sum(one for one, _ in rates),
        sum(other for _, other in rates),
        lost,
        gained,
        statistics.mcnemar(lost, gained) if single else None,
        alone,
    )
