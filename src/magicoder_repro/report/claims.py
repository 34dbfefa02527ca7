"""The paper's headline sentences, each decided by its own numbers and by the run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from magicoder_repro.report import reference, statistics
from magicoder_repro.report.cells import Cell, Measured
from magicoder_repro.report.reference import (
    STRICT,
    ClaimText,
    Difference,
    Greater,
    Key,
    NotBelow,
    Number,
    Open,
    Order,
    Within,
)

Verdict = Literal["holds", "does not hold", "not measured", "open"]


@dataclass(frozen=True)
class Claim:
    """A sentence with what the paper's own numbers say of it and what this run's say. `by`: how much decides, in words."""

    __pydantic_config__ = STRICT

    id: str
    sentence: str
    place: str
    paper: Verdict
    paper_by: str
    run: Verdict
    run_by: str
    cells: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Side:
    """One cell as a claim looks at it. `names`, `verdicts`: task by task where they are known."""

    value: float
    passed: int | None
    tasks: int | None
    row: str
    measured: bool = False
    verdicts: Mapping[str, float] | None = None


def decide(cells: Sequence[Cell], measured: Sequence[Measured]) -> list[Claim]:
    """All claims. A claim about a model is measured when its first cell is; what it is compared with may be the paper's number."""
    numbers = {number.key: number for number in reference.numbers()}
    found = {(cell.table, cell.row, cell.metric): cell for cell in cells if _counts(cell)}
    by_task = {(one.model, one.metric, one.protocol): one for one in measured}
    printed = {key: _of_paper(number) for key, number in numbers.items()}
    run = {key: _of_run(cell, by_task) for key, cell in found.items()}
    decided = []
    for claim in reference.claims():
        keys = reference.cells_of(claim)
        paper = _decide(claim, printed)
        here: tuple[Verdict, str] = ("open", "no number of it is known") if not keys else ("not measured", "")
        if any(key in run for key in _subjects(claim)):
            if missing := [key for key in _subjects(claim) if key not in run]:
                here = "not measured", f"without {', '.join(dict.fromkeys(_named(key) for key in missing))}"
            else:
                here = _decide(claim, {**printed, **run})
        ids = tuple(numbers[key].id for key in dict.fromkeys(keys))
        decided.append(Claim(claim.id, claim.sentence, claim.place, *paper, *here, ids))
    return decided


def _named(key: Key) -> str:
    return f"{key[1]} ({key[2]})"


def _counts(cell: Cell) -> bool:
    return cell.ours is not None and cell.outcome not in ("missing", "not comparable")


def _of_paper(number: Number) -> _Side:
    return _Side(number.value, number.passed, number.tasks, number.row)


def _of_run(cell: Cell, by_task: Mapping[tuple[str, str, str], Measured]) -> _Side:
    assert cell.ours is not None
    one = by_task.get((str(cell.model), cell.metric, cell.protocol))
    whole = round(cell.passed) if cell.passed is not None and cell.samples == 1 else None
    verdicts = dict(zip(one.names, one.rates, strict=True)) if one and one.samples == 1 else None
    return _Side(cell.ours, whole, cell.tasks, cell.row, True, verdicts)


def _subjects(claim: ClaimText) -> list[Key]:
    """The cells that the claim is about: what must be measured for a verdict."""
    test = claim.test
    if isinstance(test, Greater | NotBelow):
        return [reference.key(pair[0]) for pair in test.pairs]
    if isinstance(test, Order):
        return [reference.key(name) for name in test.cells]
    if isinstance(test, Difference):
        return [reference.key(test.left)]
    if isinstance(test, Within):
        return [reference.key((*test.left, metric)) for metric in test.metrics]
    return []


def _decide(claim: ClaimText, sides: Mapping[Key, _Side]) -> tuple[Verdict, str]:
    test = claim.test
    if isinstance(test, Open):
        return "open", "no number of it is in the tables"
    if isinstance(test, Within):
        return _within(test, sides)
    if isinstance(test, Difference):
        left, right = sides[reference.key(test.left)], sides[reference.key(test.right)]
        apart = round(left.value - right.value, 1)
        return _verdict(apart >= test.points - 0.05), f"{_said(left)} against {_said(right)}: {apart:+.1f} points"
    pairs = (
        [(reference.key(a), reference.key(b)) for a, b in test.pairs]
        if isinstance(test, Greater | NotBelow)
        else [(reference.key(b), reference.key(a)) for a, b in zip(test.cells, test.cells[1:], strict=False)]
    )
    closest = min(pairs, key=lambda pair: _gap(sides[pair[0]], sides[pair[1]]))
    left, right = sides[closest[0]], sides[closest[1]]
    least = 0 if isinstance(test, NotBelow) else 1e-9
    held = sum(_gap(sides[a], sides[b]) >= least for a, b in pairs)
    words = f"{_said(left)} against {_said(right)}"
    if left.passed is not None and right.passed is not None and left.tasks == right.tasks:
        tasks = left.passed - right.passed
        words = f"{left.passed}{_whose(left)} against {right.passed}{_whose(right)} of {left.tasks} tasks: decided by {tasks:+d}"
    if left.verdicts and right.verdicts and left.verdicts.keys() == right.verdicts.keys():
        one = sum(left.verdicts[name] > right.verdicts[name] for name in left.verdicts)
        other = sum(left.verdicts[name] < right.verdicts[name] for name in left.verdicts)
        words += f"; {one} tasks only left, {other} only right, McNemar p = {statistics.mcnemar(one, other):.2g}"
    if len(pairs) > 1:
        words = f"{held} of {len(pairs)} comparisons; the closest: {words}"
    return _verdict(held == len(pairs)), words


def _within(test: Within, sides: Mapping[Key, _Side]) -> tuple[Verdict, str]:
    means = []
    for row in (test.left, test.right):
        chosen = [sides[reference.key((*row, metric))] for metric in test.metrics]
        weights = [side.tasks or 1 for side in chosen]
        means.append(sum(side.value * weight for side, weight in zip(chosen, weights, strict=True)) / sum(weights))
    apart = means[0] - means[1]
    words = f"{means[0]:.1f} against {means[1]:.1f} in the task-weighted mean: {apart:+.1f} points, -{test.points:g} allowed"
    return _verdict(apart >= -test.points), words


def _gap(left: _Side, right: _Side) -> float:
    """How far the first is above the second, in tasks where both are counted, else in the unit; by sign comparable."""
    if left.passed is not None and right.passed is not None and left.tasks and left.tasks == right.tasks:
        return 100 * (left.passed - right.passed) / left.tasks
    return left.value - right.value


def _said(side: _Side) -> str:
    return f"{side.value:.1f}{_whose(side)}" if side.tasks else f"{side.value:g}{_whose(side)}"


def _whose(side: _Side) -> str:
    return " here" if side.measured else ""


def _verdict(holds: bool) -> Verdict:
    return "holds" if holds else "does not hold"
