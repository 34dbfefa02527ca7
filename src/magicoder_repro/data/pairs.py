"""What a training record asks and answers, whatever its columns are called."""

from __future__ import annotations

from magicoder_repro import records
from magicoder_repro.errors import UsageError

FIELDS = (("problem", "solution"), ("instruction", "output"), ("instruction", "response"))
"""OSS-Instruct's, Evol-Instruct's as this package writes it, Evol-Instruct's as it was released."""


def fields(record: records.Record) -> tuple[str, str] | None:
    """The names of the question and the answer in a record; None when it has neither pair."""
    return next((pair for pair in FIELDS if pair[0] in record and pair[1] in record), None)


def pair(record: records.Record, where: str) -> tuple[str, str]:
    """The question and the answer. `where`: the record's place, for the error."""
    names = fields(record)
    if names is None:
        wanted = ", nor ".join(f"{one!r} and {other!r}" for one, other in FIELDS)
        raise UsageError(f"{where}: neither {wanted}")
    for name in names:
        if not isinstance(record[name], str):
            raise UsageError(f"{where}: the field {name!r} is not text")
    return record[names[0]], record[names[1]]
