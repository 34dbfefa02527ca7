"""Starts the embedded teacher's servers and stops them, whatever happens."""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from magicoder_repro.data import embedded_model
from magicoder_repro.errors import UsageError

_START_SECONDS = 120.0


@contextmanager
def started(context: int) -> Iterator[Callable[[], str]]:
    """One embedded server with so many tokens of context; the function it gives waits for the address."""
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.data.embedded_server",
        str(embedded_model.gguf()),
        str(context),
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield lambda: _address(process, log)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _address(process: subprocess.Popen[str], log: IO[bytes]) -> str:
    """The first line that the server prints."""
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    stdout = process.stdout
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            line = lines.get(timeout=0.5).strip()
        except queue.Empty:
            if process.poll() is None:
                continue
            line = ""
        if line.startswith("http"):
            return line
        break
    log.seek(0)
    tail = log.read().decode(errors="replace").strip().splitlines()[-1:]
    raise UsageError(f"teacher: the embedded server did not start ({' '.join(tail) or 'no message'})")
