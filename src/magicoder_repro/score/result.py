"""A result: the verdict on every sample of a benchmark, and the numbers made of them (DESIGN's OUT.json)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from magicoder_repro import records
from magicoder_repro.errors import UsageError, listed

VERSION: Literal[1] = 1


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class Sample(_Model):
    """The verdict on one sample. `passed_plus`: of EvalPlus' further inputs; None where there are none. `seconds`: of the program."""

    passed: bool
    passed_plus: bool | None
    status: str = ""
    seconds: float | None = None


class Task(_Model):
    """The samples of one task. `language`, `library`: of what it is, in benchmarks that have several; `cluster`: the problem that it
    is a variant of."""

    task_id: str
    language: str | None = None
    library: str | None = None
    cluster: str | None = None
    samples: list[Sample]

    @property
    def name(self) -> str:
        """Its name in the whole result: `rs/HumanEval_0_...` where there are languages."""
        return f"{self.language}/{self.task_id}" if self.language else self.task_id


class Part(_Model):
    """The numbers of one language or library."""

    metrics: dict[str, float]
    tasks: int
    toolchain: dict[str, str] | None = None
    dataset: dict[str, str] | None = None


class Judged(_Model):
    """The verdicts in a result, which are all that is needed to compare two."""

    version: Literal[1] = VERSION
    tasks: list[Task]


class Result(Judged):
    """One benchmark's. `partial`: how many of how many tasks were judged, where some have no sample: its numbers are of those only.
    `missing_tables`: problems that failed because an example table is not there, with its name."""

    benchmark: str
    protocol: str
    dataset: dict[str, str]
    scorer: str
    sandbox: str
    sanitized: bool = False
    partial: dict[str, int] | None = None
    metrics: dict[str, float]
    languages: dict[str, Part] | None = None
    libraries: dict[str, Part] | None = None
    gaps: dict[str, str] | None = None
    programs: dict[str, Any]
    statuses: dict[str, int]
    missing_tables: dict[str, str] | None = None

    def to_json(self) -> records.Record:
        """The file's content: no field that says nothing of this benchmark."""
        return self.model_dump(exclude_unset=True)


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, as `tasks.3.samples: Field required`."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


_Kind = TypeVar("_Kind", bound=Judged)


def read(path: Path, kind: type[_Kind]) -> _Kind:
    """A result's file, all of it (`Result`) or its verdicts (`Judged`); a UsageError says why it is none."""
    try:
        found = kind.model_validate(records.read_json(path))
    except ValidationError as error:
        raise UsageError(f"{path}: not a result of `magicoder score` ({explain(error)})") from None
    names = Counter(task.name for task in found.tasks)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"{path}: the task {listed(twice[:1])} is in it twice: not a result of `magicoder score`")
    return found
