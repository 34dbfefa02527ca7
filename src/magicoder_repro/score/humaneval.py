"""HumanEval(+) and MBPP(+) samples -> verdicts. The functions run in the sandbox, the comparison happens here."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from magicoder_repro import records
from magicoder_repro.benchmarks import Dataset
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import bar
from magicoder_repro.score import python_functions, sandbox
from magicoder_repro.score.pass_at_k import percent

_RANDOM = threading.Lock()
SCORER = "magicoder-repro: equality, or closeness within the task's atol"


def score(dataset: Dataset, samples: Sequence[records.Record], config: Scoring, label: str) -> dict[str, Any]:
    """The result of one benchmark (DESIGN's OUT.json without `benchmark` and `protocol`)."""
    tasks = {task["task_id"]: task for task in dataset.tasks}
    unknown = sorted({sample["task_id"] for sample in samples} - set(tasks))
    if unknown:
        raise UsageError(f"{label}: unknown tasks: {', '.join(unknown)}")
    limits = sandbox.Limits(
        wall_seconds=config.wall_seconds, cpu_seconds=config.wall_seconds, memory_mb=config.memory_mb
    )
    judges: dict[str, Judge] = {}
    distinct: dict[tuple[str, str], dict[str, Any]] = {}
    for sample in samples:
        distinct.setdefault((sample["task_id"], program(tasks[sample["task_id"]], sample)), {})
    with bar(label, len(distinct), "programs") as progress, ThreadPoolExecutor(config.workers) as pool:
        for task_id, judge in zip(
            {key[0]: None for key in distinct},
            pool.map(lambda name: Judge(tasks[name], limits), {key[0]: None for key in distinct}),
            strict=True,
        ):
            judges[task_id] = judge

        def verdict(key: tuple[str, str]) -> dict[str, Any]:
            found = judges[key[0]].verdict(key[1], limits)
            progress.advance()
            return found

        for key, found in zip(distinct, pool.map(verdict, distinct), strict=True):
            distinct[key] = found
    rows: dict[str, list[dict[str, Any]]] = {}
    for sample in samples:
        text = program(tasks[sample["task_id"]], sample)
        rows.setdefault(sample["task_id"], []).append(distinct[(sample["task_id"], text)])
    metrics = {"pass@1": _percent(rows, "passed")}
    if all(row["passed_plus"] is not None for found in rows.values() for row in found):
        metrics["pass@1+"] = _percent(rows, "passed_plus")
    return {
        "dataset": dataset.identity,
        "scorer": SCORER,
        "metrics": metrics,
        "tasks": [{"task_id": task_id, "samples": found} for task_id, found in rows.items()],
    }


def _percent(rows: dict[str, list[dict[str, Any]]], field: str) -> float:
    return round(percent((len(found), sum(row[field] for row in found)) for found in rows.values()), 4)


def program(task: records.Record, sample: records.Record) -> str:
    """A sample's whole program: its `solution`, or the task's prompt and its `completion`."""
    if isinstance(sample.get("solution"), str):
        return str(sample["solution"])
    if isinstance(sample.get("completion"), str):
        return str(task["prompt"]) + str(sample["completion"])
    raise UsageError(f"a sample of {sample['task_id']} has neither 'completion' nor 'solution'")


class Judge:
    """One task's inputs and what a right program returns for them."""

    def __init__(self, task: records.Record, limits: sandbox.Limits) -> None:
        self._task = task
        if "base_input" in task:
            self._inputs = [*task["base_input"], *task["plus_input"]]
            text = task["prompt"] + task["canonical_solution"]
            expected = python_functions.run(text, task["entry_point"], self._inputs, limits)
            if expected.status != "ok" or any(error for _, error in expected.results):
                raise UsageError(f"{task['task_id']}: the canonical solution does not run here ({expected.status})")
            self._expected = [value for value, _ in expected.results]
        else:
            self._inputs = self._recorded_inputs()

    def verdict(self, text: str, limits: sandbox.Limits) -> dict[str, Any]:
        """Runs one program; base and plus verdicts, and a status that says how it ended."""
        returned = python_functions.run(text, self._task["entry_point"], self._inputs, limits)
        if "base_input" not in self._task:
            passed = returned.status == "ok" and self._replay(returned.results)
            plus = None
        else:
            base = len(self._task["base_input"])
            right = [
                error is None and equal(value, expected, self._task["atol"])
                for (value, error), expected in zip(returned.results, self._expected, strict=False)
            ]
            right += [False] * (len(self._inputs) - len(right))
            passed = all(right[:base])
            plus = passed and all(right[base:])
        failed = "wrong" if returned.status == "ok" else returned.status
        good = passed if plus is None else plus
        return {
            "passed": passed,
            "passed_plus": plus,
            "status": "passed" if good else failed,
            "seconds": round(returned.seconds, 3),
        }

    def _recorded_inputs(self) -> list[list[Any]]:
        """The arguments that the task's own `check` calls the canonical solution with."""
        calls: list[list[Any]] = []
        names = self._names()

        def record(*arguments: Any) -> Any:
            calls.append(copy.deepcopy(list(arguments)))
            return names[self._task["entry_point"]](*arguments)

        self._check(record)
        return calls

    def _replay(self, results: Sequence[tuple[Any, str | None]]) -> bool:
        """Whether the task's own `check` accepts the returned values."""
        rest = iter(results)

        def replay(*_: Any) -> Any:
            value, error = next(rest)
            if error is not None:
                raise RuntimeError(error)
            return value

        try:
            self._check(replay)
        except Exception:
            return False
        return True

    def _names(self) -> dict[str, Any]:
        """The task's own solution and tests, which may use its prompt's helpers. Trusted: a pinned package's code."""
        names: dict[str, Any] = {}
        exec(self._task["prompt"] + self._task["canonical_solution"] + "\n" + self._task["test"], names)
        return names

    def _check(self, candidate: Callable[..., Any]) -> None:
        names = self._names()
        with _RANDOM:
            random.seed(0)  # some tests draw their inputs: the same ones each time
            names["check"](candidate)


def equal(value: Any, expected: Any, atol: float) -> bool:
    """Equality; for floats closeness, with 1e-6 when the task names no tolerance (EvalPlus' rule)."""
    try:
        if bool(value == expected):
            return True
    except (RecursionError, ValueError):
        return False
    if atol == 0 and not _floats(expected):
        return False
    try:
        import numpy

        return bool(numpy.allclose(value, expected, rtol=1e-7, atol=atol or 1e-6))
    except (TypeError, ValueError, OverflowError):
        return False


def _floats(value: Any) -> bool:
    if isinstance(value, float):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, float) for item in value)
