"""Runs inside the sandbox: `python -s -S` with this as its program, or a warm interpreter, puts one solution to its problem's tests.

It stands alone, with the files beside it (`judge.guest` makes one source of them), in the environment of the benchmark's libraries
(Python 3.10). Two processes: one for the program, one for the test, forked from here before either knows the task. Only the test's
process can write the verdict, on the real standard output: `P` and the token, or `E` and why not.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import importlib.util
import marshal
import os
import random  # noqa: F401 - its state is the program's too
import site
import sys
import types

import program  # type: ignore[import-not-found]
import tester  # type: ignore[import-not-found]

_OWN = ("guest", "pid1", "main", "program", "tester", "restore", "values", "libraries", "frames")
_NOT_DUMPABLE = (4, 0)  # PR_SET_DUMPABLE
_HIGH = 200  # descriptors that are ours have numbers that no program meets


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


def _plain() -> None:
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


def _high(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(descriptor)
    return moved


def main() -> None:
    """Reads `task` (marshal): context, code, cases, seed, token."""
    channel = _high(os.dup(1))
    (orders, give), (answers, answer) = ([_high(end) for end in os.pipe()] for _ in range(2))
    _plain()
    child = os.fork()
    if child == 0:
        for descriptor in (channel, give, answers):
            os.close(descriptor)
        sys.path.insert(0, "")
        program.Program(orders, answer).serve()
    ctypes.CDLL(None).prctl(*_NOT_DUMPABLE, 0, 0, 0)  # nobody of its own uid may look into this process
    for descriptor in (orders, answer):
        os.close(descriptor)
    with open("task", "rb") as file:  # noqa: PTH123
        task = marshal.load(file)
    os.unlink("task")  # noqa: PTH108
    token = task.pop("token")
    found = tester.Tester(task, child, give, answers).judge()
    os.write(channel, b"P" + token if found is None else b"E" + found.encode("utf-8", "replace")[:80])
    os._exit(0)


if __name__ == "__main__":
    main()
