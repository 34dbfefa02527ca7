"""Runs a back end's command: owns its pipes, measures its processes, kills them all. Never waits for ever."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from magicoder_repro.sandbox import cgroups, view
from magicoder_repro.sandbox.model import Keeper, Limits, Outcome, Program, Spent, Status, Watch
from magicoder_repro.sandbox.tree import GRACE_SECONDS, MOST_MAPPINGS, Tree, Usage, readable

_START_SECONDS = 30.0  # for a sandbox to be built and taken hold of
_REPORT_POLL_MS, _START_POLL_MS = 50, 1  # until it says who pid 1 is, which wakes us; until its root is complete
_POLL_SECONDS, _POLL_MOST_SECONDS = 0.02, 0.1  # how often usage is looked at: at first, and of a long run
_FILLED_MB = 2500.0 * (os.cpu_count() or 1)  # in a second, about
_PAUSE_MS = 2  # after a little output: what comes meanwhile is read in one go
_CHUNK = 1 << 16
_REPORT_BYTES = 1 << 16
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_MANY_THREADS = 16  # the sandbox's own processes, on top of the program's limit


def unwatched(stdout: bytearray, spent: Spent) -> Status | None:
    """Lets the job go on."""
    return None


class Process(Protocol):
    """What runs a job: the process whose end is the job's end. `code` is set by `reap`."""

    pid: int
    streams: tuple[int, int]  # read ends of its stdout and stderr
    code: int | None

    def kill(self) -> None:
        """Kills it and what it started, as far as it can be reached from here."""

    def reap(self) -> float:
        """Takes note of its end, which has come. CPU seconds of it and of what it waited for."""

    def close(self) -> None:
        """Closes the streams."""


@dataclass(frozen=True)
class Hold:
    """How to take hold of a sandbox. Its pid 1 builds it and then waits for a byte on `go`, before anything of the program runs.

    `init`: pid 1 as seen from here, of the outer process and what `report` has said; None: not known yet. `group`: one that pid 1 is
    in, or is to be moved into.
    """

    go: int
    init: Callable[[int, bytes], int | None]
    group: cgroups.Group | None = None


@dataclass(frozen=True)
class Job:
    """What a back end built. `report`: a pipe's read end, on which the back end says how it went. `hold`: None where the back end
    keeps the limits itself."""

    backend: str
    start: Callable[[], Process]
    report: int | None = None
    started: Callable[[bytes], bool] = lambda report: True  # whether the report says that the program ran
    hold: Hold | None = None


class Command:
    """A process that is started here, in a session of its own: it has no terminal."""

    def __init__(
        self,
        argv: Sequence[str],
        stdin: int,
        environment: Mapping[str, str],
        passed: Sequence[int] = (),
        folder: Path | None = None,
        group: cgroups.Group | None = None,
    ) -> None:
        self.code: int | None = None

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                pass_fds=tuple(passed),
                start_new_session=True,
                cwd=folder or "/",
            )

        self._process = group.start(start) if group else start()
        assert self._process.stdout and self._process.stderr
        self.pid = self._process.pid
        view.first_to_die(self.pid)
        self.streams = (self._process.stdout.fileno(), self._process.stderr.fileno())

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> float:
        _, status, used = os.wait4(self.pid, 0)
        self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
        return used.ru_utime + used.ru_stime

    def close(self) -> None:
        if self._process.returncode is None:
            self._process.returncode = -signal.SIGKILL  # stuck in the kernel: leave it, rather than hang
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


@dataclass
class _Stream:
    """One output pipe, read until `limit` bytes."""

    descriptor: int
    limit: int
    content: bytearray = field(default_factory=bytearray)

    def pull(self) -> int:
        """Reads what is there; 0 at the end. One byte more than the limit is kept as the mark of a flood."""
        try:
            chunk = os.read(self.descriptor, min(_CHUNK, self.limit + 1 - len(self.content)))
        except BlockingIOError:
            return 1
        self.content += chunk
        return len(chunk)

    @property
    def flooded(self) -> bool:
        return len(self.content) > self.limit


