"""Stage `published`: answers that somebody published, as the stage `score` reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, records
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks.base import Benchmark, Dataset
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError
from magicoder_repro.generate.at_hand import sha256_of
from magicoder_repro.generate.complete import Asked, file_name
from magicoder_repro.score import run, samples


def place(name: str) -> Path:
    """A file that a profile names: relative to the checkout."""
    return ROOT / os.path.expanduser(name)  # noqa: PTH111 (no error where there is no such user)


def facts(name: str, sets: Callable[[], Mapping[str, Any]]) -> Callable[[], Mapping[str, Any]]:
    """The hash of the answers, and the identity of the benchmark's sets."""
    return lambda: {"sha256": _sha256(place(name)), **sets()}


def missing(key: str, name: str, sets: Callable[[], Sequence[str]]) -> Callable[[], Sequence[str]]:
    """The answers and the sets that are not here."""
    path = place(name)
    here = path.is_file() or path.is_dir()
    return lambda: (*(() if here else (f"{key}: {path}: no such file: put the answers there",)), *sets())


def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() or path.is_dir() else None


def build(work: Work) -> None:
    """A file or folder of answers, or a model's part of an archive -> `BENCHMARK.jsonl` and `benchmarks.json`, as `generate` writes
    them."""
    benchmark, protocol = benchmarks.get(work.config["benchmark"]), work.config["protocol"]

    @cache
    def load(subset: str | None) -> Dataset:
        return benchmark.load(protocol, subset)

    if "archive" in work.config:
        _of_archive(work, benchmark, load)
        return
    for gap in missing(work.config["key"], work.config["samples"], tuple)():
        raise UsageError(gap)
    given = samples.read(place(work.config["samples"]), benchmark, None, load)
    asked = {}
    for subset, rows in run.by_subset(benchmark, given.rows, None).items():
        dataset, name = load(subset), file_name(benchmark.name, subset)
        if work.config.get("skip_unknown"):
            rows = _known(work, benchmark, dataset, rows)
        records.write_jsonl(work.out / f"{name}.jsonl", rows)
        work.counts[name] = len(rows)
        asked[name] = _asked(work, benchmark, dataset, subset, {"published": str(work.config["samples"])})
    _write(work, asked)
    work.counts["read as"] = given.form


def _of_archive(work: Work, benchmark: Benchmark, load: Callable[[str | None], Dataset]) -> None:
    """What the stage `answers` has found; a gap where that is nothing."""
    model, archive = work.config["model"], work.config["archive"]
    path, name = work.inputs["answers"] / model / f"{benchmark.name}.jsonl", file_name(benchmark.name, None)
    decoding = {"published": archive, "answers": work.config["answers"]}
    if not path.is_file():
        gap = f"{model}: no answers to {benchmark.name} in the archive {archive}"
        _write(work, {name: _asked(work, benchmark, None, None, decoding, gap)})
        return
    dataset = load(None)
    rows = _known(work, benchmark, dataset, list(records.read_jsonl(path, texts=("task_id",))))
    records.write_jsonl(work.out / f"{name}.jsonl", rows)
    work.counts[name] = len(rows)
    _write(work, {name: _asked(work, benchmark, dataset, None, decoding)})


def _known(work: Work, benchmark: Benchmark, dataset: Dataset, rows: list[records.Record]) -> list[records.Record]:
    """The answers to the tasks of a set: another release of it may have had more."""
    tasks = {benchmark.task_id(task) for task in dataset.tasks}
    unknown = list(dict.fromkeys(str(name) for row in rows if (name := benchmark.sample_id(row)) not in tasks))
    if unknown:
        work.dropped[f"of a task that {dataset.name} {dataset.version} does not have"] += sum(
            benchmark.sample_id(row) not in tasks for row in rows
        )
        work.notes.append(
            f"answers to {len(unknown)} tasks that {dataset.name} {dataset.version} does not have are left out"
        )
    return [row for row in rows if benchmark.sample_id(row) in tasks]


def _asked(
    work: Work,
    benchmark: Benchmark,
    dataset: Dataset | None,
    subset: str | None,
    decoding: dict[str, Any],
    gap: str | None = None,
) -> Asked:
    tasks = len(dataset.tasks) if dataset else 0
    return Asked(
        benchmark=benchmark.name,
        protocol=work.config["protocol"],
        language=subset,
        dataset=dataset.identity if dataset else None,
        tasks=tasks,
        of=tasks,
        prompt="published",
        decoding=decoding,
        gap=gap,
    )


def _write(work: Work, asked: Mapping[str, Asked]) -> None:
    records.write_json(
        work.out / "benchmarks.json", {name: one.model_dump(exclude_unset=True) for name, one in asked.items()}
    )
