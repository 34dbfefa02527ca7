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
    *(
        "matplotlib.axes._base._AxesBase",
        "matplotlib.figure.FigureBase",
        "matplotlib._pylab_helpers.Gcf",
        "PIL.Image.Image",
    ),
)
_MAKES_UP = ("__code__", "__defaults__", "__kwdefaults__")  # of a function
_SHADOWED = ("cla", "drag_pan", "format_coord")  # methods that the library itself replaces in single artists
_MADE = ("Subplot",)  # classes that the library makes when they are asked for
_DRAWING_PACKAGES = ("matplotlib", "mpl_toolkits", "seaborn")
_ROUNDS = 4  # of putting right: what is put back frees what was there, and that may run code of the program's


class Before:
    """Tools as they are now."""

    def __init__(self) -> None:
        self._modules = [(vars(module), _callables(vars(module))) for module in _present()]
        self._classes = [(kind, dict(vars(kind))) for kind in _present_classes()]
        self._functions = list(_functions([before for _, before in self._modules]))
        self._functions += list(_functions([before for _, before in self._classes]))
        self._loaded = dict(sys.modules)
        lists: tuple[Any, ...] = (sys.meta_path, sys.path_hooks, sys.path)
        self._lists: list[tuple[Any, list[Any]]] = [(found, list(found)) for found in lists]

    def put_right(self) -> None:
        """Puts back what the program replaced and ends what it set to work later. What libraries keep (options, figures) stays.

        AssertionError: it does not stay put right, a thread is left, or what has been drawn is of the program's own making.
        """
        for _ in range(_ROUNDS):
            self._end_what_comes_later()
            changed = self._put_modules_right() + self._put_functions_right() + self._put_classes_right()
            for found, kept in self._lists:
                if found != kept:
                    found[:] = kept
                    changed += 1
            if not changed:
                break
        assert not changed
        assert len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208
        _put_artists_right()

    def _end_what_comes_later(self) -> None:
        sys.settrace(None)
        sys.setprofile(None)
        threading.settrace(None)
        threading.setprofile(None)
        gc.callbacks.clear()
        gc.disable()
        for number in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(number, 0)
        for number in set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)

    def _put_modules_right(self) -> int:
        changed = 0
        for now, before in [*self._modules, (sys.modules, self._loaded)]:  # builtins first: what follows calls them
            for name, value in before.items():
                if now.get(name) is not value:
                    now[name] = value
                    changed += 1
        return changed

    def _put_functions_right(self) -> int:
        changed = 0
        for function, *before in self._functions:
            for name, value in zip(_MAKES_UP, before):
                if getattr(function, name) is not value:
                    setattr(function, name, value)
                    changed += 1
        return changed

    def _put_classes_right(self) -> int:
        changed = 0
        for kind, attributes in self._classes:
            for name, value in list(vars(kind).items()):
                if name in attributes and attributes[name] is not value:
                    setattr(kind, name, attributes[name])
                elif name not in attributes and any(name in vars(base) for base in kind.__mro__[1:]):
                    delattr(kind, name)
                else:
                    continue
                changed += 1
        return changed


def no_audit_hooks() -> None:
    """From now on no audit hook is added: it could not be taken away again."""

    def refuse(event: str, _: Any) -> None:
        if event == "sys.addaudithook":
            raise RuntimeError(event)

    if hasattr(sys, "addaudithook"):  # of Python 3.8
        sys.addaudithook(refuse)  # novm


def _put_artists_right() -> None:
    """What has been drawn is of the library's classes, with their methods."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    for manager in helpers.Gcf.figs.values() if helpers else ():
        for artist in (manager.canvas.figure, *manager.canvas.figure.findobj()):
            kind = type(artist)
            home = sys.modules.get(kind.__module__)
            assert kind.__module__.partition(".")[0] in _DRAWING_PACKAGES
            assert vars(home).get(kind.__name__) is kind or kind.__name__.endswith(_MADE)
            for name in [name for name in vars(artist) if isinstance(_of_class(kind, name), types.FunctionType)]:
                if not name.startswith("_") and name not in _SHADOWED:
                    delattr(artist, name)


def _of_class(kind: type, name: str) -> Any:
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


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
