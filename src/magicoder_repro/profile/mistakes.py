"""What is wrong with a profile, in one line: the key as it stands in the file, and the mend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from magicoder_repro.errors import nearest


def explain(error: ValidationError, whole: type[BaseModel]) -> str:
    """One line for the first thing that is wrong: an unknown key before anything that it may have caused."""
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "extra_forbidden" or "[key]" in p["loc"]), problems[0])
    path, valid = _place(first["loc"], whole)
    kind, given, context = first["type"], first["input"], first.get("ctx", {})
    if kind in ("string_pattern_mismatch", "string_type", "string_too_long") and "[key]" in first["loc"]:
        return f"{'.'.join(path)}: a name is text of lower-case letters, digits, '-' and '_', 60 at most: give another"
    if kind == "value_error":
        return f"{'.'.join(path)}: {first['msg'].removeprefix('Value error, ')}, got {_short(given)}"
    if kind == "extra_forbidden" or "[key]" in first["loc"]:
        valid = _expected(context) or valid
        mend = _nearest(path[-1], valid) or f"valid keys are {', '.join(valid)}"
        return f"unknown key {'.'.join(path)!r}: {mend}"
    if kind.startswith("union_tag"):  # `kind` says which of several models is meant
        path.append(context["discriminator"].strip("'"))
        given = context.get("tag")
    key = ".".join(path)
    if kind in ("missing", "union_tag_not_found"):
        return f"the key {key!r} is missing: add it"
    if kind in ("literal_error", "union_tag_invalid"):
        options = context.get("expected") or context["expected_tags"]
        return f"{key}: should be {options}, got {_short(given)}{_mend(_nearest(given, _expected(context)))}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{key}: should be a mapping of settings, got {_short(given)}"
    write = _number(given, kind) if kind in ("int_type", "float_type") else None
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, got {_short(given)}{_mend(write)}"


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


def _place(location: Sequence[int | str], whole: type[BaseModel]) -> tuple[list[str], list[str]]:
    """The key of a problem as it stands in the file, and the keys that are valid there. A location also names the member of a
    union, which is no key: its class, or its `kind`."""
    path: list[str] = []
    models: list[type[BaseModel]] = [whole]
    valid: list[str] = []
    in_mapping = False  # what comes next is a key of the user's own, whatever it looks like
    for part in location:
        named = [model for model in models if part in (model.__name__, _kind(model))]
        if in_mapping:
            path.append(str(part))
            in_mapping = False
        elif named:
            models = named
        elif part != "[key]":
            path.append(str(part))
            named_fields = [
                {field.alias or name: field for name, field in model.model_fields.items()} for model in models
            ]
            valid = sorted({name for fields in named_fields for name in fields})
            if isinstance(part, str) and any(part in fields for fields in named_fields):
                fields = [fields[part].annotation for fields in named_fields if part in fields]
                in_mapping = any(get_origin(annotation) is dict for annotation in fields)
                models = [model for annotation in fields for model in _models(annotation)]
    return path, valid


def _kind(model: type[BaseModel]) -> str | None:
    """The value of `kind` that chooses this model."""
    field = model.model_fields.get("kind")
    values = get_args(field.annotation) if field else ()
    return values[0] if values else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `list[A | B]` or `Annotated[A | B, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
