"""Asks the teacher about every record of a stage: replies are journaled, and a teacher that gives none of use is given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import budget, teacher
from magicoder_repro.data.backoff import Failing
from magicoder_repro.data.reply import USAGE
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Teacher
from magicoder_repro.progress import bar, say

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

    Those that the server fails on are asked about again at the end, and dropped when it fails once more. The tokens that all replies
    cost, also those of no use, are added up in the manifest's counts, with the dollars where the profile has prices.
    """
    rows: dict[int, records.Record] = {}
    with records.Journal(work.private / "replies.jsonl") as journal, bar(label, count, unit) as progress:
        for row in journal.rows:
            if isinstance(row.get("position"), int):
                rows[row["position"]] = row
        progress.resume(len(rows))
        tokens = _tokens(journal.rows)
        failures = _Failures(config.give_up_after)
        later: list[int] = []
        is_last = False

        def settle(position: int, result: records.Record) -> None:
            row = {"position": position, **result}
            again = bool(row.pop("failing", False)) and not is_last
            for settled in failures.settle(row, again):
                journal.add(settled)
            if again:
                later.append(position)
            else:
                rows[position] = row
                progress.advance()

        if missing := [position for position in range(count) if position not in rows]:
            with teacher.connect(config, tokens) as client:
                job = prepare(client)
                try:
                    client.run(((position, _caught(job(position))) for position in missing), settle)
                    if later:
                        is_last = True
                        say(f"{label}: the server failed on {len(later)} of the {unit}: they are asked about again")
                        client.run(((position, _caught(job(position))) for position in tuple(later)), settle)
                finally:
                    total = {name: tokens[name] + client.spent[name] for name in USAGE}
                    written = _tokens(journal.rows)
                    if total != written:  # replies that came to nothing cost as well
                        journal.add({name: total[name] - written[name] for name in USAGE})
            tokens = total
    work.counts.update(tokens)
    spent = f"{label}: {tokens['prompt_tokens']:,} prompt and {tokens['completion_tokens']:,} completion tokens"
    if config.cost is not None:
        work.counts["dollars"] = round(budget.dollars(config.cost, tokens), 4)
        spent += f", ${work.counts['dollars']:.4f}"
    say(spent)
    aside = ("position", *USAGE)
    return [{key: value for key, value in rows[at].items() if key not in aside} for at in range(count)]


def _tokens(rows: Iterable[records.Record]) -> dict[str, int]:
    found = dict.fromkeys(USAGE, 0)
    for row in rows:
        for name in USAGE:
            found[name] += row.get(name, 0)
    return found


def _caught(job: Job) -> Job:
    """The job, which gives a row of its own when the server fails on it."""

    def run() -> records.Record:
        try:
            return job()
        except Failing as failing:
            return {"dropped": failing.reason, "reply": failing.said, "failing": True}

    return run


class _Failures:
    """Stops the stage when too many replies in a row cannot be used.

    Such rows are held back until a good one follows: a teacher that is mended is asked again for all of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: list[records.Record] = []
        self._reasons: Counter[str] = Counter()

    def settle(self, row: records.Record, again: bool) -> list[records.Record]:
        """Takes a row (with `dropped` when it cannot be used); gives the rows that may be journaled now, which those that are asked
        about `again` are not."""
        if "dropped" not in row:
            settled, self._held = [*self._held, row], []
            self._reasons.clear()
            return settled
        self._reasons[str(row["dropped"])] += 1
        if not again:
            self._held.append(row)
        if self._reasons.total() >= self._limit:
            last = str(row.get("reply", "")).strip()[:200]
            raise UsageError(
                f"teacher: {self._limit} replies in a row cannot be used ({listed(self._reasons)}; the last one: {last!r}): "
                "mend teacher.model, or set teacher.grammar (true for a weak llama.cpp teacher, else false); where the server fails, "
                "mend it, where it is none, teacher.server.base_url (it usually ends in /v1): the same command goes on where it was"
            )
        return []


def listed(reasons: Counter[str]) -> str:
    """Reasons with how often each was met, for a message."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
