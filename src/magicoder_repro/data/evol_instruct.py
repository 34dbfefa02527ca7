"""Stage `evol-instruct`: the second training set.

The paper takes a released set of 110K. Without it, the teacher evolves kept OSS-Instruct problems with the heuristics of Code
Evol-Instruct and answers the evolved instruction.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from magicoder_repro import prompts, records
from magicoder_repro.artifact import Work
from magicoder_repro.data import teacher
from magicoder_repro.data.oss_instruct import Failures
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import EvolInstruct, Teacher
from magicoder_repro.progress import bar


def build(work: Work) -> None:
    """Kept records -> `records.jsonl` with `instruction` and `output`."""
    config = EvolInstruct.model_validate(work.config["evol_instruct"])
    kept = _released(config.released) if config.released else _evolved(work, config)
    if not kept:
        raise UsageError("evol-instruct: no record came out: mend evol_instruct in the profile")
    records.write_jsonl(work.out / "records.jsonl", kept)
    work.counts["kept"] = len(kept)


def _released(dataset: str) -> list[records.Record]:
    from datasets import load_dataset

    rows = load_dataset(dataset, split="train")
    return [{"instruction": row["instruction"], "output": row["response"]} for row in rows]


def _evolved(work: Work, config: EvolInstruct) -> list[records.Record]:
    setup = Teacher.model_validate(work.config["teacher"])
    sources = list(records.read_jsonl(work.inputs["records"] / "records.jsonl", ("index", "problem", "solution")))
    sources = sources[: config.records]
    rows: dict[int, records.Record] = {}
    with (
        records.Journal(work.private / "replies.jsonl") as journal,
        bar("evol-instruct", len(sources), "records") as progress,
    ):
        for row in journal.rows:
            rows[row["position"]] = row
        progress.resume(len(rows))
        failures = Failures(setup.give_up_after)
        missing = [position for position in range(len(sources)) if position not in rows]
        if missing:
            with teacher.connect(setup) as client:
                jobs = ((position, _job(client, setup, config, sources[position])) for position in missing)
                for position, result in client.map(jobs):
                    rows[position] = {"position": position, **result}
                    for row in failures.settle(rows[position]):
                        journal.add(row)
                    progress.advance()
    kept = []
    for position, source in enumerate(sources):
        row = rows[position]
        if "dropped" in row:
            work.dropped[row["dropped"]] += 1
        else:
            kept.append(
                {
                    "source_index": source["index"],
                    **{key: row[key] for key in ("method", "instruction", "output")},
                }
            )
    work.counts["asked"] = len(sources)
    return kept


def _job(
    client: teacher.Client, setup: Teacher, config: EvolInstruct, source: records.Record
) -> Callable[[], dict[str, Any]]:
    """Two requests: evolve the problem, then answer it."""
    seed = setup.seed + source["index"]
    method = random.Random(seed).randrange(len(prompts.EVOLVE_METHODS))

    def run() -> dict[str, Any]:
        request = prompts.evolve(source["problem"], prompts.EVOLVE_METHODS[method])
        evolved = client.ask(teacher.Question((("user", request),), seed, config.max_tokens, teacher.PROSE_GRAMMAR))
        instruction = evolved.text.strip()
        if evolved.finish_reason != "stop" or not instruction:
            return {"dropped": f"evolved problem: finish_reason {evolved.finish_reason}"}
        answer = client.ask(teacher.Question((("user", instruction),), seed, config.max_tokens, teacher.CODE_GRAMMAR))
        output = answer.text.strip()
        if answer.finish_reason != "stop" or not output:
            return {"dropped": f"response: finish_reason {answer.finish_reason}"}
        return {"method": method, "instruction": instruction, "output": output}

    return run