def watch(job: Job, limits: Limits, seen: Watch = unwatched) -> Outcome:
    """Runs the job within the limits; whatever it does, this returns soon after the wall limit."""
    _become_subreaper()
    begun = time.monotonic()
    try:
        process = job.start()
    except OSError as error:
        view.lacking(error)
        return Outcome("sandbox", None, b"", str(error).encode(), time.monotonic() - begun, 0.0, 0.0, job.backend)
    tree = Tree(job.hold.group if job.hold else None)
    try:
        over = os.pidfd_open(process.pid)
    except ProcessLookupError:  # what should have kept it is gone
        process.close()
        return Outcome("sandbox", None, b"", b"gone", time.monotonic() - begun, 0.0, 0.0, job.backend)
    try:
        return _Run(job, limits, seen, process, over, tree).outcome()
    finally:
        _finish(job, process, over, tree)
        os.close(over)
        tree.close()
        process.close()


def hold_and_watch(
    backend: Keeper,
    program: Program,
    seen: Watch,
    started: Callable[[bytes], bool],
    init: Callable[[int, bytes], int | None],
) -> Outcome:
    """Runs a program by the command of a back end that lets us take hold of it. `started`, `init`: as for `Job` and `Hold`."""
    with contextlib.ExitStack() as stack:
        report, told, gate, go = view.pipes(stack, 2)
        group = stack.enter_context(cgroups.group())
        passed = [told, gate]
        job = Job(
            backend=backend.name,
            start=lambda: Command(
                argv=backend.command(program, view.putting(stack, passed), told, gate),
                stdin=view.memory_file(stack, program.stdin),
                environment=view.environment(),
                passed=passed,
                group=group,
            ),
            report=report,
            started=started,
            hold=Hold(go, init, group),
        )
        return watch(job, program.limits, seen)


