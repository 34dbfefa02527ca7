"""The processes of one sandbox, seen from outside: what they use, and their end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro.sandbox import cgroups, view

GRACE_SECONDS = 5.0  # for the kernel to take a killed tree apart
_CHUNK = 1 << 16
_MB = 1 << 20
_TICK = os.sysconf("SC_CLK_TCK")
_SOCKET_MB = 0.25  # what one socket's queue can hold
_INODE_MB = 0.001
_MAPPING_MB = 0.0005  # what the kernel keeps of one mapping
MOST_MAPPINGS = 50_000  # of the whole tree: as many can be looked at in time. A program with torch has 3,000
_COUNT_SECONDS, _COUNT_MOST_SECONDS = 0.1, 0.25  # between two counts of the mappings
_COUNT_REST = 50  # times as long as a count has taken
_PLACES = (
    "proc",
    view.BOX.strip("/"),
)  # mounts below the sandbox's root, which is read-only: nobody inside can replace them


@dataclass
class Usage:
    """What a tree holds now. `memory_mb`: with its private folder and what the kernel keeps for it, as far as that can be seen."""

    memory_mb: float = 0.0
    cpu_seconds: float = 0.0
    threads: int = 0
    inodes: int = 0
    mappings: int = 0
    killed: bool = False  # the kernel has ended a process, because of the group's limit


class Tree:
    """All processes of a sandbox, whoever their parents are, through its own /proc; CPU time by their control group, if any.

    `attach` takes hold of pid 1, of /proc and of the private folder by descriptors, before the program starts: nothing that the
    program does to paths or links changes what is looked at.
    """

    def __init__(self, group: cgroups.Group | None) -> None:
        self.handle: int | None = None
        self._group = group
        self._init: int | None = None
        self._folders: list[int] = []  # /proc and the private folder, by the sandbox's mounts; pid 1's own in our /proc
        self._cpu_before = self._killed_before = 0.0
        self._mappings = 0
        self._next_count = 0.0
        self._waited = 0.0

    @property
    def attached(self) -> bool:
        return len(self._folders) == len(_PLACES) + 1

    def attach(self, init: int | None) -> bool:
        """Takes hold of the sandbox whose pid 1 is `init`, once its root is complete. Nothing else may run in it yet."""
        if init is None:
            return False
        if self.handle is None:
            try:
                self.handle = os.pidfd_open(init)
            except OSError:
                return False
            self._init = init
        try:
            os.lstat(f"/proc/{init}/root{view.BOX}")  # a first look, which costs little
        except OSError:
            return False
        with contextlib.ExitStack() as stack:

            def take(name: str, flags: int, folder: int | None = None) -> int:
                descriptor = os.open(name, flags | os.O_DIRECTORY, dir_fd=folder)
                stack.callback(os.close, descriptor)
                return descriptor

            try:
                here = take(f"/proc/{init}", os.O_RDONLY)
                root = take("root", os.O_PATH, here)
                places = [take(name, os.O_RDONLY | os.O_NOFOLLOW, root) for name in _PLACES]
            except OSError:
                return False
            if os.path.samestat(os.fstat(root), Path("/").stat()):  # ours: not built yet
                return False
            if any(os.fstat(place).st_dev == os.fstat(root).st_dev for place in places):  # not mounted yet
                return False
            self._folders = [os.dup(descriptor) for descriptor in (*places, here)]
        return True

    def bound(self, memory_mb: int) -> None:
        """Puts pid 1, and so all that it starts, into the group, and makes it the first to go when memory runs out."""
        assert self._init is not None
        view.first_to_die(self._init)
        self._next_count = time.monotonic() + _COUNT_SECONDS
        if self._group is not None:
            self._group.limit(memory_mb)
            self._group.enter(self._init)
            self._cpu_before = self._group.cpu_seconds() or 0.0
            self._killed_before = self._group.times_out_of_memory()

    def usage(self, limit_mb: float) -> Usage:
        """What all processes and the private folder hold now."""
        proc, box, init = self._folders
        found = Usage()
        hidden = shared = 0.0
        # pid 1's own folder may be covered inside
        pids = [(init, "") if name == "1" else (proc, f"{name}/") for name in os.listdir(proc) if name.isdigit()]  # noqa: PTH208
        for folder, prefix in pids:
            status = _fields(_read(folder, f"{prefix}status"))
            kept = sum(status.get(name, 0) for name in ("RssAnon", "VmPTE", "VmSwap", "HugetlbPages"))
            found.memory_mb += kept / 1024
            shared += status.get("RssShmem", 0) / 1024
            hidden += (status.get("VmSize", 0) - status.get("VmData", 0)) / 1024
            found.threads += status.get("Threads", 0)
            stat = _read(folder, f"{prefix}stat").rpartition(b") ")[2].split()
            found.cpu_seconds += sum(int(ticks) for ticks in stat[11:15]) / _TICK
        # Shared pages are in every resident set, or in none any more: where that matters the mappings count, each once.
        looked_at = hidden > limit_mb or (shared > 1 and len(pids) > 2)
        if looked_at or time.monotonic() >= self._next_count:
            mapped = self._count(pids)
            if looked_at and mapped is not None:
                shared = mapped if hidden > limit_mb else min(shared, mapped)
        found.mappings = self._mappings
        found.memory_mb += shared + self._mappings * _MAPPING_MB
        found.memory_mb += _SOCKET_MB * max(0, _read(init, "net/unix").count(b"\n") - 1)
        disk = os.fstatvfs(box)
        found.inodes = disk.f_files - disk.f_ffree
        found.memory_mb += (disk.f_blocks - disk.f_bfree) * disk.f_frsize / _MB + found.inodes * _INODE_MB
        if self._group is not None:
            found.killed = self._group.times_out_of_memory() > self._killed_before
            found.cpu_seconds = self.counted_cpu() or found.cpu_seconds
        return found

    def _count(self, pids: list[tuple[int, str]]) -> float | None:
        """Counts the mappings, no more of them than are allowed. MB of the shared ones; None where a list cannot be read."""
        begun = time.monotonic()
        found: dict[tuple[bytes, bytes], float] = {}
        count, readable = 0, True
        for folder, prefix in pids:
            maps = b""
            for maps in _lines(folder, f"{prefix}maps"):
                count += maps.count(b"\n")
                found.update(_shared(maps))
                if count > MOST_MAPPINGS:
                    break
            readable = readable and bool(maps or _fields(_read(folder, f"{prefix}status")).get("VmSize", 0) == 0)
        self._mappings = count
        now = time.monotonic()
        self._next_count = now + min(max(_COUNT_SECONDS, _COUNT_REST * (now - begun)), _COUNT_MOST_SECONDS)
        return sum(found.values()) if readable else None

    def counted_cpu(self) -> float | None:
        """CPU seconds of the tree so far by its group; None where there is none."""
        seconds = self._group.cpu_seconds() if self._group is not None else None
        return None if seconds is None else max(0.0, seconds - self._cpu_before)

    def waited(self) -> float:
        """Seconds for which the program's first process has been waiting for a processor, as far as the kernel tells."""
        words = _read(self._folders[0], "2/schedstat").split() if self.attached else []
        self._waited = int(words[1]) / 1e9 if len(words) == 3 else self._waited
        return self._waited

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed one of its processes because of the group's limit."""
        return self._group is not None and self.attached and self._group.times_out_of_memory() > self._killed_before

    def kill(self) -> None:
        """Kills pid 1; the kernel then kills everything else in the namespace."""
        if self.handle is not None and self._init is not None:
            with contextlib.suppress(OSError):  # where we may: it need not wait until its children let it end
                os.setpriority(os.PRIO_PROCESS, self._init, -20)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def reap(self) -> float:
        """Waits for the end of pid 1, which is the end of all. CPU seconds if it became our child, else 0."""
        if self.handle is None or self._init is None:
            return 0.0
        readable(self.handle, GRACE_SECONDS)
        with contextlib.suppress(ChildProcessError):
            pid, _, used = os.wait4(self._init, os.WNOHANG)
            if pid:
                return used.ru_utime + used.ru_stime
        return 0.0

    def close(self) -> None:
        for descriptor in (self.handle, *self._folders):
            if descriptor is not None:
                os.close(descriptor)


