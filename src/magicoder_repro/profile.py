"""A profile: every choice that a run makes, one typed YAML file, validated on load.

A misspelt key, a missing one or a wrong type is an error that names the key and the nearest valid one.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from magicoder_repro import benchmarks, strict_yaml
from magicoder_repro.benchmarks.base import Style
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.profile_errors import explain

PROFILES = ROOT / "profiles"

Language = Literal["python", "cpp", "java", "typescript", "shell", "csharp", "rust", "php", "swift"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's generators take
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
Revision = Annotated[str | None, Field(description="the commit on the hub; null is unpinned, and the report says so")]
if TYPE_CHECKING:
    BenchmarkName = str
else:
    BenchmarkName = Literal[benchmarks.NAMES]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class LocalFiles(_Strict):
    """Source files on this machine. `{stdlib}`, `{site-packages}` and `{git}` stand for the folders of the
    environment's Python standard library, its packages, and git's shell scripts."""

    language: Language
    root: str
    patterns: list[str]
    exclude: list[str] = []
    files: int = Field(gt=0, description="at most so many files, in the order of their paths")


class HubDataset(_Strict):
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


class Corpus(_Strict):
    sources: list[
        Annotated[
            Annotated[LocalFiles, Tag("LocalFiles")] | Annotated[HubDataset, Tag("HubDataset")],
            Discriminator(_kind_of_source),
        ]
    ] = Field(min_length=1)
    max_bytes: int = Field(gt=0, description="longer local files are left out, bytes")


class Seeds(_Strict):
    seed: Seed
    per_language: dict[Language, Annotated[int, Field(ge=0)]] = Field(description="how many seeds each language gives")


class EmbeddedTeacher(_Strict):
    """llama.cpp with SmolLM2-135M-Instruct, started on a free loopback port and stopped with the stage."""

    kind: Literal["embedded"]
    servers: int = Field(
        gt=0, description="server processes; each has one slot and one thread: replies do not depend on it"
    )
    context: int = Field(gt=0, description="tokens")


class ServerTeacher(_Strict):
    """Any OpenAI-compatible server; OPENAI_BASE_URL and OPENAI_API_KEY are honoured."""

    kind: Literal["server"]
    base_url: str | None = None


class Limits(_Strict):
    """What the teacher's server takes in any 60 seconds. It changes no answer."""

    requests_per_minute: int | None = Field(default=None, gt=0)
    tokens_per_minute: int | None = Field(
        default=None,
        gt=0,
        description="prompt and completion; a request counts at the most it may take until it is answered",
    )


class Cost(_Strict):
    """What the teacher takes, in dollars. It changes no answer."""

    prompt_per_million: float = Field(ge=0, description="dollars for a million tokens")
    completion_per_million: float = Field(ge=0, description="dollars for a million tokens")
    ceiling: float | None = Field(
        default=None,
        gt=0,
        description="the stage stops before it could have cost more dollars, all runs of it together",
    )


class Teacher(_Strict):
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


class OssInstruct(_Strict):
    """The teacher turns the profile's seeds into problems and solutions; repeated ones are removed."""

    kind: Literal["oss-instruct"]
    deduplicate_seed: Seed = Field(description="of the shuffle before repeated records are removed; the paper: 666")
    paper: str | None = Field(default=None, description="its name in the paper's tables")


class EvolInstruct(_Strict):
    """The teacher evolves the first records of another set."""

    kind: Literal["evol-instruct"]
    source: str = Field(alias="from", description="a data set of this profile")
    records: int = Field(ge=0, description="how many records the teacher evolves")
    max_tokens: int = Field(gt=0)
    paper: str | None = None


class Released(_Strict):
    """A set of the Hugging Face hub: `problem` and `solution`, or `instruction` and `response` (or `output`)."""

    kind: Literal["released"]
    dataset: str
    revision: Revision = None
    paper: str | None = None


class Select(_Strict):
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


class SourceModel(_Strict):
    """Weights from elsewhere: the embedded GGUF, a hub name or a folder."""

    source: str
    revision: Revision = None
    dtype: Literal["float32", "bfloat16"]
    style: Style = Field(description="how it is asked: `completion` as base models are, or `magicoder`")
    paper: str | None = Field(default=None, description="the paper's row that it stands beside, as `Magicoder-CL-7B`")
    label: str | None = Field(default=None, description="its name in the report")


