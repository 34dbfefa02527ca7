"""Runs inside the sandbox: `python runner.py` loads `candidate.py`, calls one of its functions and writes what it returns.

It stands alone (standard library only) and trusts nothing after the candidate is loaded: whatever the candidate does to this
process can only change the values that are written, and the judge outside compares those with the expected ones.
Lines on the real standard output: `{"loaded": true}` or `{"error": ...}`, then one of `{"value": ...}` or `{"error": ...}` an input.
"""

from __future__ import annotations

import collections
import json
import os
import pickle
import sys
from typing import Any

_LIMIT = 50  # nesting
_PLAIN = (collections.OrderedDict, collections.Counter)  # own `__eq__`, but equal to an equal dict


def encode(value: Any, depth: int = 0) -> Any:
    """A value as JSON with type tags; subclasses that compare as their base does count as the base."""
    if depth > _LIMIT:
        return ["opaque", "nested too deeply"]
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return encode(value.tolist(), depth)
    if kind is str:
        return value
    for base, tag, form in _FORMS:
        if isinstance(value, base) and (kind.__eq__ is base.__eq__ or kind in _PLAIN):
            if form is not None:
                return [tag, form(value)]
            if base is dict:
                return [
                    tag,
                    [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in dict.items(value)],
                ]
            return [tag, [encode(item, depth + 1) for item in base.__iter__(value)]]
    return ["opaque", kind.__name__]


_FORMS: tuple[tuple[Any, str, Any], ...] = (
    (str, "str", str.__str__),
    (int, "int", lambda value: int.__format__(value, "x")),
    (float, "float", float.hex),
    (complex, "complex", lambda value: [value.real.hex(), value.imag.hex()]),
    (bytes, "bytes", bytes.hex),
    (list, "list", None),
    (tuple, "tuple", None),
    (set, "set", None),
    (frozenset, "set", None),
    (dict, "dict", None),
)


def main() -> None:
    """Reads `candidate.py` and `task.pickle` (entry point, inputs) from the working folder."""
    with open("task.pickle", "rb") as task:
        entry_point, inputs = pickle.load(task)
    with open("candidate.py", encoding="utf-8", errors="surrogatepass") as text:
        source = text.read()
    channel = os.fdopen(os.dup(1), "w", encoding="ascii")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    dumps, write, flush, leave = json.dumps, channel.write, channel.flush, os._exit

    def emit(row: dict[str, Any]) -> None:
        write(dumps(row) + "\n")
        flush()

    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(source, "candidate.py", "exec"), names)
        function = names[entry_point]
    except BaseException as error:
        emit({"error": type(error).__name__})
        leave(0)
    emit({"loaded": True})
    for arguments in inputs:
        try:
            row = {"value": encode(function(*arguments))}
        except BaseException as error:
            row = {"error": type(error).__name__}
        emit(row)
    leave(0)


main()
