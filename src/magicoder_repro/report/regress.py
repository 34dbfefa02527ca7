"""Two runs side by side, cell by cell: what moved by more than the policy allows (`magicoder regress`; `gate` writes it down).

A cell is one model's verdicts on one benchmark with the numbers made of them, or a number that no verdicts stand behind. The policies
(`profile.Regress`, README "Regression gate"):

exact: every verdict, and every other number, is the baseline's.
paired: a cell regresses when its tasks' verdicts are worse by McNemar's exact test, after Holm over all cells, and by more than the
  margin. Of several samples a task the pass rates are compared: the test is then a sign test, which asks how many tasks became worse
  and better, not by how much. Other numbers as under tolerance.
tolerance: every number is one that a recorded run of this class of machine had; on a machine of another class it is as near to the
  recorded one as its declared tolerance, or the spread of the recorded runs, allows.

Under all of them a cell of another data set, protocol, scorer or clean-up is not comparable, and no cell, number or task may be gone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from pydantic import ValidationError

from magicoder_repro import profile as profiles
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.profile import Regress
from magicoder_repro.profile.mistakes import explain
from magicoder_repro.report.judged import PASSED, Verdicts
from magicoder_repro.report.page import number
from magicoder_repro.report.recorded import Recorded, Side
from magicoder_repro.report.statistics import holm, mcnemar

State = Literal["same", "allowed", "INCONCLUSIVE", "MOVED", "MISSING", "NOT COMPARABLE", "new"]
Level = Literal["passed", "warning", "failed"]
_EQUAL = 1e-9
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Flip:
    """A task whose verdicts differ, a mark a sample (`judged.Verdicts`); None where the run does not have the task."""

    task: str
    before: str
    after: str | None


@dataclass(frozen=True)
class Cell:
    """What became of a cell. `said`: why, with its numbers in points and tasks; `flips`: the worse ones first."""

    key: str
    state: State
    level: Level
    said: str
    flips: tuple[Flip, ...] = ()


@dataclass(frozen=True)
class Outcome:
    policy: Regress
    baseline: Side
    run: Side
    cells: tuple[Cell, ...]

    def of(self, level: Level) -> list[Cell]:
        return [cell for cell in self.cells if cell.level == level]


@dataclass(frozen=True)
class Paired:
    """One paired test: of `tasks` tasks `lost` became worse and `gained` better; `p`, and `adjusted` after Holm over `tests` tests."""

    metric: str
    tasks: int
    lost: int
    gained: int
    before: float
    after: float
    p: float
    adjusted: float = 1.0
    tests: int = 1

    def unseen(self, policy: Regress) -> bool:
        """Whether the test could not have seen a loss just above the margin: with the gains that there are it takes too few tasks."""
        least = math.floor(self.tasks * policy.margin / 100 + _EQUAL) + 1
        return min(1.0, self.tests * mcnemar(self.gained + least, self.gained)) > policy.alpha

    def __str__(self) -> str:
        return (
            f"{_change(self.metric, self.before, self.after)}: {self.lost} of {self.tasks} tasks worse, {self.gained} better, "
            f"p {self.p:.2g}, {self.adjusted:.2g} after Holm over {self.tests}"
        )


def policy_of(profile: str | None, options: Mapping[str, object]) -> Regress:
    """The policy of a profile, or the default one, with what the command line says in its place."""
    own = profiles.load(profile).report.regress if profile else Regress()
    content = {**own.model_dump(), **options}
    try:
        return Regress.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"--{explain(error, content)}") from None


def regress(baseline: Side, run: Side, policy: Regress) -> Outcome:
    """Compares a run with a baseline. UsageError when they have nothing that could be compared."""
    before, after = _aligned(baseline, run)
    _check_verdicts(baseline, run, policy)
    old, new = ({one.key: one for one in side.recorded.judged or ()} for side in (before, after))
    tests = _tests(before.recorded, old, new) if policy.policy == "paired" else {}
    cells = [_judged(one, new.get(key), before, after, policy, tests.get(key, ())) for key, one in old.items()]
    rest = [key for key in before.recorded.numbers if _owner(key) not in old]
    cells += [_number(key, before.recorded, after, policy) for key in rest]
    if not cells:
        raise UsageError(f"{baseline.path}: it holds no number and no verdict: there is nothing to compare with")
    cells += [Cell(key, "new", "passed", "not in the baseline") for key in new if key not in old]
    return Outcome(policy, baseline, run, tuple(cells))


def _owner(key: str) -> str:
    """The cell that a number is made of, if it is made of one: `humaneval.base` of `humaneval.base.pass@1`."""
    return key.rpartition(".")[0]


def _metric(key: str) -> str:
    return key.rpartition(".")[2]


def _aligned(baseline: Side, run: Side) -> tuple[Side, Side]:
    """Both sides with the same names for the same cell: where one is a single result, the other is cut to that benchmark's cell."""
    if run.single:
        return _cut(baseline, run), run
    return baseline, (_cut(run, baseline) if baseline.single else run)


