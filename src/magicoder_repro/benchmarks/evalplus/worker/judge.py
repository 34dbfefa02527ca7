"""The judge of HumanEval(+) and MBPP(+) programs (`score/worker.py` holds one in its process).

It lives in the environment of one evalplus version. The candidate runs in the sandbox and only its values come back; whether they
are right is decided by evalplus itself (`rules.py`). What is ours: the isolation, the limits in seconds of the program's own, the
ground truth (the canonical solution's values, as digests), and that equal values need no second look.
"""

from __future__ import annotations

import functools
import marshal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from magicoder_repro import sandbox
from magicoder_repro.benchmarks.evalplus import guest, purity
from magicoder_repro.benchmarks.evalplus.worker import ground_truth, rules
from magicoder_repro.benchmarks.evalplus.worker.follower import Budget, Follower
from magicoder_repro.benchmarks.evalplus.worker.ground_truth import Task
from magicoder_repro.errors import UsageError

_GUEST = Path(guest.__file__).read_bytes()
_LONGEST = 1 << 16  # bytes of a value that travels whole; of a longer one the digest does
_TOO_LONG = 1 << 25  # bytes of a value that is looked at when the digests differ
_ATTEMPTS = 2  # of a run whose sandbox broke
_START_SECONDS = 60.0  # of an interpreter that imports numpy from a cold disk
_WRITING = 4  # times what writing down the canonical solution's value takes: evalplus has the value without that
_SPARE_SECONDS = 2.0  # that evalplus adds to what all calls may take
_PROCESSES = 256  # threads count
_TASKS = 2  # that are kept in memory
# Entry points whose verdict is more than equality with the expected value, in one version or the other.
_ORACLES = frozenset({"find_zero", "check_str", "text_match_three", "text_starta_endb"})
# What must work in the sandbox: files of the environment that are not read yet, as the uid that programs have.
_PROBE = "import numpy.lib.recfunctions, colorsys\ndef probe(x):\n    return float(numpy.sum(numpy.zeros(2))) + x\n"


@dataclass(frozen=True)
class Settings:
    """How programs are judged. `family` is evalplus' name of the set: humaneval or mbpp; `frames` is how many frames are
    above the candidate in evalplus' own process: deep recursion ends where it ends there; `one_stream`: whether evalplus gives load
    and calls one output stream. `program_seconds`: of all calls of a part together; None: the sum of the calls' limits."""

    family: str
    frames: int
    one_stream: bool
    tasks: str
    ground_truth: str
    backend: str
    call_seconds: float
    program_seconds: float | None
    memory_mb: int


@dataclass
class Verdict:
    """One program's. `undecided`: a limit was passed, but the program ended: how busy the machine was may decide. `budget_used`:
    of all calls of a part, as a fraction of what they may take."""

    passed: bool
    passed_plus: bool | None
    status: str
    seconds: float
    undecided: bool
    budget_used: float


@dataclass(frozen=True)
class _Ran:
    """One run of a program. `failed`: the part in which it did; `cut_off`: it did not say how it ended."""

    seconds: float
    budget_used: float
    failed: str | None
    status: str
    undecided: bool
    cut_off: bool = False


def _verdict(names: Sequence[str], runs: Sequence[_Ran]) -> Verdict:
    failed = runs[-1].failed
    return Verdict(
        passed=failed != "base",
        passed_plus=failed is None if "plus" in names else None,
        status=runs[-1].status,
        seconds=round(sum(ran.seconds for ran in runs), 3),
        undecided=any(ran.undecided for ran in runs),
        budget_used=max(ran.budget_used for ran in runs),
    )


