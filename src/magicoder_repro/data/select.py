"""Stage `select`: a part of a data set (the paper's Tables 5, 7 and 10 train on parts)."""

from __future__ import annotations

import re
from typing import Any

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import kinds
from magicoder_repro.errors import UsageError


def build(work: Work) -> None:
    """`records.jsonl` -> the selected ones in their order, and `dropped.jsonl` with `reason`."""
    path = work.inputs["records"] / "records.jsonl"
    kept: list[records.Record] = []
    dropped: list[records.Record] = []
    for number, row in enumerate(kinds.rows(path), 1):
        reason = _reason(row, work.config, f"{path}:{number}", len(kept))
        if reason is None:
            kept.append(row)
        else:
            dropped.append({**row, "reason": reason})
    if not kept:
        raise UsageError(f"{path}: no record is left: mend `keep`, `records` or `without` in the profile")
    kinds.write(work, "records.jsonl", kinds.Pair, kept)
    kinds.write(work, "dropped.jsonl", kinds.Dropped, dropped)
    work.counts.update(read=len(kept) + len(dropped), kept=len(kept))
    work.dropped.update(row["reason"] for row in dropped)


def _reason(row: records.Record, config: Any, where: str, kept: int) -> str | None:
    """Why a record is left out."""
    if config["keep"] is not None:
        if "lang" not in row:
            raise UsageError(f"{where}: the field 'lang' is missing: `keep` needs it")
        if (row["lang"] == "python") != (config["keep"] == "python"):
            return "another language"
    pattern = config["without"]
    if pattern is not None and any(re.search(pattern, row[name]) for name in kinds.Pair.names(row, where)):
        return "holds the pattern"
    if config["records"] is not None and kept >= config["records"]:
        return "more than were asked for"
    return None
