"""Runs inside the sandbox: one step of judging a solution to a problem of DS-1000's original release.

As in that release a program and its test are two processes; here each has a sandbox of its own. `run` runs the program of one test
case, in the folder of its problem, and gives out what it left: the pickle in `result/` or, where it draws, the picture and whether
the problem's assertions hold on what has been drawn. `test` puts the results of all cases to the problem's test. Pickles are code:
those of the program are read in a process that knows nothing of the test, and what that says is plain data (`values`). Only the
test's process can write the verdict, on the real standard output: `P` and the token, or `E` and why not.
"""

from __future__ import annotations

import argparse  # noqa: F401 - every program imports it
import builtins
import contextlib
import importlib
import io
import json
import marshal
import os
import pickle
import secrets
import select
import signal
import sys
import types
from typing import Any

import frames  # type: ignore[import-not-found]
import libraries  # type: ignore[import-not-found]
import process  # type: ignore[import-not-found]
import restore  # type: ignore[import-not-found]
import values  # type: ignore[import-not-found]

WARM = process.WARM
_PICTURE = "result/plot.png"
_MOST_RESULT = 1 << 28
_LOOK_SECONDS = 0.02
_NONCE_BYTES = 16
_READ = {**libraries.READ, **frames.READ}


def main() -> None:
    """Reads `run` or `test` (marshal), and does it."""
    channel = process.high(os.dup(1))
    if os.path.exists("test"):  # noqa: PTH110
        _test(channel)
    else:
        _run(channel, _given("run"))
    os._exit(0)


def _given(name: str) -> Any:
    with open(name, "rb") as file:  # noqa: PTH123
        task = marshal.load(file)
    os.unlink(name)  # noqa: PTH108
    return task


# the program


def _run(channel: int, task: Any) -> None:
    """`task`: the program's text, the number of the case, a seed; where it draws, the assertions on it.

    Written to `channel`: a line of JSON (`raised`: an exception's name; `held`: whether the assertions did; `bytes`: of what follows,
    None when nothing was left), then the pickle or the picture.
    """
    os.mkdir("result")  # noqa: PTH102
    with open("program.py", "wb") as file:  # noqa: PTH123
        file.write(task["program"])
    (orders, give), (answers, answer) = ([process.high(end) for end in os.pipe()] for _ in range(2))
    process.plain()
    before = process.hide()
    child = os.fork()
    if child == 0:
        process.hide(before)
        for descriptor in (channel, give, answers):
            os.close(descriptor)
        try:
            _program(task, orders, answer)
        finally:
            os._exit(1)
    os.close(orders)
    os.close(answer)
    told = _Told(child, answers)
    about: dict[str, Any] = {"raised": None, "held": False, "bytes": None}
    content = None
    first = told.line()  # `drawn`, what was raised, or nothing
    if task["assertions"] is None:
        told.end()
        content = _left(f"result/result_{task['case']}.pkl", _MOST_RESULT)
    elif first == b"drawn":
        content = _left(_PICTURE, _MOST_RESULT)
        _alone(child)
        nonce = secrets.token_hex(_NONCE_BYTES).encode()
        with contextlib.suppress(OSError):
            os.write(give, nonce)
        about["held"] = told.line() == b"held " + nonce
    if first is not None and first.startswith(b"raised "):
        about["raised"] = first[len(b"raised ") :].decode("ascii", "replace")[:80]
    about["bytes"] = None if content is None else len(content)
    for part in (json.dumps(about).encode() + b"\n", content or b""):
        process.write_all(channel, part)


class _Told:
    """The lines that the program's process writes, until it has ended."""

    def __init__(self, child: int, answers: int) -> None:
        self._child, self._answers = child, answers
        self._content = b""
        self._ended = False
        os.set_blocking(answers, False)

    def line(self) -> bytes | None:
        """The next line; None when there is none and the process has ended, whoever holds the pipe's other end."""
        while b"\n" not in self._content:
            ended = self._ended
            if not self._more() and ended:
                return None
            if not self._ended:
                self._ended = os.waitpid(self._child, os.WNOHANG)[0] != 0
        line, _, self._content = self._content.partition(b"\n")
        return line

    def end(self) -> None:
        """Waits until the process has ended."""
        if not self._ended:
            os.waitpid(self._child, 0)
            self._ended = True

    def _more(self) -> bool:
        ready, _, _ = select.select([self._answers], [], [], 0 if self._ended else _LOOK_SECONDS)
        found = b""
        if ready:
            with contextlib.suppress(BlockingIOError):
                found = os.read(self._answers, 1 << 12)
            if not found:
                self.end()
        self._content = (self._content + found)[-(1 << 16) :]
        return bool(found)


def _left(name: str, most: int) -> bytes | None:
    try:
        return bytes(process.taken(name, most))
    except FileNotFoundError:
        return None


