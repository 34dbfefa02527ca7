"""Runs inside the sandbox: `python -P -s -S runner.py` loads a candidate, calls one of its functions, writes what it returns.

It stands alone, imports almost nothing (a program a sandbox: start-up is what most programs cost) and trusts nothing after the
candidate is loaded: whatever the candidate does to this process can only change the values that are written, and the judge
outside compares those with the expected ones. Frames on the real standard output: a kind (one byte), a length (8 bytes, little
endian), the content.
    L  loaded             V  value: marshal, version 2        H  value: digest of its marshal form (a long one)
    X  value of other types: tagged, as marshal               E  exception: its class name, the end
    T  a call took too long: its number, the end              D  done: the most that a call took of its limit, 0 to 1
"""

from __future__ import annotations

import _io as io
import _signal as signals  # type: ignore[import-not-found]
import marshal
import posix
import sys
import time
from collections.abc import Iterator
from typing import Any

FORMAT = 2  # of marshal: the last one without references, so that equal values have equal bytes
_PLAIN: tuple[tuple[Any, Any], ...] = (
    (str, str.__str__),
    (int, lambda value: int.__add__(value, 0)),
    (float, lambda value: float.__add__(value, 0.0)),
    (complex, lambda value: complex.__add__(value, 0j)),
    (bytes, lambda value: bytes.__add__(value, b"")),
)
_GROUPS: tuple[Any, ...] = (list, tuple, set, frozenset)
_DICT: Any = dict
# What programs often import: a warm interpreter has it already.
WARM = (
    *(
        "bisect",
        "collections",
        "copy",
        "datetime",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
        "math",
        "operator",
        "random",
    ),
    *("re", "statistics", "string", "typing"),
)
_NESTING = 100
_CHUNK = 10_000
_ITERATORS = ("generator", "map", "filter", "zip", "enumerate", "reversed", "list_iterator", "chain")
_PATIENCE = 6.0  # wall seconds for each CPU second that a call may take
_MOST_ITEMS = 1_000_000  # that are drawn from an iterator


def pieces(value: Any) -> Iterator[bytes]:
    """The marshal form of a value of plain types; of a long list or tuple piece by piece, to save memory."""
    if type(value) in (list, tuple) and len(value) > _CHUNK:
        yield b"%s %d" % (type(value).__name__.encode(), len(value))
        for first in range(0, len(value), _CHUNK):
            yield marshal.dumps(value[first : first + _CHUNK], FORMAT)
    else:
        yield marshal.dumps(value, FORMAT)


def digest(value: Any) -> bytes:
    """16 bytes that identify a value of plain types."""
    from _blake2 import blake2b

    found = blake2b(digest_size=16)
    for piece in pieces(value):
        found.update(piece)
    return bytes(found.digest())


