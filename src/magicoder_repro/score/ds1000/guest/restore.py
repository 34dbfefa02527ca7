"""Runs inside the sandbox. What a test looks with, in the process of the program: as it was before the program ran.

Used where the test needs what a program has drawn and that cannot leave the program's process. It closes what is cheap to close;
a program that is written against this judge, and changes a library where it lies deeper, is believed.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

# What the tests look with: modules, and classes with their methods.
_TOOLS = (
    *("builtins", "copy", "io", "math", "PIL.Image", "matplotlib", "matplotlib.pyplot", "matplotlib.colors"),
    *("numpy", "numpy.testing", "numpy.testing._private.utils", "numpy.linalg", "numpy.core.numeric", "sys", "os"),
)
_CLASSES = (
    *("matplotlib.axes.Axes", "matplotlib.figure.Figure", "matplotlib.legend.Legend", "matplotlib.text.Text"),
    *("matplotlib.lines.Line2D", "matplotlib.artist.Artist", "matplotlib.axis.Axis", "matplotlib.axis.XAxis"),
    *("matplotlib.axis.YAxis", "matplotlib.patches.Patch", "matplotlib.patches.Rectangle", "matplotlib.spines.Spine"),
    *("matplotlib.collections.Collection", "matplotlib.collections.PathCollection", "matplotlib.cm.ScalarMappable"),
    *("matplotlib.axes._base._AxesBase", "matplotlib.figure.FigureBase", "PIL.Image.Image"),
)


class Before:
    """Tools as they are now."""

    def __init__(self) -> None:
        self._modules = [(vars(module), _callables(vars(module))) for module in _present()]
        self._classes = [(kind, dict(vars(kind))) for kind in _present_classes()]
        self._functions = list(_functions([before for _, before in self._modules]))
        self._functions += list(_functions([before for _, before in self._classes]))
        self._loaded = dict(sys.modules)
        self._finders = [(found, list(found)) for found in (sys.meta_path, sys.path_hooks, sys.path)]

    def put_right(self) -> None:
        """Puts back what the program replaced and ends what it set to work later. What libraries keep (options, figures) stays."""
        sys.settrace(None)
        sys.setprofile(None)
        threading.settrace(None)  # type: ignore[arg-type]
        gc.callbacks.clear()
        gc.disable()
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
        for found, kept in self._finders:
            found[:] = kept
        sys.modules.update(self._loaded)
        for number in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(number, 0)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)


def only_thread() -> bool:
    """Whether this process has no thread but this one."""
    return len(os.listdir("/proc/self/task")) == 1


def _present() -> list[Any]:
    """The modules of packages that are imported; numpy imports some of its own only when they are asked for."""
    return [
        sys.modules[name] for name in _TOOLS if name.partition(".")[0] in sys.modules and importlib.import_module(name)
    ]


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


def _functions(namespaces: list[dict[str, Any]]) -> Iterator[tuple[types.FunctionType, Any, Any, Any]]:
    """The functions of the tools, and those that they wrap, with what makes them up."""
    seen: set[int] = set()
    for value in (value for names in namespaces for value in names.values()):
        while isinstance(value, types.FunctionType) and id(value) not in seen:
            seen.add(id(value))
            yield value, value.__code__, value.__defaults__, value.__kwdefaults__
            value = getattr(value, "__wrapped__", None)
