"""The back ends that work here, a warm interpreter, and what every test of the sandbox is held to."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandboxed import children

from magicoder_repro import sandbox

WARM_GUEST = b"""
WARM = ()

def main():
    with open("main.py") as file:
        exec(file.read(), {"__name__": "__main__"})
"""


@pytest.fixture(params=["bubblewrap", "userns"], scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if sandbox.gap(name) is not None:
        pytest.skip(f"back end {name} does not work on this machine")
    return name


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No test leaves a process or a descriptor behind. Orphans of sandboxes become our children: none can hide."""
    before = children(), len(list(Path("/proc/self/fd").iterdir()))
    yield
    gc.collect()  # an interrupt's traceback holds files that were open, in a circle
    assert (children(), len(list(Path("/proc/self/fd").iterdir()))) == before


@pytest.fixture
def warm(backend: str, tmp_path: Path) -> Iterator[sandbox.warm.Interpreter]:
    """A warm interpreter that is shown one folder below /tmp."""
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "file").write_text("yes")
    (tmp_path / "secret").write_text("no")
    interpreter = sandbox.warm.Interpreter(Path(sys.executable), WARM_GUEST, (tmp_path / "seen",), backend)
    yield interpreter
    interpreter.close()