def tagged(value: Any, depth: int = 0) -> Any:
    """A value of any type as (tag, content) of plain types; a subclass that compares as its base does counts as the base."""
    if depth > _NESTING:
        return ("opaque", "nested too deeply")
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return ("plain", value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        if value.dtype.kind in "biufcSU":
            return ("numpy", (value.dtype.str, value.shape, value.tolist()))
        return ("opaque", kind.__name__)
    for base, plain in _PLAIN:
        if isinstance(value, base) and kind.__eq__ is base.__eq__:
            return ("plain", plain(value))
    for base in _GROUPS:
        if isinstance(value, base) and kind.__eq__ is base.__eq__:
            return (base.__name__, [tagged(item, depth + 1) for item in base.__iter__(value)])
    if isinstance(value, dict) and (kind.__eq__ is _DICT.__eq__ or kind.__name__ in ("OrderedDict", "Counter")):
        return ("dict", [(tagged(key, depth + 1), tagged(item, depth + 1)) for key, item in dict.items(value)])
    if kind.__name__ in ("dict_keys", "dict_items"):  # equal to a set
        return ("set", [tagged(item, depth + 1) for item in value])
    if kind.__name__ in ("Decimal", "Fraction") and kind.__module__ in ("decimal", "fractions"):
        return (kind.__name__, str(value))
    if kind is range:
        return ("range", (value.start, value.stop, value.step))
    if kind.__name__ in _ITERATORS:
        items: list[Any] = []
        for item in value:
            if len(items) == _MOST_ITEMS:
                return ("opaque", kind.__name__)
            items.append(tagged(item, depth + 1))
        return ("iterator", items)
    return ("opaque", kind.__name__)


class _Nothing(io.StringIO):
    """A text stream that swallows writes and refuses reads, as evalplus' `WriteOnlyStringIO` does; it keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def read(self, *_: Any) -> Any:
        raise OSError

    def readline(self, *_: Any) -> Any:
        raise OSError

    def readlines(self, *_: Any) -> Any:
        raise OSError

    def readable(self) -> bool:
        return False


class _TimeoutException(Exception):
    pass


def _expired(*_: Any) -> None:
    raise _TimeoutException


def main() -> None:
    """Reads `task` (marshal): see `evalplus_worker` for its fields."""
    with io.open("task", "rb") as file:
        task = marshal.load(file)
    channel = posix.dup(1)
    nothing = posix.open("/dev/null", posix.O_RDWR)
    for stream in (0, 1, 2):
        posix.dup2(nothing, stream)
    write, leave, clock, timer = posix.write, posix._exit, time.process_time, signals.setitimer
    dumps, shorten, loaded, longest = marshal.dumps, digest, sys.modules, task["longest"]

    def emit(kind: bytes, content: bytes = b"") -> None:
        left = memoryview(kind + len(content).to_bytes(8, "little") + content)
        while left:
            left = left[write(channel, left) :]

    def emit_value(value: Any) -> None:
        if "numpy" not in loaded:  # its arrays would pass for bytes
            try:
                if type(value) not in (list, tuple) or len(value) <= max(longest, _CHUNK):
                    content = dumps(value, FORMAT)
                    if len(content) <= longest:
                        return emit(b"V", content)
                return emit(b"H", shorten(value))
            except ValueError:
                pass  # not of plain types
        return emit(b"X", dumps(tagged(value), FORMAT))

    sys.path += task["path"]
    sys.stdin = sys.stdout = sys.stderr = _Nothing()
    frame, depth = sys._getframe(), 1
    while frame.f_back:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(sys.getrecursionlimit() - task["frames"] + depth)  # evalplus calls from a deeper stack
    if task["guard"]:
        _guard(task["guard"])
    signals.signal(signals.SIGPROF, _expired)
    signals.signal(signals.SIGALRM, _expired)
    limits: Iterator[float] = iter(task["limits"])
    most = 0.0
    reached = 0
    names: dict[str, Any] = {}
    try:
        timer(signals.ITIMER_PROF, task["load_seconds"])
        timer(signals.ITIMER_REAL, _PATIENCE + task["load_seconds"])
        exec(task["source"], names)
        timer(signals.ITIMER_PROF, 0)
        timer(signals.ITIMER_REAL, 0)
        function = names[task["entry_point"]]
        if "random" in loaded:  # two runs are to give one verdict
            loaded["random"].seed(0)
        emit(b"L")
        for arguments in task["inputs"]:
            begun, limit = clock(), next(limits)
            timer(signals.ITIMER_PROF, limit)  # seconds of the processor: what else runs on the machine does not matter
            timer(signals.ITIMER_REAL, _PATIENCE * limit)  # for a call that sleeps
            try:
                value = function(*arguments)
            finally:
                timer(signals.ITIMER_PROF, 0)
                timer(signals.ITIMER_REAL, 0)
            most = max(most, (clock() - begun) / limit)
            emit_value(value)
            reached += 1
    except _TimeoutException:
        emit(b"T", b"%d" % reached)
    except BaseException as error:
        emit(b"E", type(error).__name__.encode("utf-8", "replace")[:80])
    else:
        emit(b"D", repr(most).encode())
    leave(0)


def _guard(path: str) -> None:
    """Calls evalplus' own `reliability_guard`, from its file alone: the package would import numpy."""
    names: dict[str, Any] = {"__name__": "evalplus.eval.utils"}
    with io.open_code(path) as file:
        exec(compile(file.read(), path, "exec"), names)
    names["reliability_guard"](None)


if __name__ == "__main__":
    main()
