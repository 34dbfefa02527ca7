"""A profile: every choice that a run makes, one typed YAML file, validated on load.

A misspelt key, a missing one or a wrong type is an error that names the key and the nearest valid one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from magicoder_repro import strict_yaml
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError, nearest

PROFILES = ROOT / "profiles"

Language = Literal["python", "cpp", "java", "typescript", "shell", "csharp", "rust", "php", "swift"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's generators take


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


class Teacher(_Strict):
    server: Annotated[EmbeddedTeacher | ServerTeacher, Field(discriminator="kind")]
    model: str
    grammar: bool = Field(
        description="constrain the reply to the two sections; for weak local teachers, off for the paper"
    )
    temperature: float = Field(ge=0)
    seed: Seed
    max_tokens: int = Field(gt=0)
    context_tokens: int = Field(gt=0, description="prompt and reply together, tokens")
    tokenizer: str = Field(
        description="what counts the prompt's tokens: the name of an OpenAI model (tiktoken), or `server` for llama.cpp's own"
    )
    concurrency: int = Field(gt=0)
    give_up_after: int = Field(gt=0, description="stop after so many records in a row that do not parse")


class Clean(_Strict):
    seed: Seed


class EvolInstruct(_Strict):
    records: int = Field(ge=0, description="how many kept records the teacher evolves")
    max_tokens: int = Field(gt=0)
    released: str | None = Field(
        default=None, description="a hub dataset with `instruction` and `response`, used instead"
    )


class BaseModelChoice(_Strict):
    """The model that is fine-tuned: the embedded GGUF, a hub name or a folder."""

    source: str
    dtype: Literal["float32", "bfloat16"]


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


class Training(_Strict):
    magicoder: Recipe
    magicoder_s: Recipe


class GreedyBenchmark(_Strict):
    prompt: Literal["model", "completion"] = Field(
        default="model",
        description="the model's own prompt, or the bare code for every model, as base models are asked",
    )
    tasks: int | None = Field(default=None, gt=0, description="the first so many tasks; all without it")
    max_new_tokens: int = Field(gt=0)
    batch: int = Field(gt=0)


class SampledBenchmark(_Strict):
    samples: int = Field(gt=0)
    temperature: float = Field(gt=0)
    top_p: Share
    top_k: int = Field(ge=0, description="the most likely tokens that are drawn from, 0 for all")
    max_tokens: int = Field(gt=0, description="prompt and completion together, tokens")
    batch: int = Field(gt=0)
    seed: Seed


class Generation(_Strict):
    """What each model is asked, and how it decodes."""

    dtype: Literal["float32", "bfloat16"]
    minibench_humaneval: GreedyBenchmark | None = None
    minibench_mbpp: GreedyBenchmark | None = None
    minibench_multipl_e: SampledBenchmark | None = None
    minibench_ds1000: SampledBenchmark | None = None
    humaneval: GreedyBenchmark | None = None
    mbpp: GreedyBenchmark | None = None
    multipl_e: SampledBenchmark | None = None
    ds1000: SampledBenchmark | None = None


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
    ds1000_seconds: float = Field(
        default=120.0, gt=0, description="CPU seconds of one DS-1000 program; 120 is the benchmark's own limit"
    )
    memory_mb: int = Field(default=4096, gt=0)
    sandbox: Literal["auto", "container", "bubblewrap", "userns", "none"] = Field(
        default="auto", description="the back end; `none` runs model-written code without any isolation"
    )


class Analysis(_Strict):
    similarity_bins: int = Field(gt=0)
    length_bin: int = Field(gt=0, description="tokens")
    length_max: int = Field(gt=0, description="tokens")
    tokenizer: str = Field(description="a tiktoken encoding (the paper: cl100k_base), or `base` for the base model's")


class Report(_Strict):
    recorded: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)] | None = Field(
        description="folder under results/ that this run is compared with: a plain name"
    )
    comparable: bool = Field(description="whether the paper's numbers are of the same models")


class Profile(_Strict):
    description: str
    corpus: Corpus
    seeds: Seeds
    teacher: Teacher
    clean: Clean
    evol_instruct: EvolInstruct
    base_model: BaseModelChoice
    training: Training
    generation: Generation
    scoring: Scoring
    analysis: Analysis
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
        return Profile.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    """One line for the first thing that is wrong: an unknown key before anything that it may have caused."""
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "extra_forbidden" or "[key]" in p["loc"]), problems[0])
    path, valid = _place(first["loc"])
    kind, given, context = first["type"], first["input"], first.get("ctx", {})
    if kind == "extra_forbidden" or "[key]" in first["loc"]:
        valid = _expected(context) or valid
        mend = _nearest(path[-1], valid) or f"valid keys are {', '.join(valid)}"
        return f"unknown key {'.'.join(path)!r}: {mend}"
    if kind.startswith("union_tag"):  # `kind` says which of several models is meant
        path.append(context["discriminator"].strip("'"))
        given = context.get("tag")
    key = ".".join(path)
    if kind in ("missing", "union_tag_not_found"):
        return f"the key {key!r} is missing: add it"
    if kind in ("literal_error", "union_tag_invalid"):
        options = context.get("expected") or context["expected_tags"]
        return f"{key}: should be {options}, got {_short(given)}{_mend(_nearest(given, _expected(context)))}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{key}: should be a mapping of settings, got {_short(given)}"
    write = _number(given, kind) if kind in ("int_type", "float_type") else None
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, got {_short(given)}{_mend(write)}"


def _short(given: Any) -> str:
    try:
        return f"{given!r:.80}"
    except ValueError:  # a whole number that Python does not print
        return "a number with thousands of digits"


def _mend(text: str | None) -> str:
    return f": {text}" if text else ""


def _nearest(given: Any, valid: Sequence[str]) -> str:
    return nearest(given, valid, 0.5).rstrip()


def _expected(context: dict[str, Any]) -> list[str]:
    """The values of pydantic's "'a', 'b' or 'c'"."""
    return re.findall(r"'([^']*)'", context.get("expected") or context.get("expected_tags", ""))


def _number(given: Any, kind: str) -> str | None:
    """How YAML wants a number that it has read as text: `5e-5` needs a point, quotes are to go."""
    try:
        value = float(given) if isinstance(given, str) else None
    except ValueError:
        return None
    if value is None or (kind == "int_type" and not value.is_integer()):
        return None
    mantissa, _, exponent = given.strip().lower().partition("e")
    if kind == "int_type":
        right = f"{value:.0f}"
    elif exponent:
        point = "" if "." in mantissa else ".0"
        right = f"{mantissa}{point}e{'' if exponent[0] in '+-' else '+'}{exponent}"
    else:
        right = mantissa
    return f"write {right}" + (" without quotes" if right == given else "")


def _place(location: Sequence[int | str]) -> tuple[list[str], list[str]]:
    """The key of a problem as it stands in the file, and the keys that are valid there. A location also names the member of a
    union, which is no key: its class, or its `kind`."""
    path: list[str] = []
    models: list[type[BaseModel]] = [Profile]
    valid: list[str] = []
    for part in location:
        named = [model for model in models if part in (model.__name__, _kind(model))]
        if named:
            models = named
        elif part != "[key]":
            path.append(str(part))
            valid = sorted({name for model in models for name in model.model_fields})
            if isinstance(part, str):
                fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
                models = [model for annotation in fields for model in _models(annotation)]
    return path, valid


def _kind(model: type[BaseModel]) -> str | None:
    """The value of `kind` that chooses this model."""
    field = model.model_fields.get("kind")
    return get_args(field.annotation)[0] if field else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `list[A | B]` or `Annotated[A | B, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
