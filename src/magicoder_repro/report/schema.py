"""`report.json`: what other programs may rely on. `results/report.schema.json` is its JSON schema; a change of meaning is another
`version`."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from magicoder_repro.environment import ROOT
from magicoder_repro.report.cells import Cell, Outcome
from magicoder_repro.report.claims import Claim
from magicoder_repro.report.judged import Verdicts
from magicoder_repro.report.noise import Noise
from magicoder_repro.report.reference import STRICT
from magicoder_repro.report.rows import Row

VERSION: Literal[2] = 2
SCHEMA = ROOT / "results" / "report.schema.json"


class _Model(BaseModel):
    model_config = ConfigDict(**STRICT, frozen=True)


class Power(_Model):
    """How often a paired test of two runs finds a drop of 5 points, by the share of tasks that differ anyway."""

    discordance: float
    power: float


class JudgedSet(_Model):
    """One result: its data file by sha256, and who judged it."""

    node: str
    set: str
    protocol: str
    dataset: dict[str, str]
    scorer: str
    sandbox: str
    tasks: int
    samples: int
    tools: dict[str, str]


class Training(_Model):
    """`accumulation`: micro-batches that each device adds up, by the number of devices; `lora`: the adapters' settings, null where all
    weights were trained."""

    node: str
    batch: int
    micro_batch: int
    devices: int
    accumulation: dict[str, int]
    steps: int | None
    speed: str
    dtype: str
    attention: str
    lora: dict[str, Any] | None


class Generation(_Model):
    """How a model ran to answer one set. `settings`: of the engine; `decoding`: of the answers."""

    node: str
    set: str
    engine: str
    settings: dict[str, Any]
    dtype: str
    decoding: dict[str, Any]


class Teacher(_Model):
    """What a node asked the teacher, in tokens."""

    node: str
    model: str
    asked: int | None
    tokens: dict[str, int]


class StageRun(_Model):
    """One node. `other_versions`: of packages, where they are not those in `versions`."""

    name: str
    seconds: float
    counts: dict[str, Any]
    dropped: dict[str, int]
    notes: list[str]
    device: str
    environment: str
    lock_sha256: str
    image: str | None
    other_versions: dict[str, str]
    fingerprint: str
    commit: str | None
    command: str


class ReportFile(_Model):
    """The whole file."""

    version: Literal[2] = VERSION
    name: str
    description: str
    comparable: bool = Field(description="whether the profile claims the paper's own models and data")
    sentence: str
    outcomes: dict[Outcome, int]
    claims: list[Claim]
    cells: list[Cell]
    noise: list[Noise]
    power: list[Power]
    rows: list[Row]
    gaps: list[str]
    lost: list[str]
    stages: list[StageRun]
    sets: list[JudgedSet]
    judged: list[Verdicts]
    trainings: list[Training]
    generations: list[Generation]
    teacher: list[Teacher]
    lists_applied: dict[str, int]
    lists_missing: list[str]
    sandbox: str
    scorers: list[str]
    versions: dict[str, str]
    device: dict[str, Any]
    lock_sha256: str
    commit: str | None


def checked(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a `report.json`, as it is written; pydantic's error where it is not what the schema says."""
    return ReportFile.model_validate_json(json.dumps(content)).model_dump(mode="json")


def json_schema() -> str:
    """The content of `SCHEMA`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ReportFile.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(json_schema(), encoding="utf-8")
