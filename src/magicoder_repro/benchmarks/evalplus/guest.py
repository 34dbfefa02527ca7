"""Runs inside the sandbox: loads a candidate as evalplus does, calls one of its functions, writes what it returns.

It is the guest of a warm interpreter (`sandbox/zygote.py`), or `python -P -s -S guest.py` where there is none. What a candidate can
notice is evalplus' own: its modules are imported first, then comes its guard, then the program, in an empty folder, as many frames
deep, with its streams. No `from __future__` may stand here: `exec` hands it on to the candidate.

Nothing is trusted after the candidate is loaded: whatever it does to this process can only change the values that are written, and the
judge outside compares those with the expected ones and keeps the time. Frames on the real standard output: a kind (one byte), a
length (8 bytes, little endian), the content.
    L  loaded             V  value: marshal, version 2        H  value: digest of its marshal form (a long one)
    X  value of other types: tagged, as marshal               E  exception: its class name, the end
    T  a call took too long, the end                          D  done, the end
"""

import _io as io
import _signal as signals  # type: ignore[import-not-found]
import marshal
import os
import posix
import site
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

FORMAT = 2  # of marshal: the last one without references, so that equal values have equal bytes
WARM = ()  # modules for the warm interpreter to import: this module imports them itself
_PLAIN: tuple[tuple[Any, Any], ...] = (
    (str, str.__str__),
    (int, lambda value: int.__add__(value, 0)),
    (float, lambda value: float.__add__(value, 0.0)),
    (complex, lambda value: complex.__add__(value, 0j)),
    (bytes, lambda value: bytes.__add__(value, b"")),
)
_GROUPS: tuple[Any, ...] = (list, tuple, set, frozenset)
_DICT: Any = dict
_LIKE: dict[str, Any] = {  # the standard library's own that are equal to a value of a plain type
    "UserList": list,
    "UserString": str,
    "UserDict": dict,
    "ChainMap": dict,
    "mappingproxy": dict,
}
_SINGLE = frozenset({int, float, str, bool, type(None), complex, bytes})
_NESTING = 100
_CHUNK = 10_000
_CHANNEL = 200  # a descriptor that no program closes by the way
_WALL = 100.0  # seconds for each CPU second of a call, on the timer that evalplus sets; the judge's own look at the clock comes sooner
_MOST_ITEMS = 1_000_000  # that are drawn from an iterator
_STACK_BYTES = 4 << 30  # evalplus' own limit
_LEFT_OUT = ("wget", "tempdir")  # downloaders that evalplus imports and the environment has not
_KEPT: list[Any] = []
# What `evalplus.evaluate` has imported when a program starts, where it cannot be imported itself (0.3.1: clients of models).
_IMPORTED = (
    *(
        "argparse",
        "json",
        "multiprocessing",
        "pickle",
        "threading",
        "concurrent.futures.process",
        "datetime",
        "warnings",
    ),
    *("gzip", "hashlib", "logging", "unittest", "inspect", "shutil", "subprocess", "textwrap", "random", "statistics"),
    *("multipledispatch", "termcolor", "tqdm", "numpy.random", "psutil", "evalplus.eval", "evalplus.gen.util"),
)


def is_plain(value: Any) -> bool:
    """Whether marshal writes this value, and all in it, as what it is: it takes arrays of every kind for bytes."""
    kind = type(value)
    if kind in _SINGLE:
        return True
    if kind is dict:
        return all(map(is_plain, value)) and all(map(is_plain, value.values()))
    return kind in _GROUPS and all(map(is_plain, value))


def plain_bytes(value: Any, limit: int = -1) -> bytes | None:
    """The marshal form of a value of plain types; None for a list or tuple of over `limit` items. A ValueError for other types."""
    if type(value) in (list, tuple) and len(value) > limit >= 0:
        return None
    content = marshal.dumps(value, FORMAT)
    if b"s" in content and not is_plain(value):  # the mark of bytes, or a letter
        raise ValueError("not of plain types")
    return content


def pieces(value: Any) -> Iterator[bytes]:
    """The marshal form of a value of plain types; of a long list or tuple piece by piece, to save memory."""
    if type(value) in (list, tuple) and len(value) > _CHUNK:
        yield b"%s %d" % (type(value).__name__.encode(), len(value))
        for first in range(0, len(value), _CHUNK):
            yield plain_bytes(value[first : first + _CHUNK]) or b""
    else:
        yield plain_bytes(value) or b""


