"""A run's cells beside the reference's, each with an outcome and the reason in words.

Definitions, as the page states them:
- *reproduced*: as many tasks as the reference, or within what chance was measured to move ("What chance does": engine, batch size,
  scorer); where several samples a task were drawn, within what drawing them again would move in 95 of 100 runs, from the samples'
  own variance. Where the very answers behind the reference number were judged, only the scorer's noise counts.
- *deviates*: the test rejects equality at 5 %, Holm-adjusted over the cells of the table. One greedy run: the exact binomial test
  against the reference number (the Clopper-Pearson interval leaves it out). Several samples: a bootstrap over clusters of tasks.
- *consistent*: not rejected, and the whole 95 % interval lies within the practical margin around the reference.
- *insufficient evidence*: not rejected, but the interval spans the margin; `smallest` is what the cell would have shown.
- *not comparable*: another model, other tasks or another prompt. *missing*: not judged, and why.
An unpaired test shows no equality: two runs with task-by-task verdicts are compared by `magicoder regress`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from magicoder_repro import benchmarks, records
from magicoder_repro.benchmarks.base import Benchmark
from magicoder_repro.report import noise, reference, statistics
from magicoder_repro.report.noise import Noise
from magicoder_repro.report.reference import STRICT, Number
from magicoder_repro.report.scored import Scored
from magicoder_repro.score import result as results

Outcome = Literal["reproduced", "consistent", "deviates", "insufficient evidence", "not comparable", "missing"]
OUTCOMES: tuple[Outcome, ...] = (
    "reproduced",
    "consistent",
    "insufficient evidence",
    "deviates",
    "not comparable",
    "missing",
)
_FIELDS = {"pass@1": "passed", "pass@1+": "passed_plus"}
_NORMAL = 1.96


@dataclass(frozen=True)
class Measured:
    """What a run has for one reference metric of one model. `value`: percent, or the metric's own unit where there are no tasks;
    `rates`: of each task over its samples; `clusters`: the problem that each task is a variant of; `doubt`: why it is of something
    else."""

    metric: str
    model: str
    protocol: str
    node: str
    value: float = 0.0
    names: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    clusters: tuple[str, ...] = ()
    samples: int = 1
    prompt: str = ""
    decoding: Mapping[str, Any] | None = None
    doubt: str | None = None
    gap: str | None = None

    @property
    def passed(self) -> float:
        """Tasks passed; of several samples a task, the sum of its rates."""
        return sum(self.rates)


@dataclass(frozen=True)
class Cell:
    """One reference number and what this run has for it. `theirs`, `ours`, `low`, `high`: percent where there are `tasks`, else the
    metric's own unit; `tasks` are the reference's, `of` this run's; `passed`: tasks, of several samples a task the sum of their rates;
    `adjusted`: p by Holm over the table."""

    __pydantic_config__ = STRICT

    id: str
    table: str
    row: str
    metric: str
    theirs: float
    theirs_passed: int | None
    tasks: int | None
    status: str
    source: str
    protocol: str
    outcome: Outcome
    reason: str
    model: str | None = None
    node: str | None = None
    ours: float | None = None
    passed: float | None = None
    of: int | None = None
    samples: int | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    smallest: float | None = None
    command: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def points(self) -> float | None:
        """Ours less theirs."""
        return None if self.ours is None else self.ours - self.theirs


@dataclass(frozen=True)
class _Family:
    """The cells of one table that are tested together."""

    places: list[int] = field(default_factory=list)
    ps: list[float] = field(default_factory=list)


def of_data(inputs: Mapping[str, Path], config: Mapping[str, Any]) -> list[Measured]:
    """What a run has beside its scores: the similarities and the records that decontamination removed.

    `inputs`: each node's folder; `config`: `build.config`."""
    found: list[Measured] = []
    similarity = records.read_json(inputs["analyze"] / "similarity.json") if "analyze" in inputs else {}
    fitted = None if "self-instruct" in similarity else "fitted without Code Alpaca, which the paper's vectorizer knew"
    for name, data in config["data"].items():
        if name in similarity:
            value = similarity[name]["mean"]
            found.append(Measured("mean_max_tfidf_cosine", f"data {name}", "paper", "analyze", value, doubt=fitted))
        if f"decontaminate/{name}" in inputs:
            counts = records.read_json(inputs[f"decontaminate/{name}"] / "manifest.json")["counts"]
            removed = counts["read"] - counts["kept"]
            node = f"decontaminate/{name}"
            doubt = "released after the paper's decontamination" if data.get("kind") == "released" else None
            found.append(Measured("decontamination_removed", f"data {name}", "paper", node, removed, doubt=doubt))
    if "self-instruct" in similarity:
        value = similarity["self-instruct"]["mean"]
        found.append(Measured("mean_max_tfidf_cosine", "data self-instruct", "paper", "analyze", value))
    return found