def readable(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether there is something to read (of a pidfd: the end of the process) within that time."""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def first_child(pid: int) -> int | None:
    """The only child of a process, or None."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()
    except OSError:
        return None
    return int(words[0]) if words else None


def _read(folder: int, name: str) -> bytes:
    return b"".join(_chunks(folder, name))


def _chunks(folder: int, name: str) -> Iterator[bytes]:
    """A file's content; ends early when the process has."""
    try:
        descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            while chunk := os.read(descriptor, _CHUNK):
                yield chunk
    finally:
        os.close(descriptor)


def _lines(folder: int, name: str) -> Iterator[bytes]:
    """The same in pieces of whole lines."""
    left = b""
    for chunk in _chunks(folder, name):
        whole, newline, rest = (left + chunk).rpartition(b"\n")
        left = rest
        yield whole + newline
    if left:
        yield left


def _fields(status: bytes) -> dict[str, int]:
    """The numbers of /proc/PID/status that are followed here: kB, and the count of threads."""
    wanted = {b"VmSize", b"VmData", b"VmPTE", b"VmSwap", b"RssAnon", b"RssShmem", b"HugetlbPages", b"Threads"}
    pairs = (line.partition(b":") for line in status.splitlines())
    return {name.decode(): int(value.split()[0]) for name, _, value in pairs if name in wanted}


def _shared(maps: bytes) -> Iterator[tuple[tuple[bytes, bytes], float]]:
    """The shared anonymous mappings in /proc/PID/maps: (memory object, offset) and MB."""
    for line in maps.splitlines() if b"/dev/zero" in maps else ():
        if b"/dev/zero" in line:
            span, flags, offset, _, inode, _ = line.split(maxsplit=5)
            start, _, end = span.partition(b"-")
            if flags.endswith(b"s"):
                yield (inode, offset), (int(end, 16) - int(start, 16)) / _MB
