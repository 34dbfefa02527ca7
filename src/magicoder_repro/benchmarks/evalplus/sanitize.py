"""The clean-up of base models' answers, and of all answers to MBPP: the rules of EvalPlus' sanitizer at commit 1895d2f (later
versions have other rules)."""

from __future__ import annotations

import ast

_FENCES = ("\n```python\n", "\n```\n")


def sanitize(code: str, entry_point: str, prompt: str | None = None) -> str:
    """What is left of a whole sample: the code block, cut after the functions, without functions that do not parse.

    `prompt`: HumanEval's; what it has before the function stands in place of what the sample has there."""
    text = "\n" + code
    for fence in _FENCES:
        _, found, after = text.partition(fence)
        if found:
            text = "\n" + after.partition("\n```")[0]
    start = f"def {entry_point}"
    head, found, body = text.partition(start)
    if prompt is not None:
        head, body = prompt.partition(start)[0], body if found else text
    body = start + body
    text = head + "\n".join(_indented_part([_four_spaces(line) for line in body.splitlines()]))
    first, *functions = text.split("\ndef ")
    kept = [function for function in functions if _is(function, entry_point) or _parses("\ndef " + function)]
    return "\ndef ".join([first, *kept]).strip()


def _four_spaces(line: str) -> str:
    """Some models indent by three spaces."""
    return " " + line if len(line) - len(line.lstrip()) == 3 else line


def _indented_part(lines: list[str]) -> list[str]:
    """The lines before the first one that is neither indented nor a definition."""
    for number, line in enumerate(lines):
        if line.strip() and not line[0].isspace() and not line.startswith("def "):
            return lines[:number]
    return lines


def _is(function: str, name: str) -> bool:
    return function.strip().startswith((name + " ", name + "("))


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, MemoryError, ValueError, RecursionError):
        return False
    return True
