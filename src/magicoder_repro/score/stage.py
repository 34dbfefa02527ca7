"""Stage `score`: every model's samples -> verdicts and pass@1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, environment, records
from magicoder_repro.artifact import Work
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import say
from magicoder_repro.score import ds1000, evalplus, sandbox

NO_SCORER = {
    "multipl-e": "no scorer yet: the six languages' toolchains come with their own environments",
}


def build(work: Work) -> None:
    """`generate-*` folders -> `MODEL/BENCHMARK.json` each, and `summary.jsonl` with one row a result or a gap."""
    config = Scoring.model_validate(work.config["scoring"])
    backend = sandbox.choose(config.sandbox)
    say(f"score: model-written code runs in the sandbox, back end {backend}")
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
            gap = _gap(about["benchmark"].removeprefix(benchmarks.MINIBENCH))
            if gap is not None:
                summary.append({**row, "metrics": {}, "gap": gap})
                continue
            result_path = work.private / model / f"{name}.json"
            if not result_path.is_file():
                samples = list(records.read_jsonl(folder / f"{name}.jsonl", ("task_id",)))
                records.write_json(
                    result_path,
                    _result(about, samples, config, f"score {model} {name}", work.private / model / f"{name}.work"),
                )
            result = records.read_json(result_path)
            records.write_json(work.out / model / f"{name}.json", result)
            summary.append({**row, "metrics": result["metrics"], "scorer": result["scorer"], "gap": None})
            if "libraries" in result:
                summary[-1]["libraries"] = result["libraries"]
    records.write_jsonl(work.out / "summary.jsonl", summary)
    work.counts.update(
        results=sum(row["gap"] is None for row in summary),
        gaps=sum(row["gap"] is not None for row in summary),
        sandbox=backend,
        scorers=sorted({row["scorer"] for row in summary if row["gap"] is None}),
    )


def environments() -> dict[str, str | None]:
    """The judges' environments that a run can do without, each with the hash of its lock when it is built."""
    return {ds1000.ENVIRONMENT: environment.built(ds1000.ENVIRONMENT)}


def _gap(benchmark: str) -> str | None:
    """Why a benchmark cannot be judged here, or None."""
    if benchmark == "ds1000" and environment.built(ds1000.ENVIRONMENT) is None:
        return (
            f"the environment ds1000 is not built: make .envs/{ds1000.ENVIRONMENT}/.ready, then the same command again"
        )
    return NO_SCORER.get(benchmark)


def _result(
    about: dict[str, Any], samples: list[records.Record], config: Scoring, label: str, folder: Path
) -> dict[str, Any]:
    dataset = benchmarks.load(about["benchmark"], language=about["language"])
    chosen = replace(dataset, tasks=dataset.tasks[: about["tasks"]])
    sanitized = about["benchmark"].endswith("mbpp")  # as in the paper
    if about["benchmark"].endswith("ds1000"):
        found = ds1000.score(about["benchmark"], chosen, samples, config, label, folder)
    else:
        found = evalplus.score(about["benchmark"], chosen, samples, config, "paper", label, sanitized)
    for task in found["tasks"]:
        for sample in task["samples"]:
            del sample["seconds"]  # the clock would make two equal runs differ
    return {**found, "decoding": about["decoding"], "prompt": about["prompt"]}
