"""What a node takes, said before it is made. What nobody knows is None and is told as unknown; no number is without its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Takes:
    """`disk`: bytes, at the most at a time. `dollars`: in the currency of the profile's prices. `sources`: where each number comes
    from, and what is assumed."""

    gpu_hours: float | None = 0.0
    cpu_hours: float | None = 0.0
    disk: float | None = 0.0
    tokens: float | None = 0.0
    dollars: float | None = 0.0
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        unknown = [word for name, (word, _) in _WORDS.items() if getattr(self, name) is None]
        parts = [said for name in _WORDS if (said := _said(name, getattr(self, name)))]
        return ", ".join([*parts, *([f"unknown: {', '.join(unknown)}"] if unknown else [])]) or "next to nothing"


def total(parts: Sequence[Takes]) -> str:
    """The sums of what is known, and of how many parts each is not."""
    found = []
    for name, (word, _) in _WORDS.items():
        values = [getattr(one, name) for one in parts]
        known, lacks = [one for one in values if one is not None], values.count(None)
        said = _said(name, sum(known)) or f"no {word}"
        if lacks:
            said = f"{said} (and {lacks} unknown)" if any(known) else f"{word} unknown"
        found.append(said)
    return ", ".join(found)


def amount(count: float) -> str:
    """A large number in words."""
    for one, word in ((1e9, "billion"), (1e6, "million")):
        if count >= one:
            return f"{count / one:.1f} {word}"
    return f"{round(count, -2):,.0f}"


def _said(name: str, value: float | None) -> str:
    if not value:
        return ""
    word, unit = _WORDS[name]
    if name == "tokens":
        return f"{amount(value)} {word}"
    number = f"{value / unit:,.1f}" if value / unit >= 0.1 else f"{value / unit:.2g}"
    return f"${number}" if name == "dollars" else f"{number} {word}"


# of each field of `Takes`: what it is called, and the unit that it is told in
_WORDS = {
    "gpu_hours": ("GPU hours", 1.0),
    "cpu_hours": ("CPU hours", 1.0),
    "disk": ("GB disk", 1e9),
    "tokens": ("tokens", 1.0),
    "dollars": ("dollars", 1.0),
}
