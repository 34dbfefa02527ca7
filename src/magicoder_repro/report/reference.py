"""The paper's numbers and claims as data (`results/reference/`), checked on reading."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from magicoder_repro import strict_yaml
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError

REFERENCE = ROOT / "results" / "reference"
CELLS, CLAIMS = "cells.csv", "claims.yaml"
LATER = ("leaderboard", "evoeval")
"""What stands in `table` where a number is not the paper's."""

Key = tuple[str, str, str]
"""Table, row, metric."""


STRICT = ConfigDict(extra="forbid", strict=True, json_schema_serialization_defaults_required=True)
"""Of what a report's file holds: nothing that is not declared, no text for a number."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Number(_Model):
    """One printed number. `row`: as printed; `model`: what a profile's `paper` calls it (several rows may be one model); `value` in
    percent where there are `tasks`, else in the metric's own unit; `tasks`: how many it is a mean of; `samples`: of each."""

    table: str
    row: str
    model: str
    metric: str
    value: Annotated[float, Field(ge=0)]
    tasks: Annotated[int, Field(gt=0)] | None
    samples: Annotated[int, Field(gt=0)] | None
    protocol: Literal["paper", "current"]
    status: Literal["confirmed", "unconfirmed"]
    source: str

    @property
    def key(self) -> Key:
        return self.table, self.row, self.metric

    @property
    def passed(self) -> int | None:
        """The number of tasks that a cell of one sample a task stands for."""
        return round(self.value * self.tasks / 100) if self.tasks and self.samples == 1 else None

    @property
    def id(self) -> str:
        """Its name in links: `table-1.MagicoderS-CL-7B.humaneval_plus`."""
        return f"table-{self.table}.{self.row}.{self.metric}"

    @property
    def place(self) -> str:
        """Where it stands, with its status."""
        return f"{self.source} ({self.status})"


CellName = tuple[str | int, str, str]


class Greater(_Model):
    """In every pair the first cell is above the second."""

    kind: Literal["greater"]
    pairs: list[tuple[CellName, CellName]] = Field(min_length=1)


class NotBelow(_Model):
    """In every pair the first cell is not below the second."""

    kind: Literal["not_below"]
    pairs: list[tuple[CellName, CellName]] = Field(min_length=1)


class Order(_Model):
    """Each cell is below the next."""

    kind: Literal["order"]
    cells: list[CellName] = Field(min_length=2)


class Difference(_Model):
    """The first cell is at least `points` above the second, to the last printed digit."""

    kind: Literal["difference"]
    points: float
    left: CellName
    right: CellName


class Within(_Model):
    """The task-weighted mean of the first row over `metrics` is at most `points` below that of the second."""

    kind: Literal["within"]
    points: float
    left: tuple[str | int, str]
    right: tuple[str | int, str]
    metrics: list[str] = Field(min_length=1)


class Open(_Model):
    """Nothing of it is in the tables."""

    kind: Literal["open"]


class ClaimText(_Model):
    """A sentence with the test that decides it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    sentence: str
    place: str
    test: Annotated[Greater | NotBelow | Order | Difference | Within | Open, Field(discriminator="kind")]


DECODING: Mapping[str, Mapping[str, float]] = {
    "multipl_e_": {"temperature": 0.2, "top_p": 0.95},
    "ds1000_": {"temperature": 0.2, "top_p": 0.5},
}
"""How the paper's sampled cells were decoded, by the beginning of the metric."""

# What a table is called and the order of its columns, as in the paper.
LAYOUT: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "1": (
        "Table 1: HumanEval(+) and MBPP(+), greedy pass@1",
        {"humaneval": "HumanEval", "humaneval_plus": "HumanEval+", "mbpp": "MBPP", "mbpp_plus": "MBPP+"},
    ),
    "2": (
        "Table 2: MultiPL-E, pass@1 of 50 samples",
        {
            "multipl_e_java": "Java",
            "multipl_e_javascript": "JavaScript",
            "multipl_e_cpp": "C++",
            "multipl_e_php": "PHP",
            "multipl_e_swift": "Swift",
            "multipl_e_rust": "Rust",
        },
    ),
    "3": (
        "Table 3: DS-1000, completion mode, pass@1 of 40 samples",
        {
            "ds1000_matplotlib": "Matplotlib",
            "ds1000_numpy": "NumPy",
            "ds1000_pandas": "Pandas",
            "ds1000_pytorch": "PyTorch",
            "ds1000_scipy": "SciPy",
            "ds1000_sklearn": "Sklearn",
            "ds1000_tensorflow": "TensorFlow",
            "ds1000_overall": "Overall",
        },
    ),
    "4": (
        "Table 4: DeepSeek-Coder and Magicoder-DS, greedy pass@1",
        {"humaneval": "HumanEval", "humaneval_plus": "HumanEval+", "mbpp": "MBPP", "mbpp_plus": "MBPP+"},
    ),
    "5": (
        "Table 5: languages of the training data",
        {"humaneval_plus": "HumanEval+", "multipl_e_average": "MultiPL-E, mean"},
    ),
    "6": (
        "Table 6: comment-function pairs instead of OSS-Instruct",
        {"humaneval_plus": "HumanEval+", "multipl_e_average": "MultiPL-E, mean"},
    ),
    "7": ("Table 7: a weaker teacher", {"humaneval_plus": "HumanEval+", "mbpp_plus": "MBPP+"}),
    "8": ("Table 8: APPS", {"apps_300": "300 problems", "apps_competition_60": "60 of competitions"}),
    "10": ("Table 10: noise in the data", {"humaneval_plus": "HumanEval+"}),
    "fig3": ("Figure 3: similarity to HumanEval", {"mean_max_tfidf_cosine": "mean of the highest cosine"}),
    "B.2": ("Appendix B.2: decontamination", {"decontamination_removed": "records removed"}),
    "leaderboard": (
        "Not the paper: the EvalPlus leaderboard of June 2024 (protocol current)",
        {"humaneval": "HumanEval", "humaneval_plus": "HumanEval+", "mbpp": "MBPP", "mbpp_plus": "MBPP+"},
    ),
    "evoeval": ("Not the paper: EvoEval's own count of its greedy answers", {"humaneval": "HumanEval"}),
}


