"""A few small coding problems of our own, in the public benchmarks' formats, for smoke runs and tests.

They are much easier than the benchmarks whose formats they share: a score on minibench shows that the
machinery works, and is not comparable to a score on any benchmark.
"""

from __future__ import annotations

import json
from importlib import resources
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


def load(name: str) -> list[dict[str, Any]]:
    """The tasks of one set, named as in `NAMES`; the records have the keys of the real benchmark's file."""
    if name not in NAMES:
        raise ValueError(f"no minibench {name!r}: one of {', '.join(NAMES)}")
    text = resources.files(__name__).joinpath(f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]
