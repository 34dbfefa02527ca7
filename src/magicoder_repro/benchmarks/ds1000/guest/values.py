"""Runs inside the sandbox. A program's result as plain data, and back: what leaves the process that ran a program is this and
nothing else.

A message is JSON with raw buffers behind it. In the JSON a value is itself (None, bool, int, float, str) or `[tag, number, ...]`;
arrays lie in the buffers as dtype, shape and bytes. `Reader` makes objects of known types from it and never calls what the program
wrote; a value of a type that is not known here arrives as an `Opaque`, which is equal to nothing. A subclass of a known type arrives
as a subclass of ours, without its methods. What was one object stays one, and a NaN that came in is the same NaN when it comes back.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import itertools
import json
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MOST_ITEMS = 10_000_000  # that are drawn from an iterator
_SMALL = 2**53
_HEAD = struct.Struct("<QQ")
_EMPTY: tuple[Any, ...] = ([], (), "", {}, set(), range(0), b"", {}.values(), {}.items())
_ITERATORS: tuple[Any, ...] = (
    *(type(iter(empty)) for empty in _EMPTY),
    *(map, filter, zip, enumerate, reversed, type(_ for _ in ()), itertools.chain, itertools.islice, itertools.product),
    *(itertools.permutations, itertools.combinations, itertools.repeat, itertools.accumulate, itertools.starmap),
)
_TYPES = {
    kind.__name__: kind for kind in (int, float, str, bool, bytes, complex, object, list, tuple, dict, set, type(None))
}


class Opaque:
    """A value of a type that is no plain data; `name` says which."""

    def __init__(self, name: str) -> None:
        self.name = name


class SubList(list):  # type: ignore[type-arg]
    """A list, of a class of the program's."""


class SubTuple(tuple):  # type: ignore[type-arg]
    """A tuple, of a class of the program's (a named tuple)."""


class SubDict(dict):  # type: ignore[type-arg]
    """A dict, of a class of the program's."""


class SubStr(str):
    """A str, of a class of the program's."""


class SubInt(int):
    """An int, of a class of the program's."""


class SubFloat(float):
    """A float, of a class of the program's."""


_SUBCLASSES: dict[str, Any] = {
    "list": SubList, "tuple": SubTuple, "dict": SubDict, "str": SubStr, "int": SubInt, "float": SubFloat,
    "set": set, "frozenset": frozenset, "bytes": bytes,
}  # fmt: skip
_GROUPS: dict[type, str] = {
    list: "list", tuple: "tuple", set: "set", frozenset: "frozenset", collections.deque: "deque",
}  # fmt: skip
_BASES: tuple[Any, ...] = (str, int, float, bytes, list, tuple, set, frozenset, dict)
_MAKE_GROUP: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple, "set": set, "frozenset": frozenset, "deque": collections.deque, "iterator": iter,
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
    "items": lambda items: dict(items).items(),
}  # fmt: skip
_DICTS: dict[type, str] = {
    dict: "dict", collections.OrderedDict: "OrderedDict", collections.Counter: "Counter", collections.defaultdict: "defaultdict",
}  # fmt: skip
_MAKE_DICT: dict[str, Callable[[], Any]] = {
    "dict": dict, "OrderedDict": collections.OrderedDict, "Counter": collections.Counter,
    "defaultdict": collections.defaultdict,
}  # fmt: skip
_VIEWS: dict[type, str] = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}


