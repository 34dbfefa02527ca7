"""Runs inside the sandbox: `python -s -S ds1000_runner.py` puts one solution to its problem's own tests and writes the verdict.

It stands alone and runs in the environment of the benchmark's libraries (Python 3.10). DS-1000 runs the solution in the process
of its test. So the verdict goes through a descriptor of its own, at the very end, with a token that only the task's file held, and
what the solution may have put in the place of the test's tools is put right before the test looks at the result.
On the real standard output: `P` and the token, or `E` and why not.
"""

from __future__ import annotations

import importlib
import marshal
import os
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

_FIGURE = "ans.png"  # what a Matplotlib test has drawn before the solution runs
_COMPARING = ("__eq__", "__ne__", "__array__", "__array_function__", "__array_ufunc__")
_DEEPEST = 4
# What the tests compare with: modules, and classes with the methods that compare.
_TOOLS = (
    *("builtins", "copy", "io", "math", "tokenize", "PIL.Image", "scipy.sparse", "matplotlib.pyplot"),
    *("numpy", "numpy.testing", "numpy.testing._private.utils", "numpy.linalg", "numpy.core.numeric"),
    *("pandas", "pandas.testing", "pandas._testing", "pandas._testing.asserters", "pandas._libs.testing"),
    *("torch", "torch.testing", "tensorflow"),
)
_CLASSES = (
    *("pandas.DataFrame", "pandas.Series", "pandas.Index", "torch.Tensor", "tensorflow.Tensor"),
    *("matplotlib.axes.Axes", "matplotlib.figure.Figure"),
)


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


sys.path += os.environ.get("DS1000_PACKAGES", "").split(":")
WARM = tuple(name for name in os.environ.get("DS1000_WARM", "").split() if _importable(name))
"""What the problems of a library import: a warm interpreter has it already."""


class _Guard:
    """Runs the solution for the test; the test's functions, modules and methods are then what they were before."""

    def __init__(self, run: Callable[..., None], names: dict[str, Any]) -> None:
        names["exec"] = self.execute  # what the test calls
        self._run, self._names, self._before = run, names, dict(names)
        self._modules = [(vars(module), _callables(vars(module))) for module in _present(_TOOLS)]
        self._classes = [(kind, dict(vars(kind))) for kind in _present_classes()]
        self._functions = list(_functions([before for _, before in self._modules]))
        self._place = os.path.abspath(_FIGURE)  # noqa: PTH100 - pathlib is not imported for this
        self._figure: bytes | None = None

    def execute(self, code: str, names: dict[str, Any]) -> None:
        """`exec`; a result that compares itself is refused."""
        self._hide_figure()
        try:
            self._run(code, names)
        finally:
            self._put_right()
        assert not _compares_itself(names.get("result"), names)

    def _hide_figure(self) -> None:
        """Takes the test's figure away, which a solution could copy."""
        self._figure = None
        if os.path.exists(self._place):  # noqa: PTH110
            with open(self._place, "rb") as file:  # noqa: PTH123
                self._figure = file.read()
            os.unlink(self._place)  # noqa: PTH108

    def _put_right(self) -> None:
        """Puts back what the solution replaced. State that libraries keep (options, random numbers, figures) is not touched."""
        for now, before in self._modules:  # builtins first: what follows calls them
            for name, value in before.items():
                if now.get(name) is not value:
                    now[name] = value
        for function, code, defaults, keywords in self._functions:
            if function.__code__ is not code:
                function.__code__ = code
            if function.__defaults__ is not defaults:
                function.__defaults__ = defaults
            if function.__kwdefaults__ is not keywords:
                function.__kwdefaults__ = keywords
        for kind, attributes in self._classes:
            for name, value in list(vars(kind).items()):
                if name in attributes and attributes[name] is not value:
                    setattr(kind, name, attributes[name])
                elif name not in attributes and any(name in vars(base) for base in kind.__mro__[1:]):
                    delattr(kind, name)
        self._names.clear()
        self._names.update(self._before)
        if self._figure is not None:
            with open(self._place, "wb") as file:  # noqa: PTH123
                file.write(self._figure)


def _present(names: tuple[str, ...]) -> list[Any]:
    """The modules of packages that are imported; numpy imports some of its own only when they are asked for."""
    return [sys.modules[name] for name in names if name.partition(".")[0] in sys.modules and _importable(name)]


def _present_classes() -> list[type]:
    found = (name.rpartition(".") for name in _CLASSES)
    return [
        getattr(sys.modules[module], kind)
        for module, _, kind in found
        if module in sys.modules and hasattr(sys.modules[module], kind)
    ]


def _callables(names: dict[str, Any]) -> dict[str, Any]:
    # names with an underscore are a library's own state, but for modules
    return {
        name: value
        for name, value in names.items()
        if type(value) is types.ModuleType or (callable(value) and (name[:1] != "_" or name == "__import__"))
    }


def _functions(modules: list[dict[str, Any]]) -> Iterator[tuple[types.FunctionType, Any, Any, Any]]:
    """The functions of the tools, and those that they wrap, with what makes them up."""
    seen: set[int] = set()
    for value in (value for names in modules for value in names.values()):
        while isinstance(value, types.FunctionType) and id(value) not in seen:
            seen.add(id(value))
            yield value, value.__code__, value.__defaults__, value.__kwdefaults__
            value = getattr(value, "__wrapped__", None)


def _compares_itself(value: Any, names: dict[str, Any], depth: int = 0) -> bool:
    """Whether the solution's own code, or a mock, would decide whether this result is equal to the expected one."""
    for kind in type(value).__mro__:
        if kind.__module__ == "unittest.mock":
            return True
        for name in _COMPARING:
            function = vars(kind).get(name)
            if isinstance(function, types.FunctionType) and function.__globals__ is names:
                return True
    if depth == _DEEPEST:
        return False
    items: Any = ()
    if isinstance(value, (list, tuple, set, frozenset)):
        items = value
    elif isinstance(value, dict):
        items = value.values()
    elif type(value).__name__ == "ndarray" and value.dtype == object:
        items = value.ravel().tolist()
    elif type(value).__name__ in ("Series", "DataFrame"):
        items = [value.to_numpy()]
    return any(_compares_itself(item, names, depth + 1) for item in items)


def _seed() -> None:
    """Random numbers start from the same place each time, so that three runs give one verdict."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)


if WARM:
    _present(_TOOLS)


def main() -> None:
    """Reads `task` (marshal): context, code, token."""
    with open("task", "rb") as file:  # noqa: PTH123
        task = marshal.load(file)
    os.unlink("task")  # noqa: PTH108
    channel = os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.path.insert(0, "")
    sys.argv = ["-c"]
    write, leave, run, failed = os.write, os._exit, exec, AssertionError
    where = "test_execution"
    names: dict[str, Any] = {}
    try:
        _seed()
        run(task["context"], names)
        _Guard(run, names)
        test_string = names.get("test_string")
        names["test_execution"](task["code"])
        where = "test_string"
        if test_string is not None:
            test_string(task["code"])
    except failed:
        write(channel, b"E" + where.encode())
    except BaseException as error:
        write(channel, b"E" + type(error).__name__.encode("utf-8", "replace")[:80])
    else:
        write(channel, b"P" + task["token"])
    leave(0)


if __name__ == "__main__":
    main()
