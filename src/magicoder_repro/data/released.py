"""Stage `released`: a data set of the Hugging Face hub."""

from __future__ import annotations

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import hub, kinds
from magicoder_repro.errors import UsageError


def build(work: Work) -> None:
    """Writes `records.jsonl`: the rows as they are, but for `response`, which is `output` in our own sets."""
    key, name, revision = work.config["key"], work.config["dataset"], work.config["revision"]
    rows: list[records.Record] = []
    for number, row in enumerate(hub.rows(key, name, (), revision=revision), 1):
        pair = kinds.Pair.of(row, f"{key}: {name!r}: row {number}")
        is_response = pair.columns == ("instruction", "response")
        rows.append({"instruction": pair.question, "output": pair.answer} if is_response else dict(row))
    if not rows:
        raise UsageError(f"{key}: {name!r} has no row")
    kinds.write(work, "records.jsonl", kinds.Pair, rows)
    work.counts["kept"] = len(rows)
    if revision is None:
        work.notes.append(f"{name} is unpinned: the profile names no revision")
