"""A warm interpreter in an outer sandbox: it forks a fresh sandbox for each program, without starting Python each time.

The outer sandbox is a back end's own (no network, the read-only runtime); `zygote.py` runs in it and gives every program its own
processes, private folder, IPC, uid, limits and system call filter, as the back end does. One program at a time.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import backends, cgroups, seccomp, supervise, view
from magicoder_repro.sandbox.model import Limits, Outcome, Program, Watch
from magicoder_repro.sandbox.tree import first_child

_START_SECONDS = 20.0
_PROBE = Limits(wall_seconds=10.0)
_FOLDER = "/zygote"
_GUEST = Path(__file__).parent / "guest"


class Interpreter:
    """`python` with `guest` (the source of a module with `main()` and `WARM`, names of modules to import) in a back end.

    `variables`: environment variables that it and its programs have besides the sandbox's own. `start_seconds`: how long importing
    may take.
    """

    def __init__(
        self,
        python: Path,
        guest: bytes,
        readonly: Sequence[Path],
        backend: str,
        variables: Mapping[str, str] | None = None,
        start_seconds: float = _START_SECONDS,
    ) -> None:
        self.backend = backend
        self.broken = False
        self._stack = contextlib.ExitStack()
        own = ("zygote.py", "pid1.py")  # they run there alone, without this package
        files = {f"{_FOLDER}/{name}": (_GUEST / name).read_bytes() for name in own}
        files[f"{_FOLDER}/guest.py"] = guest
        with self._stack as stack:
            self._chain: list[int] = []
            self._group = stack.enter_context(cgroups.group())
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(self._channel.close)
            argv = (str(python), "-s", "-S", f"{_FOLDER}/zygote.py", str(theirs.fileno()))
            with theirs, contextlib.ExitStack() as starting:
                program = Program(argv, readonly=tuple(readonly))
                places = [view.place(path) for path in view.binds(program)]
                self._kept = [place for place in places if place.startswith(f"{view.SCRATCH}/")]
                passed: list[int] = []
                words = backends.keeper(backend).outer_command(program, files, view.putting(starting, passed))
                self._process = subprocess.Popen(
                    words,
                    stdin=view.memory_file(starting, b""),  # DEVNULL could be written to
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=view.environment() | dict(variables or {}),
                    pass_fds=(*passed, theirs.fileno()),
                    start_new_session=True,
                )
            stack.callback(self._end)
            self._channel.settimeout(start_seconds)
            ready = b""
            with contextlib.suppress(OSError):
                ready = self._channel.recv(16)
            if ready != b"ready":
                self._process.kill()
                told = self._process.stderr.read() if self._process.stderr else b""
                raise UsageError(
                    f"sandbox: no warm interpreter under {backend}: {told.decode(errors='replace').strip()}"
                )
            self._chain = _chain(self._process.pid)
            if self._group is not None:
                self._group.enter(self._chain[-1])
                self._group.settled = True
            if self.run({}, _PROBE, probe=True).exit_code != 7:
                raise UsageError(f"sandbox: no sandbox inside {backend}: its programs do not start")
            self._stack = stack.pop_all()

    def run(
        self,
        files: Mapping[str, bytes],
        limits: Limits,
        seen: Watch = supervise.unwatched,
        probe: bool = False,
    ) -> Outcome:
        """Calls the guest's `main` in a fresh sandbox whose private folder holds `files`. `probe`: exits with 7 instead.
        `seen`: as for `supervise.watch`.

        When `broken` is set afterwards, close this interpreter and make another; the status `sandbox` says that the program did
        not run to its end because of it.
        """
        uid = view.own_uid()
        config = marshal.dumps(
            {
                "uid": uid,
                "become": view.privileged(),
                "files": {name: len(content) for name, content in files.items()},
                "kept": self._kept,
                "box_options": view.box_options(limits),
                "rules": seccomp.program(cgroups.counts_cpu()),
                "limits": view.resource_limits(limits),
                "probe": probe,
            }
        )
        guests: list[_Guest] = []
        with contextlib.ExitStack() as stack:
            report, told, gate, go = view.pipes(stack, 2)

            def start() -> _Guest:
                guests.append(_Guest(self._channel, self._chain[-1], config, b"".join(files.values()), told, gate))
                return guests[0]

            job = supervise.Job(
                backend=self.backend,
                start=start,
                report=report,
                started=lambda text: b"in\n" in text,
                hold=supervise.Hold(go, lambda pid, text: pid if text.startswith(b"up") else None, self._group),
            )
            outcome = supervise.watch(job, limits, seen)
        self.broken = not guests or guests[0].broken or outcome.status == "sandbox"
        ended_by_itself = outcome.status in ("ok", "error", "signal")
        return replace(outcome, status="sandbox", exit_code=None) if self.broken and ended_by_itself else outcome

    def close(self) -> None:
        """Ends the interpreter and everything in it."""
        self._stack.close()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pid in self._chain:  # what the outer sandbox had started dies with it, and is ours to reap
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        if self._process.stderr:
            self._process.stderr.close()


class _Guest:
    """One program of a warm interpreter, as `supervise` sees it."""

    def __init__(
        self, channel: socket.socket, zygote_pid: int, config: bytes, contents: bytes, told: int, gate: int
    ) -> None:
        self.code: int | None = None
        self.broken = True  # until its end has been told
        self._channel = channel
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        self.streams = (out, err)
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(os.close, out_end)
                stack.callback(os.close, err_end)
                given = [
                    view.memory_file(stack, config),
                    view.memory_file(stack, contents),
                    told,
                    gate,
                    out_end,
                    err_end,
                ]
                socket.send_fds(channel, [b"run"], given)
            channel.recv(16)  # it has forked
            child = first_child(zygote_pid)
            if child is None:
                raise OSError("the warm interpreter is gone")
            self.pid = child
        except OSError:
            self.close()
            raise

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 9)

    def reap(self) -> float:
        self.code = -9
        try:
            self._channel.send(b"reap")
            code, seconds = marshal.loads(self._channel.recv(64))
        except (OSError, ValueError, EOFError):
            return 0.0
        self.code, self.broken = int(code), False
        return float(seconds)

    def close(self) -> None:
        for descriptor in self.streams:
            os.close(descriptor)


def _chain(pid: int) -> list[int]:
    """The descendants of a process that has one child, which has one child, ..."""
    found = []
    while (child := first_child(pid)) is not None:
        found.append(child)
        pid = child
    return found
