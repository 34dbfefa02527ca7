"""How a profile's models answer, by what engine, and how their answers are judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

from magicoder_repro.profile.base import Seed, Share, Strict

Protocol = Literal["paper", "current"]


class _Evaluation(Strict):
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

    protocol: Annotated[list[Protocol], BeforeValidator(_list_of_protocols)] = Field(default=["paper"])

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


class TransformersEngine(Strict):
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


class ServerEngine(Strict):
    """Any OpenAI-compatible completion server (`/v1/completions`) of the user's, which has this very model and dtype."""

    kind: Literal["server"]
    base_url: Annotated[str, Field(pattern=r"^https?://")] = Field(description="it usually ends in /v1")
    model: str | None = Field(default=None, description="the model's name there; its name in this profile without it")
    concurrency: int = Field(default=16, gt=0, description="requests at a time")
    context: int | None = Field(
        default=None, gt=0, description="tokens of prompt and completion together; what the model itself can without it"
    )


class VllmEngine(Strict):
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


class Generation(Strict):
    """How models run."""

    dtype: Literal["float32", "bfloat16"]
    engine: Engine = TransformersEngine()


class Executor(Strict):
    """Where programs are judged in bulk; Slurm and Ray need a folder of the run that all machines see."""

    kind: Literal["local", "slurm", "ray"] = "local"
    shard: int = Field(default=100, gt=0, description="programs of one of datatrove's tasks")
    options: dict[str, Any] = Field(
        default={}, description="of datatrove's executor: `partition` and `time` for Slurm, `mem_per_cpu_gb`, ..."
    )


class Scoring(Strict):
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
