"""EvalPlus' benchmarks judged from Python, for their tests."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks
from magicoder_repro.benchmarks.base import Dataset
from magicoder_repro.profile import Scoring
from magicoder_repro.score import run

CONFIG = Scoring(workers=2)


def score(
    dataset: Dataset,
    samples: list[dict[str, Any]],
    config: Scoring = CONFIG,
    protocol: str = "paper",
    benchmark: str = "minibench-humaneval",
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "work"
        result = run.score(benchmarks.get(benchmark), {None: dataset}, {None: samples}, config, protocol, "test", place)
        return result.to_json()


def only(dataset: Dataset, entry_point: str) -> Dataset:
    return replace(dataset, tasks=[task for task in dataset.tasks if task["entry_point"] == entry_point])


def of_equal_tasks(
    tmp_path: Path, canonical: str, base: list[list[Any]], plus: list[list[Any]], count: int = 1
) -> Dataset:
    """A set of equal tasks, T/0 and so on, whose function is f(x)."""
    same = {
        "prompt": "def f(x):\n", "entry_point": "f", "contract": "",
        "canonical_solution": canonical, "base_input": base, "plus_input": plus, "atol": 0,
    }  # fmt: skip
    tasks = [{"task_id": f"T/{number}", **same} for number in range(count)]
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return Dataset("equal", "1", tmp_path.name, tasks, path)
