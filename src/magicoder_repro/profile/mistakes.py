"""What is wrong with a profile, in one line: the key as it stands in the file, and the mend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from magicoder_repro.errors import nearest


def explain(error: ValidationError, content: Any) -> str:
    """One line for the first thing that is wrong in `content`: an unknown key before anything that it may have caused."""
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "unknown_key" or "[key]" in p["loc"]), problems[0])
    kind, given, context = first["type"], first["input"], first.get("ctx", {})
    key = ".".join(_path(first["loc"], content))
    if kind == "unknown_key":
        unknown = next(name for name in given if name not in context["valid"])
        return f"unknown key {_below(key, unknown)!r}: {_valid(unknown, context['valid'])}"
    if "[key]" in first["loc"]:
        if kind == "literal_error":
            return f"unknown key {key!r}: {_valid(given, _expected(context))}"
        return f"{key}: a name is text of lower-case letters, digits, '-' and '_', 60 at most: give another"
    if kind == "value_error":
        return f"{key}: {first['msg'].removeprefix('Value error, ')}, got {_short(given)}"
    if kind.startswith("union_tag"):  # `kind` says which of several models is meant
        key = _below(key, context["discriminator"].strip("'"))
        given = context.get("tag")
    if kind == "missing":
        key = _below(key, first["loc"][-1])
    if kind in ("missing", "union_tag_not_found"):
        return f"the key {key!r} is missing: add it"
    if kind in ("literal_error", "union_tag_invalid"):
        options = context.get("expected") or context["expected_tags"]
        return f"{key}: should be {options}, got {_short(given)}{_mend(_nearest(given, _expected(context)))}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{key}: should be a mapping of settings, got {_short(given)}"
    write = _number(given, kind) if kind in ("int_type", "float_type") else None
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, got {_short(given)}{_mend(write)}"


def _path(location: Sequence[int | str], content: Any) -> Iterator[str]:
    """The keys of a problem that stand in the file: a location also names the member of a union."""
    for part in location:
        try:
            content = content[part]
        except (LookupError, TypeError):
            continue
        yield str(part)


def _below(key: str, part: object) -> str:
    return f"{key}.{part}" if key else str(part)


def _valid(given: Any, keys: Sequence[str]) -> str:
    return _nearest(given, keys) or f"valid keys are {', '.join(keys)}"


def _short(given: Any) -> str:
    try:
        return f"{given!r:.80}"
    except ValueError:  # a whole number that Python does not print
        return "a number with thousands of digits"


def _mend(text: str | None) -> str:
    return f": {text}" if text else ""


def _nearest(given: Any, valid: Sequence[str]) -> str:
    return nearest(given, valid, 0.5).rstrip()


def _expected(context: dict[str, Any]) -> list[str]:
    """The values of pydantic's "'a', 'b' or 'c'"."""
    return re.findall(r"'([^']*)'", context.get("expected") or context.get("expected_tags", ""))


def _number(given: Any, kind: str) -> str | None:
    """How YAML wants a number that it has read as text: `5e-5` needs a point, quotes are to go."""
    try:
        value = float(given) if isinstance(given, str) else None
    except ValueError:
        return None
    if value is None or (kind == "int_type" and not value.is_integer()):
        return None
    mantissa, _, exponent = given.strip().lower().partition("e")
    if kind == "int_type":
        right = f"{value:.0f}"
    elif exponent:
        point = "" if "." in mantissa else ".0"
        right = f"{mantissa}{point}e{'' if exponent[0] in '+-' else '+'}{exponent}"
    else:
        right = mantissa
    return f"write {right}" + (" without quotes" if right == given else "")