class Writer:
    """Turns values into nodes of JSON. `libraries`: functions that know more types: (writer, value) -> node or None."""

    def __init__(self, nans: Sequence[float], libraries: Sequence[Callable[[Writer, Any], Any]]) -> None:
        self._nans = {id(value): number for number, value in enumerate(nans)}
        self._libraries = libraries
        self._known: dict[int, int] = {}
        self._kept: list[Any] = []  # ids stay theirs
        self.buffers: list[bytes] = []

    def node(self, value: Any) -> Any:
        """The node of a value, once; of one that has been written already, a reference."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -_SMALL < value < _SMALL else ["int", format(value, "x")]
        if kind is float:
            return value if value == value else ["nan", self._nans.get(id(value), -1)]
        if id(value) in self._known:
            return ["same", self._known[id(value)]]
        number = self._known[id(value)] = len(self._kept)
        self._kept.append(value)
        tag, *rest = self._compound(value, kind)
        return [tag, number, *rest]

    def buffer(self, content: Any) -> int:
        """Puts bytes behind the JSON; their number."""
        self.buffers.append(bytes(content))
        return len(self.buffers) - 1

    def nodes(self, values: Any) -> list[Any]:
        """The nodes of several values."""
        return [self.node(value) for value in values]

    def _compound(self, value: Any, kind: type) -> Any:
        if kind in _GROUPS:
            return [_GROUPS[kind], self.nodes(value)]
        if kind in _DICTS:
            return [_DICTS[kind], [[self.node(key), self.node(item)] for key, item in value.items()]]
        if kind in _VIEWS:
            return [_VIEWS[kind], self.nodes(value)]
        if kind in (bytes, bytearray):
            return [kind.__name__, self.buffer(value)]
        if kind is complex:
            return ["complex", self.node(value.real), self.node(value.imag)]
        if kind is range:
            return ["range", *self.nodes((value.start, value.stop, value.step))]
        if kind in (decimal.Decimal, fractions.Fraction):
            return [kind.__name__, str(value)]
        if kind is type and value in _TYPES.values():
            return ["type", value.__name__]
        if kind.__module__ == "datetime":
            return self._time(value, kind)
        if isinstance(value, _ITERATORS):
            items = list(itertools.islice(value, MOST_ITEMS + 1))
            return ["iterator", self.nodes(items)] if len(items) <= MOST_ITEMS else ["opaque", kind.__name__]
        for library in self._libraries:
            found = library(self, value)
            if found is not None:
                return found
        for base in _BASES:
            if isinstance(value, base):
                content = base.items(value) if base is dict else base.__iter__(value) if base in _GROUPS else value
                return ["subclass", base.__name__, self.node(base(content))]
        return ["opaque", kind.__name__]

    def _time(self, value: Any, kind: type) -> Any:
        if kind is datetime.date:
            return ["date", value.year, value.month, value.day]
        if kind is datetime.timedelta:
            return ["timedelta", value.days, value.seconds, value.microseconds]
        if kind in (datetime.datetime, datetime.time):
            zone, fold = value.tzinfo, value.fold
            if zone is not None and type(zone) is not datetime.timezone:
                return ["opaque", f"{kind.__name__} of {type(zone).__name__}"]
            offset = None if zone is None else zone.utcoffset(None).total_seconds()
            return [kind.__name__, value.replace(tzinfo=None).isoformat(), fold, offset]
        return ["opaque", kind.__name__]


class Reader:
    """Turns nodes back into values. Errors of any kind mean that they are none."""

    def __init__(
        self, nans: Sequence[float], libraries: dict[str, Callable[[Reader, list[Any]], Any]], buffers: Sequence[bytes]
    ) -> None:
        self._nans, self._libraries, self._buffers = nans, libraries, buffers
        self._known: dict[int, Any] = {}

    def value(self, node: Any) -> Any:
        """The value of a node."""
        if not isinstance(node, list):
            return node
        tag, *rest = node
        if tag == "int":
            return int(rest[0], 16)
        if tag == "nan":
            return self._nans[rest[0]] if rest[0] >= 0 else float("nan")
        if tag == "same":
            return self._known[rest[0]]
        number, *rest = rest
        if tag == "list":
            self._known[number] = made = []
            made += self.values(rest[0])
        elif tag in _MAKE_DICT:
            self._known[number] = found = _MAKE_DICT[tag]()
            found.update({self.value(key): self.value(item) for key, item in rest[0]})
        else:
            self._known[number] = self._made(tag, rest)
        return self._known[number]

    def values(self, nodes: list[Any]) -> list[Any]:
        """The values of several nodes."""
        return [self.value(node) for node in nodes]

    def buffer(self, number: int) -> bytes:
        """The bytes of that number."""
        return self._buffers[number]

    def _made(self, tag: str, rest: list[Any]) -> Any:
        if tag in _MAKE_GROUP:
            return _MAKE_GROUP[tag](self.values(rest[0]))
        if tag in self._libraries:
            return self._libraries[tag](self, rest)
        if tag == "bytes":
            return self.buffer(rest[0])
        if tag == "bytearray":
            return bytearray(self.buffer(rest[0]))
        if tag == "complex":
            return complex(*self.values(rest))
        if tag == "range":
            return range(*self.values(rest))
        if tag == "Decimal":
            return decimal.Decimal(rest[0])
        if tag == "Fraction":
            return fractions.Fraction(rest[0])
        if tag == "type":
            return _TYPES[rest[0]]
        if tag == "subclass":
            return _SUBCLASSES[rest[0]](self.value(rest[1]))
        if tag == "date":
            return datetime.date(*rest)
        if tag == "timedelta":
            return datetime.timedelta(*rest)
        if tag in ("datetime", "time"):
            text, fold, offset = rest
            zone = None if offset is None else datetime.timezone(datetime.timedelta(seconds=offset))
            kind = datetime.datetime if tag == "datetime" else datetime.time
            return kind.fromisoformat(text).replace(fold=fold, tzinfo=zone)
        return Opaque(str(rest[0])[:80])


def parts(about: dict[str, Any], buffers: Sequence[bytes]) -> Iterator[bytes]:
    """A message, piece by piece: the lengths, the JSON, the buffers. `about` is the JSON's object."""
    text = json.dumps({**about, "lengths": [len(buffer) for buffer in buffers]}, ensure_ascii=True).encode()
    yield _HEAD.pack(len(text), sum(map(len, buffers)))
    yield text
    yield from buffers


def lengths(head: bytes) -> tuple[int, int]:
    """The lengths of the JSON and of all buffers, which the first bytes of a message say."""
    found: tuple[int, int] = _HEAD.unpack(head)
    return found


HEAD_BYTES = _HEAD.size


def opened(text: bytes, rest: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON's object and the buffers; ValueError and its like when it is no message."""
    about = json.loads(text)
    if not isinstance(about, dict):
        raise TypeError("no object")
    buffers, begin = [], 0
    for length in about["lengths"]:
        if not 0 <= length <= len(rest) - begin:
            raise ValueError("a buffer ends too late")
        buffers.append(rest[begin : begin + length])
        begin += length
    return about, buffers


def loaded(name: str) -> Any:
    """A library, if it is loaded: what is not cannot have made the value."""
    return sys.modules.get(name)