def _cut(whole: Side, single: Side) -> Side:
    assert single.recorded.judged
    own = single.recorded.judged[0]
    found = [one for one in whole.recorded.judged or () if one.benchmark == own.benchmark]
    if len(found) != 1:
        have = f"{listed([one.key for one in found])}: name the file of one" if found else "none"
        raise UsageError(f"{single.path} is one result of {own.benchmark}, and of these {whole.path} holds {have}")
    old, recorded = found[0].key, whole.recorded

    def numbers(of: Mapping[str, _Value]) -> dict[str, _Value]:
        kept = {key: value for key, value in of.items() if _owner(key) == old and key.startswith(f"{old}.pass@")}
        return {own.key + key.removeprefix(old): value for key, value in kept.items()}

    cut = recorded.model_copy(
        update={
            "numbers": numbers(recorded.numbers),
            "judged": [found[0].model_copy(update={"key": own.key})],
            "runs": [run.model_copy(update={"numbers": numbers(run.numbers)}) for run in recorded.runs],
        }
    )
    return replace(whole, recorded=cut)


def _check_verdicts(baseline: Side, run: Side, policy: Regress) -> None:
    mend = "its report was made before reports kept verdicts: make it again (`magicoder run report`)"
    if baseline.recorded.judged is None and policy.policy != "tolerance":
        raise UsageError(
            f"{baseline.path}: no verdicts, which the policy {policy.policy!r} compares: record the run again (`magicoder record`), "
            "or give --policy tolerance"
        )
    if run.recorded.judged is None and baseline.recorded.judged is not None:
        raise UsageError(f"{run.path}: no verdicts: {mend}")


def _judged(
    old: Verdicts, new: Verdicts | None, before: Side, after: Side, policy: Regress, tests: Sequence[Paired]
) -> Cell:
    """What became of the verdicts of one model on one benchmark."""
    key = old.key
    if new is None:
        return _missing(key, policy, after.gaps.get(old.benchmark))
    flips = tuple(_flips(old, new))
    changed = _changed(old, new)
    if changed and policy.changed == "fail":
        return Cell(key, "NOT COMPARABLE", "failed", changed, flips)
    gone = _gone(old, new, before.recorded, after.recorded)
    if gone and policy.missing == "fail":
        return Cell(key, "MISSING", "failed", gone, flips)
    if policy.policy == "exact":
        cell = _exact(old, new, before.recorded, after.recorded, flips)
    elif policy.policy == "paired":
        cell = _paired(key, tests, flips, policy)
    else:
        cell = _within(old, new, before.recorded, after, flips)
    warnings = [changed, gone if policy.missing == "warn" else ""]
    said = "; ".join(filter(None, (*warnings, cell.said)))
    return replace(cell, said=said, level="warning" if any(warnings) and cell.level == "passed" else cell.level)


def _gone(old: Verdicts, new: Verdicts, before: Recorded, after: Recorded) -> str:
    """The tasks and numbers of a cell that the run does not have."""
    tasks = len(old.tasks) - len(_common(old, new))
    found = [f"{tasks} of {len(old.tasks)} tasks are gone"] if tasks else []
    numbers = [_metric(name) for name in before.numbers if _owner(name) == old.key and name not in after.numbers]
    return "; ".join(found + ([f"{listed(numbers)}: not in the run"] if numbers else []))


