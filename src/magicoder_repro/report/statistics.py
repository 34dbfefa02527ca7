"""The tests that tell a change from chance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache


@cache
def mcnemar(b: int, c: int) -> float:
    """The two-sided p value of McNemar's exact test: of `b + c` tasks whose verdict changed, `b` changed one way and `c` the other."""
    from scipy.stats import binomtest

    return float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0


def holm(ps: Sequence[float]) -> list[float]:
    """The p values, adjusted by Holm's step-down procedure, in the order they came in."""
    adjusted, least = [1.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        least = max(least, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = least
    return adjusted
