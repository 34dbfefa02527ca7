"""Stage `released`: a data set of the Hugging Face hub."""

from __future__ import annotations

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import hub, pairs
from magicoder_repro.errors import UsageError


def build(work: Work) -> None:
    """Writes `records.jsonl`: the rows as they are, but for `response`, which is `output` in our own sets."""
    key, name, revision = work.config["key"], work.config["dataset"], work.config["revision"]
    rows: list[records.Record] = []
    for number, row in enumerate(hub.rows(key, name, (), revision=revision), 1):
        question, answer = pairs.pair(row, f"{key}: {name!r}: row {number}")
        is_response = pairs.fields(row) == ("instruction", "response")
        rows.append({"instruction": question, "output": answer} if is_response else dict(row))
    if not rows:
        raise UsageError(f"{key}: {name!r} has no row")
    records.write_jsonl(work.out / "records.jsonl", rows)
    work.counts["kept"] = len(rows)
    if revision is None:
        work.notes.append(f"{name} is unpinned: the profile names no revision")
