"""Stage `published`: answers that somebody published, as the stage `score` reads them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, records
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks.base import Dataset
from magicoder_repro.environment import ROOT, file_sha256
from magicoder_repro.errors import UsageError
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
    """Of a file its bytes, of a folder the names and bytes of all files in it."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        found = {str(file.relative_to(path)): file_sha256(file) for file in files}
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()
    return file_sha256(path) if path.is_file() else None


def build(work: Work) -> None:
    """A file or folder of answers -> `BENCHMARK.jsonl` and `benchmarks.json`, as `generate` writes them."""
    benchmark, protocol = benchmarks.get(work.config["benchmark"]), work.config["protocol"]
    path = place(work.config["samples"])
    for gap in missing(work.config["key"], work.config["samples"], tuple)():
        raise UsageError(gap)

    @cache
    def load(subset: str | None) -> Dataset:
        return benchmark.load(protocol, subset)

    given = samples.read(path, benchmark, None, load)
    asked = {}
    for subset, rows in run.by_subset(benchmark, given.rows, None).items():
        dataset, name = load(subset), file_name(benchmark.name, subset)
        records.write_jsonl(work.out / f"{name}.jsonl", rows)
        work.counts[name] = len(rows)
        asked[name] = Asked(
            benchmark=benchmark.name,
            protocol=protocol,
            language=subset,
            dataset=dataset.identity,
            tasks=len(dataset.tasks),
            of=len(dataset.tasks),
            prompt="published",
            decoding={"published": str(work.config["samples"])},
        )
    records.write_json(work.out / "benchmarks.json", {name: one.model_dump() for name, one in asked.items()})
    work.counts["read as"] = given.form
