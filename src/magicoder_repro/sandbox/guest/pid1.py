"""Runs as pid 1 of fresh namespaces: `python pid1.py CONFIG [REPORT GATE]` builds the root, starts the program, waits for it.

It stands alone (standard library only) and is finished with everything that needs privileges before the program starts.
CONFIG, REPORT and GATE are descriptors: a marshalled dictionary made by `userns.py`, a pipe for the lines "up" and "exit CODE", and
one on which the supervisor says that the program may start. Without the latter two it is a warm interpreter that starts: nobody waits
for word of it, and it keeps its privileges, for it makes sandboxes itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import marshal
import os
import platform
import signal
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RDONLY, NOSUID, NODEV, NOEXEC, _REMOUNT, _BIND, _REC = 1, 2, 4, 8, 32, 4096, 16384
_DETACH = 2
_AT_RECURSIVE, _AT_FDCWD = 0x8000, -100
_CAPSET, _CAPABILITY_VERSION = {"x86_64": 126, "aarch64": 91}, 0x20080522
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446
_CAPBSET_DROP, _NO_NEW_PRIVS, _CAP_AMBIENT, _SET_SECCOMP, _SET_DUMPABLE = 24, 38, 47, 22, 4
_READ_RIGHTS = 0b1101  # execute, read_file, read_dir
_FILE_RIGHTS = 0b1100000000000111  # execute, write_file, read_file, truncate, ioctl_dev: what a rule on a file may name
_RIGHTS_BY_ABI = {
    1: 13,
    2: 14,
    3: 15,
    4: 15,
}  # number of file system rights that Landlock of that version knows; later 16

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = [word.encode() if word is not None else None for word in (source, target, kind)]
    check(_libc.mount(*words, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def bind(source: str, target: str, flags: int) -> None:
    """Shows `source` at `target`, submounts too, with the mount attributes `flags` on all of them."""
    mount(source, target, None, _BIND | _REC)
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    result = _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), _AT_RECURSIVE, attributes, len(attributes))
    check(result, f"read-only {target}")


def _build_root(config: Mapping[str, Any]) -> None:
    """A small tmpfs as the root: the runtime read-only, an own /proc, five devices, and the private folder."""
    mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "mode=0755,size=4m")
    Path("/tmp/host").mkdir()
    check(_libc.syscall(_PIVOT_ROOT[platform.machine()], b"/tmp", b"/tmp/host"), "pivot_root")
    os.chdir("/")
    Path("/box").mkdir()
    make_box(config["box_options"])
    for folder in config["folders"]:
        Path(folder).mkdir(mode=0o755, exist_ok=True)
    for path, target in config["binds"]:
        if Path("/host" + path).is_dir():
            Path(target).mkdir(exist_ok=True)
        else:
            Path(target).touch()
        bind("/host" + path, target, RDONLY | NOSUID | NODEV)
    for path, target in config["links"].items():
        Path(path).symlink_to(target)
    for name in config["devices"]:
        Path("/dev", name).touch()
        bind(f"/host/dev/{name}", f"/dev/{name}", NOSUID | NOEXEC)
    for path, content in config["accounts"].items():
        Path(path).write_bytes(content)
    Path("/proc").mkdir(exist_ok=True)
    mount("proc", "/proc", "proc", RDONLY | NOSUID | NODEV | NOEXEC)
    fill_box(config["files"])
    check(_libc.umount2(b"/host", _DETACH), "umount")
    Path("/host").rmdir()
    mount("tmpfs", "/", None, _REMOUNT | _BIND | RDONLY | NOSUID | NODEV)
    _libc.sethostname(b"box", 3)  # a container engine may refuse it: then its own name for the container is seen
    os.chdir("/box")


def make_box(options: str) -> None:
    """A fresh private folder."""
    mount("tmpfs", "/box", "tmpfs", NOSUID | NODEV, options)
    Path("/box/.tmp").mkdir()
    Path("/box/.tmp").chmod(0o1777)


def fill_box(files: Mapping[str, bytes]) -> None:
    """The files of a program, its to change, in its private folder."""
    for name, content in files.items():
        file = Path("/box", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o777)


def pour_box(sizes: Mapping[str, int], contents: int) -> None:
    """The same from a descriptor that holds their contents one after the other. These never are in the memory of this process: a
    program that is forked from it, and finds it all there, does not find what its test has."""
    offset = 0
    for name, size in sizes.items():
        file = Path("/box", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        end, descriptor = offset + size, os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        while offset < end:
            offset += os.sendfile(descriptor, contents, offset, end - offset)
        os.fchmod(descriptor, 0o777)
        os.close(descriptor)


def _landlock() -> None:
    """Read-only everywhere but in the private folder and on devices, no TCP, no signals out: a second fence, if it is there."""
    abi = _libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if abi < 1:
        return
    every = (1 << _RIGHTS_BY_ABI.get(abi, 16)) - 1
    ruleset = struct.pack("=QQQ", every, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    ruleset = ruleset[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = _libc.syscall(_LANDLOCK_CREATE, ruleset, len(ruleset), 0)
    check(rules, "landlock")
    for path, rights in (("/", _READ_RIGHTS), ("/box", every), ("/dev", _FILE_RIGHTS & every)):
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        check(_libc.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", rights, folder), 0), f"landlock {path}")
        os.close(folder)
    check(_libc.syscall(_LANDLOCK_RESTRICT, rules, 0), "landlock")
    os.close(rules)


def become_nobody(config: Mapping[str, Any]) -> None:
    """Drops every privilege for good, then filters the system calls."""
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # beyond the last one
    _libc.prctl(_CAP_AMBIENT, 4, 0, 0, 0)
    if config["become"]:
        os.setgroups([])
        os.setresgid(config["uid"], config["uid"], config["uid"])
        os.setresuid(config["uid"], config["uid"], config["uid"])
    none = struct.pack("=6I", 0, 0, 0, 0, 0, 0)  # effective, permitted and inheritable, of both words
    check(_libc.syscall(_CAPSET[platform.machine()], struct.pack("=Ii", _CAPABILITY_VERSION, 0), none), "capset")
    check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _landlock()
    rules = config["rules"]
    if rules:
        buffer = ctypes.create_string_buffer(rules, len(rules))
        header = struct.pack("@HxxxxxxQ", len(rules) // 8, ctypes.addressof(buffer))
        check(_libc.prctl(_SET_SECCOMP, 2, header, 0, 0), "seccomp")


def wait_for_supervisor(report: int, gate: int) -> None:
    """Tells that all is built, and waits until the supervisor has taken hold of it; without one there is nothing to do."""
    os.write(report, b"up\n")
    if not os.read(gate, 1):
        os._exit(125)
    os.close(gate)


def exit_code(status: int) -> int:
    """An exit code, or minus the signal (`os.waitstatus_to_exitcode` is of Python 3.9)."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def wait_for(child: int, report: int | None) -> None:
    """Reaps orphans until the program has ended, tells how and ends: the namespace and all in it end with this process."""
    _libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)  # where it has the program's uid it is not to be read or written
    status = 0
    while True:
        with contextlib.suppress(InterruptedError):
            pid, status = os.wait()
            if pid == child:
                break
    code = exit_code(status)
    code = 128 - code if code < 0 else code
    if report is not None:
        os.write(report, f"exit {code}\n".encode())
    os._exit(code)


def main() -> None:
    """Builds, forks, waits for the program."""
    config_descriptor, *supervisor = (int(word) for word in sys.argv[1:])
    with os.fdopen(config_descriptor, "rb") as file:
        config = marshal.load(file)
    for number in (
        signal.SIGINT,
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):  # Python changes these, the program must not inherit it
        signal.signal(number, signal.SIG_DFL)
    os.umask(0)
    _build_root(config)
    if supervisor:
        wait_for_supervisor(*supervisor)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()  # no process outside is of its group
            if supervisor:
                os.close(supervisor[0])
                become_nobody(config)
            os.umask(0o022)
            os.execv(config["argv"][0], config["argv"])
        except BaseException as error:
            os.write(2, f"sandbox: {error}\n".encode())
        os._exit(126)
    wait_for(child, supervisor[0] if supervisor else None)


if __name__ == "__main__":
    main()
