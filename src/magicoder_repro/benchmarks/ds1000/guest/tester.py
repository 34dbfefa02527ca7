"""Runs inside the sandbox. The process of the test: it never runs the program and never reads what the program left, but for the
answers of the program's process and, where a test compares figures, the one file that it has drawn.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import select
import sys
import types
from collections.abc import Callable
from typing import Any

import frames  # type: ignore[import-not-found]
import libraries  # type: ignore[import-not-found]
import values  # type: ignore[import-not-found]
from process import seed, taken  # type: ignore[import-not-found]
from program import Pictures, random_state  # type: ignore[import-not-found]

_DRAWN, _EXPECTED = "output.png", "ans.png"
_MOST_BYTES = 1 << 31  # of an answer
_READ = {**libraries.READ, **frames.READ}


class Raised(BaseException):
    """What the program raised, by its name."""


class _Gone(BaseException):
    """The program's process has ended without an answer."""


class _Undecided(BaseException):
    """The figures differ, and the test asks what has been drawn."""


class _Drawing(types.ModuleType):
    """What stands for `matplotlib.pyplot` in a test: nothing has been drawn in this process."""

    def __getattr__(self, name: str) -> Any:
        raise _Undecided(name)


class _Orders(pickle.Pickler):
    """Writes an order; NaNs by number. A dtype of numpy's own arrives as the one that numpy has: pandas 1.5 writes into an array
    with another (its issue 54654)."""

    def __init__(self, file: io.BytesIO, nans: list[float]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.dispatch_table = copyreg.dispatch_table.copy()
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            self.dispatch_table |= {type(numpy.dtype(code)): _plain_dtype for code in numpy.typecodes["All"]}
        self._nans = nans
        self._numbers = {id(value): number for number, value in enumerate(nans)}

    def persistent_id(self, value: Any) -> int | None:
        if type(value) is not float or value == value:
            return None
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._nans)
            self._nans.append(value)
        return self._numbers[id(value)]


def _plain_dtype(dtype: Any) -> Any:
    return (sys.modules["numpy"].dtype, (dtype.str,)) if dtype.isbuiltin == 1 else dtype.__reduce__()


class Tester:
    """One program's test. `child`: the program's process, which waits for orders; `task`: context, code, cases, seed."""

    def __init__(self, task: dict[str, Any], child: int, orders: int, answers: int) -> None:
        self._task, self._child, self._orders, self._answers = task, child, orders, answers
        self._end = os.pidfd_open(child)  # novm: the simplified release has Python 3.10
        self._draws = _EXPECTED in task["context"]
        self._pictures: dict[str, bytes] = {}
        self._made: dict[int, tuple[Any, dict[str, Any]]] | None = None
        self._now: dict[str, Any] = {}
        self._figure_result: Any = None
        self._nans: list[float] = []

    def prepare(self) -> tuple[Callable[[str], Any], Callable[[str], Any] | None]:
        """`test_execution` and `test_string` of the problem; what the first needs of the test's cases is made beforehand."""
        names: dict[str, Any] = {}
        exec(compile(self._task["context"], "<string>", "exec", dont_inherit=True), names)
        self._nans.append(sys.modules["numpy"].nan if "numpy" in sys.modules else float("nan"))
        names["exec"] = self._run
        self._generate = names["generate_test_case"]
        names["generate_test_case"] = self._draw if self._draws else self._case
        if self._draws:
            names["Image"], names["plt"] = Pictures(self._pictures), _Drawing("matplotlib.pyplot")
        return names["test_execution"], names.get("test_string")

    def inspect(self) -> None:
        """The test on what has been drawn, by the program's process."""
        order = {"do": "inspect", "context": self._task["context"], "pictures": dict(self._pictures)}
        self._told({**order, "result": self._figure_result})

    def _case(self, number: int) -> Any:
        """A case of the test. All of them are made before the program runs, as it could change the files that they are read from."""
        if self._made is None:
            self._made = {case: self._new_case(case) for case in range(1, self._task["cases"] + 1)}
        found, self._now = self._made.pop(number) if number in self._made else self._new_case(number)
        return found

    def _new_case(self, number: int) -> tuple[Any, dict[str, Any]]:
        return self._generate(number), random_state()

    def _draw(self, number: int) -> Any:
        """The figure that is wanted: drawn by the program's process before the program is there, and kept here."""
        self._now = random_state()
        self._told({"do": "draw", "context": self._task["context"], "case": number, "random": self._now})
        self._now = {}
        self._pictures[_EXPECTED] = taken(_EXPECTED)
        return None, None

    def _run(self, code: str, names: dict[str, Any]) -> None:
        """`exec`, in the program's process."""
        order = {"do": "run", "code": code, "names": names, "random": self._now}
        about, buffers = self._told(order)
        if "value" in about:
            names["result"] = self._value(about["value"], buffers)
        if self._draws:
            self._pictures[_DRAWN] = taken(_DRAWN)
            self._figure_result = names.get("result")

    def _value(self, node: Any, buffers: list[bytes]) -> Any:
        try:
            return values.Reader(self._nans, _READ, buffers).value(node)
        except Exception as error:
            return values.Opaque(f"no data: {type(error).__name__}")

    def _told(self, order: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        file = io.BytesIO()
        _Orders(file, self._nans).dump(order)
        content = file.getbuffer()
        with contextlib.suppress(BrokenPipeError):
            for part in (len(content).to_bytes(8, "little"), content):
                left = memoryview(part)
                while left:
                    left = left[os.write(self._orders, left) :]
        text, rest = values.lengths(self._read(values.HEAD_BYTES))
        if text + rest > _MOST_BYTES:
            raise Raised("MemoryError")
        found, buffers = values.opened(self._read(text), self._read(rest))
        if "raised" in found:
            raise Raised(str(found["raised"])[:80])
        return found, buffers

    def _read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            ready, _, _ = select.select([self._answers, self._end], [], [])
            chunk = os.read(self._answers, min(size - len(content), 1 << 20)) if self._answers in ready else b""
            if not chunk:
                raise _Gone
            content += chunk
        return bytes(content)

    def judge(self) -> str | None:
        """None when the tests hold, else what stopped them: a test's name or an exception's."""
        where = "test_execution"
        try:
            seed(self._task["seed"], self._task["packages"])
            test_execution, test_string = self.prepare()
            try:
                test_execution(self._task["code"])
            except _Undecided:
                self.inspect()
            where = "test_string"
            if test_string is not None:
                test_string(self._task["code"])
        except _Gone:
            _end_as(self._child)
        except Raised as error:
            name = str(error)
            return where if name == "AssertionError" else name
        except AssertionError:
            return where
        except BaseException as error:
            return type(error).__name__
        return None


def _end_as(child: int) -> None:
    """Ends as the program's process has ended."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)  # novm: as above
    os._exit(code if code >= 0 else 128 - code)
