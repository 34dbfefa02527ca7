"""Asks the teacher about every record of a stage: replies are journaled, and a teacher that gives none of use is given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import teacher
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Teacher
from magicoder_repro.progress import bar

Job = Callable[[], records.Record]


def ask_all(
    work: Work,
    config: Teacher,
    count: int,
    unit: str,
    label: str,
    prepare: Callable[[teacher.Client], Callable[[int], Job]],
) -> list[records.Record]:
    """The result of each position below `count`, made by `prepare(client)(position)()`; it has `dropped` when it cannot be used.

    The tokens that replies cost (`teacher.usage` among a result's fields) are added up in the manifest's counts instead.
    """
    rows: dict[int, records.Record] = {}
    with records.Journal(work.private / "replies.jsonl") as journal, bar(label, count, unit) as progress:
        for row in journal.rows:
            if isinstance(row.get("position"), int):
                rows[row["position"]] = row
        progress.resume(len(rows))
        failures = _Failures(config.give_up_after)

        def settle(position: int, result: records.Record) -> None:
            rows[position] = {"position": position, **result}
            for row in failures.settle(rows[position]):
                journal.add(row)
            progress.advance()

        missing = [position for position in range(count) if position not in rows]
        if missing:
            with teacher.connect(config) as client:
                job = prepare(client)
                client.run(((position, job(position)) for position in missing), settle)
    for name in teacher.USAGE:
        work.counts[name] = sum(row.get(name, 0) for row in rows.values())
    aside = ("position", *teacher.USAGE)
    return [{key: value for key, value in rows[at].items() if key not in aside} for at in range(count)]


class _Failures:
    """Stops the stage when too many replies in a row cannot be used.

    Such rows are held back until a good one follows: a teacher that is mended is asked again for all of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: list[records.Record] = []

    def settle(self, row: records.Record) -> list[records.Record]:
        """Takes a finished row (with `dropped` when it cannot be used); gives the rows that may be journaled now."""
        self._held.append(row)
        if "dropped" not in row:
            settled, self._held = self._held, []
            return settled
        if len(self._held) >= self._limit:
            reasons = Counter(str(held["dropped"]) for held in self._held)
            last = str(row.get("reply", "")).strip()[:200]
            raise UsageError(
                f"teacher: {self._limit} replies in a row cannot be used ({listed(reasons)}; the last one: {last!r}): "
                "mend teacher.model, or set teacher.grammar (true for a weak llama.cpp teacher, else false)"
            )
        return []


def listed(reasons: Counter[str]) -> str:
    """Reasons with how often each was met, for a message."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
