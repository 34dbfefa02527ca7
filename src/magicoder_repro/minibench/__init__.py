"""A few small coding problems of our own, in the public benchmarks' formats, for smoke runs and tests.

They are much easier than the benchmarks whose formats they share: a score on minibench shows that the
machinery works, and is not comparable to a score on any benchmark.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAMES = (
    "humaneval",
    "mbpp",
    "multipl-e/cpp",
    "multipl-e/java",
    "multipl-e/js",
    "multipl-e/php",
    "multipl-e/rs",
    "multipl-e/swift",
    "ds1000",
)


def path(name: str) -> Path:
    """The file of one set, named as in `NAMES`; its records have the keys of the real benchmark's file."""
    if name not in NAMES:
        raise ValueError(f"no minibench {name!r}: one of {', '.join(NAMES)}")
    return Path(__file__).parent / f"{name}.jsonl"


def load(name: str) -> list[dict[str, Any]]:
    """The tasks of one set."""
    return [json.loads(line) for line in path(name).read_text(encoding="utf-8").split("\n") if line]
