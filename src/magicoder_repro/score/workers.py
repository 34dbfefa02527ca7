"""Processes that judge, each in the judge's own environment, one request at a time (`worker.py` runs in each).

This module imports little: a command starts them before it has read its own input, for some take as long to start.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from magicoder_repro import environment
from magicoder_repro.errors import UsageError

_END_SECONDS = 3.0
_ATTEMPTS = 2  # of a request whose process died
_WORTH = 10  # requests that are left for each process of one job among several, for another to join it
Request = Mapping[str, Any]
Answer = dict[str, Any]


class Workers:
    """As many processes as `count`, for judges of one class. They end with the `with` block.

    `early`: all start now; else each does when it is needed.
    """

    def __init__(self, environment_name: str, factory: str, count: int, early: bool = False) -> None:
        self.of, self.count = (environment_name, factory), count
        self._python = str(environment.interpreter(environment_name))
        self._settings: str | None = None
        self._closed = False  # then no process is started any more
        self._all: list[_Process] = []
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()  # one that has been started comes first
        for _ in range(count):
            self._free.put(self._start() if early else None)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for process in self._all:
            process.stop(at_once=error is not None)
        for process in self._all:
            process.end()

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Says how is judged: the settings of the judges' class."""
        self._settings = json.dumps(settings)

    def ask(self, request: Request) -> Answer:
        """The answer to a request."""
        assert self._settings is not None
        process = self._free.get()
        try:
            for _ in range(_ATTEMPTS):
                if self._closed:
                    raise UsageError("score: stopped")
                process = process or self._start()
                answer = process.exchange(self._settings, request)
                if answer is not None and "error" in answer:
                    raise UsageError(answer["error"])
                if answer is not None:
                    return answer
                process = None
            about = request.get("task_id", "a program")
            raise UsageError(
                f"score: the judge of {about} died {_ATTEMPTS} times: out of memory? use fewer workers; the same command goes on there"
            )
        finally:
            self._free.put(process)

    def _start(self) -> _Process:
        self._all.append(_Process(self._python, self.of[1]))
        return self._all[-1]


def spread(jobs: Sequence[tuple[Workers, Sequence[Request]]], count: int) -> Iterator[tuple[int, int, Answer]]:
    """Asks `count` processes at once about the requests of several jobs, each with workers of its own; gives the job's number, the
    request's and the answer as they come.

    A judge takes long to start for the first program of a job, so each keeps to one job while that has any left; then it begins the
    largest that nobody works on, or helps where much is left."""
    waiting = [list(reversed(range(len(requests)))) for _, requests in jobs]
    busy = [0] * len(jobs)  # of the `count`
    lock = threading.Lock()
    done: queue.SimpleQueue[tuple[int, int, Answer | BaseException]] = queue.SimpleQueue()

    def take(job: int | None) -> tuple[int, int] | None:
        with lock:
            if job is not None and not waiting[job]:
                busy[job] -= 1
                job = None
            if job is None:
                job = another()
                if job is None:
                    return None
                busy[job] += 1
            return job, waiting[job].pop()

    def another() -> int | None:
        left = [number for number, one in enumerate(waiting) if one and busy[number] < jobs[number][0].count]
        new = [number for number in left if not busy[number]]
        worth = [number for number in left if len(jobs) == 1 or len(waiting[number]) >= _WORTH * busy[number]]
        return max(new or worth, key=lambda number: len(waiting[number]) / (busy[number] + 1), default=None)

    def work() -> None:
        taken = take(None)
        while taken is not None:
            job, number = taken
            workers, requests = jobs[job]
            try:
                done.put((job, number, workers.ask(requests[number])))
            except BaseException as error:
                done.put((job, number, error))
                return
            taken = take(job)

    for _ in range(min(count, sum(len(requests) for _, requests in jobs))):
        threading.Thread(target=work, daemon=True).start()
    for _ in range(sum(len(requests) for _, requests in jobs)):
        job, number, answer = done.get()
        if isinstance(answer, BaseException):
            raise answer
        yield job, number, answer


class _Process:
    """One of them, and whether it has been told the settings."""

    def __init__(self, python: str, factory: str) -> None:
        # this package is not installed in every environment; one hash seed, so that what depends on the order of a set is the same
        source = os.pathsep.join(filter(None, (str(environment.ROOT / "src"), os.environ.get("PYTHONPATH"))))
        own = {"PYTHONPATH": source, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
        self._popen = subprocess.Popen(
            [python, "-m", "magicoder_repro.score.worker", factory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **own},
            start_new_session=True,  # Ctrl-C is for the command, which ends them
        )
        self._told = False

    def exchange(self, settings: str, request: Request) -> Answer | None:
        """One question and its answer; None when the process died."""
        assert self._popen.stdin and self._popen.stdout
        try:
            if not self._told:
                self._popen.stdin.write(settings + "\n")
                self._told = True
            self._popen.stdin.write(json.dumps(request) + "\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            return None
        line = self._popen.stdout.readline()
        answer: Answer | None = json.loads(line) if line.endswith("\n") else None
        return answer

    def stop(self, at_once: bool) -> None:
        """An idle one ends with its standard input, and what it started with it."""
        assert self._popen.stdin
        if at_once or not self._told:
            self._popen.kill()
        with suppress(BrokenPipeError):
            self._popen.stdin.close()

    def end(self) -> None:
        """Waits for it; one that still works after `_END_SECONDS` is killed."""
        assert self._popen.stdout
        try:
            self._popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()
