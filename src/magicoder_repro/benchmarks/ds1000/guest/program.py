"""Runs inside the sandbox. The process of the program: it knows nothing of a test before it runs the program, and what it says
afterwards is the program's word.

It was forked before the task was read. Orders come from the process of the test (`tester`), which is trusted: pickles. Answers go
back as `values` writes them.
"""

from __future__ import annotations

import gc
import io
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import frames  # type: ignore[import-not-found]
import libraries  # type: ignore[import-not-found]
import process  # type: ignore[import-not-found]
import restore  # type: ignore[import-not-found]
import values  # type: ignore[import-not-found]

_PLAIN_DEPTH = 3  # of the program's frame where the benchmark runs it: module, `test_execution`, program
Order = dict[str, Any]


class _Orders(pickle.Unpickler):
    """Reads an order; NaNs are shared with the test, as what they are may be asked by identity."""

    def __init__(self, content: bytes, nans: list[float]) -> None:
        super().__init__(io.BytesIO(content))
        self._nans = nans

    def persistent_load(self, pid: Any) -> float:
        number = int(pid)
        while len(self._nans) <= number:
            self._nans.append(float("nan"))
        return self._nans[number]


class Program:
    """Carries out orders, one after the other, for ever."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders, self._answers = orders, answers
        self._pid = os.getpid()
        numpy = sys.modules.get("numpy")
        self._nans: list[float] = [numpy.nan if numpy else float("nan")]
        self._before: Any = None
        self._does: dict[str, Callable[[Order], dict[str, Any]]] = {
            "run": self._run,
            "draw": self._draw,
            "inspect": self._inspect,
        }
        self._write, self._leave, self._parts = os.write, os._exit, values.parts

    def serve(self) -> None:
        """Reads orders until there are no more."""
        while True:
            head = self._read(8)
            order = _Orders(self._read(int.from_bytes(head, "little")), self._nans).load()
            writer = values.Writer(self._nans, (libraries.write, frames.write))
            try:
                answer = self._does[order["do"]](order)
                if "value" in answer:
                    answer["value"] = self._node(writer, answer["value"])
            except BaseException as error:
                answer = {"raised": type(error).__name__}
            if os.getpid() != self._pid:  # a fork of the program's
                self._leave(0)
            for part in self._parts(answer, writer.buffers):
                left = memoryview(part)
                while left:
                    left = left[self._write(self._answers, left) :]

    def _node(self, writer: Any, value: Any) -> Any:
        try:
            return writer.node(value)
        except Exception as error:
            writer.buffers.clear()
            return ["opaque", 0, f"{type(value).__name__}: {type(error).__name__}"]

    def _run(self, order: Order) -> dict[str, Any]:
        names: dict[str, Any] = order["names"]
        set_random_state(order["random"])
        sys.setrecursionlimit(1000 + process.depth() + 1 - _PLAIN_DEPTH)
        exec(compile(order["code"], "<string>", "exec", dont_inherit=True), names)
        return {"value": names["result"]} if "result" in names else {}

    def _draw(self, order: Order) -> dict[str, Any]:
        """Draws what a solution is compared with, in its file; all that is left of it here is what the test itself leaves."""
        names = _context(order)
        set_random_state(order["random"])
        names["generate_test_case"](order["case"])
        names.clear()
        gc.collect()
        restore.no_audit_hooks()
        self._before = restore.Before()
        return {}

    def _inspect(self, order: Order) -> dict[str, Any]:
        """The test on what has been drawn, which cannot leave this process."""
        self._before.put_right()
        names = _context(order)
        names["Image"] = Pictures(order["pictures"])
        assert names["exec_test"](order["result"], None)
        return {}

    def _read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            chunk = os.read(self._orders, size - len(content))
            if not chunk:
                self._leave(0)
            content += chunk
        return bytes(content)


class Pictures:
    """What stands for `PIL.Image` in a test: files by name, as they were when they were taken."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def open(self, name: str) -> Any:
        """The picture of that name; PNG only, as `savefig` makes it."""
        from PIL import Image

        return Image.open(io.BytesIO(self._files[name]), formats=("PNG",))


def _context(order: Order) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(order["context"], "<string>", "exec", dont_inherit=True), names)
    return names


def random_state() -> dict[str, Any]:
    """Where the random numbers of Python, numpy and torch are."""
    found: dict[str, Any] = {"random": sys.modules["random"].getstate()}
    if "numpy" in sys.modules:
        found["numpy"] = sys.modules["numpy"].random.get_state()
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].get_rng_state().numpy()
    return found


def set_random_state(state: dict[str, Any]) -> None:
    """Random numbers go on from there; `{}`: from where they are."""
    if "random" in state:
        sys.modules["random"].setstate(state["random"])
    if "numpy" in state:
        import numpy

        numpy.random.set_state(state["numpy"])
    if "torch" in state:
        import torch

        torch.set_rng_state(torch.from_numpy(state["torch"]))
