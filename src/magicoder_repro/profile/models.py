"""The models of a profile: weights from elsewhere, trained ones, published answers, and how they are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, model_validator

from magicoder_repro.benchmarks.base import Style
from magicoder_repro.profile.base import BenchmarkName, Revision, Seed, Strict


class SourceModel(Strict):
    """Weights from elsewhere: the embedded GGUF, a hub name or a folder."""

    source: str
    revision: Revision = None
    dtype: Literal["float32", "bfloat16"]
    style: Style = Field(description="how it is asked: `completion` as base models are, or `magicoder`")
    paper: str | None = Field(default=None, description="the paper's row that it stands beside, as `Magicoder-CL-7B`")
    label: str | None = Field(default=None, description="its name in the report")


class TrainedModel(Strict):
    """A model of this profile, fine-tuned on a data set of it."""

    source: str = Field(alias="from")
    data: str
    recipe: str
    style: Style = "magicoder"
    paper: str | None = None
    label: str | None = None


def _of_data_folder(name: str) -> str:
    if not name or ".." in Path(name).parts:
        raise ValueError("a path under the data folder, without '..', is wanted")
    return name


class Archive(Strict):
    """A file or folder that others published: an archive with the answers of one or more models, or a log. Nobody has published its
    sha256: that of the first fetch or use is written down beside it and held from then on."""

    file: Annotated[str, AfterValidator(_of_data_folder)] = Field(
        description="its place under the data folder (MAGICODER_DATA); the folder that it unpacks to will do as well"
    )
    url: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        default=None,
        description="its public home; without one it is a path of the user's own, whose content may change",
    )
    about: str = ""
    answers: Literal["authors", "others"] | None = Field(
        default=None,
        description="`authors`: the very answers that the paper's numbers were computed from; `others`: another run of the same "
        "models; null: no answers",
    )
    counts: str | None = Field(
        default=None,
        description="of others' answers, to their own prompt: the table of results/reference/cells.csv with their own count of these "
        "very answers",
    )

    @model_validator(mode="after")
    def _fetched_into_the_data_folder(self) -> Archive:
        if self.url is not None and Path(self.file).is_absolute():
            raise ValueError("what has a url lies under the data folder: give a relative file")
        return self


ARCHIVED = ("humaneval", "mbpp")
"""The benchmarks whose answers are recognised in an archive."""


class PublishedAnswers(Strict):
    """Answers that somebody published, which are judged only: a file (as `magicoder score` takes it) for each benchmark, or the files
    of an archive that a pattern matches."""

    samples: dict[BenchmarkName, str] | None = None
    archive: str | None = Field(default=None, description="one of `archives`")
    match: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None,
        min_length=1,
        description="globs of the paths in the archive that are this model's, in lower case and with `-` for `_` and spaces; "
        "`!` before one excludes",
    )
    style: Style = "magicoder"
    paper: str | None = None
    label: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> PublishedAnswers:
        if (self.samples is None) == (self.archive is None):
            raise ValueError("give either samples, or archive and match")
        if (self.archive is None) != (self.match is None):
            raise ValueError("archive and match go together: give both")
        return self

    def answers(self, benchmark: str) -> bool:
        """Whether it may have answers to a benchmark."""
        return benchmark in (self.samples if self.samples is not None else ARCHIVED)


def _kind_of_model(model: Any) -> str:
    keys = set(dict(model)) if isinstance(model, dict | BaseModel) else set()
    if keys & {"samples", "archive", "match"}:
        return "PublishedAnswers"
    return "TrainedModel" if keys & {"from", "data", "recipe"} else "SourceModel"


Model = Annotated[
    Annotated[SourceModel, Tag("SourceModel")]
    | Annotated[TrainedModel, Tag("TrainedModel")]
    | Annotated[PublishedAnswers, Tag("PublishedAnswers")],
    Discriminator(_kind_of_model),
]


class Lora(Strict):
    """Low-rank adapters (arXiv 2106.09685) are trained in the place of the weights, and merged into them at the end."""

    rank: int = Field(gt=0)
    alpha: float = Field(gt=0, description="what the adapters' product is multiplied by is alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: list[str] | None = Field(
        default=None, min_length=1, description="names of the linear layers, as `q_proj`; null: all but the output"
    )


class Recipe(Strict):
    """PROTOCOL section 4; one set for each of the two trainings."""

    max_length: int = Field(gt=0, description="tokens")
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0, description="sequences per optimizer step, over all devices")
    micro_batch: int = Field(gt=0, description="sequences per device and forward pass")
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    optimizer: Literal["adafactor"]
    dtype: Literal["float32", "bfloat16"]
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    seed: Seed
    checkpoint_steps: int = Field(ge=0, description="optimizer steps between checkpoints, 0 for none")
    lora: Lora | None = Field(default=None, description="null, as in the paper: all weights are trained")
    speed: Literal["paper", "fast"] = Field(
        default="paper", description="micro-batches padded as the paper ran them, or the same steps on packed rows"
    )


class Training(Strict):
    """Where models are fine-tuned. What is trained does not depend on it, but for the last digits of sums: manifests and the report
    name the devices."""

    processes: int | None = Field(
        default=None,
        gt=0,
        description="of one training on each node, each with a GPU of its own; null: one a GPU, or one on a CPU",
    )
    price_per_hour: float | None = Field(
        default=None, gt=0, description="of the machine, in any currency: the estimate of the time then gives the cost"
    )
