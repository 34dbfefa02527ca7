"""Values that hostile code returned, as inert data.

Inside the sandbox `guest.py` writes a return value as marshal, or tagged when it is of another type. Python's own reader may
crash on hostile bytes, so the bytes are read here. Nothing of the candidate's own classes survives: an object whose `__eq__` is
always true arrives as an `Opaque`, which equals nothing.
"""

from __future__ import annotations

import array
import collections
import decimal
import fractions
import re
import struct
from collections.abc import Callable
from typing import Any

_NESTING = 120
_NUMBER = re.compile(r"-?\d{1,2000}(/\d{1,2000})?")
_DECIMAL = re.compile(r"-?(\d{1,2000}(\.\d{0,2000})?(E[+-]\d{1,4})?|NaN|Infinity)")


class Opaque:
    """Stands for a value of a type that is not passed on. It equals nothing, itself included."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{self.type_name}>"


class _Malformed(ValueError):
    pass


def load(content: bytes) -> Any:
    """One value in marshal's version 2, of plain types only; anything else is an `Opaque`."""
    try:
        value, end = _read(content, 0, 0)
        if end != len(content):
            raise _Malformed
    except (ValueError, TypeError, IndexError, OverflowError, struct.error):
        return Opaque("malformed")
    return value


def untag(value: Any) -> Any:
    """The (tag, content) form of `guest.tagged` -> the value it stands for; anything malformed is an `Opaque`."""
    try:
        return _untag(value)
    except Exception:
        return Opaque("malformed")


def _read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends."""
    if depth > _NESTING:
        raise _Malformed
    kind, at = data[at : at + 1], at + 1
    if kind in _SINGLE:
        return _SINGLE[kind], at
    if kind == b"i":
        return struct.unpack_from("<i", data, at)[0], at + 4
    if kind == b"g":
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind == b"y":
        return complex(*struct.unpack_from("<dd", data, at)), at + 16
    if kind == b"l":
        count = struct.unpack_from("<i", data, at)[0]
        end = at + 4 + 2 * abs(count)
        digits = struct.unpack_from(f"<{abs(count)}H", data, at + 4)
        if not digits or max(digits) >= 1 << 15:
            raise _Malformed
        number = int("".join(f"{digit:015b}" for digit in reversed(digits)), 2)
        return (-number if count < 0 else number), end
    if kind in (b"u", b"s"):
        length = struct.unpack_from("<i", data, at)[0]
        content = data[at + 4 : at + 4 + length]
        if length < 0 or len(content) != length:
            raise _Malformed
        return (content if kind == b"s" else content.decode("utf-8", "surrogatepass")), at + 4 + length
    if kind == b"{":
        found: dict[Any, Any] = {}
        while data[at : at + 1] != b"0":
            key, at = _read(data, at, depth + 1)
            found[key], at = _read(data, at, depth + 1)
        return found, at + 1
    if kind in _GROUPS:
        length, at = struct.unpack_from("<i", data, at)[0], at + 4
        if not 0 <= length <= len(data) - at:
            raise _Malformed
        items = []
        for _ in range(length):
            item, at = _read(data, at, depth + 1)
            items.append(item)
        return _GROUPS[kind](items), at
    raise _Malformed


_SINGLE = {b"N": None, b"T": True, b"F": False}
_GROUPS: dict[bytes, Callable[[list[Any]], Any]] = {b"(": tuple, b"[": list, b"<": set, b">": frozenset}


class _Str(str):
    """A subclass: its type is not that of the expected value, which the newer rules look at."""


class _Int(int):
    pass


class _Float(float):
    pass


class _Complex(complex):
    pass


class _Bytes(bytes):
    pass


class _List(list[Any]):
    pass


class _Tuple(tuple[Any, ...]):
    pass


class _Set(set[Any]):
    pass


class _FrozenSet(frozenset[Any]):
    pass


class _Dict(dict[Any, Any]):
    pass


_SUBCLASSES: dict[str, type] = {
    kind.__mro__[1].__name__: kind
    for kind in (_Str, _Int, _Float, _Complex, _Bytes, _List, _Tuple, _Set, _FrozenSet, _Dict)
}
_OF_ITEMS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "iterator": iter,
    "bytearray": bytearray,
    "deque": collections.deque,
    "dict_keys": lambda items: dict.fromkeys(items).keys(),
    "dict_values": lambda items: dict(enumerate(items)).values(),
}


def _untag(value: Any) -> Any:
    tag, content = value
    if tag == "plain":
        return content if isinstance(content, str | int | float | complex | bytes | None) else Opaque("malformed")
    if tag == "sub":
        base, inner = content
        plain = base in ("str", "int", "float", "complex", "bytes")
        return _SUBCLASSES[base](inner if plain else _untag((base, inner)))
    if tag in _OF_ITEMS:
        return _OF_ITEMS[tag]([_untag(item) for item in content])
    if tag in ("dict", "dict_items"):
        found = {_untag(key): _untag(item) for key, item in content}
        return found if tag == "dict" else found.items()
    if tag == "range":
        return range(*content)
    if tag == "array":
        return array.array(content[0], content[1])
    if tag == "Fraction" and _NUMBER.fullmatch(content):
        return fractions.Fraction(content)
    if tag == "Decimal" and _DECIMAL.fullmatch(content):
        return decimal.Decimal(content)
    if tag == "numpy":
        return _numpy_array(*content)
    if tag == "objects":
        return _object_array(*content)
    return Opaque(str(content)[:80])


def _numpy_array(name: str, shape: tuple[int, ...], items: Any) -> Any:
    import numpy

    kind = numpy.dtype(name)
    if kind.kind not in "biufcSU" or kind.itemsize > 1 << 16:
        return Opaque("malformed")
    return numpy.array(items, kind).reshape(shape)[()]


def _object_array(shape: tuple[int, ...], items: list[Any]) -> Any:
    import numpy

    found = numpy.empty(len(items), object)
    for number, item in enumerate(items):
        found[number] = _untag(item)
    return found.reshape(shape)