class TrainedModel(_Strict):
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


class Archive(_Strict):
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


class PublishedAnswers(_Strict):
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


class Lora(_Strict):
    """Low-rank adapters (arXiv 2106.09685) are trained in the place of the weights, and merged into them at the end."""

    rank: int = Field(gt=0)
    alpha: float = Field(gt=0, description="what the adapters' product is multiplied by is alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: list[str] | None = Field(
        default=None, min_length=1, description="names of the linear layers, as `q_proj`; null: all but the output"
    )


class Recipe(_Strict):
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


class Training(_Strict):
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


Protocol = Literal["paper", "current"]


class _Evaluation(_Strict):
    models: list[str] | None = Field(default=None, min_length=1, description="those of the profile; all without it")


class _Generated(_Evaluation):
    protocol: Protocol = "paper"

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """What the answers are judged by."""
        return (self.protocol,)


class Greedy(_Generated):
    """Greedy decoding."""

    prompt: Literal["model", "completion"] = Field(
        default="model",
        description="the model's own prompt, or the bare code for every model, as base models are asked",
    )
    tasks: int | None = Field(default=None, gt=0, description="the first so many tasks; all without it")
    max_new_tokens: int = Field(gt=0)
    batch: int = Field(gt=0)


class Sampled(_Generated):
    """Several completions a task."""

    tasks: int | None = Field(default=None, gt=0, description="the first so many tasks; all without it")
    samples: int = Field(gt=0)
    temperature: float = Field(gt=0)
    top_p: Share
    top_k: int = Field(ge=0, description="the most likely tokens that are drawn from, 0 for all")
    max_tokens: int = Field(gt=0, description="prompt and completion together, tokens")
    batch: int = Field(gt=0)
    seed: Seed


def _list_of_protocols(given: Any) -> Any:
    names = [given] if isinstance(given, str) else given
    known = get_args(Protocol)
    if not isinstance(names, list) or not names or any(name not in known or names.count(name) > 1 for name in names):
        raise ValueError(f"{' or '.join(known)}, or a list of both, is wanted")
    return names


class Judged(_Evaluation):
    """Published answers need no decoding, and may be judged by more than one protocol."""

    protocol: Annotated[list[Protocol], BeforeValidator(_list_of_protocols)] = ["paper"]

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """What the answers are judged by."""
        return tuple(self.protocol)


def _kind_of_evaluation(setting: Any) -> str:
    """The one that a setting has more keys of."""
    keys = set(dict(setting)) if isinstance(setting, dict | BaseModel) else set()
    common = set(_Generated.model_fields)
    found = {kind.__name__: len(keys & (set(kind.model_fields) - common)) for kind in (Greedy, Sampled)}
    return max(found, key=lambda name: found[name]) if any(found.values()) or keys - common else "Judged"


Evaluation = Annotated[
    Annotated[Greedy, Tag("Greedy")] | Annotated[Sampled, Tag("Sampled")] | Annotated[Judged, Tag("Judged")],
    Discriminator(_kind_of_evaluation),
]


class TransformersEngine(_Strict):
    """transformers, in this process, batch by batch."""

    kind: Literal["transformers"] = "transformers"
    attention: Literal["eager", "sdpa", "flash_attention_2"] = Field(
        default="eager", description="the paper's generation had transformers 4.35, whose attention was eager"
    )
    order: Literal["paper", "length"] = Field(
        default="paper",
        description="batches in the benchmark's order, as the paper; or of prompts of like length, which rows leave when they have "
        "ended: faster, and not the paper's arithmetic to the last bit",
    )


class ServerEngine(_Strict):
    """Any OpenAI-compatible completion server (`/v1/completions`) of the user's, which has this very model and dtype."""

    kind: Literal["server"]
    base_url: Annotated[str, Field(pattern=r"^https?://")] = Field(description="it usually ends in /v1")
    model: str | None = Field(default=None, description="the model's name there; its name in this profile without it")
    concurrency: int = Field(default=16, gt=0, description="requests at a time")
    context: int | None = Field(
        default=None, gt=0, description="tokens of prompt and completion together; what the model itself can without it"
    )