class _Run:
    """One run from its first byte to its verdict."""

    def __init__(
        self,
        job: Job,
        limits: Limits,
        seen: Watch,
        process: Process,
        over: int,
        tree: Tree,
    ) -> None:
        self._job, self._limits, self._seen = job, limits, seen
        self._process, self._over, self._tree = process, over, tree
        self._streams = [_Stream(descriptor, limits.output_bytes) for descriptor in process.streams]
        self._report = _Stream(job.report, _REPORT_BYTES) if job.report is not None else None
        for stream in self._all_streams():
            os.set_blocking(stream.descriptor, False)
        self._begun = time.monotonic()
        self._peak = Usage()
        self._left_mb = float(limits.memory_mb)

    def _all_streams(self) -> list[_Stream]:
        return [*self._streams, *([self._report] if self._report else [])]

    def _told(self) -> bytes:
        return bytes(self._report.content) if self._report else b""

    def outcome(self) -> Outcome:
        begun = time.monotonic()
        held = self._job.hold is None or self._take_hold(self._job.hold)
        begun = time.monotonic() if held else begun
        self._begun = begun
        reason = self._follow(begun) if held else None
        wall = time.monotonic() - begun
        present = self._spent().present_seconds
        used = _finish(self._job, self._process, self._over, self._tree)
        counted = self._tree.counted_cpu() if held else None
        cpu = max(used, self._peak.cpu_seconds) if counted is None else counted
        for (
            stream
        ) in self._streams:  # everything that could write is dead: what is left in the pipes is all there will be
            with contextlib.suppress(BlockingIOError):
                while not stream.flooded and stream.pull() and readable(stream.descriptor):
                    pass
        if self._report:
            self._report.pull()
        if reason is None:
            reason = self._seen(self._streams[0].content, Spent(cpu, present))
        if reason is None and held and self._tree.out_of_memory():
            reason = "memory"
        if reason is None and any(stream.flooded for stream in self._streams):
            reason = "output"
        stdout, stderr = (bytes(stream.content[: self._limits.output_bytes]) for stream in self._streams)
        status: Status
        if held:
            status, code = _verdict(self._job, self._limits, self._process.code, self._told(), reason, cpu)
        else:
            status, code = "sandbox", None
            stderr = stderr or b"the sandbox was not built in time, or could not be taken hold of"
        return Outcome(status, code, stdout, stderr, wall, cpu, self._peak.memory_mb, self._job.backend)

    def _take_hold(self, hold: Hold) -> bool:
        """Waits until the sandbox is built, takes hold of it and lets the program start. False: it never starts."""
        end = time.monotonic() + _START_SECONDS
        events = select.poll()
        events.register(self._over, select.POLLIN)
        if self._report:
            events.register(self._report.descriptor, select.POLLIN)
        init = None
        while not self._tree.attach(init := init or hold.init(self._process.pid, self._told())):
            found = [descriptor for descriptor, _ in events.poll(_START_POLL_MS if init else _REPORT_POLL_MS)]
            if time.monotonic() > end or self._over in found:
                return False
            if found and self._report and not self._report.pull():
                return False
        try:
            self._tree.bound(self._limits.memory_mb)
            os.write(hold.go, b"\n")
        except OSError:
            return False
        return True

    def _follow(self, begun: float) -> Status | None:
        """Reads and looks until the end; the limit that made us end it, or None."""
        limits = self._limits
        ending = select.poll()
        ending.register(self._over, select.POLLIN)
        with selectors.DefaultSelector() as selector:
            selector.register(self._over, selectors.EVENT_READ)
            for stream in self._all_streams():
                selector.register(stream.descriptor, selectors.EVENT_READ, stream)
            next_look = begun + _POLL_SECONDS
            while True:
                now = time.monotonic()
                if now - begun >= limits.wall_seconds:
                    return "timeout"
                if now >= next_look:
                    if reason := self._look() or self._seen(self._streams[0].content, self._spent()):
                        return reason
                    now = time.monotonic()
                    next_look = now + self._until_next(now - begun)
                little = False
                for key, _ in selector.select(max(0.0, min(next_look, begun + limits.wall_seconds) - now)):
                    if key.data is None:
                        return None
                    taken = key.data.pull()
                    flooded = key.data.flooded
                    if not taken or (flooded and key.data is self._report):
                        selector.unregister(key.fd)
                    elif key.data is self._report:
                        continue
                    elif flooded:
                        return "output"
                    elif key.data is self._streams[0] and (reason := self._seen(key.data.content, self._spent())):
                        return reason
                    else:
                        little = taken < _CHUNK
                if little:
                    ending.poll(_PAUSE_MS)

    def _spent(self) -> Spent:
        return Spent(self._peak.cpu_seconds, time.monotonic() - self._begun - self._tree.waited())

    def _look(self) -> Status | None:
        """The first limit that the tree is over, or None; updates the peak."""
        if not self._tree.attached:
            return None
        limits, peak = self._limits, self._peak
        usage = self._tree.usage(limits.memory_mb)
        peak.memory_mb = max(peak.memory_mb, usage.memory_mb)
        peak.cpu_seconds = max(peak.cpu_seconds, usage.cpu_seconds)
        self._left_mb = limits.memory_mb - usage.memory_mb
        if usage.memory_mb > limits.memory_mb or usage.killed:
            return "memory"
        if usage.inodes > view.INODES or usage.mappings > MOST_MAPPINGS:
            return "memory"
        if usage.cpu_seconds > limits.cpu_seconds:
            return "timeout"
        if usage.threads > limits.processes + _MANY_THREADS:  # RLIMIT_NPROC does not bind real root in a user namespace
            return "signal"
        return None

    def _until_next(self, ran: float) -> float:
        """Seconds until the next look: longer for a long run, but not so long that the memory left could be filled."""
        return max(_POLL_SECONDS, min(_POLL_MOST_SECONDS, ran / 20, self._left_mb / _FILLED_MB / 2))


def _verdict(
    job: Job, limits: Limits, code: int | None, report: bytes, reason: Status | None, cpu: float
) -> tuple[Status, int | None]:
    if reason is not None:
        return reason, None
    if code is None or not job.started(report):
        return "sandbox", None
    if code < 0:
        code = 128 - code
    if cpu > limits.cpu_seconds or code == 128 + signal.SIGXCPU:
        return "timeout", None
    if code == 0:
        return "ok", 0
    return ("signal" if 128 < code <= 128 + signal.NSIG else "error"), code


def _finish(job: Job, process: Process, over: int, tree: Tree) -> float:
    """Kills and reaps what is left. CPU seconds of the tree, as far as the kernel tells. May be repeated."""
    if process.code is not None:
        return 0.0
    tree.kill()
    if tree.handle is None or not readable(over, 1.0):  # with pid 1 dead the outer process ends by itself
        process.kill()
    if not readable(over, GRACE_SECONDS):
        process.code = -signal.SIGKILL  # stuck in the kernel: leave it, rather than hang
        return 0.0
    return process.reap() + tree.reap()


@functools.cache
def _become_subreaper() -> None:
    """Orphaned sandboxes become our children: we can wait for their end, also where the host's init reaps none."""
    libc = ctypes.CDLL(None)
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    if (
        signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    ):  # by who started us: no child could be waited for, and programs inherit it
        libc.signal(signal.SIGCHLD, None)
