"""The statistics of the report, on scipy; nothing here knows a benchmark.

Rates are fractions (0 to 1) unless a name says `points` (percent). Definitions stand on the page in the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy
from scipy import stats

LEVEL = 0.95
ALPHA = 0.05
RESAMPLES = 10_000
_CHUNK = 500  # resamples at a time: memory


@cache
def clopper_pearson(passed: int, tasks: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a rate of `passed` in `tasks`; it covers the truth at least as often as `level` says."""
    found = stats.binomtest(passed, tasks).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


@cache
def binomial_p(passed: int, tasks: int, rate: float) -> float:
    """Twice the smaller tail of `passed` in `tasks` under `rate`: below `alpha` exactly when the Clopper-Pearson interval of level
    1 - alpha leaves `rate` out."""
    lower, upper = stats.binom.cdf(passed, tasks, rate), stats.binom.sf(passed - 1, tasks, rate)
    return float(min(1.0, 2 * min(lower, upper)))


def cluster_means(rates: Sequence[float], clusters: Sequence[str], resamples: int = RESAMPLES) -> Any:
    """Means over tasks of `resamples` draws of whole clusters with replacement, as many as there are; a float array (resamples,).

    `rates`: of each task, over its samples. Seeded: the same input gives the same draws.
    """
    names, place = numpy.unique(numpy.asarray(clusters), return_inverse=True)
    sums = numpy.bincount(place, weights=numpy.asarray(rates, dtype=float))
    sizes = numpy.bincount(place).astype(float)
    generator = numpy.random.default_rng(0)
    found = []
    for start in range(0, resamples, _CHUNK):
        drawn = generator.integers(len(names), size=(min(_CHUNK, resamples - start), len(names)))
        found.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return numpy.concatenate(found)


def percentile_interval(means: Any, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of resampled means."""
    low, high = numpy.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_p(means: Any, rate: float) -> float:
    """Twice the share of resampled means on the far side of `rate`, never 0: the draws are finitely many."""
    below, above = (means <= rate).sum(), (means >= rate).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(means) + 1)))


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values of one family, adjusted by Holm's step-down: below `alpha` means rejected with all errors together at `alpha`."""
    order = sorted(range(len(ps)), key=lambda index: ps[index])
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


@cache
def mcnemar(one: int, other: int) -> float:
    """The exact two-sided p-value of two runs of the same tasks: `one` tasks passed in the first run only, `other` in the second."""
    total = one + other
    return 1.0 if total == 0 else float(stats.binomtest(one, total).pvalue)


@cache
def smallest_difference(tasks: int, rate: float, alpha: float = ALPHA, power: float = 0.8) -> float | None:
    """The smallest drop or rise in points that a cell of one greedy run would show with `power`, where the paper has `rate`."""
    counts = numpy.arange(tasks + 1)
    lower, upper = stats.binom.cdf(counts, tasks, rate), stats.binom.sf(counts - 1, tasks, rate)
    rejected = 2 * numpy.minimum(lower, upper) < alpha
    for step in range(1, tasks + 1):
        for true in (rate - step / tasks, rate + step / tasks):
            if 0 <= true <= 1 and float(stats.binom.pmf(counts, tasks, true)[rejected].sum()) >= power:
                return 100 * step / tasks
    return None


def smallest_difference_of_means(means: Any, alpha: float = ALPHA, power: float = 0.8) -> float:
    """The same in points for resampled means, by their standard error."""
    error = float(numpy.std(means))
    return float(100 * error * (stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)))


@cache
def mcnemar_power(tasks: int, drop: float, discordance: float, alpha: float = ALPHA) -> float:
    """How often McNemar's test finds a true drop of `drop` (a fraction) between two runs whose verdicts differ on the share
    `discordance` of the tasks; exact, by summing over all outcomes."""
    lost = (discordance + drop) / 2  # the share of tasks that pass in the first run only
    if not drop <= discordance <= 1:
        raise ValueError(f"a drop of {drop} needs at least that discordance, and 1 at most, not {discordance}")
    total = 0.0
    for differing in range(tasks + 1):
        weight = float(stats.binom.pmf(differing, tasks, discordance))
        if weight < 1e-12:
            continue
        counts = numpy.arange(differing + 1)
        tails = numpy.minimum(stats.binom.cdf(counts, differing, 0.5), stats.binom.sf(counts - 1, differing, 0.5))
        rejected = numpy.minimum(1.0, 2 * tails) < alpha
        total += weight * float(stats.binom.pmf(counts, differing, lost / discordance)[rejected].sum())
    return total