class Judge:
    """Judges programs of one set by one evalplus version. Settings: the fields of `Settings`."""

    _rules_early: ClassVar[rules.Rules | None] = None

    @classmethod
    def start(cls) -> None:
        """What takes long to import, while the settings are not known yet; the rules' process is forked after it."""
        rules.deserializer()
        cls._rules_early = rules.Rules()

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = Settings(**settings)
        self._python = Path(sys.executable)
        self._readonly = (self._python.parent.parent, Path(sys.base_prefix))
        self._warm: sandbox.warm.Interpreter | None = None
        self._may_be_warm = self._settings.backend in sandbox.KEEPERS
        self._checked = False
        self._known = ground_truth.read(self._settings.ground_truth)
        self._lines = ground_truth.read_lines(self._settings.tasks)
        self._rules, Judge._rules_early = Judge._rules_early or rules.Rules(), None
        self._rules.begin(self._settings.family, self._settings.tasks)
        self._deserialize = rules.deserializer()
        self._task = functools.lru_cache(_TASKS)(self._read_task)  # samples of one task come one after the other

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """`task_id`, `program`, `slack` (how many times its limits a program may take before it has failed), `piece` ((k, n) means
        every n-th call from the k-th on), `slow` (the canonical solution may take seconds for a call) -> the verdict, and the ground
        truth that was computed for it."""
        if not self._checked:
            self._check(request["slack"])
        task = self._task(request["task_id"], tuple(request["piece"]), request["slow"])
        before = {name: len(part.truth) for name, part in task.parts.items()}
        verdict = asdict(self.verdict(task, request["program"], request["slack"], tuple(request["piece"])))
        fresh = {name: asdict(part.truth) for name, part in task.parts.items() if len(part.truth) > before[name]}
        return {**verdict, "ground_truth": fresh}

    def _read_task(self, task_id: str, piece: tuple[int, int], slow: bool) -> Task:
        return ground_truth.read_task(self._lines[task_id], self._deserialize, piece, slow, self._known.get(task_id))

    def verdict(self, task: Task, program: str, slack: float, piece: tuple[int, int] = (0, 1)) -> Verdict:
        """Base inputs first; the plus inputs when those pass, each in a sandbox of its own as evalplus has a process for each.

        Calls that cannot know of each other need one sandbox for all; when that one is cut off, two decide.
        """
        names = list(task.parts)
        if len(names) > 1 and slack > 1 and purity.calls(program):
            ran = self._ran(task, names, program, slack, piece)
            if not ran.cut_off or ran.undecided:
                return _verdict(names, [ran])
        runs: list[_Ran] = []
        while not runs or (runs[-1].failed is None and len(runs) < len(names)):
            runs.append(self._ran(task, names[len(runs) : len(runs) + 1], program, slack, piece))
        return _verdict(names, runs)

    def close(self) -> None:
        """Ends the warm interpreter and the rules' process."""
        self._rules.close()
        if self._warm is not None:
            self._warm.close()

    def _check(self, slack: float) -> None:
        """A judge that cannot work says so, and gives no verdicts."""
        record = {"task_id": "probe", "prompt": "", "canonical_solution": _PROBE, "entry_point": "probe", "atol": 0}
        task = Task(record, {"base": ground_truth.Part([[1.5]])})
        task.parts["base"].truth.add(ground_truth.comparable(1.5), 0.0, 0.0)
        ran = self._once(task, ["base"], _PROBE, max(slack, 10.0), (0, 1))
        if ran.status != "passed":
            raise UsageError(
                f"a program that imports numpy does not run in the sandbox {self._settings.backend} ({ran.status}): make the files of "
                f"{self._readonly[0]} and {self._readonly[1]} readable for everyone (umask 022), or build the environment again"
            )
        self._checked = True

    def _ran(self, task: Task, names: Sequence[str], program: str, slack: float, piece: tuple[int, int]) -> _Ran:
        """One run of the program on the inputs of these parts.

        Where their ground truth takes long to compute, a wrong program is to be noticed before it is: the program's run on the
        inputs known so far is the beginning of its whole run, so that what fails there has failed.
        """
        if slack > 1 and not task.parts[names[0]].truth:
            ground_truth.compute_soon(task, names)
        there = task.known(names)
        if slack > 1 and there:
            ran = self._once(task, there, program, slack, piece)
            if all(task.parts[name].known for name in names) or (ran.failed and not ran.cut_off and not ran.undecided):
                return ran
        ground_truth.compute(task, names)
        return self._once(task, names, program, slack, piece)

    def _once(self, task: Task, names: Sequence[str], program: str, slack: float, piece: tuple[int, int]) -> _Ran:
        """One run of the program, on the inputs of these parts whose ground truth is known."""
        outcome, follower = self._run(task, names, program, slack, piece, _LONGEST)
        used = (
            round(follower.budget_used, 3) if self._settings.program_seconds else 0.0
        )  # else calls in pieces have theirs each
        seconds, undecided = outcome.wall_seconds, follower.undecided

        def failed(part: str, status: str, cut_off: bool = False) -> _Ran:
            return _Ran(seconds, used, part, status, bool(undecided - {part}) or follower.may_have_waited, cut_off)

        if outcome.status == "stopped":
            return failed(follower.already_wrong, "wrong")
        status = follower.status(outcome)
        if status == "passed" and follower.has_long():
            whole, follower = self._run(task, names, program, slack, piece, _TOO_LONG)
            if follower.status(whole) != "passed":
                return failed(names[0], "wrong", cut_off=True)
        for name, frames, equal in follower.parts():
            if status != "passed" and (name == names[-1] or len(frames) < len(task.parts[name].truth)):
                return failed(name, status, cut_off=not follower.ending)
            right = all(equal) and task.entry_point not in _ORACLES
            if not right and not self._rules.accept(self._question(task, name, piece, frames, equal)):
                return failed(name, "wrong")
        return _Ran(seconds, used, None, "passed", bool(undecided))

    def _budget(self, task: Task, names: Sequence[str], slack: float) -> Budget:
        """A call may take four times what the canonical solution takes, as in evalplus, and never less than `call_seconds`."""
        least, most = self._settings.call_seconds, self._settings.program_seconds
        calls = {name: [max(least, 4 * seconds) for seconds in task.parts[name].truth.seconds] for name in names}
        parts = [sum(limits) if most is None else min(most, sum(limits)) for limits in calls.values()]
        writing = [_WRITING * seconds for name in names for seconds in task.parts[name].truth.writing]
        of_parts = (_WRITING * sum(task.parts[name].truth.writing) for name in names)
        return Budget(
            tuple(limit for limits in calls.values() for limit in limits),
            tuple(seconds + extra + _SPARE_SECONDS for seconds, extra in zip(parts, of_parts, strict=True)),
            tuple(writing),
            slack,
        )

    def _run(
        self, task: Task, names: Sequence[str], program: str, slack: float, piece: tuple[int, int], longest: int
    ) -> tuple[sandbox.Outcome, Follower]:
        """How a run ended, and what it returned until then."""
        settings, budget = self._settings, self._budget(task, names, slack)
        request = {
            "source": program,
            "entry_point": task.entry_point,
            "inputs": [arguments for name in names for arguments in task.parts[name].known_inputs],
            "limits": [slack * seconds for seconds in budget.calls],
            "longest": longest,
            "frames": settings.frames,
            "family": settings.family,
            "one_stream": settings.one_stream,
        }
        limits = sandbox.Limits(
            wall_seconds=2 * budget.whole + 10,
            cpu_seconds=budget.whole,
            memory_mb=settings.memory_mb,
            processes=_PROCESSES,
            output_bytes=4 * longest + (1 << 26),
        )
        files = {"task": marshal.dumps(request, guest.FORMAT)}

        def accept(name: str, frames: Sequence[rules.Frame], equal: Sequence[bool]) -> bool:
            question = self._question(task, name, piece, frames, equal)
            return not question.harmless or self._rules.accept(question)

        for _ in range(_ATTEMPTS):  # every warm interpreter has shown that it works before it is used
            follower = Follower(task, names, budget, accept if task.has_inputs else None)
            outcome = self._sandboxed(files, limits, follower.seen)
            if outcome.status != "sandbox":
                break
        if outcome.status == "sandbox" and self._warm is None and not self._may_be_warm:
            raise UsageError(f"the sandbox does not start: {outcome.stderr.decode(errors='replace')}")
        follower.read(outcome.stdout)
        return outcome, follower

    def _question(
        self,
        task: Task,
        name: str,
        piece: tuple[int, int],
        frames: Sequence[rules.Frame],
        equal: Sequence[bool],
    ) -> rules.Question:
        known = task.parts[name].truth
        seconds = sum(known.seconds[: len(frames)])
        return rules.Question(
            task.record["task_id"], name, piece, frames, equal, known.short(len(frames)), round(seconds, 3)
        )

    def _sandboxed(self, files: dict[str, bytes], limits: sandbox.Limits, seen: sandbox.Watch) -> sandbox.Outcome:
        """One run, in a warm interpreter where the back end can have one. One that broke is replaced."""
        if self._warm is None and self._may_be_warm:
            try:
                self._warm = sandbox.warm.Interpreter(
                    self._python, _GUEST, self._readonly, self._settings.backend, start_seconds=_START_SECONDS
                )
            except UsageError as error:
                if b"Traceback" in str(error).encode():  # the guest does not start, with or without a warm interpreter
                    raise UsageError(f"evalplus' environment does not work in the sandbox: {error}") from None
                self._may_be_warm = False
        if self._warm is None:
            argv = (str(self._python), "-P", "-s", "-S", "guest.py")
            there = sandbox.Program(argv, {**files, "guest.py": _GUEST}, limits=limits, readonly=self._readonly)
            return sandbox.run(there, self._settings.backend, seen)
        outcome = self._warm.run(files, limits, seen)
        if self._warm.broken:
            self._warm.close()
            self._warm = None
        return outcome
