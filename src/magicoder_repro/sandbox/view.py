"""What a sandboxed program sees of the host, and who it is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import math
import os
import random
import resource
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox.model import Limits, Program, Put

BOX = "/box"
SCRATCH = "/box/.tmp"  # /tmp and /dev/shm point here: one quota bounds all that a program can write
DEVICES = ("null", "zero", "full", "random", "urandom")
LINKS = {
    "/tmp": SCRATCH,
    "/dev/shm": SCRATCH,
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}
INODES = 20_000  # of the private folder; tmpfs does not count them as size
NOBODY = 65534
_OWN_PROCESSES = 8  # of a sandbox, beside the program's
_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "php")
_NEEDED_CAPABILITIES = (6, 7, 8, 18, 21)  # setgid, setuid, setpcap, sys_chroot, sys_admin


def environment() -> dict[str, str]:
    """The whole environment of a program; nothing of ours is passed on."""
    path = ["/usr/local/bin", "/usr/bin", "/bin"]
    if not _in_usr(Path(sys.base_prefix)):
        path.insert(0, f"{sys.base_prefix}/bin")
    return {
        "PATH": ":".join(path),
        "HOME": BOX,
        "USER": "box",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def binds(program: Program) -> list[str]:
    """Host paths shown read-only at the same place: the runtime, the Python prefixes, the caller's folders."""
    found = [Path("/usr"), *(Path("/", name) for name in ("bin", "sbin", "lib", "lib32", "lib64"))]
    found += [Path("/etc", name) for name in _ETC]
    found += sorted(Path("/etc").glob("java-*"))
    found.append(Path(sys.base_prefix))
    if Path(program.argv[0]).is_relative_to(sys.prefix):
        found.append(Path(sys.prefix))
    found += program.readonly
    paths = [str(path) for path in found if path.exists() and not path.is_symlink()]
    kept: list[str] = []
    for path in paths:  # a folder inside a kept one is already there
        if not any(Path(path).is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def links() -> dict[str, str]:
    """Symbolic links to make: path -> target."""
    merged = {f"/{name}": Path("/", name) for name in ("bin", "sbin", "lib", "lib32", "lib64")}
    return {path: str(link.readlink()) for path, link in merged.items() if link.is_symlink()} | LINKS


def place(path: str) -> str:
    """Where a host path is mounted: below /tmp (a link inside) it has to be the link's target."""
    for link in ("/tmp", "/dev/shm"):
        if path.startswith(link + "/"):
            return LINKS[link] + path.removeprefix(link)
    return path


def folders(paths: Iterable[str]) -> list[str]:
    """Every ancestor of the paths, parents first; made by us so that another uid may pass through them."""
    found = {str(parent) for path in paths for parent in Path(path).parents}
    return sorted(found - {"/", "/proc", "/usr", BOX, SCRATCH})


def accounts(uid: int) -> dict[str, bytes]:
    """Stub account files, so that looking up the own uid works."""
    return {
        "/etc/passwd": f"box:x:{uid}:{uid}::{BOX}:/bin/sh\n".encode(),
        "/etc/group": f"box:x:{uid}:\n".encode(),
    }


@functools.cache
def privileged() -> bool:
    """Whether we are root enough to make namespaces without a user namespace and to become another uid."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    held = int(status["CapEff"], 16)
    return os.geteuid() == 0 and all(held >> number & 1 for number in _NEEDED_CAPABILITIES)


def own_uid() -> int:
    """As root a uid that nobody else has: RLIMIT_NPROC counts by uid, and uid 0 is exempt from it. Else `nobody`."""
    if not privileged():
        return NOBODY
    mapped = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    whole = any(int(row[0]) == 0 and int(row[2]) >= 2**32 - 1 for row in mapped)
    return random.SystemRandom().randrange(2**30, 2**31) if whole else random.SystemRandom().randrange(10_000, 60_000)


def resource_limits(limits: Limits) -> dict[str, tuple[int, int | None]]:
    """Soft and hard limits (None: as it is) by prlimit(1)'s names.

    RLIMIT_DATA and not RLIMIT_AS, since JVM and V8 reserve address space that they never use.
    """
    cpu = math.ceil(limits.cpu_seconds) + 1  # a backstop: the supervisor counts the tree's seconds
    hard = {
        "data": limits.memory_mb << 20,
        "nproc": limits.processes,
        "nofile": limits.open_files,
        "fsize": limits.file_mb << 20,
        "core": 0,
        "msgqueue": 0,
        "memlock": 65536,
        "sigpending": 256,
        "nice": 0,
        "rtprio": 0,
    }
    return {"cpu": (cpu, cpu + 1), "stack": (8 << 20, None), **{name: (value, value) for name, value in hard.items()}}


def limit_options(limits: Limits) -> list[str]:
    """The options of prlimit(1)."""
    return [f"--{name}={soft}:{'' if hard is None else hard}" for name, (soft, hard) in resource_limits(limits).items()]


def box_options(limits: Limits) -> str:
    """The mount options of the private folder."""
    return f"size={limits.scratch_mb << 20},nr_inodes={INODES},mode=0777"


def pipes(stack: contextlib.ExitStack, count: int) -> tuple[int, ...]:
    """Read end, write end, of each; closed with `stack`."""
    ends = tuple(end for _ in range(count) for end in os.pipe())
    for end in ends:
        stack.callback(os.close, end)
    return ends


def putting(stack: contextlib.ExitStack, passed: list[int]) -> Put:
    """A `Put` whose descriptors are closed with `stack`, and added to those that the started command inherits."""

    def put(content: bytes) -> int:
        passed.append(memory_file(stack, content))
        return passed[-1]

    return put


def memory_file(stack: contextlib.ExitStack, content: bytes) -> int:
    """A descriptor on `content`, closed with `stack`, sealed so that no reader can change it."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, descriptor)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(
        descriptor,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE,
    )
    return descriptor