def digest(value: Any) -> bytes:
    """16 bytes that identify a value of plain types."""
    from _blake2 import blake2b

    found = blake2b(digest_size=16)
    for piece in pieces(value):
        found.update(piece)
    return bytes(found.digest())


def tagged(value: Any, depth: int = 0) -> Any:
    """A value of any type as (tag, content) of plain types; a subclass that compares as its base does is marked as one."""
    if depth > _NESTING:
        return ("opaque", "nested too deeply")
    kind = type(value)
    if kind in _SINGLE:
        return ("plain", value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return _tagged_array(numpy, value, depth)
    for base, plain in _PLAIN:
        if isinstance(value, base) and kind.__eq__ is base.__eq__:
            return ("sub", (base.__name__, plain(value)))
    for base in _GROUPS:
        if isinstance(value, base) and kind.__eq__ is base.__eq__:
            items = [tagged(item, depth + 1) for item in base.__iter__(value)]
            return (base.__name__, items) if kind is base else ("sub", (base.__name__, items))
    if isinstance(value, dict) and (kind.__eq__ is _DICT.__eq__ or kind.__name__ in ("OrderedDict", "Counter")):
        pairs = [(tagged(key, depth + 1), tagged(item, depth + 1)) for key, item in dict.items(value)]
        return ("dict", pairs) if kind is dict else ("sub", ("dict", pairs))
    return _tagged_by_name(value, kind, depth)


def _tagged_array(numpy: Any, value: Any, depth: int) -> Any:
    if value.dtype.kind in "biufcSU":
        return ("numpy", (value.dtype.str, value.shape, value.tolist()))
    if value.dtype.kind == "O" and type(value) is numpy.ndarray:
        return ("objects", (value.shape, [tagged(item, depth + 1) for item in value.ravel().tolist()]))
    return ("opaque", type(value).__name__)


def _tagged_by_name(value: Any, kind: type, depth: int) -> Any:
    """Values of the standard library's types; and what can be gone through, which `set(value)` in a rule of evalplus would do."""
    name, module = kind.__name__, kind.__module__
    if name in ("Decimal", "Fraction") and module in ("decimal", "fractions"):
        return (name, str(value))
    if name in _LIKE and module in ("collections", "builtins"):
        base = _LIKE[name]
        return ("sub", (base.__name__, tagged(base(value), depth + 1)[1]))
    if kind is range:
        return ("range", (value.start, value.stop, value.step))
    if name in ("dict_keys", "dict_values", "deque", "bytearray") and module in ("builtins", "collections"):
        return (name, [tagged(item, depth + 1) for item in value])
    if name == "dict_items":
        return (name, [(tagged(key, depth + 1), tagged(item, depth + 1)) for key, item in value])
    if name == "array" and module == "array":
        return ("array", (value.typecode, value.tolist()))
    if not hasattr(kind, "__iter__"):
        return ("opaque", name)
    items: list[Any] = []
    for item in value:
        if len(items) == _MOST_ITEMS:
            return ("opaque", name)
        items.append(tagged(item, depth + 1))
    return ("iterator", items)


def _import_evalplus() -> Any:
    """evalplus' own functions for a candidate's process, with all imported that has been there when a program starts."""
    before = set(sys.modules)
    for name in _LEFT_OUT:
        sys.modules.setdefault(name, types.ModuleType(name))
    try:
        __import__("evalplus.evaluate")
    except ImportError:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "evalplus":
                del sys.modules[name]
        for name in _IMPORTED:
            __import__(name)
    for name in _LEFT_OUT:
        if name not in before:
            del sys.modules[name]
    import evalplus.eval.utils

    return evalplus.eval.utils


_evalplus: Any = None
if __name__ in ("guest", "__main__"):  # in the sandbox; the judge takes from here how values are written
    site.main()  # the interpreter was started without: evalplus' environment, and what site adds to builtins
    _evalplus = _import_evalplus()


class _Writer:
    """Writes frames; what it needs is taken before a candidate can touch it."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._write, self._channel = posix.write, _dup_high(1)
        self._plain, self._dumps, self._shorten, self._tagged = plain_bytes, marshal.dumps, digest, tagged

    def emit(self, kind: bytes, content: bytes = b"") -> None:
        frame = kind + len(content).to_bytes(8, "little") + content
        written = self._write(self._channel, frame)
        if written < len(frame):  # a long one, of which the pipe takes a part at a time
            left = memoryview(frame)[written:]
            while left:
                left = left[self._write(self._channel, left) :]

    def value(self, value: Any) -> None:
        try:
            content = self._plain(value, max(self._longest, _CHUNK))
            if content is not None and len(content) <= self._longest:
                return self.emit(b"V", content)
            return self.emit(b"H", self._shorten(value))
        except ValueError:
            return self.emit(b"X", self._dumps(self._tagged(value), FORMAT))


def _dup_high(descriptor: int) -> int:
    import fcntl

    return int(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _CHANNEL))


def _expired(*_: Any) -> None:
    raise _evalplus.TimeoutException("Timed out!")


def _at_depth(frames: int, act: Callable[[], None]) -> None:
    """Calls `act`, whose own call then is frame number `frames`: there evalplus calls a candidate."""
    frame, depth = sys._getframe(), 1
    while frame.f_back:
        frame, depth = frame.f_back, depth + 1
    _deeper(frames - depth - 2, act)


def _deeper(count: int, act: Callable[[], None]) -> None:
    if count > 1:
        _deeper(count - 1, act)
    else:
        act()


def _candidate(task: dict[str, Any], writer: _Writer) -> None:
    """Loads the program and makes the calls, as evalplus' `unsafe_execute` does: from one frame, with its streams and its timer.

    What its `time_limit` and `swallow_io` do for a call is written out here: as context managers they took most of the time of all.
    """
    limits: Sequence[float] = task["limits"]
    set_timer, set_handler = signals.setitimer, signals.signal
    real, cpu, alarm = signals.ITIMER_REAL, signals.ITIMER_PROF, signals.SIGALRM
    new_stream, one_stream = _evalplus.WriteOnlyStringIO, task["one_stream"]
    names: dict[str, Any] = {}
    loading = _evalplus.swallow_io()
    loading.__enter__()
    try:
        exec(task["source"], names)
        function = names[task["entry_point"]]
        if not one_stream:
            loading.__exit__(None, None, None)
        writer.emit(b"L")
        for limit, arguments in zip(limits, task["inputs"]):
            streams = sys.stdin, sys.stdout, sys.stderr
            set_timer(real, _WALL * limit)
            set_handler(alarm, _expired)
            if not one_stream:
                sys.stdout = sys.stderr = sys.stdin = new_stream()
            set_timer(cpu, limit)  # CPU seconds: what else runs here does not matter
            try:
                value = function(*arguments)
            finally:
                set_timer(cpu, 0)
                set_timer(real, 0)
                if not one_stream:
                    sys.stdin, sys.stdout, sys.stderr = streams
            writer.value(value)
    except _evalplus.TimeoutException:
        writer.emit(b"T")
    except BaseException as error:
        writer.emit(b"E", type(error).__name__.encode("utf-8", "replace")[:80])
    else:
        writer.emit(b"D")


def main() -> None:
    """Reads `task` (marshal): see `evalplus_worker` for its fields."""
    with io.open("task", "rb") as file:
        task = marshal.load(file)
    os.unlink("task")
    writer = _Writer(task["longest"])
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    for name in ("guest", "pid1"):  # ours: a program would not find them under evalplus
        sys.modules.pop(name, None)
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = ["evalplus.evaluate", "--dataset", task["family"], "--samples", "samples.jsonl"]
    leave = posix._exit
    _prepare()
    _at_depth(task["frames"], lambda: _candidate(task, writer))
    leave(0)


def _prepare() -> None:
    """An empty folder, evalplus' limit of the stack, random numbers that start from the same place each time, its guard."""
    import random
    import resource
    import tempfile

    import numpy

    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES if hard < 0 else min(hard, _STACK_BYTES), hard))
    random.seed(0)
    numpy.random.seed(0)
    signals.signal(signals.SIGPROF, _expired)
    tempfile.tempdir = os.path.realpath("/tmp")  # a link in the sandbox, which tempfile would not follow everywhere
    _KEPT.append(_evalplus.create_tempdir())  # else it is removed again
    _KEPT[0].__enter__()
    _evalplus.reliability_guard(None)


if __name__ == "__main__":
    main()