class VllmEngine(_Strict):
    """vLLM on a free port of loopback, started for a model's benchmarks and stopped with them; one server a GPU."""

    kind: Literal["vllm"]
    environment: Literal["serve", "serve-cpu"] = Field(
        default="serve", description="of docker/: for NVIDIA GPUs, or for a processor"
    )
    concurrency: int = Field(default=64, gt=0, description="requests at a time, of each server")
    context: int | None = Field(
        default=None, gt=0, description="tokens of prompt and completion together; what the model itself can without it"
    )
    cache_gb: int = Field(default=2, gt=0, description="serve-cpu: memory for keys and values")


Engine = Annotated[TransformersEngine | ServerEngine | VllmEngine, Field(discriminator="kind")]


class Generation(_Strict):
    """How models run."""

    dtype: Literal["float32", "bfloat16"]
    engine: Engine = TransformersEngine()


class Executor(_Strict):
    """Where programs are judged in bulk; Slurm and Ray need a folder of the run that all machines see."""

    kind: Literal["local", "slurm", "ray"] = "local"
    shard: int = Field(default=100, gt=0, description="programs of one of datatrove's tasks")
    options: dict[str, Any] = Field(
        default={}, description="of datatrove's executor: `partition` and `time` for Slurm, `mem_per_cpu_gb`, ..."
    )


class Scoring(_Strict):
    workers: int = Field(gt=0, description="sandboxes at a time")
    executor: Executor = Executor()
    call_seconds: float = Field(
        default=1.0,
        gt=0,
        description="CPU seconds that one call may take, or four times what the canonical solution takes",
    )
    program_seconds: float = Field(
        default=60.0, gt=0, description="the same for all calls together; protocol `current` only"
    )
    ds1000_seconds: float | None = Field(
        default=None, gt=0, description="CPU seconds of one DS-1000 program; null: the release's own limit (60 or 120)"
    )
    memory_mb: int = Field(default=4096, gt=0)
    sandbox: Literal["auto", "bubblewrap", "userns", "none"] = Field(
        default="auto", description="the back end; `none` runs model-written code without any isolation"
    )


class Analysis(_Strict):
    similarity_bins: int = Field(gt=0)
    length_bin: int = Field(gt=0, description="tokens")
    length_max: int = Field(gt=0, description="tokens")
    tokenizer: str = Field(description="a tiktoken encoding (the paper: cl100k_base), or a model of this profile")


class Regress(_Strict):
    """What `magicoder regress` calls a regression of this profile's runs."""

    policy: Literal["exact", "paired", "tolerance"] = Field(
        default="tolerance", description="every verdict; a paired test by task; each number by the recorded runs"
    )
    margin: float = Field(
        default=2.0, ge=0, le=100, description="paired: percentage points that a cell may lose in any case"
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="paired: of all cells together, after Holm")
    missing: Literal["fail", "warn", "ignore"] = Field(
        default="fail", description="what a cell, number or task that is gone does"
    )
    changed: Literal["fail", "warn"] = Field(
        default="fail", description="what another data set, protocol, scorer or clean-up of a cell does"
    )


class Report(_Strict):
    recorded: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)] | None = Field(
        description="folder under results/ that this run is compared with: a plain name"
    )
    comparable: bool = Field(description="whether the paper's numbers are of the same models")
    margin: float = Field(
        default=5.0, gt=0, le=100, description="points: a difference below it does not matter in practice"
    )
    regress: Regress = Regress()


