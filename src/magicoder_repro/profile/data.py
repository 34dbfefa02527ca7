"""The data sets of a profile: the corpus, the seeds, the teacher, and what is made of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag

from magicoder_repro.profile.base import Language, Revision, Seed, Strict


class LocalFiles(Strict):
    """Source files on this machine. `{stdlib}`, `{site-packages}` and `{git}` stand for the folders of the
    environment's Python standard library, its packages, and git's shell scripts."""

    language: Language
    root: str
    patterns: list[str]
    exclude: list[str] = Field(default=[])
    files: int = Field(gt=0, description="at most so many files, in the order of their paths")


class HubDataset(Strict):
    """Documents of a dataset on the Hugging Face hub (the paper's corpus; needs an account that was let in)."""

    language: Language
    dataset: str
    data_dir: str
    revision: Revision = None
    documents: int = Field(gt=0, description="the first so many documents")


def _kind_of_source(source: Any) -> str:
    """The model that a source has more keys of, so that its mistakes are named as that model's."""
    keys = set(dict(source)) if isinstance(source, dict | BaseModel) else set()
    local, hub = (len(keys & set(model.model_fields)) for model in (LocalFiles, HubDataset))
    return "HubDataset" if hub > local else "LocalFiles"


class Corpus(Strict):
    sources: list[
        Annotated[
            Annotated[LocalFiles, Tag("LocalFiles")] | Annotated[HubDataset, Tag("HubDataset")],
            Discriminator(_kind_of_source),
        ]
    ] = Field(min_length=1)
    max_bytes: int = Field(gt=0, description="longer local files are left out, bytes")


class Seeds(Strict):
    seed: Seed
    per_language: dict[Language, Annotated[int, Field(ge=0)]] = Field(description="how many seeds each language gives")


class EmbeddedTeacher(Strict):
    """llama.cpp with SmolLM2-135M-Instruct, started on a free loopback port and stopped with the stage."""

    kind: Literal["embedded"]
    servers: int = Field(
        gt=0, description="server processes; each has one slot and one thread: replies do not depend on it"
    )
    context: int = Field(gt=0, description="tokens")


class ServerTeacher(Strict):
    """Any OpenAI-compatible server; OPENAI_BASE_URL and OPENAI_API_KEY are honoured."""

    kind: Literal["server"]
    base_url: str | None = None


class Limits(Strict):
    """What the teacher's server takes in any 60 seconds. It changes no answer."""

    requests_per_minute: int | None = Field(default=None, gt=0)
    tokens_per_minute: int | None = Field(
        default=None,
        gt=0,
        description="prompt and completion; a request counts at the most it may take until it is answered",
    )


class Cost(Strict):
    """What the teacher takes, in dollars. It changes no answer."""

    prompt_per_million: float = Field(ge=0, description="dollars for a million tokens")
    completion_per_million: float = Field(ge=0, description="dollars for a million tokens")
    ceiling: float | None = Field(
        default=None,
        gt=0,
        description="the stage stops before it could have cost more dollars, all runs of it together",
    )


class Teacher(Strict):
    server: Annotated[EmbeddedTeacher | ServerTeacher, Field(discriminator="kind")]
    model: str
    grammar: bool = Field(
        description="constrain the reply to the two sections; for weak local teachers, off for the paper"
    )
    temperature: float | None = Field(ge=0, description="null: none is sent, for servers that refuse it")
    seed: Seed | None = Field(
        description="a request's is this and the record's index; null: none is sent, for servers that refuse it"
    )
    max_tokens: int = Field(gt=0)
    context_tokens: int = Field(gt=0, description="prompt and reply together, tokens")
    tokenizer: str = Field(
        description="what counts the prompt's tokens: the name of an OpenAI model (tiktoken), or `server` for llama.cpp's own"
    )
    concurrency: int = Field(gt=0)
    give_up_after: int = Field(gt=0, description="stop after so many records in a row that come to nothing")
    limits: Limits = Limits()
    cost: Cost | None = None


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression ({error})") from None
    return text


class OssInstruct(Strict):
    """The teacher turns the profile's seeds into problems and solutions; repeated ones are removed."""

    kind: Literal["oss-instruct"]
    deduplicate_seed: Seed = Field(description="of the shuffle before repeated records are removed; the paper: 666")
    paper: str | None = Field(default=None, description="its name in the paper's tables")


class EvolInstruct(Strict):
    """The teacher evolves the first records of another set."""

    kind: Literal["evol-instruct"]
    source: str = Field(alias="from", description="a data set of this profile")
    records: int = Field(ge=0, description="how many records the teacher evolves")
    max_tokens: int = Field(gt=0)
    paper: str | None = None


class Released(Strict):
    """A set of the Hugging Face hub: `problem` and `solution`, or `instruction` and `response` (or `output`)."""

    kind: Literal["released"]
    dataset: str
    revision: Revision = None
    paper: str | None = None


class Select(Strict):
    """A part of another set: one language or the others, the first so many, those without a pattern."""

    kind: Literal["select"]
    source: str = Field(alias="from", description="a data set of this profile")
    keep: Literal["python", "others"] | None = None
    records: int | None = Field(default=None, gt=0)
    without: Annotated[str, AfterValidator(_pattern)] | None = Field(
        default=None, description="a regular expression: records that hold it are left out"
    )
    paper: str | None = None


DataSet = Annotated[OssInstruct | EvolInstruct | Released | Select, Field(discriminator="kind")]