@functools.cache
def tool(name: str) -> str | None:
    """The absolute path of a command that lies in the runtime (so that it is there inside too), or None."""
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    return found and str(Path(found).resolve())


def first_to_die(pid: int) -> None:
    """Marks a process, and what it starts, as the kernel's first choice when memory runs out: the last line behind the limits."""
    with contextlib.suppress(OSError):
        descriptor = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
        try:
            os.write(descriptor, b"1000")
        finally:
            os.close(descriptor)


def lacking(error: OSError) -> None:
    """Raises a UsageError when it was a resource limit of our own that was too low; else it is not our affair."""
    if error.errno in (errno.EMFILE, errno.EAGAIN) and (told := low_limits(error.errno)):
        raise UsageError(f"sandbox: {told}") from error


def low_limits(reached: int = 0) -> str | None:
    """Which of our resource limits is too low for a sandbox, and the number that is needed. `reached`: the errno of one that was."""
    files, hard_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = Limits.open_files  # a program's own limit may not be above ours
    if reached == errno.EMFILE or 0 <= files < needed or 0 <= hard_files < needed:
        needed = max(needed, 2 * files if reached == errno.EMFILE else 0)
        return f"`ulimit -n` is {files}: raise it to {needed} or more (`ulimit -n {needed}`), a sandbox needs as many open files"
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    running = _threads_of(os.getuid())
    needed = running + Limits.processes + _OWN_PROCESSES
    if processes >= 0 and (reached == errno.EAGAIN or (os.getuid() and processes < needed)):
        return (
            f"`ulimit -u` is {processes}: raise it to {needed} or more (`ulimit -u {needed}`), a sandbox may have {Limits.processes} "
            f"processes and {running} of this user run already"
        )
    for option, limit, megabytes in (
        ("-v", resource.RLIMIT_AS, Limits.memory_mb),
        ("-f", resource.RLIMIT_FSIZE, Limits.file_mb),
    ):
        if 0 <= (has := resource.getrlimit(limit)[0]) < megabytes << 20:
            said = f"`ulimit {option}` is {has >> 10} KiB: raise it to {megabytes << 10} or more (`ulimit {option} unlimited`)"
            return f"{said}, a program's own limit may not be above it"
    return None


def _threads_of(uid: int) -> int:
    """How many threads of a user there are: what `ulimit -u` counts."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == uid:
                count += len(list((folder / "task").iterdir()))
    return count


def _in_usr(path: Path) -> bool:
    return path.is_relative_to("/usr")
