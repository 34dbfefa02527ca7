"""What later runs are held to: the numbers and verdicts of recorded runs (`results/NAME/recorded.json`), and the same of anything else
that holds some: a report, a result of `magicoder score`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from magicoder_repro import environment, records
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.report.judged import Verdicts, verdicts
from magicoder_repro.score.result import Result, explain
from magicoder_repro.score.result import read as read_result

RECORDED = "recorded.json"
MOST_RUNS = 20
_LARGEST = 1e300

Finite = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Number(_Strict):
    """`tolerance` is declared by the number's row in the report (`rows`), in the unit of `value`."""

    value: Finite
    tolerance: Annotated[Finite, Field(ge=0)]


class RecordedRun(_Strict):
    """One run's numbers. `machine`: `environment.machine_class`."""

    machine: str
    commit: str | None = None
    versions: dict[str, str] = {}
    device: dict[str, Any] = {}
    numbers: dict[str, Finite]


def _once(judged: list[Verdicts] | None) -> list[Verdicts] | None:
    keys = [one.key for one in judged or ()]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"{listed(twice)}: twice")
    return judged


class Recorded(_Strict):
    """`numbers`, `judged`: of the run that was recorded last, to which the fields before belong; `runs`: that one and those before,
    `MOST_RUNS` at most. Files of version 1 hold no `judged` and no `runs`."""

    about: str = ""
    version: Literal[1, 2] = 1
    commit: str | None = None
    device: dict[str, Any] = {}
    versions: dict[str, str] = {}
    numbers: dict[str, Number]
    judged: list[Verdicts] | None = None
    runs: list[RecordedRun] = []

    _keys = field_validator("judged")(_once)

    def allowed(self, key: str) -> float:
        """How far a number may be from the recorded one on a machine of a class that no recorded run is of: its declared tolerance, or
        what recorded runs differ by, whichever is more."""
        found = [run.numbers[key] for run in self.runs if key in run.numbers]
        return max(self.numbers[key].tolerance, max(found) - min(found) if found else 0.0)

    def limits(self, key: str, machine: str | None) -> tuple[float, float]:
        """The least and the largest value that a number may have on a machine of this class: what recorded runs of the class had (one
        value, unless they disagree), else the recorded value and what is allowed around it."""
        own = [run.numbers[key] for run in self.runs if run.machine == machine and key in run.numbers]
        if own:
            return min(own), max(own)
        value, allowed = self.numbers[key].value, self.allowed(key)
        return value - allowed, value + allowed


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    key: str
    value: Finite
    tolerance: Annotated[Finite, Field(ge=0)]


class _Report(BaseModel):
    """What of a `report.json` is recorded."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal[1, 2] = 1
    rows: list[_Row]
    judged: list[Verdicts] | None = None
    gaps: list[str] = []
    device: dict[str, Any] = {}
    versions: dict[str, str] = {}
    commit: str | None = None

    _keys = field_validator("judged")(_once)


@dataclass(frozen=True)
class Side:
    """One side of a comparison. `machine`: its class, None where the file does not say; `gaps`: why benchmarks were not judged;
    `single`: a result of `magicoder score`, which is one cell and names no model."""

    path: Path
    recorded: Recorded
    machine: str | None
    gaps: Mapping[str, str]
    single: bool = False


def read(folder: Path) -> Recorded:
    """A folder's recorded numbers."""
    return _recorded(folder / RECORDED, records.read_json(folder / RECORDED))


def of_report(path: Path) -> Recorded:
    """What `magicoder record` makes of a `report.json`."""
    return _of_report(path, records.read_json(path))[0]


def side(path: Path) -> Side:
    """The numbers and verdicts of a run's folder, a report or its folder, a `recorded.json` or its folder, or a result of
    `magicoder score`."""
    if path.is_dir():
        places = [path / "report" / "report.json", path / "report.json", path / RECORDED]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise UsageError(
                f"{path}: neither a run with a report (`magicoder run report`) nor a folder with report.json or {RECORDED}"
            )
        path = found
    content = records.read_json(path)
    if isinstance(content, dict) and "rows" in content:
        recorded, gaps = _of_report(path, content)
        return Side(path, recorded, recorded.runs[0].machine, gaps)
    if isinstance(content, dict) and "numbers" in content:
        recorded = _recorded(path, content)
        return Side(path, recorded, recorded.runs[-1].machine if recorded.runs else None, {})
    if isinstance(content, dict) and "tasks" in content:
        return _of_result(path)
    raise UsageError(f"{path}: no report ('rows'), recorded numbers ('numbers') or result ('tasks'): name one of them")


def _recorded(path: Path, content: Any) -> Recorded:
    if not isinstance(content, dict) or not isinstance(content.get("numbers"), dict):
        raise UsageError(f"{path}: 'numbers' is missing: write the file with `magicoder record`")
    try:
        return Recorded.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error)}: write the file with `magicoder record`") from None


def _of_report(path: Path, content: Any) -> tuple[Recorded, dict[str, str]]:
    """A report as if it had been recorded, and its gaps by benchmark."""
    try:
        report = _Report.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: not a report ({explain(error)}): `magicoder run report` makes one") from None
    about: dict[str, Any] = {"commit": report.commit, "versions": report.versions, "device": report.device}
    machine = environment.machine_class(report.device, report.versions)
    recorded = Recorded(
        version=2,
        numbers={row.key: Number(value=row.value, tolerance=row.tolerance) for row in report.rows},
        judged=report.judged,
        runs=[RecordedRun(machine=machine, numbers={row.key: row.value for row in report.rows}, **about)],
        **about,
    )
    gaps = (gap.partition(": ") for gap in report.gaps)
    return recorded, {name: reason for names, _, reason in gaps for name in names.split(", ")}


def _of_result(path: Path) -> Side:
    result = read_result(path, Result)
    own = verdicts(path, result)
    try:
        numbers = {f"{own.key}.{name}": Number(value=value, tolerance=0) for name, value in result.metrics.items()}
    except ValidationError as error:
        raise UsageError(f"{path}: not a result of `magicoder score` (metrics.{explain(error)})") from None
    return Side(path, Recorded(version=2, numbers=numbers, judged=[own]), None, {}, single=True)