def _alone(child: int) -> None:
    """Ends every other process of this sandbox: what a program started does not answer in its place."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and int(name) not in (1, os.getpid(), os.getppid(), child):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(name), signal.SIGKILL)


def _program(task: Any, orders: int, answer: int) -> None:
    """In the program's process: runs it as `python program.py --test_case N` does."""
    pid = os.getpid()
    sys.argv = ["program.py", "--test_case", str(task["case"])]
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    module: Any = sys.modules["__main__"]
    module.__file__, module.__builtins__, module.__cached__ = "program.py", builtins, None
    process.seed(task["seed"], task["packages"])
    assertions = task["assertions"]
    before = None if assertions is None else restore.Before()
    if assertions is not None:
        restore.no_audit_hooks()
    write, leave, read = os.write, os._exit, os.read
    sys.setrecursionlimit(1000 + process.depth())
    try:
        exec(compile(task["program"], "program.py", "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        if os.getpid() == pid:
            write(answer, b"raised " + type(error).__name__.encode("ascii", "replace")[:80] + b"\n")
        leave(1)
    if os.getpid() != pid:  # a fork of the program's
        leave(0)
    if before is None:
        leave(0)
    held = False
    try:
        before.put_right()
        held = True
    except BaseException:  # then the picture alone counts
        pass
    write(answer, b"drawn\n")
    nonce = read(orders, 2 * _NONCE_BYTES)
    if held and _hold(assertions, vars(module)):
        write(answer, b"held " + nonce + b"\n")
    leave(0)


def _hold(assertions: Any, names: dict[str, Any]) -> bool:
    """Whether the assertions hold. They see what has been drawn and, of the program's names, those that they ask for."""
    code, wanted = assertions
    own: dict[str, Any] = {name: names[name] for name in wanted if name in names}
    try:
        exec("import pickle\nimport matplotlib.pyplot as plt\nimport numpy as np", own)
        exec(compile(code, "program.py", "exec", dont_inherit=True), own)
    except BaseException:
        return False
    return True


# the test


def _test(channel: int) -> None:
    """`test`: the test's code, the answer's text where the test looks at that, the pickles that are wanted and those that were left, a
    token; of a figure the two pictures."""
    (orders, give), (answers, answer) = ([process.high(end) for end in os.pipe()] for _ in range(2))
    process.plain()
    before = process.hide()
    if os.fork() == 0:
        process.hide(before)
        for descriptor in (channel, give, answers):
            os.close(descriptor)
        try:
            _read_pickles(orders, answer)
        finally:
            os._exit(1)
    os.close(orders)
    os.close(answer)
    task = _given("test")
    process.seed(task["seed"], task["packages"])
    found = _tested(task, _Results(give, answers))
    os.write(channel, b"P" + task["token"] if found is None else b"E" + found.encode("utf-8", "replace")[:80])


def _tested(task: Any, results: Any) -> str | None:
    """None when the test holds, else what stopped it: a test's name or an exception's."""
    if "scipy" in task["test_code"]:  # the release has read pickles of sparse matrices before
        importlib.import_module("scipy.sparse")
    names: dict[str, Any] = vars(types.ModuleType("test_code"))
    exec(compile(task["test_code"], "test_code.py", "exec", dont_inherit=True), names)
    if task["answer"] is not None:
        try:
            held = names["stringTest"](_without_prints(task["answer"]))
        except Exception:
            held = False
        if not held:
            return "test_string"
    for result, wanted in zip(task["results"], task["wanted"]):
        try:
            found = results.read(result) if task["picture"] is None else _figure(task, result)
        except AssertionError:
            return "test_execution"
        except Exception as error:
            return type(error).__name__
        try:
            expected = pickle.loads(wanted)
        except Exception:  # as the release: what it cannot read is None
            expected = None
        try:
            if names["test"](found, expected) != 1:
                return "test_execution"
        except Exception:
            return "test_execution"
    return None


def _without_prints(answer: str) -> str:
    """The answer without lines that print, as the release drops them: by going through the lines while they are taken away, so that
    the one after each is not looked at."""
    lines = answer.split("\n")
    at = 0
    while at < len(lines):
        if "print" in lines[at] and "#" not in lines[at].split("print"):
            lines.remove(lines[at])
        at += 1
    return "\n".join(lines)


def _figure(task: Any, picture: bytes) -> bool:
    """True when the picture is the wanted one or the assertions held on what was drawn."""
    import numpy
    from PIL import Image

    drawn, wanted = (
        numpy.array(Image.open(io.BytesIO(content), formats=("PNG",))) for content in (picture, task["picture"])
    )
    if (drawn.shape == wanted.shape and numpy.allclose(drawn, wanted)) or task["held"]:
        return True
    raise AssertionError


class _Results:
    """What the process that reads pickles says of them."""

    def __init__(self, give: int, answers: int) -> None:
        self._give, self._answers = give, answers

    def read(self, content: bytes) -> Any:
        """The value in a pickle, made of plain data. ValueError and its like when there is none."""
        for part in (len(content).to_bytes(8, "little"), content):
            process.write_all(self._give, part)
        text, rest = values.lengths(process.read_exactly(self._answers, values.HEAD_BYTES))
        if text + rest > _MOST_RESULT:
            raise MemoryError
        about, buffers = values.opened(*(process.read_exactly(self._answers, size) for size in (text, rest)))
        if "raised" in about:
            raise _named(str(about["raised"])[:80])
        return values.Reader([], _READ, buffers).value(about["value"])


def _named(name: str) -> Exception:
    error: Exception = type(name, (Exception,), {})()
    return error


def _read_pickles(orders: int, answer: int) -> None:
    """In a process of its own: reads pickles, which may run any code here, and says what is in them."""
    while True:
        try:
            content = process.read_exactly(orders, int.from_bytes(process.read_exactly(orders, 8), "little"))
        except EOFError:
            return
        writer = values.Writer([], (libraries.write, frames.write))
        try:
            about = {"value": writer.node(pickle.loads(content))}
        except BaseException as error:
            writer.buffers.clear()
            about = {"raised": type(error).__name__}
        for part in values.parts(about, writer.buffers):
            process.write_all(answer, part)


if __name__ == "__main__":
    main()
