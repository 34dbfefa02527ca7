"""A program that stays alive in a sandbox and answers questions, for tools (a compiler) that take longer to start than to work."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time

from magicoder_repro.sandbox import backends, cgroups, view
from magicoder_repro.sandbox.model import Program


class Session:
    """The program under a back end, with its resource limits. A message is its length in 4 bytes, and its bytes."""

    def __init__(self, program: Program, backend: str) -> None:
        self._stack = contextlib.ExitStack()
        with self._stack as stack:
            told = os.open(os.devnull, os.O_WRONLY)
            stack.callback(os.close, told)
            group = stack.enter_context(cgroups.group())
            gate = view.memory_file(stack, b"\n")
            passed = [told, gate]
            self._process = subprocess.Popen(
                backends.keeper(backend).command(program, view.putting(stack, passed), told, gate),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=view.environment(),
                pass_fds=passed,
                start_new_session=True,
                cwd="/",
            )
            view.first_to_die(self._process.pid)
            if group is not None:
                group.limit(program.limits.memory_mb)
                group.enter(self._process.pid)
            assert self._process.stdin and self._process.stdout
            os.set_blocking(self._process.stdin.fileno(), False)
            os.set_blocking(self._process.stdout.fileno(), False)
            self._stack = stack.pop_all()

    def ask(self, message: bytes, seconds: float, most: int) -> bytes | None:
        """The answer, of at most `most` bytes; None when there is none within `seconds`: then close the session."""
        assert self._process.stdin and self._process.stdout
        end = time.monotonic() + seconds
        left = memoryview(len(message).to_bytes(4, "big") + message)
        answer = b""
        writing, reading = self._process.stdin.fileno(), self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(writing, selectors.EVENT_WRITE)
            selector.register(reading, selectors.EVENT_READ)
            while time.monotonic() < end:
                for key, _ in selector.select(end - time.monotonic()):
                    try:
                        if key.fd == writing:
                            left = left[os.write(writing, left) :]
                            if not left:
                                selector.unregister(writing)
                            continue
                        chunk = os.read(reading, 1 << 16)
                    except OSError:
                        return None
                    answer += chunk
                    length = int.from_bytes(answer[:4], "big")
                    if not chunk or length > most:
                        return None
                    if len(answer) >= 4 and len(answer) >= 4 + length:
                        return answer[4:] if len(answer) == 4 + length else None
        return None

    def close(self) -> None:
        """Ends the program and everything that it started."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self._stack.close()