def scores(scored: Scored) -> list[Measured]:
    """What a score node has: each metric of each set, the libraries, the mean over languages."""
    node, model = scored.node, scored.model
    found: list[Measured] = []
    for row in scored.summary:
        benchmark = benchmarks.get(row["family"])
        wanted = {name: cell for name, cell in benchmark.reference.items() if name[0] == row["subset"]}
        if row["gap"] is not None:
            gaps = {name: cell for name, cell in benchmark.reference.items() if not benchmark.subsets} or wanted
            found += [Measured(cell, model, row["protocol"], node, gap=row["gap"]) for cell in gaps.values()]
            continue
        if not benchmark.reference:
            continue
        if benchmark.subsets and row["subset"] is None:
            parts = [
                f"{row['family']}-{name}{row['benchmark'].removeprefix(row['family'])}" for name in benchmark.subsets
            ]
        else:
            parts = [row["benchmark"]]
            if benchmark.groups_name and not benchmark.subsets:
                wanted = dict(benchmark.reference)
        read = [scored.results[name] for name in parts]
        tasks = [task for one in read for task in one.tasks]
        decoding = (read[0].model_extra or {}).get("decoding")
        doubt = f"{row['tasks']} of {row['of']} tasks" if row["tasks"] < row["of"] else None
        for (part, metric), cell in wanted.items():
            chosen = [task for task in tasks if part in (None, row["subset"]) or task.library == part]
            if chosen:
                one = _measured(cell, model, row["protocol"], node, metric, chosen)
                found.append(replace(one, prompt=_prompt(benchmark, row), decoding=decoding, doubt=doubt))
    return found


def _prompt(benchmark: Benchmark, row: Mapping[str, Any]) -> str:
    """How the model was asked; nothing where every model is asked in the same way."""
    return "" if benchmark.subsets else str(row["prompt"])


def _measured(cell: str, model: str, protocol: str, node: str, metric: str, tasks: Sequence[results.Task]) -> Measured:
    name = _FIELDS[metric]
    verdicts = [[bool(getattr(sample, name)) for sample in task.samples] for task in tasks]
    rates = tuple(sum(one) / len(one) for one in verdicts)
    return Measured(
        cell,
        model,
        protocol,
        node,
        100 * sum(rates) / len(rates),
        tuple(task.name for task in tasks),
        rates,
        tuple(task.cluster or task.task_id for task in tasks),
        min(len(one) for one in verdicts),
    )


def compare(measured: Iterable[Measured], config: Mapping[str, Any], chance: Sequence[Noise]) -> list[Cell]:
    """Every reference number with what the run has for it; where two models of a profile stand for one row, a cell each.

    `config`: `build.config`: the models' and data sets' rows, whether they are the paper's, and the practical margin; `chance`: what
    it was measured to move."""
    about = {**config["models"], **{f"data {name}": one for name, one in config["data"].items()}}
    about.setdefault("data self-instruct", {"paper": "Self-Instruct (Code Alpaca)"})
    settings = config["report"]
    by_place: dict[tuple[str, str, str], list[Measured]] = {}
    for each in measured:
        by_place.setdefault((str(about[each.model]["paper"]), each.metric, each.protocol), []).append(each)
    standing = {str(model["paper"]): name for name, model in about.items()}
    found: list[Cell] = []
    families: dict[str, _Family] = {}
    for number in reference.numbers():
        candidates: list[Measured | None] = [*by_place.get((number.model, number.metric, number.protocol), [])]
        for one in candidates or [None]:
            cell = _plain(number, one, standing.get(number.model))
            if one is not None and one.gap is None:
                exact = number.table in about[one.model].get("same_answers", ())
                if set(same := about[one.model].get("same_answers", ())) & set(reference.LATER) and not exact:
                    one = replace(
                        one, doubt=f"answers of another run ({', '.join(same)}), with that source's own prompt"
                    )
                if one.prompt == "completion" and about[one.model].get("style") == "magicoder":
                    one = replace(one, doubt="asked with the bare code, not with the model's prompt")
                cell, tested = _judged(cell, number, one, chance, bool(settings["comparable"]), exact)
                if tested:
                    family = families.setdefault(number.table, _Family())
                    family.places.append(len(found))
                    family.ps.append(float(cell.p if cell.p is not None else 1.0))
            if one is not None and config.get("name"):
                cell = replace(cell, command=f"magicoder run {one.node} --profile {config['name']}")
            found.append(cell)
    for family in families.values():
        for place, adjusted in zip(family.places, statistics.holm(family.ps), strict=True):
            found[place] = _decided(found[place], adjusted, float(settings["margin"]))
    return found


