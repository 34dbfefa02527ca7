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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from magicoder_repro.score.sandbox import view
from magicoder_repro.score.sandbox.model import Limits, Outcome, Status

_POLL_SECONDS, _POLL_MOST_SECONDS = 0.02, 0.1  # how often usage is looked at: at first, and of a long run
_FILLED_MB = 2500.0 * (os.cpu_count() or 1)  # in a second, about
_PAUSE_MS = 2  # after a little output: what comes meanwhile is read in one go
_GRACE_SECONDS = 5.0  # for the kernel to take a killed tree apart
_CHUNK = 1 << 16
_REPORT_BYTES = 1 << 16
_MB = 1 << 20
_TICK = os.sysconf("SC_CLK_TCK")
_SOCKET_MB = 0.25  # what one socket's queue can hold
_INODE_MB = 0.001
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_MANY_THREADS = 16  # the sandbox's own processes, on top of the program's limit


@dataclass(frozen=True)
class Spent:
    """What a program has used so far: CPU seconds of its whole tree (at the last look), and the wall seconds in which its first
    process was not waiting for a processor, so that a busy machine decides nothing and a sleep counts."""

    cpu_seconds: float
    present_seconds: float


Watch = Callable[[bytearray, Spent], Status | None]
"""Sees the standard output as it grows, and what has been used; a status ends the job with it."""


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
class Job:
    """What a back end built. `report`: a pipe's read end, on which the back end says how it went."""

    backend: str
    start: Callable[[], Process]
    report: int | None = None
    started: Callable[[bytes], bool] = lambda report: True  # whether the report says that the program ran
    init: Callable[[int, bytes], int | None] = lambda pid, report: None  # the namespace's pid 1, seen from here
    stop: Callable[[], None] = lambda: None  # what must be done besides killing


