"""DS-1000 samples -> the result of the benchmark: pass@1 of each library and over all problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from magicoder_repro import environment, records, sandbox
from magicoder_repro.benchmarks import Dataset
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.profile import Scoring
from magicoder_repro.score import bulk, pass_at_k
from magicoder_repro.score.ds1000.judge import ENVIRONMENT, Home, Judge, task_id


def score(
    benchmark: str,
    dataset: Dataset,
    samples: Sequence[records.Record],
    config: Scoring,
    label: str,
    folder: Path,
    environment_name: str = ENVIRONMENT,
) -> dict[str, Any]:
    """The result of the benchmark (DESIGN's OUT.json). `samples`: `problem_id` or `task_id`, and `completion`, any number a problem.

    `folder` keeps what is done, library by library: a killed run goes on there. Equal programs of a problem are judged once.
    """
    tasks = {task_id(task): task for task in dataset.tasks}
    programs = _programs(tasks, samples)
    home = Home(environment_name)
    backend = sandbox.choose(config.sandbox)
    missing = {name: table for name in programs if (table := home.missing_table(tasks[name]))}
    verdicts: dict[tuple[str, str], dict[str, Any]] = {}
    for library in libraries(dataset):
        requests = [
            {"problem_id": name, "code": code}
            for name, found in programs.items()
            if tasks[name]["metadata"]["library"] == library and name not in missing
            for code in dict.fromkeys(found)
        ]
        settings = {
            "tasks": str(dataset.path),
            "dataset": dataset.sha256,
            "library": library,
            "environment": environment_name,
            "lock": environment.lock_sha256(environment_name),  # verdicts of other versions are not gone on with
            "backend": backend,
            "seconds": config.ds1000_seconds,
            "memory_mb": config.memory_mb,
        }
        about = f"{label} {library}"
        factory = f"{Judge.__module__}:{Judge.__name__}"
        answers = bulk.judge(requests, factory, settings, folder / library, about, config.workers, config.executor)
        verdicts.update(
            {(row["problem_id"], row["code"]): answer for row, answer in zip(requests, answers, strict=True)}
        )
    rows = {
        name: [
            {"passed": False, "passed_plus": None, "status": f"no table {missing[name]}", "seconds": 0.0}
            if name in missing
            else verdicts[name, code]
            for code in found
        ]
        for name, found in programs.items()
    }
    by_library = {
        library: {name: found for name, found in rows.items() if tasks[name]["metadata"]["library"] == library}
        for library in libraries(dataset)
    }
    return {
        "benchmark": benchmark,
        "protocol": "paper",
        "dataset": dataset.identity,
        "scorer": scorer(environment_name),
        "sandbox": backend,
        "metrics": pass_at_k.metrics(rows),
        "libraries": {
            library: {"metrics": pass_at_k.metrics(found), "tasks": len(found)}
            for library, found in by_library.items()
            if found
        },
        "programs": {"samples": len(samples), "distinct": len(verdicts)},
        "missing_tables": missing,
        "statuses": dict(Counter(row["status"] for found in rows.values() for row in found).most_common()),
        "tasks": [
            {"task_id": name, "library": tasks[name]["metadata"]["library"], "samples": rows[name]}
            for name in tasks
            if name in rows
        ],
    }


def scorer(environment_name: str = ENVIRONMENT) -> str:
    """Whose rules decide, with which libraries."""
    return f"DS-1000's own tests, environment {environment_name} ({environment.lock_sha256(environment_name)[:8]})"


def sample_id(sample: records.Record) -> str | None:
    """The number of the problem that a sample is of, as text; None when it has none."""
    name = sample.get("problem_id", sample.get("task_id"))
    return str(name) if isinstance(name, int | str) and not isinstance(name, bool) else None


def libraries(dataset: Dataset) -> list[str]:
    """The libraries of the set, in its order."""
    return list(dict.fromkeys(task["metadata"]["library"] for task in dataset.tasks))


def _programs(tasks: dict[str, records.Record], samples: Sequence[records.Record]) -> dict[str, list[str]]:
    """The completions of each problem that has one, in the order of the samples; UsageErrors name what is wrong."""
    if not samples:
        raise UsageError("no sample of a problem that is in the set")
    found: dict[str, list[str]] = {}
    unknown: dict[str, None] = {}
    for number, sample in enumerate(samples, 1):
        name = sample_id(sample)
        if name is None:
            raise UsageError(f"sample {number} has no 'problem_id': give the problem's number in the whole set")
        code = sample.get("completion")
        if not isinstance(code, str):
            raise UsageError(f"sample {number} (problem {name}): the field 'completion' is missing or not text")
        if name not in tasks:
            unknown[name] = None
        found.setdefault(name, []).append(code)
    if unknown:
        raise UsageError(
            f"{len(unknown)} problem ids are not in the set (0 to {len(tasks) - 1}): {listed(list(unknown))}: "
            "remove them or give --skip-unknown"
        )
    return found
