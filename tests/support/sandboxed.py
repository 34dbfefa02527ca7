"""Programs in a sandbox, and what is left of them, for the tests of the sandbox."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import pytest

from magicoder_repro import sandbox
from magicoder_repro.sandbox import Limits, Outcome, Program

SMALL = Limits(wall_seconds=5.0, cpu_seconds=5.0, memory_mb=512)
PYTHON = (sys.executable, "-I", "-S", "main.py")


def children() -> list[str]:
    found = []
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            found += file.read_text().split()
    return found


def python(backend: str, code: str, limits: Limits = SMALL, **more: object) -> Outcome:
    files = {"main.py": code.encode(), **more.pop("files", {})}  # type: ignore[dict-item]
    return sandbox.run(Program(PYTHON, files, limits=limits, **more), backend)  # type: ignore[arg-type]


def answer(backend: str, code: str, limits: Limits = SMALL, **more: object) -> object:
    """What the code prints, as JSON; the code must end well."""
    outcome = python(backend, code, limits, **more)
    assert (outcome.status, outcome.stderr) == ("ok", b""), outcome
    return json.loads(outcome.stdout)


def sleeping() -> int:
    wanted = f"sleep\0{61}.{os.getpid()}\0".encode()
    found = 0
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += file.read_bytes() == wanted
    return found


def wait_for(condition: object) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    pytest.fail("it did not come to pass within 5 seconds")


def own_environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sandbox.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path}
