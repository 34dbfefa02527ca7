"""Follows one run of a program: reads the values that it returns, keeps the time of each call, and notices early what cannot pass."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from magicoder_repro import sandbox
from magicoder_repro.benchmarks.evalplus.worker.ground_truth import Task, digest_of_frame, is_own_digest
from magicoder_repro.benchmarks.evalplus.worker.rules import Frame

_LOOKS = 4  # at values that differ, while the program runs: most of them are wrong
_QUICK_SECONDS = 0.02  # of the canonical solution's calls: nobody watches the program meanwhile
_LATE_SECONDS = 0.05  # that a look may come after what it looks at
_BUSY = 0.7  # of the time: a program that uses less of it waits for something
_HEAD = struct.Struct("<cQ")  # of a frame: its kind and the length of its content
_CPU_LATE_SECONDS = 0.2  # the same of CPU seconds, which are looked at now and then


@dataclass(frozen=True)
class _Used:
    """What a program used between two looks."""

    since: sandbox.Spent
    now: sandbox.Spent

    @property
    def seconds(self) -> float:
        cpu = self.now.cpu_seconds - self.since.cpu_seconds - _CPU_LATE_SECONDS
        return max(cpu, self.now.present_seconds - self.since.present_seconds)

    @property
    def mostly_idle(self) -> bool:
        """A sleep, or threads that a busy machine kept waiting: that cannot be told from here."""
        return self.now.cpu_seconds - self.since.cpu_seconds < _BUSY * self.seconds


Accept = Callable[[str, Sequence[Frame], Sequence[bool]], bool]
"""Whether the rules accept the first values of a part (its name, the frames, which are equal to the canonical solution's)."""


@dataclass(frozen=True)
class Budget:
    """Seconds: of each call, of all calls of each part together with loading the program, as evalplus counts, and of writing down what
    each call returns. `slack`: how much more than that is waited for; what needs more has failed, what lies between is undecided."""

    calls: tuple[float, ...]
    parts: tuple[float, ...]
    writing: tuple[float, ...]
    slack: float

    def until_written(self, first: int, last: int) -> tuple[float, ...]:
        """What these calls may take until their values are here."""
        both = zip(self.calls[first:last], self.writing[first:last], strict=True)
        return tuple(call + writing for call, writing in both)

    @property
    def whole(self) -> float:
        """What a run may take."""
        return self.slack * sum(self.parts)


class Follower:
    """Reads frames while they come (`seen` is a `sandbox.Watch`).

    The program is hostile: `guest.py` says what it should write. Frames that are not so end the reading. A call has what the
    program used between two of its frames: CPU seconds of all its processes, or the time it was not waiting for a processor,
    whichever is more.
    """

    def __init__(self, task: Task, names: Sequence[str], budget: Budget, accept: Accept | None) -> None:
        self.ending = b""  # the last frame, kind and content in one; empty when it never came
        self.already_wrong = ""  # the part in which a value is wrong
        self.limit_used = 0.0  # the most that a call, or a part, took of its limit
        self.budget_used = 0.0  # the most that a part took of its budget
        self.undecided: set[str] = (
            set()
        )  # parts in which a limit was passed by so little that a busy machine may be the reason
        self.may_have_waited = False  # whether it was ended for time in which a busy machine may have kept it waiting
        self._task, self._names, self._budget, self._accept = task, names, budget, accept
        self._digests = [digest for name in names for digest in task.parts[name].truth.digests]
        self._ends = [sum(len(task.parts[name].truth) for name in names[: n + 1]) for n in range(len(names))]
        self._frames: list[Frame] = []
        self._equal: list[bool] = []  # which values are the canonical solution's, byte for byte
        self._at, self._loaded, self._over = 0, False, False
        self._looks = _LOOKS
        self._call_mark = self._part_mark = sandbox.Spent(0.0, 0.0)
        self._part = 0

    def seen(self, output: bytearray, spent: sandbox.Spent) -> sandbox.Status | None:
        """`timeout` when a call takes too long, `stopped` when a value is wrong: evalplus would have ended there."""
        first, loaded = len(self._frames), self._loaded
        self.read(output)
        if self._late(first, loaded, spent):
            return "timeout"
        return "stopped" if self._wrong(first) else None

    def read(self, output: bytes | bytearray) -> None:
        """Takes the frames that are complete and not yet taken."""
        end = len(output)
        while not self._over and self._at + _HEAD.size <= end:
            kind, length = _HEAD.unpack_from(output, self._at)
            start = self._at + _HEAD.size
            if start + length > end:
                return
            content = bytes(output[start : start + length])
            self._at = start + length
            if kind in (b"V", b"H", b"X") and self._loaded and len(self._frames) < len(self._digests):
                known = self._digests[len(self._frames)]
                self._frames.append((kind, content))
                self._equal.append(kind != b"X" and known != "" and digest_of_frame(kind, content) == known)
            elif kind in (b"E", b"T", b"D"):
                self.ending, self._over = kind + content, True
            elif kind == b"L" and not self._loaded:
                self._loaded = True
            else:
                self._over = True

    def _late(self, first: int, loaded: bool, spent: sandbox.Spent) -> bool:
        """Takes note of the time; True when more than a limit and its slack has passed."""
        budget, now = self._budget, len(self._frames)
        # of the calls that ended, and of the one that runs
        limits = budget.until_written(first, now + 1) if self._loaded else ()
        if not loaded or not limits:
            limits = (
                budget.parts[self._part],
                *limits,
            )  # loading is in the part's budget; so is what comes after the last call
        call = _Used(self._call_mark, spent)
        if now > first or self._loaded != loaded:
            self._call_mark = spent
        part, whole = _Used(self._part_mark, spent), budget.parts[self._part]
        self.budget_used = max(self.budget_used, part.seconds / whole)
        late = [self._over_limit(call, min(limits), sum(limits)), self._over_limit(part, whole, whole)]
        while self._part + 1 < len(self._ends) and now >= self._ends[self._part]:
            self._part, self._part_mark = self._part + 1, spent
        return any(late)

    def _over_limit(self, used: _Used, least: float, most: float) -> bool:
        """Of several calls at one look it is only known what they took together: that may be too much from the least limit on, and
        is too much beyond the sum of all."""
        slack = self._budget.slack
        self.limit_used = max(self.limit_used, used.seconds / most)
        if slack > 1 and used.seconds > least:
            self.undecided.add(self._names[self._part])
        if used.seconds <= slack * most + _LATE_SECONDS:
            return False
        self.may_have_waited = slack > 1 and used.mostly_idle
        return True

    def _wrong(self, first: int) -> bool:
        """Whether the rules refuse a value. Looks a few times, and only where that is quick: at the last value that differs, which
        is to look at all before it."""
        differ = [number for number in range(first, len(self._frames)) if not self._equal[number]]
        if not differ or self._looks == 0 or self._accept is None:
            return False
        self._looks -= 1
        count = differ[-1] + 1
        for name, frames, equal in self.parts():
            there = min(count, len(frames), self._quick(name, frames, equal))
            if not all(equal[:there]) and not self._accept(name, frames[:there], equal[:there]):
                self.already_wrong = name
                return True
            if there < len(frames):
                return False
            count -= there
        return False

    def _quick(self, name: str, frames: list[Frame], equal: list[bool]) -> int:
        """How many values of a part can be compared without computing the canonical solution's anew for long."""
        known_truth, seconds = self._task.parts[name].truth, 0.0
        for number, (kind, _) in enumerate(frames):
            known = (equal[number] and kind == b"V") or is_own_digest(known_truth.digests[number])
            seconds += 0.0 if known else known_truth.seconds[number]
            if seconds > _QUICK_SECONDS:
                return number
        return len(frames)

    def parts(self) -> Iterator[tuple[str, list[Frame], list[bool]]]:
        """Each part's name, its values so far, and which of them are equal."""
        at = 0
        for name in self._names:
            there = slice(at, at := at + len(self._task.parts[name].truth))
            yield name, self._frames[there], self._equal[there]

    def has_long(self) -> bool:
        """Whether a value differs of which only the digest travelled."""
        return any(kind == b"H" and not same for (kind, _), same in zip(self._frames, self._equal, strict=True))

    def status(self, outcome: sandbox.Outcome) -> str:
        """How the run ended, as far as that does not depend on the values: `passed` when all of them came within their limits."""
        if self.ending[:1] == b"T":
            return "timeout"
        if self.ending[:1] == b"E":
            return _exception(self.ending[1:])
        if self.ending != b"D" or len(self._frames) != len(self._digests):
            return "ended early" if outcome.status == "ok" else outcome.status
        return "timeout" if self.limit_used > self._budget.slack else "passed"


def _exception(name: bytes) -> str:
    """The class name of an exception, or what stands for one that is no name."""
    text = name[:80].decode("utf-8", "replace")
    return text if text.isidentifier() and not text.islower() else "error"