def _missing(key: str, policy: Regress, why: str | None = None) -> Cell:
    level: Level = "failed" if policy.missing == "fail" else "warning" if policy.missing == "warn" else "passed"
    return Cell(key, "MISSING", level, f"not in the run: {why}" if why else "not in the run")


def _changed(old: Verdicts, new: Verdicts) -> str:
    """What makes two cells not comparable, each with its value before and now."""
    pairs: list[tuple[str, object, object]] = [
        (name, getattr(old, name), getattr(new, name)) for name in ("protocol", "scorer", "sanitized")
    ]
    pairs += [
        (f"dataset {name}", old.dataset.get(name), new.dataset.get(name)) for name in {**old.dataset, **new.dataset}
    ]
    return "; ".join(f"{name} {one} -> {other}" for name, one, other in pairs if one != other)


def _flips(old: Verdicts, new: Verdicts) -> Iterator[Flip]:
    """The tasks that the run does not have, those that became worse, the others that differ."""
    differing = [
        Flip(task, marks, new.tasks.get(task)) for task, marks in old.tasks.items() if marks != new.tasks.get(task)
    ]

    def place(flip: Flip) -> int:
        if flip.after is None:
            return 0
        rates = [tuple(one.rate(flip.task, metric) for metric in PASSED) for one in (old, new)]
        return 1 if rates[1] < rates[0] else 2

    yield from sorted(differing, key=place)


def _common(old: Verdicts, new: Verdicts) -> list[str]:
    return [task for task in old.tasks if task in new.tasks]


def _metrics(before: Recorded, key: str) -> list[str]:
    """pass@1, and pass@1+ where the baseline has that number."""
    return [metric for metric in PASSED if metric == "pass@1" or f"{key}.{metric}" in before.numbers]


def _exact(old: Verdicts, new: Verdicts, before: Recorded, after: Recorded, flips: tuple[Flip, ...]) -> Cell:
    """Every verdict of the tasks that both have; a task that the baseline does not have is a difference too, and so is a number."""
    tasks = _common(old, new)
    differing = [flip for flip in flips if flip.after is not None]
    more = len(new.tasks) - len(tasks)
    said = [f"{len(differing)} of {len(tasks)} tasks differ"] if differing else []
    said += [f"{more} tasks that the baseline does not have"] if more else []
    if said:
        metrics = _metrics(before, old.key)
        said += [_change(metric, old.percent(tasks, metric), new.percent(tasks, metric)) for metric in metrics]
    elif not flips:
        pairs = [(name, before.numbers[name].value, after.numbers[name].value) for name in _shared(old, before, after)]
        said = [_change(_metric(name), one, other) for name, one, other in pairs if abs(one - other) > _EQUAL]
    return Cell(old.key, "MOVED" if said else "same", "failed" if said else "passed", "; ".join(said), flips)


def _shared(old: Verdicts, before: Recorded, after: Recorded) -> list[str]:
    """The numbers of a cell that both runs have."""
    return [name for name in before.numbers if _owner(name) == old.key and name in after.numbers]


def _tests(before: Recorded, old: Mapping[str, Verdicts], new: Mapping[str, Verdicts]) -> dict[str, list[Paired]]:
    """The tests of each cell that both runs have, adjusted together."""
    found = [(key, _test(metric, old[key], new[key])) for key in old if key in new for metric in _metrics(before, key)]
    adjusted = holm([test.p for _, test in found])
    tests: dict[str, list[Paired]] = {}
    for (key, test), p in zip(found, adjusted, strict=True):
        tests.setdefault(key, []).append(replace(test, adjusted=p, tests=len(found)))
    return tests


