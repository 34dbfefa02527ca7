"""pass@k: the unbiased estimator of Chen et al. (arXiv 2107.03374, section 2.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that at least one of k samples, drawn without putting back, passes. Between 0 and 1."""
    if not 0 < k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, there are {samples}")
    return 1.0 - math.comb(samples - passed, k) / math.comb(samples, k)


def percent(tasks: Iterable[tuple[int, int]], k: int = 1) -> float:
    """The mean of pass@k over tasks, each (samples, passed), in percent."""
    scores = [pass_at_k(samples, passed, k) for samples, passed in tasks]
    return 100.0 * sum(scores) / len(scores)


KS = (1, 10, 100)


def metrics(tasks: Mapping[Any, Sequence[Mapping[str, Any]]], ks: Sequence[int] = KS) -> dict[str, float]:
    """`pass@k` and `pass@k+` (where there are plus tests) of judged samples by task; only the k that every task has samples for."""
    fields = {"": "passed", "+": "passed_plus"}
    if any(row["passed_plus"] is None for rows in tasks.values() for row in rows):
        del fields["+"]
    fewest = min(len(rows) for rows in tasks.values())
    return {
        f"pass@{k}{mark}": round(
            percent(((len(rows), sum(row[name] for row in rows)) for rows in tasks.values()), k), 4
        )
        for k in ks
        if k <= fewest
        for mark, name in fields.items()
    }
