"""Stage `evol-instruct`: the second training set.

The paper takes a released set of 110K (stage `released`). Here the teacher evolves kept OSS-Instruct problems with the
heuristics of Code Evol-Instruct and answers the evolved instruction.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from magicoder_repro import prompts, records
from magicoder_repro.artifact import Work
from magicoder_repro.data import kinds, teacher
from magicoder_repro.data.asking import Job, ask_all
from magicoder_repro.data.reply import Reply, usage
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Teacher


def build(work: Work) -> None:
    """Kept records -> `records.jsonl` with `instruction` and `output`, and `dropped.jsonl` with `reason`."""
    setup = Teacher.model_validate(work.config["teacher"])
    sources = list(kinds.read(work.inputs["records"] / "records.jsonl", kinds.Problem))
    sources = sources[: work.config["records"]]
    most = work.config["max_tokens"]

    def prepare(client: teacher.Client) -> Callable[[int], Job]:
        return lambda position: _job(client, setup, most, sources[position])

    kept, dropped = [], []
    results = ask_all(work, setup, len(sources), "records", "evol-instruct", prepare)
    for source, row in zip(sources, results, strict=True):
        if "dropped" in row:
            reason = row.pop("dropped")
            dropped.append({"source_index": source.index, "reason": reason, **row})
        else:
            kept.append({"source_index": source.index, **row})
    if not kept:
        raise UsageError("evol-instruct: no record came out: mend its set under `data` in the profile, or the teacher")
    kinds.write(work, "records.jsonl", kinds.Evolved, kept)
    kinds.write(work, "dropped.jsonl", kinds.Dropped, dropped)
    work.counts.update(asked=len(sources), kept=len(kept))
    work.dropped.update(row["reason"] for row in dropped)


def _job(client: teacher.Client, setup: Teacher, max_tokens: int, source: kinds.Problem) -> Job:
    """Two requests: evolve the problem, then answer it."""
    number = (setup.seed or 0) + source.index
    seed = None if setup.seed is None else number
    method = random.Random(number).randrange(len(prompts.EVOLVE_METHODS))

    def run() -> records.Record:
        request = prompts.evolve(source.problem, prompts.EVOLVE_METHODS[method])
        evolved = client.ask(teacher.Question((("user", request),), seed, max_tokens, teacher.PROSE_GRAMMAR))
        instruction, reason = _text(evolved)
        if reason:
            return {"dropped": f"evolved problem: {reason}", **evolved.usage()}
        answer = client.ask(teacher.Question((("user", instruction),), seed, max_tokens, teacher.CODE_GRAMMAR))
        output, reason = _text(answer)
        cost = usage(evolved, answer)
        if reason:
            return {"dropped": f"response: {reason}", **cost}
        return {"method": method, "instruction": instruction, "output": output, **cost}

    return run


def _text(reply: Reply) -> tuple[str, str]:
    """What a reply says, and why it cannot be used ("" when it can)."""
    if reply.finish_reason != "stop":
        return "", f"finish_reason {reply.finish_reason}"
    text = reply.answer()
    if text is None:
        return "", "thoughts that do not end"
    return text.strip(), "" if text.strip() else "no text"
