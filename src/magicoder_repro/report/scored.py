"""What the score nodes of a run hold. Each result is read once, whatever the report makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro import benchmarks, records
from magicoder_repro.score import result as results
from magicoder_repro.score.result import Result


@dataclass(frozen=True)
class Scored:
    """One node (`score/MODEL/BENCHMARK`). `summary`: its rows, each a set, a mean over sets or a gap; `results`: by the `benchmark`
    of the row; a mean and a gap have none."""

    node: str
    folder: Path
    summary: list[records.Record]
    results: Mapping[str, Result]

    @property
    def model(self) -> str:
        return self.node.split("/")[1]

    def path(self, name: str) -> Path:
        """The file of a result."""
        return self.folder / f"{name}.json"


def each(inputs: Mapping[str, Path]) -> Iterator[Scored]:
    """The score nodes among a run's folders, in their order; one at a time, as those of a full run are large."""
    for node, folder in inputs.items():
        if node.startswith("score/"):
            yield read(node, folder)


def read(node: str, folder: Path) -> Scored:
    """A node's summary and results; a UsageError names the file that is none."""
    summary = list(records.read_jsonl(folder / "summary.jsonl", texts=("benchmark",)))
    names = [row["benchmark"] for row in summary if row["gap"] is None and not _is_mean(row)]
    return Scored(node, folder, summary, {name: results.read(folder / f"{name}.json", Result) for name in names})


def _is_mean(row: records.Record) -> bool:
    return row["subset"] is None and bool(benchmarks.get(row["family"]).subsets)
