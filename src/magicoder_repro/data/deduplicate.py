"""Stage `deduplicate`: shuffles the records and drops repeated seeds, problems and solutions (PROTOCOL section 3)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import kinds
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import each

_FIELDS = ("seed", "problem", "solution")


def build(work: Work) -> None:
    """`records.jsonl` -> kept `records.jsonl` and `dropped.jsonl` with `reason`."""
    rows = list(kinds.checked(work.inputs["records"] / "records.jsonl", kinds.OssInstruct))
    kept, dropped = deduplicate(rows, work.config["seed"])
    if not kept:
        raise UsageError(f"{work.inputs['records']}: no record in it")
    kinds.write(work, "records.jsonl", kinds.Pair, kept)
    kinds.write(work, "dropped.jsonl", kinds.Dropped, dropped)
    work.counts.update(read=len(rows), kept=len(kept))
    work.dropped.update(row["reason"] for row in dropped)


def deduplicate(rows: Iterable[records.Record], seed: int) -> tuple[list[records.Record], list[records.Record]]:
    """Shuffles, then keeps a record when its seed, its problem and its solution are all new, white space aside."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    seen: dict[str, set[str]] = {field: set() for field in _FIELDS}
    kept, dropped = [], []
    for row in each(shuffled, len(shuffled), "deduplicate", "records"):
        keys = {field: "".join(row[field].split()) for field in _FIELDS}
        repeated = next((field for field in _FIELDS if keys[field] in seen[field]), None)
        if repeated is not None:
            dropped.append({**row, "reason": f"duplicate {repeated}s"})
            continue
        for field in _FIELDS:
            seen[field].add(keys[field])
        kept.append(row)
    return kept, dropped