def _test(metric: str, old: Verdicts, new: Verdicts) -> Paired:
    tasks = _common(old, new)
    changes = [new.rate(task, metric) - old.rate(task, metric) for task in tasks]
    lost, gained = sum(change < -_EQUAL for change in changes), sum(change > _EQUAL for change in changes)
    before, after = (one.percent(tasks, metric) for one in (old, new))
    return Paired(metric, len(tasks), lost, gained, before, after, mcnemar(lost, gained))


def _paired(key: str, tests: Sequence[Paired], flips: tuple[Flip, ...], policy: Regress) -> Cell:
    worse = [
        test
        for test in tests
        if test.adjusted <= policy.alpha
        and test.lost > test.gained
        and test.before - test.after > policy.margin + _EQUAL
    ]
    if worse:
        return Cell(key, "MOVED", "failed", f"{_said(worse)}; margin {number(policy.margin)} points", flips)
    moved = [test for test in tests if test.lost or test.gained]
    unseen = [test for test in moved if test.adjusted > policy.alpha and test.unseen(policy)]
    if unseen:
        said = f"{_said(unseen)}; the test could not have seen a loss of {number(policy.margin)} points"
        return Cell(key, "INCONCLUSIVE", "warning", said, flips)
    return Cell(key, "allowed" if flips else "same", "passed", _said(moved), flips)


def _said(tests: Sequence[Paired]) -> str:
    return "; ".join(map(str, tests))


def _within(old: Verdicts, new: Verdicts, before: Recorded, after: Side, flips: tuple[Flip, ...]) -> Cell:
    """The numbers of a cell. Where the tasks are not the same, pass@1 of those that both have stands for them; where no number is
    there that says what may move, every verdict must be the baseline's."""
    key, tasks, shared = old.key, _common(old, new), _shared(old, before, after.recorded)
    if not shared:
        return _exact(old, new, before, after.recorded, flips)
    whole = len(tasks) == len(old.tasks) == len(new.tasks)
    moved, allowed = [], []
    for name in shared:
        metric, value, now = _metric(name), before.numbers[name].value, after.recorded.numbers[name].value
        shift = 0.0
        if not whole:
            if metric not in PASSED:
                continue
            shift = old.percent(tasks, metric) - value
            value, now = value + shift, new.percent(tasks, metric)
        low, high = (limit + shift for limit in before.limits(name, after.machine))
        if not low - _EQUAL <= now <= high + _EQUAL:
            moved.append(f"{_change(metric, value, now)}, allowed {_range(low, high)}")
        elif abs(now - value) > _EQUAL:
            allowed.append(_change(metric, value, now))
    if moved:
        return Cell(key, "MOVED", "failed", "; ".join([*moved, f"{len(flips)} tasks differ"]), flips)
    return Cell(key, "allowed" if flips or allowed else "same", "passed", "; ".join(allowed), flips)


def _number(key: str, before: Recorded, after: Side, policy: Regress) -> Cell:
    """What became of a number that no verdicts stand behind."""
    value, now = before.numbers[key].value, after.recorded.numbers.get(key)
    if now is None:
        return _missing(key, policy, next((why for name, why in after.gaps.items() if _of(key, name)), None))
    low, high = (value, value) if policy.policy == "exact" else before.limits(key, after.machine)
    change = f"{_plain(value)} -> {_plain(now.value)}"
    if not low - _EQUAL <= now.value <= high + _EQUAL:
        return Cell(key, "MOVED", "failed", f"{change}, allowed {_range(low, high)}")
    if abs(now.value - value) > _EQUAL:
        return Cell(key, "allowed", "passed", change)
    return Cell(key, "same", "passed", "")


def _of(key: str, benchmark: str) -> bool:
    """Whether a number is of a benchmark, or of the mean over languages that one of is."""
    own = key.partition(".")[0]
    return benchmark == own or benchmark.startswith(f"{own}-")


def _change(metric: str, before: float, after: float) -> str:
    return f"{metric} {before:.2f} -> {after:.2f} ({after - before:+.2f} points)"


def _plain(value: float) -> str:
    return f"{value:.10g}"


def _range(low: float, high: float) -> str:
    return _plain(low) if high - low < _EQUAL else f"{_plain(low)} to {_plain(high)}"
