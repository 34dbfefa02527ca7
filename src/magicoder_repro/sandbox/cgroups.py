"""Control groups: the kernel itself counts a sandbox's CPU time and memory, where this machine lets us make groups.

Version 1 (hierarchies `memory` and `cpuacct`) or version 2 (CPU time in any group that we may make; memory where the controller is
on for the groups beside us or below us). Where none may be made nothing is said: `supervise` counts by itself, and `seccomp`
refuses what it could not count. A group serves one sandbox after the other, and goes with this process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_NAME = "magicoder-sandbox"
_KERNEL_MB = 64  # stacks, tables and caches that every program needs, on top of its limit
_NUMBERS = itertools.count()
_T = TypeVar("_T")
_IDLE: list[Group] = []
_MOST_BYTES = 4096
_EMPTY_SECONDS, _EMPTY_POLL_SECONDS = 1.0, 0.001  # for a group to be empty after the end of what was in it


@dataclass(frozen=True)
class _Places:
    """Folders of the hierarchies in which groups are made; None: not on this machine, or not ours to make."""

    memory: Path | None
    cpu: Path | None
    memory_is_v1: bool = True


class Group:
    """One group in each hierarchy.

    To move a process into a group can take 15 ms on a busy machine. So, in version 1, a thread of ours lives in it and starts what
    is to be born there.
    """

    def __init__(self, places: _Places) -> None:
        name = f"{_NAME}-{os.getpid()}-{next(_NUMBERS)}"
        self._memory = places.memory / name if places.memory else None
        self._cpu = places.cpu / name if places.cpu else None
        self._v1 = places.memory_is_v1
        self._limit_mb = self._resident = 0
        self._starter: ThreadPoolExecutor | None = None
        self.settled = False  # what is started for it is born there
        for folder in self._folders():
            folder.mkdir(exist_ok=True)
        self._cpu_is_v1 = self._cpu is not None and (self._cpu / "cpuacct.usage").exists()
        self._seconds: int | None = None
        self._kills: int | None = None

    def start(self, command: Callable[[], _T]) -> _T:
        """Calls `command` where the processes that it starts are born in the group (version 1; else they have to `enter` it)."""
        if any((folder / "cgroup.type").exists() for folder in self._folders()):  # version 2 moves whole processes only
            return command()
        if self._starter is None:
            self._starter = ThreadPoolExecutor(1, initializer=self._settle)
        self.settled = True
        try:
            return self._starter.submit(command).result()
        except BrokenExecutor as error:  # somebody has removed the group
            raise OSError(f"{self._folders()[0]}: cannot be entered") from error

    def _settle(self) -> None:
        self._resident = threading.get_native_id()
        for folder in self._folders():
            (folder / "tasks").write_text(str(self._resident))

    def _folders(self) -> list[Path]:
        return list(dict.fromkeys(folder for folder in (self._memory, self._cpu) if folder))

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """While it is in use its counters are open."""
        with contextlib.ExitStack() as stack:

            def opened(folder: Path | None, name: str) -> int | None:
                if folder is None:
                    return None
                descriptor = os.open(folder / name, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                return descriptor

            self._seconds = opened(self._cpu, "cpuacct.usage" if self._cpu_is_v1 else "cpu.stat")
            self._kills = opened(self._memory, "memory.oom_control" if self._v1 else "memory.events")
            yield

    def limit(self, memory_mb: int) -> None:
        """Bounds all memory that its processes make the kernel hold, whatever its kind. OSError where that fails."""
        if self._memory is None or self._limit_mb == memory_mb:
            return
        size = str((memory_mb + memory_mb // 16 + _KERNEL_MB) << 20)
        if self._v1:
            swap = self._memory / "memory.memsw.limit_in_bytes"
            for file in (swap, self._memory / "memory.limit_in_bytes", swap):  # the one is never below the other
                with contextlib.suppress(OSError):
                    file.write_text(size)
            if (self._memory / "memory.limit_in_bytes").read_text().strip() != size:
                raise OSError(f"{self._memory}: the limit was not taken")
        else:
            (self._memory / "memory.max").write_text(size)
            with contextlib.suppress(OSError):
                (self._memory / "memory.swap.max").write_text("0")
        self._limit_mb = memory_mb

    def enter(self, pid: int) -> None:
        """Moves a process into the group, unless it was born there; what it starts from then on is born there."""
        if not self.settled:
            for folder in self._folders():
                (folder / "cgroup.procs").write_text(str(pid))

    def cpu_seconds(self) -> float | None:
        """What all its processes have used since it was made, those that nobody waited for too; None where it is not counted."""
        if self._seconds is None:
            return None
        text = os.pread(self._seconds, _MOST_BYTES, 0)
        return int(text) / 1e9 if self._cpu_is_v1 else _value(text, b"usage_usec") / 1e6

    def times_out_of_memory(self) -> int:
        """How many of its processes the kernel has killed because of the limit."""
        return 0 if self._kills is None else _value(os.pread(self._kills, _MOST_BYTES, 0), b"oom_kill")

    def usable(self) -> bool:
        """Whether it is still there, and empty."""
        ours = b"" if self._starter is None else b"%d\n" % self._resident
        name = "cgroup.procs" if self._starter is None else "tasks"
        try:
            return all((folder / name).read_bytes() == ours for folder in self._folders())
        except OSError:
            return False

    def remove(self) -> None:
        """Removes it; a group that is not empty stays until a later process of ours finds it empty."""
        if self._starter is not None:
            self._starter.shutdown()
        end = time.monotonic() + _EMPTY_SECONDS
        while (left := [folder for folder in self._folders() if folder.exists()]) and time.monotonic() < end:
            for folder in left:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            time.sleep(_EMPTY_POLL_SECONDS)


@contextlib.contextmanager
def group() -> Iterator[Group | None]:
    """A group for one sandbox, or None where this machine has none for us. All its processes must be dead at the end."""
    found = _take()
    if found is None:
        yield None
        return
    try:
        with found.counting():
            yield found
    finally:
        if found.usable():
            found.settled = False
            _IDLE.append(found)


def _take() -> Group | None:
    places = _places()
    if places is None:
        return None
    with contextlib.suppress(IndexError):
        return _IDLE.pop()
    try:
        return Group(places)
    except OSError:
        return None


def counts_cpu() -> bool:
    """Whether the kernel counts the CPU time of a sandbox for us."""
    places = _places()
    return places is not None and places.cpu is not None


@functools.cache
def _places() -> _Places | None:
    """Where groups can be made, tried out with a group and a process."""
    try:
        mounts, own = _hierarchies(), _own()
    except OSError:
        return None
    memory = _below(mounts.get("memory"), own.get("memory"))
    cpu = _below(mounts.get("cpuacct"), own.get("cpuacct"))
    unified = _below(mounts.get(""), own.get(""))
    v1 = memory is not None or unified is None
    if not v1:
        memory = _with_memory(unified)
    memory = memory if memory and _works(_Places(memory, None, v1)) else None
    cpu = cpu or (memory if memory and not v1 else unified)  # CPU time is counted in any group of version 2
    cpu = cpu if cpu and _works(_Places(None, cpu)) else None
    if memory is None and cpu is None:
        return None
    found = _Places(memory, cpu, v1)
    _sweep(found)
    atexit.register(_leave, found)
    os.register_at_fork(after_in_child=_IDLE.clear)
    return found


def _hierarchies() -> dict[str, tuple[Path, str]]:
    """Where the hierarchies are mounted, by controller ("": version 2), and which of their groups is the mount's root."""
    found: dict[str, tuple[Path, str]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        words, (kind, _, options) = before.split(), after.split(" ", 2)
        place = (Path(words[4].encode().decode("unicode_escape")), words[3])
        if kind == "cgroup2":
            found.setdefault("", place)
        elif kind == "cgroup":
            for controller in options.split(","):
                found.setdefault(controller, place)
    return found


def _own() -> dict[str, str]:
    """Our own group in each hierarchy, by controller."""
    rows = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    return {controller: path for _, controllers, path in rows for controller in controllers.split(",")}


def _below(mount: tuple[Path, str] | None, group: str | None) -> Path | None:
    """The folder of a group, or None where it does not lie under the mount."""
    if mount is None or group is None:
        return None
    path, root = mount
    if not Path(group).is_relative_to(root):
        return None
    return path / Path(group).relative_to(root)


def _with_memory(own: Path | None) -> Path | None:
    """The folder, ours or the one above, whose groups have the memory controller."""
    if own is None:
        return None
    for folder in (own, own.parent):
        with contextlib.suppress(OSError):
            if "memory" in (folder / "cgroup.subtree_control").read_text().split():
                return folder
    return None


def _works(places: _Places) -> bool:
    """Whether a group can be made, bounded, entered, read and removed there."""
    try:
        one = Group(places)
    except OSError:
        return False
    command = ["/bin/sh", "-c", "read line"]  # ends with its input, so with this process too
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child, one.counting():
            one.limit(256)
            one.enter(child.pid)
            one.times_out_of_memory()
            one.cpu_seconds()
        return True
    except (OSError, ValueError):
        return False
    finally:
        one.remove()


def _sweep(places: _Places) -> None:
    """Removes the groups of processes that were killed."""
    for place in {places.memory, places.cpu} - {None}:
        assert place is not None
        for folder in place.glob(f"{_NAME}-*-*"):
            pid = folder.name.split("-")[-2]
            if pid.isdigit() and not Path("/proc", pid).exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _leave(places: _Places) -> None:
    while _IDLE:
        _IDLE.pop().remove()
    _sweep(places)


def _value(text: bytes, name: bytes) -> int:
    """The number in the line of that name."""
    for line in text.splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0
