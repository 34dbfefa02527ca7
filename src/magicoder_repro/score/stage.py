"""Stage `score`: one model's samples of one benchmark -> verdicts and pass@1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from magicoder_repro import benchmarks, records, sandbox
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks.base import Benchmark, Judging
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import complete
from magicoder_repro.generate.complete import Asked, file_name
from magicoder_repro.profile import Scoring
from magicoder_repro.score import bulk, run
from magicoder_repro.score.result import Result, explain


def settings(scoring: Scoring, benchmark: str, protocol: str = "paper") -> dict[str, Any]:
    """What of the scoring this benchmark reads: another value of the rest changes none of its verdicts."""
    return scoring.model_dump(mode="json", include=set(benchmarks.get(benchmark).reads(protocol)))


def facts(benchmark: str, protocol: str) -> Callable[[], Mapping[str, Any]]:
    """What judges: our own code, the environments' locks and the tools that this benchmark is judged with."""
    one, sets = benchmarks.get(benchmark), complete.facts(benchmark, protocol)
    return lambda: {"judges": bulk.code(type(one).__module__), **one.facts(protocol), **sets()}


def missing(benchmark: str, protocol: str) -> Callable[[], Sequence[str]]:
    """What it takes to judge and is not here, each with the mend."""
    return lambda: benchmarks.get(benchmark).missing(protocol)


def build(work: Work) -> None:
    """`samples` folder -> `BENCHMARK.json` of each set, and `summary.jsonl` with one row a result or a gap."""
    folder, scoring = work.inputs["samples"], Scoring.model_validate(work.config["scoring"])
    benchmark, protocol = benchmarks.get(work.config["benchmark"]), work.config["protocol"]
    asked = read_asked(folder / "benchmarks.json")
    found = _judged(benchmark, protocol, asked, folder, scoring, work)
    summary: list[records.Record] = []
    suffix = work.config.get("suffix", "")  # of the rows' names, where another protocol has the plain one
    for name, one in asked.items():
        row: records.Record = {"benchmark": f"{name}{suffix}", "family": benchmark.name, "subset": one.language}
        row |= {"protocol": protocol, "tasks": one.tasks, "of": one.of, "prompt": one.prompt}
        if "answers" in one.decoding:
            row["answers"] = one.decoding["answers"]
        if one.unasked:
            row["unasked"] = one.unasked
        result = found[name]
        if isinstance(result, str):
            summary.append({**row, "metrics": {}, "gap": result})
            continue
        content = _untimed(result, one)
        row["tasks"] = len(content["tasks"])  # of published answers there may be fewer
        records.write_json(work.out / f"{name}{suffix}.json", content)
        row |= {"metrics": content["metrics"], "scorer": content["scorer"], "gap": None}
        summary.append(row | {key: content[key] for key in ("libraries",) if key in content})
    summary += _mean(benchmark, summary, suffix)
    records.write_jsonl(work.out / "summary.jsonl", summary)
    work.counts.update(
        results=sum(row["gap"] is None for row in summary),
        gaps=sum(row["gap"] is not None for row in summary),
        sandbox=sandbox.choose(scoring.sandbox),
        scorers=sorted({row["scorer"] for row in summary if row["gap"] is None}),
    )


def read_asked(path: Path) -> dict[str, Asked]:
    """The content of a `benchmarks.json`; each name is that of a samples file beside it."""
    content = records.read_json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not what `generate` writes: an object with an entry a benchmark")
    found = {}
    for name, about in content.items():
        try:
            asked = found[name] = Asked.model_validate(about)
            benchmarks.get(asked.benchmark).check_subset(asked.language)
        except (ValidationError, UsageError) as error:
            reason = explain(error) if isinstance(error, ValidationError) else error
            raise UsageError(f"{path}: {name!r}: not what `generate` writes ({reason})") from None
        if name != file_name(asked.benchmark, asked.language) or asked.tasks > asked.of:
            raise UsageError(f"{path}: {name!r}: not what `generate` writes (name, tasks and of do not go together)")
    return found


def _judged(
    benchmark: Benchmark, protocol: str, asked: Mapping[str, Asked], folder: Path, scoring: Scoring, work: Work
) -> dict[str, Result | str]:
    """The result of each set (they are judged together), or why there is none."""
    here = {name: one for name, one in asked.items() if one.gap is None}
    datasets = {one.language: benchmark.load(protocol, one.language).first(one.tasks) for one in here.values()}
    for name, one in here.items():
        if (identity := datasets[one.language].identity) != one.dataset:
            raise UsageError(
                f"{folder / 'benchmarks.json'}: {name!r} was asked of {one.dataset}, and {identity} is here: generate again, or put "
                "that file back"
            )
    judging = Judging(protocol, scoring, sandbox.choose(scoring.sandbox), datasets)
    gaps = run.find_gaps(benchmark, datasets, judging)
    samples = {
        one.language: list(records.read_jsonl(folder / f"{name}.jsonl", texts=("task_id",)))
        for name, one in here.items()
        if one.language not in gaps
    }
    result = None
    if samples:
        sanitized = any(benchmark.sanitized(protocol, one.prompt) for one in here.values())
        label, place = work.config["label"], work.private / "judging"
        partial = any(one.prompt == "published" for one in here.values())
        result = run.score(
            benchmark, datasets, samples, scoring, protocol, label, place, sanitized=sanitized, partial=partial
        )
    found: dict[str, Result | str] = {}
    for name, one in asked.items():
        gap = one.gap or gaps.get(one.language)
        if gap is not None:
            found[name] = gap
        else:
            assert result
            found[name] = run.of_subset(result, one.language, one.tasks) if one.language else result
    return found


def _mean(benchmark: Benchmark, summary: list[records.Record], suffix: str = "") -> list[records.Record]:
    """The task-weighted mean over a benchmark's languages, when all were judged."""
    rows = [row for row in summary if row["gap"] is None]
    if not benchmark.subsets or len(rows) < len(benchmark.subsets):
        return []
    tasks = sum(row["tasks"] for row in rows)
    mean = sum(row["metrics"]["pass@1"] * row["tasks"] for row in rows) / tasks
    whole = {
        "benchmark": f"{benchmark.name}{suffix}",
        "subset": None,
        "tasks": tasks,
        "of": sum(row["of"] for row in rows),
    }
    first = {key: value for key, value in rows[0].items() if key != "unasked"}
    return [{**first, **whole, "metrics": {"pass@1": round(mean, 4)}}]


def _untimed(result: Result, asked: Asked) -> records.Record:
    """The result without what the clock says, which would make two equal runs differ, and with the way it was decoded."""
    content = result.to_json()
    for task in content["tasks"]:
        for sample in task["samples"]:
            sample.pop("seconds", None)
            sample.pop("ran_again_alone", None)
    content["programs"].pop("ran_again_alone", None)
    return {**content, "decoding": asked.decoding, "prompt": asked.prompt}