class Profile(_Strict):
    """`corpus`, `seeds` and `teacher` may be left out where no data set needs them. `name`: as it was asked for; loading sets it."""

    name: str = ""
    description: str
    corpus: Corpus | None = None
    seeds: Seeds | None = None
    teacher: Teacher | None = None
    data: dict[Name, DataSet] = {}
    recipes: dict[Name, Recipe] = {}
    archives: dict[Name, Archive] = {}
    models: dict[Name, Model] = Field(min_length=1)
    evaluate: dict[BenchmarkName, Evaluation] = {}
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
        raise UsageError(f"{path}: {explain(error, Profile)}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return profile.model_copy(update={"name": name})


def frozen(profile: Profile) -> bytes:
    """A profile as it is now, for `thawed` in another process: its file may be edited meanwhile."""
    return json.dumps(profile.model_dump(mode="json", by_alias=True, exclude_unset=True)).encode()


def thawed(content: bytes) -> Profile:
    """The profile that `frozen` has made this of."""
    return Profile.model_validate(json.loads(content))


def check_names(profile: Profile) -> None:
    """A UsageError for a name that stands for nothing, a circle, or a part that is needed and not there."""
    for name, data in profile.data.items():
        if name in ("tokenizer", "self-instruct"):
            raise UsageError(f"data.{name}: this name has a meaning of its own: give another")
        if isinstance(data, EvolInstruct | Select):
            _known(f"data.{name}.from", data.source, profile.data)
        if isinstance(data, OssInstruct):
            _needed(f"data.{name}", profile, "corpus", "seeds", "teacher")
        if isinstance(data, EvolInstruct):
            _needed(f"data.{name}", profile, "teacher")
        _no_circle("data", name, {key: getattr(one, "source", None) for key, one in profile.data.items()})
    for name, recipe in profile.recipes.items():
        if recipe.attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
            raise UsageError(
                f"recipes.{name}.attention: flash_attention_2 needs the package flash-attn, which no lock of ours has: "
                "set sdpa, or install it into .envs/core"
            )
    for name, model in profile.models.items():
        if isinstance(model, TrainedModel):
            _known(f"models.{name}.from", model.source, profile.models)
            _known(f"models.{name}.data", model.data, profile.data)
            _known(f"models.{name}.recipe", model.recipe, profile.recipes)
            if isinstance(profile.models[model.source], PublishedAnswers):
                raise UsageError(f"models.{name}.from: {model.source!r} is published answers, no model to train")
        if isinstance(model, PublishedAnswers):
            for benchmark in model.samples or ():
                _known(f"models.{name}.samples", benchmark, profile.evaluate)
            if model.archive is not None:
                _known(f"models.{name}.archive", model.archive, profile.archives)
                if profile.archives[model.archive].answers is None:
                    raise UsageError(f"archives.{model.archive}.answers is missing: add authors or others")
        trained = {key: one.source for key, one in profile.models.items() if isinstance(one, TrainedModel)}
        _no_circle("models", name, trained)
    for name, setting in profile.evaluate.items():
        for model_name in setting.models or ():
            _known(f"evaluate.{name}.models", model_name, profile.models)
            model = profile.models[model_name]
            if isinstance(model, PublishedAnswers) and not model.answers(name):
                raise UsageError(
                    f"evaluate.{name}.models: {model_name!r} has no samples of it: name them, or leave it out"
                )
        for model_name in setting.models or profile.models:
            answers = isinstance(profile.models[model_name], PublishedAnswers)
            if isinstance(setting, Judged) and not answers:
                raise UsageError(f"evaluate.{name}: {model_name!r} must answer first: give max_new_tokens and batch")
            if not answers:
                _needed(f"evaluate.{name}", profile, "generation")
    _check_served(profile)
    counted = profile.analysis and profile.models.get(profile.analysis.tokenizer)
    if isinstance(counted, PublishedAnswers):
        raise UsageError("analysis.tokenizer: it names published answers, no model")


def _check_served(profile: Profile) -> None:
    """A name on a server is one model's."""
    engine = profile.generation and profile.generation.engine
    asked = [name for name, one in profile.models.items() if not isinstance(one, PublishedAnswers)]
    if isinstance(engine, ServerEngine) and engine.model is not None and len(asked) > 1:
        raise UsageError(
            f"generation.engine.model: {engine.model!r} is one model, and this profile asks {', '.join(asked)}: leave it out, "
            "and serve each by its name here"
        )


def _known(key: str, name: str, valid: Mapping[str, object]) -> None:
    if name not in valid:
        raise UsageError(
            f"{key}: {name!r} is not in the profile: {nearest(name, list(valid))}there are {', '.join(valid)}"
        )


def _needed(key: str, profile: Profile, *sections: str) -> None:
    for section in sections:
        if getattr(profile, section) is None:
            raise UsageError(f"the key {section!r} is missing: {key} needs it")


def _no_circle(part: str, name: str, sources: Mapping[str, str | None]) -> None:
    seen, at = [name], sources.get(name)
    while at is not None:
        if at in seen:
            raise UsageError(f"{part}.{name}: made from itself ({' <- '.join([*seen, at])})")
        seen.append(at)
        at = sources.get(at)
