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
from magicoder_repro.score.multipl_e import driver as multipl_e
from magicoder_repro.score.multipl_e import toolchains


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
            gap = _gap(about)
            if gap is not None:
                summary.append({**row, "metrics": {}, "gap": gap})
                continue
            result_path = work.private / model / f"{name}.json"
            if not result_path.is_file():
                samples = list(records.read_jsonl(folder / f"{name}.jsonl", ("task_id",)))
                judging = work.private / model / f"{name}.work"
                records.write_json(result_path, _result(about, samples, config, f"score {model} {name}", judging))
            result = records.read_json(result_path)
            records.write_json(work.out / model / f"{name}.json", result)
            row |= {"metrics": result["metrics"], "scorer": result["scorer"], "gap": None}
            if "libraries" in result:
                row["libraries"] = result["libraries"]
            summary.append(row)
    summary += _means(summary)
    records.write_jsonl(work.out / "summary.jsonl", summary)
    work.counts.update(
        results=sum(row["gap"] is None for row in summary),
        gaps=sum(row["gap"] is not None for row in summary),
        sandbox=backend,
        scorers=sorted({row["scorer"] for row in summary if row["gap"] is None}),
    )


def _gap(about: dict[str, Any]) -> str | None:
    """Why a benchmark cannot be judged here, or None."""
    if about["language"] is not None:
        return toolchains.gaps([about["language"]]).get(about["language"])
    if about["benchmark"].endswith("ds1000") and environment.built(ds1000.ENVIRONMENT) is None:
        return "the environment ds1000 is not built: make .envs/ds1000/.ready, then the same command again"
    return None


def _means(summary: list[records.Record]) -> list[records.Record]:
    """The task-weighted mean over MultiPL-E's languages, of each model for which all six were judged."""
    found = []
    for family in ("multipl-e", f"{benchmarks.MINIBENCH}multipl-e"):
        names = [f"{family}-{language}" for language in benchmarks.MULTIPL_E_LANGUAGES]
        for model in dict.fromkeys(row["model"] for row in summary):
            rows = [
                row for row in summary if row["model"] == model and row["benchmark"] in names and row["gap"] is None
            ]
            if len(rows) < len(names):
                continue
            tasks = sum(row["tasks"] for row in rows)
            mean = sum(row["metrics"]["pass@1"] * row["tasks"] for row in rows) / tasks
            whole = {"benchmark": family, "tasks": tasks, "of": sum(row["of"] for row in rows)}
            found.append({**rows[0], **whole, "metrics": {"pass@1": round(mean, 4)}})
    return found


def _result(
    about: dict[str, Any], samples: list[records.Record], config: Scoring, label: str, work: Path
) -> dict[str, Any]:
    dataset = benchmarks.load(about["benchmark"], language=about["language"])
    chosen = replace(dataset, tasks=dataset.tasks[: about["tasks"]])
    if about["language"] is not None:
        sets = {about["language"]: chosen}
        found = multipl_e.score(about["benchmark"], sets, {about["language"]: samples}, config, "paper", label, work)
    elif about["benchmark"].endswith("ds1000"):
        found = ds1000.score(about["benchmark"], chosen, samples, config, label, work)
    else:
        sanitized = about["benchmark"].endswith("mbpp")  # as in the paper
        found = evalplus.score(about["benchmark"], chosen, samples, config, "paper", label, sanitized)
    for task in found["tasks"]:
        for sample in task["samples"]:
            del sample["seconds"]  # the clock would make two equal runs differ
    return {**found, "decoding": about["decoding"], "prompt": about["prompt"]}