def _plain(number: Number, one: Measured | None, model: str | None) -> Cell:
    """The cell before it is compared: missing, and why."""
    if one is not None and one.gap is not None:
        reason = one.gap
    elif model is None:
        reason = "no model of this run stands for this row"
    else:
        reason = "this run has no such number"
    return Cell(
        number.id,
        number.table,
        number.row,
        number.metric,
        number.value,
        number.passed,
        number.tasks,
        number.status,
        number.source,
        number.protocol,
        "missing",
        reason,
        model=one.model if one else model,
        node=one.node if one else None,
    )


def _judged(
    cell: Cell, number: Number, one: Measured, chance: Sequence[Noise], comparable: bool, exact: bool
) -> tuple[Cell, bool]:
    """The cell with what was measured; whether a test decides it."""
    if number.tasks is None:
        same = math.isclose(_printed(one.value, number.value), number.value)
        outcome: Outcome = "reproduced" if same else "deviates"
        reason = "to the last printed digit" if same else "a figure of the whole data set: no sampling interval"
        cell = replace(cell, ours=one.value, outcome=outcome, reason=reason)
        doubt = one.doubt if comparable else _OTHER
        return (cell if doubt is None else replace(cell, outcome="not comparable", reason=doubt)), False
    tasks = len(one.rates)
    greedy = one.samples == 1 and number.samples == 1
    means = None if greedy else statistics.cluster_means(one.rates, one.clusters)
    low, high = (
        statistics.clopper_pearson(round(one.passed), tasks) if means is None else statistics.percentile_interval(means)
    )
    cell = replace(
        cell,
        ours=one.value,
        passed=round(one.passed, 4),
        of=tasks,
        samples=one.samples,
        low=round(100 * low, 2),
        high=round(100 * high, 2),
    )
    doubt = one.doubt if comparable else _OTHER
    if doubt is None and tasks != number.tasks:
        doubt = f"{tasks} tasks here, {number.tasks} there"
    if doubt is None and (one.samples == 1) != (number.samples == 1):
        doubt = f"{one.samples} samples a task here, {number.samples} there"
    if doubt is None and (other := reference.other_decoding(number.metric, one.decoding)):
        doubt = other
    if doubt is not None:
        return replace(cell, outcome="not comparable", reason=doubt), False
    rate = (number.passed if number.passed is not None else number.value * tasks / 100) / tasks
    if exact and number.passed is not None and one.samples == 1:
        return _same_answers(cell, number, one, chance), False
    if means is None:
        p = statistics.binomial_p(round(one.passed), tasks, rate)
        smallest = statistics.smallest_difference(tasks, rate)
    else:
        p = statistics.bootstrap_p(means, rate)
        smallest = statistics.smallest_difference_of_means(means)
    return replace(cell, p=p, smallest=smallest, reason=_near(number, one, chance) or ""), True