@cache
def numbers() -> tuple[Number, ...]:
    """All numbers, in the order of the tables."""
    return read_numbers(REFERENCE / CELLS)


def read_numbers(path: Path) -> tuple[Number, ...]:
    """The cells of a file; a UsageError names the line and field that is wrong."""
    found: dict[Key, Number] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            content: dict[Any, Any] = {key: None if value == "" else value for key, value in row.items()}
            try:
                number = Number.model_validate(content)
            except ValidationError as error:
                raise UsageError(f"{path}:{line}: {_first(error)}") from None
            if not math.isfinite(number.value) or (number.tasks and number.value > 100):
                raise UsageError(f"{path}:{line}: value: {number.value} is no percentage")
            if number.table not in LAYOUT or number.metric not in LAYOUT[number.table][1]:
                raise UsageError(f"{path}:{line}: metric: table {number.table} has no column {number.metric!r}")
            if (number.protocol == "current") != (number.table == "leaderboard"):
                raise UsageError(f"{path}:{line}: protocol: {number.protocol} in table {number.table}")
            if number.key in found:
                raise UsageError(f"{path}:{line}: the cell is in the file twice")
            found[number.key] = number
    return tuple(found.values())


@cache
def claims() -> tuple[ClaimText, ...]:
    """The paper's headline sentences."""
    return read_claims(REFERENCE / CLAIMS)


def read_claims(path: Path) -> tuple[ClaimText, ...]:
    """The claims of a file; a UsageError names the claim that is wrong, or the cell that is not there."""
    found = read_yaml(path, TypeAdapter(list[ClaimText]))
    known = {number.key for number in numbers()}
    for claim in found:
        for name in cells_of(claim):
            if name not in known:
                raise UsageError(f"{path}: {claim.id}: {CELLS} has no cell {', '.join(name)}")
    if len({claim.id for claim in found}) < len(found):
        raise UsageError(f"{path}: an id is there twice")
    return tuple(found)


def cells_of(claim: ClaimText) -> list[Key]:
    """The cells that decide a claim."""
    test = claim.test
    if isinstance(test, Greater | NotBelow):
        names: Sequence[CellName] = [name for pair in test.pairs for name in pair]
    elif isinstance(test, Order):
        names = test.cells
    elif isinstance(test, Difference):
        names = [test.left, test.right]
    elif isinstance(test, Within):
        names = [(*row, metric) for row in (test.left, test.right) for metric in test.metrics]
    else:
        names = []
    return [key(name) for name in names]


def key(name: CellName) -> Key:
    """A cell's key, whose table YAML may have read as a number."""
    return str(name[0]), name[1], name[2]


def other_decoding(metric: str, decoding: Mapping[str, Any] | None) -> str | None:
    """How a sampled cell was decoded otherwise than the paper's; None where it was not, or nobody knows."""
    for begin, wanted in DECODING.items():
        if metric.startswith(begin) and decoding and "temperature" in decoding:
            found = {name: decoding.get(name) for name in wanted}
            if found != wanted:
                return f"decoded with {found}, the paper's with {dict(wanted)}"
    return None


def models() -> list[str]:
    """What a profile's `paper` may name: the rows of the paper's tables."""
    return list(dict.fromkeys(number.model for number in numbers() if number.table not in LATER))


def read_yaml(path: Path, kind: TypeAdapter[Any]) -> Any:
    """The content of a file; a UsageError names the entry that is wrong."""
    try:
        return kind.validate_python(strict_yaml.load(path.read_bytes()))
    except ValidationError as error:
        raise UsageError(f"{path}: {_first(error)}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
