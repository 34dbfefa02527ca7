"""Stage `score`: every model's samples -> verdicts and pass@1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, records
from magicoder_repro.artifact import Work
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import say
from magicoder_repro.score import humaneval, sandbox

NO_SCORER = {
    "multipl-e": "no scorer yet: the six languages' toolchains come with their own environments",
    "ds1000": "no scorer yet: DS-1000's library versions come with their own environment",
}


def build(work: Work) -> None:
    """`generate-*` folders -> `MODEL/BENCHMARK.json` each, and `summary.jsonl` with one row a result or a gap."""
    config = Scoring.model_validate(work.config["scoring"])
    say(f"score: model-written code runs in the sandbox, back end {sandbox.detect()}")
    summary: list[records.Record] = []
    for model, folder in work.inputs.items():
        protocol = records.read_json(folder / "benchmarks.json")
        for name, about in protocol.items():
            row: records.Record = {
                "model": model,
                "benchmark": name,
                "tasks": about["tasks"],
                "of": about["of"],
                "prompt": about["prompt"],
            }
            gap = NO_SCORER.get(about["benchmark"].removeprefix(benchmarks.MINIBENCH))
            if gap is not None:
                summary.append({**row, "metrics": {}, "gap": gap})
                continue
            result_path = work.private / model / f"{name}.json"
            if not result_path.is_file():
                records.write_json(
                    result_path, _result(name, about, folder / f"{name}.jsonl", config, f"score {model}")
                )
            result = records.read_json(result_path)
            records.write_json(work.out / model / f"{name}.json", result)
            summary.append({**row, "metrics": result["metrics"], "gap": None})
    records.write_jsonl(work.out / "summary.jsonl", summary)
    work.counts.update(
        results=sum(row["gap"] is None for row in summary),
        gaps=sum(row["gap"] is not None for row in summary),
    )
    work.notes.append(f"sandbox back end: {sandbox.detect()}")


def _result(name: str, about: dict[str, Any], samples: Path, config: Scoring, label: str) -> dict[str, Any]:
    dataset = benchmarks.load(about["benchmark"], language=about["language"])
    found = humaneval.score(dataset, list(records.read_jsonl(samples, ("task_id",))), config, f"{label} {name}")
    for task in found["tasks"]:
        for sample in task["samples"]:
            del sample["seconds"]  # the clock would make two equal runs differ
    return {
        "benchmark": name,
        "protocol": "paper",
        **found,
        "decoding": about["decoding"],
        "prompt": about["prompt"],
    }