def _same_answers(cell: Cell, number: Number, one: Measured, chance: Sequence[Noise]) -> Cell:
    """The very answers behind the number: nothing but the scorer may move a task."""
    moved = abs(round(one.passed) - int(number.passed or 0))
    allowed = noise.allowed(chance, number.metric, ("scorer",)) or 0
    if moved == 0:
        return replace(cell, outcome="reproduced", reason="the same answers, as many tasks")
    if moved <= allowed:
        reason = f"the same answers, {_count(moved)} apart: the scorer itself moves up to {allowed}"
        return replace(cell, outcome="reproduced", reason=reason)
    return replace(cell, outcome="deviates", reason=f"the same answers, {_count(moved)} apart: nothing may move them")


def _near(number: Number, one: Measured, chance: Sequence[Noise]) -> str | None:
    """Why the difference is what chance was measured to cause; None when it is more."""
    if number.passed is not None and one.samples == 1:
        moved = abs(round(one.passed) - number.passed)
        allowed = noise.allowed(chance, number.metric)
        if moved == 0:
            return "as many tasks"
        if allowed is not None and moved <= allowed:
            return f"{_count(moved)} apart: {noise.words(chance, number.metric)} moves up to {allowed} (measured)"
        return None
    tasks, drawn = len(one.rates), one.samples
    variance = sum(rate * (1 - rate) / max(1, drawn - 1) for rate in one.rates) / tasks**2
    other = variance * drawn / number.samples if number.samples else variance
    allowed_points = 100 * _NORMAL * math.sqrt(variance + other)
    moved_points = abs(one.value - number.value)
    if drawn > 1 and moved_points <= allowed_points + 0.05:  # of the reference's rounding
        return f"{moved_points:.1f} points apart: drawing the samples again moves up to {allowed_points:.1f}"
    return None


def _decided(cell: Cell, adjusted: float, margin: float) -> Cell:
    """The outcome of a tested cell."""
    ours, low, high = cell.ours, cell.low, cell.high
    assert ours is not None and low is not None and high is not None
    cell = replace(cell, adjusted=adjusted)
    if cell.reason:
        return replace(cell, outcome="reproduced")
    apart = f"{ours - cell.theirs:+.1f} points"
    if cell.theirs_passed is not None and cell.passed is not None and cell.samples == 1:
        apart += f" ({_count(round(cell.passed) - cell.theirs_passed, signed=True)})"
    if adjusted < statistics.ALPHA:
        return replace(cell, outcome="deviates", reason=f"{apart}, adjusted p {adjusted:.2g}")
    if cell.theirs - margin <= low and high <= cell.theirs + margin:
        reason = f"{apart}; the interval lies within {margin:g} points of the reference"
        return replace(cell, outcome="consistent", reason=reason)
    seen = "no difference" if cell.smallest is None else f"no difference below {cell.smallest:.1f} points"
    return replace(cell, outcome="insufficient evidence", reason=f"{apart}; this cell alone could show {seen}")


def counts(cells: Iterable[Cell]) -> dict[str, int]:
    """How many of the paper's own cells have each outcome."""
    own = [cell.outcome for cell in cells if cell.table not in reference.LATER]
    return {outcome: own.count(outcome) for outcome in OUTCOMES}


def sentence(cells: Sequence[Cell]) -> str:
    """What a reader must know first."""
    found = counts(cells)
    compared = sum(found[name] for name in ("reproduced", "consistent", "insufficient evidence", "deviates"))
    total = sum(found.values())
    if not compared:
        other = (
            f"; {found['not comparable']} stand beside a number of another model or task set"
            if found["not comparable"]
            else ""
        )
        return f"No cell of the paper's {total} is compared in this run{other}."
    parts = [f"{found[name]} {name}" for name in OUTCOMES[:4] if found[name]]
    rest = [f"{found[name]} {name}" for name in OUTCOMES[4:] if found[name]]
    return f"{compared} of the paper's {total} cells compared: {', '.join(parts)}" + (
        f" ({', '.join(rest)})." if rest else "."
    )


def _count(tasks: int, signed: bool = False) -> str:
    return f"{tasks:+d} task{'' if abs(tasks) == 1 else 's'}" if signed else f"{tasks} task{'' if tasks == 1 else 's'}"


def _printed(value: float, like: float) -> float:
    """Rounded to as many digits as the printed number has."""
    text = f"{like:g}"
    return round(value, len(text.partition(".")[2]))


_OTHER = "another model, teacher or data set than the paper's"
