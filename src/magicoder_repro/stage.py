"""A stage: one kind of work, from input folders and a config to an output folder. Each package declares its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """`body` is the `module:function` of this package that makes the folder. `version` goes up when the same config and inputs give
    other files than before. `schedule`: keys of the config (`a.b`) that only say how the work is done, or what it is called."""

    name: str
    help: str
    body: str
    version: int = 1
    schedule: frozenset[str] = frozenset()
    shares: str | None = None
    """The input that is loaded once for nodes which have it in common: one process makes them, one after the other."""
    end_seconds: float = 10.0
    """In which it ends by itself when it is stopped; then it is killed."""
