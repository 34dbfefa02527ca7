"""Stage `oss-instruct`: the teacher turns every seed into a problem and a solution (PROTOCOL section 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from magicoder_repro import prompts, records
from magicoder_repro.artifact import Work
from magicoder_repro.data import teacher
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Teacher
from magicoder_repro.progress import bar

_MARGIN = 10  # tokens left free between prompt, reply and the context


def build(work: Work) -> None:
    """`records.jsonl` of seeds -> `records.jsonl` with `openai_fingerprint, problem, solution`, and `dropped.jsonl`."""
    config = Teacher.model_validate(work.config["teacher"])
    seeds = list(records.read_jsonl(work.inputs["seeds"] / "records.jsonl", ("raw_index", "index", "seed", "lang")))
    rows: dict[int, records.Record] = {}
    with (
        records.Journal(work.private / "replies.jsonl") as journal,
        bar("oss-instruct", len(seeds), "seeds") as progress,
    ):
        for row in journal.rows:
            rows[row["position"]] = row
        progress.resume(len(rows))
        failures = Failures(config.give_up_after)
        missing = [position for position in range(len(seeds)) if position not in rows]
        if missing:
            with teacher.connect(config) as client:
                count = client.counter()
                jobs = ((position, _job(client, _question(seeds[position], config, count))) for position in missing)
                for position, result in client.map(jobs):
                    rows[position] = {"position": position, **result}
                    for row in failures.settle(rows[position]):
                        journal.add(row)
                    progress.advance()
    kept, dropped = [], []
    for position, seed in enumerate(seeds):
        result = {key: value for key, value in rows[position].items() if key != "position"}
        if "dropped" in result:
            reason = result.pop("dropped")
            dropped.append({**seed, "reason": reason, **result})
        else:
            kept.append({**seed, **result})
    if not kept:
        reasons = Counter(row["reason"] for row in dropped)
        raise UsageError(
            f"oss-instruct: no reply of the teacher parses ({_listed(reasons)}): mend the teacher's settings"
        )
    records.write_jsonl(work.out / "records.jsonl", kept)
    records.write_jsonl(work.out / "dropped.jsonl", dropped)
    work.counts.update(asked=len(seeds), kept=len(kept), parse_rate=round(len(kept) / len(seeds), 4))
    work.dropped.update(row["reason"] for row in dropped)


class Failures:
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
                f"teacher: {self._limit} replies in a row cannot be used ({_listed(reasons)}; the last one: {last!r}): "
                "mend teacher.model, or set teacher.grammar (true for a weak llama.cpp teacher, else false)"
            )
        return []


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())


def _question(seed: records.Record, config: Teacher, count: Callable[[str], int]) -> teacher.Question | None:
    """The paper's two messages; None when the prompt leaves no room for a reply."""
    user = prompts.oss_instruct(seed["seed"])
    # The public code counts the user message alone; the margin stands for the rest.
    max_tokens = min(config.max_tokens, config.context_tokens - count(user) - _MARGIN)
    if max_tokens <= 0:
        return None
    messages = (("system", prompts.OSS_INSTRUCT_SYSTEM), ("user", user))
    return teacher.Question(messages, config.seed + seed["index"], max_tokens, teacher.SECTIONS_GRAMMAR)


def _job(client: teacher.Client, question: teacher.Question | None) -> Callable[[], dict[str, Any]]:
    if question is None:
        return lambda: {"dropped": "prompt too long"}
    return lambda: _judge(client.ask(question))


def _judge(reply: teacher.Reply) -> dict[str, Any]:
    """The record's new fields, or why it is dropped."""
    if reply.finish_reason != "stop":
        return {"dropped": f"finish_reason {reply.finish_reason}", "reply": reply.text}
    parsed = parse(reply.text)
    if parsed is None:
        return {"dropped": "reply without the two sections", "reply": reply.text}
    return {"openai_fingerprint": reply.fingerprint, "problem": parsed[0], "solution": parsed[1]}


def parse(text: str) -> tuple[str, str] | None:
    """(problem, solution) of a reply: the text between and after the first lines that hold the two marks."""
    lines = text.splitlines(keepends=True)
    marks = []
    for mark in ("[problem description]", "[solution]"):
        at = next((number for number, line in enumerate(lines) if mark in line.lower()), None)
        if at is None:
            return None
        marks.append(at)
    first, second = marks
    if first >= second:
        return None
    problem, solution = "".join(lines[first + 1 : second]).strip(), "".join(lines[second + 1 :]).strip()
    return (problem, solution) if problem and solution else None
