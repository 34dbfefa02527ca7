"""`python -m magicoder_repro.generate.attend COMMAND ...`: runs a server that starts processes of its own, and kills all of them
when standard input closes, which it does however the process that started this one ends; or when the server has ended.

It must be started as the head of a session (`start_new_session`), whose process group the server's processes are in.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial

from magicoder_repro import processes


def main(command: list[str]) -> None:
    """Attends to the command until one of the two ends."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=partial(processes.end_with, os.getpid()))
    threading.Thread(target=lambda: _end(server.wait()), daemon=True).start()
    _end(len(sys.stdin.buffer.read()))


def _end(_: int) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
