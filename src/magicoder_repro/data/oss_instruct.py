"""Stage `oss-instruct`: the teacher turns every seed into a problem and a solution (PROTOCOL section 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from magicoder_repro import prompts, records
from magicoder_repro.artifact import Work
from magicoder_repro.data import kinds, teacher
from magicoder_repro.data.asking import Job, ask_all, listed
from magicoder_repro.data.reply import Reply
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Teacher

_MARGIN = 10  # tokens left free between prompt, reply and the context


def build(work: Work) -> None:
    """`records.jsonl` of seeds -> `records.jsonl` with `openai_fingerprint, problem, solution`, and `dropped.jsonl`."""
    config = Teacher.model_validate(work.config["teacher"])
    seeds = list(kinds.read(work.inputs["seeds"] / "records.jsonl", kinds.Seed))

    def prepare(client: teacher.Client) -> Callable[[int], Job]:
        count = client.counter()
        return lambda position: _job(client, lambda: _question(seeds[position], config, count))

    kept, dropped = [], []
    results = ask_all(work, config, len(seeds), "seeds", "oss-instruct", prepare)
    for seed, result in zip(seeds, results, strict=True):
        if "dropped" in result:
            reason = result.pop("dropped")
            dropped.append({**seed.row(), "reason": reason, **result})
        else:
            kept.append({**seed.row(), **result})
    if not kept:
        reasons = Counter(row["reason"] for row in dropped)
        raise UsageError(
            f"oss-instruct: no reply of the teacher parses ({listed(reasons)}): mend the teacher's settings"
        )
    kinds.write(work, "records.jsonl", kinds.OssInstruct, kept)
    kinds.write(work, "dropped.jsonl", kinds.Dropped, dropped)
    work.counts.update(asked=len(seeds), kept=len(kept), parse_rate=round(len(kept) / len(seeds), 4))
    work.dropped.update(row["reason"] for row in dropped)


def _question(seed: kinds.Seed, config: Teacher, count: Callable[[str], int]) -> teacher.Question | None:
    """The paper's two messages; None when the prompt leaves no room for a reply."""
    user = prompts.oss_instruct(seed.seed)
    # The public code counts the user message alone; the margin stands for the rest.
    max_tokens = min(config.max_tokens, config.context_tokens - count(user) - _MARGIN)
    if max_tokens <= 0:
        return None
    messages = (("system", prompts.OSS_INSTRUCT_SYSTEM), ("user", user))
    number = None if config.seed is None else config.seed + seed.index
    return teacher.Question(messages, number, max_tokens, teacher.SECTIONS_GRAMMAR)


def _job(client: teacher.Client, prepare: Callable[[], teacher.Question | None]) -> Job:
    def run() -> records.Record:
        question = prepare()
        if question is None:
            return {"dropped": "prompt too long"}
        reply = client.ask(question)
        return {**_judge(reply), **reply.usage()}

    return run


def _judge(reply: Reply) -> dict[str, Any]:
    """The record's new fields, or why it is dropped."""
    if reply.finish_reason != "stop":
        return {"dropped": f"finish_reason {reply.finish_reason}", "reply": reply.text}
    answer = reply.answer()
    if answer is None:
        return {"dropped": "thoughts that do not end", "reply": reply.text}
    parsed = parse(answer)
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
