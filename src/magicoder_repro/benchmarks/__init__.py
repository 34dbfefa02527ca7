"""The registry of benchmarks, in the order of the reports. A new one: a folder here and a line below (README.md says what is in it).

Nothing is imported before it is asked for: the judges run in environments that do not have what the others need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from magicoder_repro.errors import UsageError, nearest

if TYPE_CHECKING:
    from magicoder_repro.benchmarks.base import Benchmark

_HOMES = {
    "minibench-humaneval": "evalplus.benchmark:MINIBENCH_HUMANEVAL",
    "minibench-mbpp": "evalplus.benchmark:MINIBENCH_MBPP",
    "minibench-multipl-e": "multipl_e.benchmark:MINIBENCH",
    "minibench-ds1000": "ds1000.benchmark:MINIBENCH",
    "humaneval": "evalplus.benchmark:HUMANEVAL",
    "mbpp": "evalplus.benchmark:MBPP",
    "multipl-e": "multipl_e.benchmark:MULTIPL_E",
    "ds1000": "ds1000.benchmark:DS1000",
}
NAMES = tuple(_HOMES)


def get(name: str) -> Benchmark:
    """A benchmark by its name."""
    if name not in _HOMES:
        raise UsageError(f"unknown benchmark {name!r}: {nearest(name, NAMES)}one of {', '.join(NAMES)}")
    module, _, attribute = _HOMES[name].partition(":")
    found: Benchmark = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    assert found.name == name
    return found
