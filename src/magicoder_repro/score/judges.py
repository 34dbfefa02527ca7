"""The processes that judge Python functions: `evalplus_judge/worker.py`, one a core, in the environment of one evalplus version.

This module imports little: a command starts them before it has read its own input, for they take as long to start.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from magicoder_repro import environment
from magicoder_repro.errors import UsageError

VERSIONS = {"paper": "0.2.0", "current": "0.3.1"}
"""The evalplus version of each protocol."""
_END_SECONDS = 3.0
_ATTEMPTS = 2  # of a request whose process died


@dataclass(frozen=True)
class Request:
    """Distinct programs of one task. `piece`: (k, n) means every n-th call from the k-th on. `slow`: its canonical solution may take
    seconds for a call. `slack`: how many times its limits a program may take before it has failed."""

    task_id: str
    programs: tuple[str, ...]
    slack: float
    piece: tuple[int, int] = (0, 1)
    slow: bool = False


class Judges:
    """As many processes as `count`, one request at a time each. They end with the `with` block.

    `early`: all start now; else each does when it is needed.
    """

    def __init__(self, protocol: str, count: int, early: bool = False) -> None:
        self.protocol, self.count = protocol, count
        self._python = str(environment.interpreter(environment_of(protocol)))
        self._settings: str | None = None
        self._closed = False  # then no process is started any more
        self._all: list[_Process] = []
        self._free: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(self._start() if early else None)

    def __enter__(self) -> Judges:
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
        """Says what is judged: the fields of `evalplus_judge.worker.Settings`."""
        self._settings = json.dumps(settings)

    def ask(self, request: Request) -> dict[str, Any]:
        """The answer to a request: see `evalplus_judge.worker.Judge.answer`."""
        assert self._settings is not None
        process = self._free.get()
        try:
            for _ in range(_ATTEMPTS):
                if self._closed:
                    raise UsageError("score: stopped")
                process = process or self._start()
                answer = process.exchange(self._settings, request)
                if answer is not None and "error" in answer:
                    raise UsageError(f"score: {answer['error']}")
                if answer is not None:
                    return answer
                process = None
            raise UsageError(
                f"score: the judge of {request.task_id} died {_ATTEMPTS} times: is there memory enough? use fewer workers"
            )
        finally:
            self._free.put(process)

    def map(
        self, requests: Sequence[Request], left: Callable[[Request], Request]
    ) -> Iterator[tuple[Request, dict[str, Any] | None]]:
        """Asks all processes at once; gives the answers as they come. `left`: what of a request is still to be asked, when its turn
        comes; the answer is None where no program is."""
        waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[Request, dict[str, Any] | BaseException | None]] = queue.SimpleQueue()
        for request in requests:
            waiting.put(request)

        def work() -> None:
            while True:
                try:
                    request = left(waiting.get_nowait())
                except queue.Empty:
                    return
                try:
                    done.put((request, self.ask(request) if request.programs else None))
                except BaseException as error:
                    done.put((request, error))
                    return

        for _ in range(self.count):
            threading.Thread(target=work, daemon=True).start()
        for _ in requests:
            request, answer = done.get()
            if isinstance(answer, BaseException):
                raise answer
            yield request, answer

    def _start(self) -> _Process:
        self._all.append(_Process(self._python))
        return self._all[-1]


class _Process:
    """One of them, and whether it has been told the settings."""

    def __init__(self, python: str) -> None:
        # this package is not installed there; one hash seed, so that what depends on the order of a set is the same each time
        own = {"PYTHONPATH": str(environment.ROOT / "src"), "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
        self._popen = subprocess.Popen(
            [python, "-m", "magicoder_repro.score.evalplus_judge.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **own},
            start_new_session=True,  # Ctrl-C is for the command, which ends them
        )
        self._told = False

    def exchange(self, settings: str, request: Request) -> dict[str, Any] | None:
        """One question and its answer; None when the process died."""
        assert self._popen.stdin and self._popen.stdout
        try:
            if not self._told:
                self._popen.stdin.write(settings + "\n")
                self._told = True
            self._popen.stdin.write(json.dumps(asdict(request)) + "\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            return None
        line = self._popen.stdout.readline()
        answer: dict[str, Any] | None = json.loads(line) if line.endswith("\n") else None
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


def environment_of(protocol: str) -> str:
    """The environment of the protocol's evalplus."""
    return f"evalplus-{VERSIONS[protocol]}"