class Command:
    """A process that is started here, in a session of its own: it has no terminal."""

    def __init__(
        self,
        argv: Sequence[str],
        stdin: int,
        environment: Mapping[str, str],
        passed: Sequence[int] = (),
        folder: Path | None = None,
    ) -> None:
        self.code: int | None = None
        self._process = subprocess.Popen(
            view.first_to_die(argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            pass_fds=tuple(passed),
            start_new_session=True,
            cwd=folder or "/",
        )
        assert self._process.stdout and self._process.stderr
        self.pid = self._process.pid
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
class _Usage:
    memory_mb: float = 0.0
    cpu_seconds: float = 0.0
    threads: int = 0
    inodes: int = 0


class _Tree:
    """The processes of one sandbox, seen through its own /proc: all of them, whoever their parents are."""

    def __init__(self) -> None:
        self.init: int | None = None
        self.handle: int | None = None
        self._proc: int | None = None
        self._box: int | None = None
        self._waited = 0.0

    def attach(self, init: int | None) -> None:
        """Takes hold of pid 1 (once), then of the sandbox's /proc and private folder (once they are there)."""
        if init is not None and self.init is None:
            try:
                self.handle = os.pidfd_open(init)
            except OSError:
                return
            self.init = init
        if self.init is None or self._proc is not None:
            return
        root = f"/proc/{self.init}/root"
        with contextlib.suppress(OSError):
            if Path(root).stat().st_dev == Path("/").stat().st_dev:  # still our own root: not set up yet
                return
            box = os.open(root + view.SCRATCH, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._proc = os.open(root + "/proc", os.O_RDONLY | os.O_DIRECTORY)
                self._box = box
            except OSError:
                os.close(box)

    def usage(self, limit_mb: float) -> _Usage | None:
        """What all processes and the private folder hold now; None before the sandbox is set up."""
        if self._proc is None or self._box is None:
            return None
        found = _Usage()
        hidden = shared = 0.0
        pids = [name for name in os.listdir(self._proc) if name.isdigit()]  # noqa: PTH208 - a descriptor
        for pid in pids:
            status = _fields(self._read(f"{pid}/status"))
            found.memory_mb += (status.get("RssAnon", 0) + status.get("VmPTE", 0)) / 1024
            shared += status.get("RssShmem", 0) / 1024
            hidden += (status.get("VmSize", 0) - status.get("VmData", 0)) / 1024
            found.threads += status.get("Threads", 0)
            stat = self._read(f"{pid}/stat").rpartition(b") ")[2].split()
            found.cpu_seconds += sum(int(ticks) for ticks in stat[11:15]) / _TICK
        # Shared pages are in every resident set, or in none any more: where that matters the mappings count, each once.
        if hidden > limit_mb or (shared > 1 and len(pids) > 2):
            mapped = sum(dict(row for pid in pids for row in _shared(self._read(f"{pid}/maps"))).values())
            shared = mapped if hidden > limit_mb else min(shared, mapped)
        found.memory_mb += shared
        if pids:
            found.memory_mb += _SOCKET_MB * max(0, self._read(f"{pids[0]}/net/unix").count(b"\n") - 1)
        disk = os.fstatvfs(self._box)
        found.inodes = disk.f_files - disk.f_ffree
        found.memory_mb += (disk.f_blocks - disk.f_bfree) * disk.f_frsize / _MB + found.inodes * _INODE_MB
        return found

    def _read(self, name: str) -> bytes:
        try:
            descriptor = os.open(name, os.O_RDONLY, dir_fd=self._proc)
        except OSError:
            return b""
        content = bytearray()
        with contextlib.suppress(OSError):  # the process is gone
            while chunk := os.read(descriptor, _CHUNK):
                content += chunk
        os.close(descriptor)
        return bytes(content)

    def waited(self) -> float:
        """Seconds for which the program's first process has been waiting for a processor."""
        words = self._read("2/schedstat").split() if self._proc is not None else []
        self._waited = int(words[1]) / 1e9 if len(words) == 3 else self._waited
        return self._waited

    def kill(self) -> None:
        """Kills pid 1; the kernel then kills everything else in the namespace."""
        if self.handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def reap(self) -> float:
        """Waits for the end of pid 1, which is the end of all. CPU seconds if it became our child, else 0."""
        if self.handle is None or self.init is None:
            return 0.0
        _wait(self.handle, _GRACE_SECONDS)
        with contextlib.suppress(ChildProcessError):
            pid, _, used = os.wait4(self.init, os.WNOHANG)
            if pid:
                return used.ru_utime + used.ru_stime
        return 0.0

    def close(self) -> None:
        for descriptor in (self.handle, self._proc, self._box):
            if descriptor is not None:
                os.close(descriptor)


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
        return Outcome("sandbox", None, b"", str(error).encode(), time.monotonic() - begun, 0.0, 0.0, job.backend)
    tree = _Tree()
    try:
        over = os.pidfd_open(process.pid)
    except ProcessLookupError:  # what should have kept it is gone
        process.close()
        return Outcome("sandbox", None, b"", b"gone", time.monotonic() - begun, 0.0, 0.0, job.backend)
    try:
        return _follow(job, limits, seen, process, over, tree, begun)
    finally:
        _finish(job, process, over, tree)
        os.close(over)
        tree.close()
        process.close()


def _follow(
    job: Job,
    limits: Limits,
    seen: Watch,
    process: Process,
    over: int,
    tree: _Tree,
    begun: float,
) -> Outcome:
    streams = [_Stream(descriptor, limits.output_bytes) for descriptor in process.streams]
    report = _Stream(job.report, _REPORT_BYTES) if job.report is not None else None
    for stream in (*streams, *([report] if report else [])):
        os.set_blocking(stream.descriptor, False)
    peak = _Usage()
    reason: Status | None = None

    def spent() -> Spent:
        return Spent(peak.cpu_seconds, time.monotonic() - begun - tree.waited())

    ending = select.poll()
    ending.register(over, select.POLLIN)
    with selectors.DefaultSelector() as selector:
        selector.register(over, selectors.EVENT_READ)
        for stream in (*streams, *([report] if report else [])):
            selector.register(stream.descriptor, selectors.EVENT_READ, stream)
        next_poll = begun
        ended = False
        while not ended and reason is None:
            now = time.monotonic()
            if now - begun >= limits.wall_seconds:
                reason = "timeout"
                break
            if now >= next_poll:
                tree.attach(job.init(process.pid, bytes(report.content) if report else b""))
                usage = tree.usage(limits.memory_mb)
                reason = _exceeded(usage, limits, peak) or seen(streams[0].content, spent())
                next_poll = now + _until_next(usage, limits, now - begun)
            little = False
            for key, _ in selector.select(max(0.0, min(next_poll, begun + limits.wall_seconds) - now)):
                if key.data is None:
                    ended = True
                elif not (taken := key.data.pull()):
                    selector.unregister(key.fd)
                elif key.data.flooded:
                    selector.unregister(key.fd)
                    reason = "output" if key.data is not report else reason
                else:
                    little = taken < _CHUNK
                    if key.data is streams[0] and reason is None:
                        reason = seen(key.data.content, spent())
            if little and reason is None:
                ending.poll(_PAUSE_MS)
    wall = time.monotonic() - begun
    if report:
        report.pull()
        tree.attach(job.init(process.pid, bytes(report.content)))
    cpu = max(_finish(job, process, over, tree), peak.cpu_seconds)
    for stream in streams:  # everything that could write is dead: what is left in the pipes is all there will be
        with contextlib.suppress(BlockingIOError):
            while not stream.flooded and stream.pull() and _readable(stream.descriptor):
                pass
    if report:
        report.pull()
    if reason is None and any(stream.flooded for stream in streams):
        reason = "output"
    status, code = _verdict(job, limits, process.code, bytes(report.content) if report else b"", reason, cpu)
    stdout, stderr = (bytes(stream.content[: limits.output_bytes]) for stream in streams)
    return Outcome(status, code, stdout, stderr, wall, cpu, peak.memory_mb, job.backend)


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


def _until_next(usage: _Usage | None, limits: Limits, ran: float) -> float:
    """Seconds until usage is to be looked at again: longer for a long run, but not so long that the memory left could be filled."""
    if usage is None:
        return _POLL_SECONDS
    filled = (limits.memory_mb - usage.memory_mb) / _FILLED_MB / 2
    return max(_POLL_SECONDS, min(_POLL_MOST_SECONDS, ran / 20, filled))


def _exceeded(usage: _Usage | None, limits: Limits, peak: _Usage) -> Status | None:
    """The first limit that the tree is over, or None; updates the peak."""
    if usage is None:
        return None
    peak.memory_mb = max(peak.memory_mb, usage.memory_mb)
    peak.cpu_seconds = max(peak.cpu_seconds, usage.cpu_seconds)
    if usage.memory_mb > limits.memory_mb or usage.inodes > view.INODES:
        return "memory"
    if usage.cpu_seconds > limits.cpu_seconds:
        return "timeout"
    if usage.threads > limits.processes + _MANY_THREADS:  # RLIMIT_NPROC does not bind real root in a user namespace
        return "signal"
    return None


def _finish(job: Job, process: Process, over: int, tree: _Tree) -> float:
    """Kills and reaps what is left. CPU seconds of the tree, as far as the kernel tells. May be repeated."""
    if process.code is not None:
        return 0.0
    tree.kill()
    job.stop()
    if tree.handle is None or not _wait(over, 1.0):  # with pid 1 dead the outer process ends by itself
        process.kill()
    if not _wait(over, _GRACE_SECONDS):
        process.code = -signal.SIGKILL  # stuck in the kernel: leave it, rather than hang
        return 0.0
    return process.reap() + tree.reap()


def _wait(handle: int, seconds: float) -> bool:
    """Waits for the end of a process by its pidfd."""
    return _readable(handle, seconds)


def _readable(descriptor: int, seconds: float = 0.0) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def _fields(status: bytes) -> dict[str, int]:
    """The numbers of /proc/PID/status that are followed here: kB, and the count of threads."""
    wanted = {b"VmSize", b"VmData", b"VmPTE", b"RssAnon", b"RssShmem", b"Threads"}
    pairs = (line.partition(b":") for line in status.splitlines())
    return {name.decode(): int(value.split()[0]) for name, _, value in pairs if name in wanted}


def _shared(maps: bytes) -> Iterator[tuple[tuple[bytes, bytes], float]]:
    """The shared anonymous mappings in /proc/PID/maps: (memory object, offset) and MB."""
    for line in maps.splitlines():
        if b"/dev/zero" in line:
            span, flags, offset, _, inode, _ = line.split(maxsplit=5)
            start, _, end = span.partition(b"-")
            if flags.endswith(b"s"):
                yield (inode, offset), (int(end, 16) - int(start, 16)) / _MB


@functools.cache
def _become_subreaper() -> None:
    """Orphaned sandboxes become our children: we can wait for their end, also where the host's init reaps none."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def first_child(pid: int, report: bytes = b"") -> int | None:
    """The only child of a process, or None."""
    try:
        descriptor = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)
    except OSError:
        return None
    try:
        words = os.read(descriptor, _CHUNK).split()
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return int(words[0]) if words else None
