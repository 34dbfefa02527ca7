"""Runs inside the sandbox. What a judge's processes start from: the libraries that are imported already, an interpreter that feels
plain to a program, random numbers from a known place, files of the program's read with care.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import importlib.util
import os
import random
import site
import stat
import sys
import types
from collections.abc import Sequence

_OWN = (
    *("guest", "pid1", "process", "values", "libraries", "frames", "restore"),
    *("program", "tester", "main", "original"),
)
_GET_DUMPABLE, _SET_DUMPABLE = 3, 4
_HIGH = 200
_MOST_FILE = 1 << 26


def _found(name: str) -> bool:
    """Whether a name is a module's, and not a function's; an error that a package raises when it is imported goes on."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return False
        raise


def _warm(names: list[str]) -> tuple[str, ...]:
    found = []
    for name in names:
        if _found(name):
            importlib.import_module(name)
            found.append(name)
    return tuple(found)


sys.path += [folder for folder in os.environ.pop("DS1000_PACKAGES", "").split(":") if folder]
WARM = _warm(os.environ.pop("DS1000_WARM", "").split())
"""What the problems of a library import: a warm interpreter has it already."""


def plain() -> None:
    """What a program can feel of the interpreter, as `python -c` has it."""
    for set_names in (site.setquit, site.setcopyright, site.sethelper):
        set_names()
    for name in _OWN:
        sys.modules.pop(name, None)
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = ["-c"]
    own = os.getcwd()  # noqa: PTH109 - where programs write
    sys.path[:] = [folder for folder in sys.path if folder not in ("", own)]
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115


def high(descriptor: int) -> int:
    """Moves a descriptor to a number that no program meets, and that no program it starts inherits."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(descriptor)
    return moved


def hide(dumpable: int = 0) -> int:
    """From now on nobody of this process's uid may look into it; returns what `hide` takes to make that as it was."""
    libc = ctypes.CDLL(None)
    before = int(libc.prctl(_GET_DUMPABLE, 0, 0, 0, 0))
    libc.prctl(_SET_DUMPABLE, dumpable, 0, 0, 0)
    return before


def write_all(descriptor: int, content: bytes) -> None:
    """Writes all of it, however little fits at a time."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def read_exactly(descriptor: int, size: int) -> bytes:
    """That many bytes; EOFError when there are fewer."""
    content = bytearray()
    while len(content) < size:
        chunk = os.read(descriptor, min(size - len(content), 1 << 20))
        if not chunk:
            raise EOFError
        content += chunk
    return bytes(content)


def taken(name: str, most: int = _MOST_FILE) -> bytes:
    """The content of a file, and the file taken away. A link, a folder, a pipe is none: FileNotFoundError."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FileNotFoundError(name) from error
    with open(descriptor, "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(name)
        content = file.read(most)
    os.unlink(name)  # noqa: PTH108
    return content


def seed(number: int, packages: Sequence[str]) -> None:
    """Random numbers start from that place, so that equal runs give one verdict. `packages`: those that will be imported, and are now
    where the interpreter is not a warm one."""
    for name in packages:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    random.seed(number)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(number)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(number)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(number)


def depth() -> int:
    """How many frames there are, with the caller's."""
    frame: types.FrameType | None = sys._getframe(1)
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth
