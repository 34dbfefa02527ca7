"""A profile: every choice that a run makes, one typed YAML file, validated on load.

A misspelt key, a missing one or a wrong type is an error that names the key and the nearest valid one.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, ValidationError

from magicoder_repro import strict_yaml
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.profile.base import LANGUAGES, BenchmarkName, Language, Name, Strict
from magicoder_repro.profile.data import (
    Corpus,
    Cost,
    DataSet,
    EmbeddedTeacher,
    EvolInstruct,
    HubDataset,
    Limits,
    LocalFiles,
    OssInstruct,
    Released,
    Seeds,
    Select,
    ServerTeacher,
    Teacher,
)
from magicoder_repro.profile.evaluation import (
    Engine,
    Evaluation,
    Executor,
    Generation,
    Greedy,
    Judged,
    Protocol,
    Sampled,
    Scoring,
    ServerEngine,
    TransformersEngine,
    VllmEngine,
)
from magicoder_repro.profile.mistakes import explain
from magicoder_repro.profile.models import (
    ARCHIVED,
    Archive,
    Lora,
    Model,
    PublishedAnswers,
    Recipe,
    SourceModel,
    TrainedModel,
    Training,
)
from magicoder_repro.profile.names import check_names
from magicoder_repro.profile.report import Analysis, Regress, Report

__all__ = [
    "ARCHIVED",
    "LANGUAGES",
    "PROFILES",
    "Analysis",
    "Archive",
    "BenchmarkName",
    "Corpus",
    "Cost",
    "DataSet",
    "EmbeddedTeacher",
    "Engine",
    "Evaluation",
    "EvolInstruct",
    "Executor",
    "Generation",
    "Greedy",
    "HubDataset",
    "Judged",
    "Language",
    "Limits",
    "LocalFiles",
    "Lora",
    "Model",
    "OssInstruct",
    "Profile",
    "Protocol",
    "PublishedAnswers",
    "Recipe",
    "Regress",
    "Released",
    "Report",
    "Sampled",
    "Scoring",
    "Seeds",
    "Select",
    "ServerEngine",
    "ServerTeacher",
    "SourceModel",
    "Teacher",
    "TrainedModel",
    "Training",
    "TransformersEngine",
    "VllmEngine",
    "check_names",
    "frozen",
    "known",
    "load",
    "thawed",
]

PROFILES = ROOT / "profiles"


class Profile(Strict):
    """`corpus`, `seeds` and `teacher` may be left out where no data set needs them. `name`: as it was asked for; loading sets it."""

    name: str = ""
    description: str
    corpus: Corpus | None = None
    seeds: Seeds | None = None
    teacher: Teacher | None = None
    data: dict[Name, DataSet] = Field(default={})
    recipes: dict[Name, Recipe] = Field(default={})
    archives: dict[Name, Archive] = Field(default={})
    models: dict[Name, Model] = Field(min_length=1)
    evaluate: dict[BenchmarkName, Evaluation] = Field(default={})
    generation: Generation | None = None
    training: Training = Training()
    scoring: Scoring
    analysis: Analysis | None = None
    report: Report


def known() -> list[str]:
    """Names of the profiles in profiles/."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load(name: str) -> Profile:
    """Reads profiles/NAME.yaml, or the file that NAME is the path of."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        hint = nearest(name, known())
        raise UsageError(f"unknown profile {name!r}: {hint}profiles/ has {', '.join(known())}")
    try:
        content = strict_yaml.load(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a mapping of settings")
    try:
        profile = Profile.model_validate(content)
        check_names(profile)
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error, content)}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return profile.model_copy(update={"name": name})


def frozen(profile: Profile) -> bytes:
    """A profile as it is now, for `thawed` in another process: its file may be edited meanwhile."""
    return json.dumps(profile.model_dump(mode="json", by_alias=True, exclude_unset=True)).encode()


def thawed(content: bytes) -> Profile:
    """The profile that `frozen` has made this of."""
    return Profile.model_validate(json.loads(content))
