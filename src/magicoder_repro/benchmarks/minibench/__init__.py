"""A few small coding problems of our own, in the public benchmarks' formats, for smoke runs and tests.

They are much easier than the benchmarks whose formats they share: a score on minibench shows that the
machinery works, and is not comparable to a score on any benchmark.
"""

from __future__ import annotations

from pathlib import Path

from magicoder_repro import records
from magicoder_repro.benchmarks.base import File, read_tasks

_FOLDER = Path(__file__).parent
NAMES = tuple(str(path.relative_to(_FOLDER).with_suffix("")) for path in sorted(_FOLDER.rglob("*.jsonl")))


def file(name: str) -> File:
    """One set, named as its file here (`humaneval`, `multipl-e/cpp`); its records have the keys of the real benchmark's file."""
    if name not in NAMES:
        raise ValueError(f"no minibench {name!r}: one of {', '.join(NAMES)}")
    return File(f"minibench {name}", "1", str(_FOLDER / f"{name}.jsonl"))


def load(name: str) -> list[records.Record]:
    """The tasks of one set."""
    return read_tasks(Path(file(name).path))


def solutions() -> dict[str, dict[str, str]]:
    """A right completion of each task in MultiPL-E's format, by language and task: the format has no place for one."""
    found: dict[str, dict[str, str]] = records.read_json(_FOLDER / "multipl_e_solutions.json")
    return found
