"""A value that hostile code returned, as inert data.

Inside the sandbox `runner.py` turns a return value into JSON; here the JSON becomes built-in types again. Nothing of the
candidate's own classes survives: an object whose `__eq__` is always true arrives as an `Opaque`, which equals nothing.
"""

from __future__ import annotations

from typing import Any


class Opaque:
    """Stands for a value of a type that is not passed on. It equals nothing, itself included."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{self.type_name}>"


def decode(value: Any) -> Any:
    """The JSON form that `runner.py` writes -> built-in types. Anything malformed is an `Opaque`."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        try:
            return _decode_tagged(value[0], value[1])
        except (TypeError, ValueError, OverflowError, KeyError, RecursionError):
            pass
    return Opaque("malformed")


def _decode_tagged(tag: str, content: Any) -> Any:
    if tag == "int":
        return int(content, 16)
    if tag == "float":
        return float.fromhex(content)
    if tag == "complex":
        return complex(float.fromhex(content[0]), float.fromhex(content[1]))
    if tag == "bytes":
        return bytes.fromhex(content)
    if tag == "list":
        return [decode(item) for item in content]
    if tag == "tuple":
        return tuple(decode(item) for item in content)
    if tag == "set":
        return {decode(item) for item in content}
    if tag == "dict":
        return {decode(key): decode(item) for key, item in content}
    return Opaque(str(content))
