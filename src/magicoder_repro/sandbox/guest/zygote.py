"""Runs in an outer sandbox: `python -s -S zygote.py SOCKET` keeps an interpreter warm and forks a fresh sandbox for each program.

The outer sandbox has no network and shows the read-only runtime; here each program gets what must be its own: processes, private
folder, IPC, limits, and no privileges. It stands alone beside `pid1.py` (the same steps without a warm interpreter) and
`guest.py`, the module whose `main` is the program. Nothing secret ever enters this process: a program may read its own copy of it.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import marshal
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import guest  # type: ignore[import-not-found]
import pid1  # type: ignore[import-not-found]

sys.path.remove(str(Path(__file__).parent))  # where these two are; Python before 3.11 has no -P
_NEW_PROCESSES, _NEW_MOUNTS, _NEW_IPC = 0x20000000, 0x00020000, 0x08000000
_PRIVATE_REC = (1 << 18) | 16384
_DEATH_SIGNAL = 1
_DESCRIPTORS = 6
_libc = ctypes.CDLL(None, use_errno=True)


def serve(channel: socket.socket) -> None:
    """One program at a time: descriptors come in, of its configuration, files, report and output; word that it runs goes out, then,
    when asked for, (code, CPU seconds)."""
    channel.send(b"ready")
    ours = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        message, descriptors = _received(channel)
        if not message:
            return
        pid1.check(_libc.unshare(_NEW_PROCESSES), "unshare")
        init = os.fork()
        if init == 0:
            try:
                channel.close()
                os.close(ours)
                _init(*descriptors)
            finally:
                os._exit(125)
        pid1.check(_libc.setns(ours, _NEW_PROCESSES), "setns")  # the next one is to be the first of a namespace too
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(b"forked")
        channel.recv(16)  # until then the dead child stays, and its number with it
        _, status, used = os.wait4(init, 0)
        channel.send(marshal.dumps((pid1.exit_code(status), used.ru_utime + used.ru_stime)))


def _received(channel: socket.socket) -> tuple[bytes, list[int]]:
    """A message and the descriptors that came with it (`socket.recv_fds` is of Python 3.9)."""
    descriptors = array.array("i")
    message, ancillary, _, _ = channel.recvmsg(64, socket.CMSG_SPACE(_DESCRIPTORS * descriptors.itemsize))
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return message, list(descriptors)


def _init(config_descriptor: int, contents: int, report: int, gate: int, stdout: int, stderr: int) -> None:
    """In the child, pid 1: fresh mounts and IPC, the private folder and /proc, then the program, then its end."""
    with os.fdopen(config_descriptor, "rb") as file:
        config = marshal.load(file)
    os.setsid()
    for descriptor, target in ((stdout, 1), (stderr, 2)):
        os.dup2(descriptor, target)
        os.close(descriptor)
    pid1.check(_libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
    pid1.check(_libc.unshare(_NEW_MOUNTS | _NEW_IPC), "unshare")
    os.umask(0)
    pid1.check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE_REC), None), "mount /")
    kept = [(os.open(folder, os.O_PATH | os.O_CLOEXEC), folder) for folder in config["kept"]]
    pid1.make_box(config["box_options"])
    pid1.pour_box(config["files"], contents)
    os.close(contents)
    for descriptor, folder in kept:  # below /tmp, which the private folder holds: shown again in the new one
        for parent in [*reversed(Path(folder).parents), Path(folder)]:
            parent.mkdir(mode=0o755, exist_ok=True)
        pid1.bind(f"/proc/self/fd/{descriptor}", folder, pid1.RDONLY | pid1.NOSUID | pid1.NODEV)
        os.close(descriptor)
    pid1.mount("proc", "/proc", "proc", pid1.RDONLY | pid1.NOSUID | pid1.NODEV | pid1.NOEXEC)
    os.chdir("/box")
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a signal without a handler cannot reach pid 1
    pid1.wait_for_supervisor(report, gate)
    child = os.fork()
    if child == 0:
        code = 126
        try:
            signal.signal(signal.SIGINT, on_interrupt)
            os.setsid()  # no process outside is of its group
            _limit(config["limits"])
            pid1.become_nobody(config)
            os.umask(0o022)
            os.write(report, b"in\n")
            os.close(report)
            if config["probe"]:
                raise SystemExit(7)
            guest.main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(2, f"sandbox: {error!r}\n".encode())
        os._exit(code)
    os.close(1)
    os.close(2)
    pid1.wait_for(child, report)


def _limit(limits: Mapping[str, tuple[int, int | None]]) -> None:
    for name, (soft, hard) in limits.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}")
        resource.setrlimit(number, (soft, resource.getrlimit(number)[1] if hard is None else hard))


def main() -> None:
    """Imports what programs often import, once, then serves."""
    for name in guest.WARM:
        __import__(name)
    gc.collect()
    gc.freeze()  # no child copies these pages to count references
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        serve(channel)


if __name__ == "__main__":
    main()
