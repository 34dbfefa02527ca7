"""What an engine is: it turns prompts, as token ids, into completions. Engines: `decode` (transformers), `server`, `vllm`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from magicoder_repro import environment
from magicoder_repro.benchmarks.base import Ask
from magicoder_repro.generate import OF_THE_WORK
from magicoder_repro.generate.text import prompt_ids, tokenizer_of
from magicoder_repro.profile import Engine as Settings
from magicoder_repro.profile import ServerEngine, TransformersEngine, VllmEngine

_made: dict[tuple[Path, str, Settings], Engine] = {}


@dataclass(frozen=True)
class Request:
    """One completion that is wanted. `position`: among all of a benchmark's; `ids`: the prompt; `room`: the most new tokens; `seed`:
    of this sample alone, for engines that take requests one by one."""

    position: int
    ask: Ask
    ids: Sequence[int]
    room: int
    seed: int


@dataclass(frozen=True)
class Completion:
    """The text before the first stop. `truncated`: it ended at its limit of tokens, not by itself."""

    text: str
    truncated: bool


@dataclass(frozen=True)
class Decoding:
    """How to decode. `batch`, `seed`: of batches, for engines that have any; `top_k` 0: all tokens."""

    batch: int = 1
    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0


Settle = Callable[[int, Completion], None]


class Engine(Protocol):
    """A loaded model, here or in a server."""

    def complete(self, requests: Sequence[Request], decoding: Decoding, done: Container[int], settle: Settle) -> None:
        """Gives (position, completion) of each request whose position is not `done` to `settle`, in any order. `requests` are always
        all of a benchmark's: what is done changes no other completion."""

    def close(self) -> None:
        """Ends what was started."""


class Tokens:
    """A model's tokenizer and context. `context`: tokens of prompt and completion together."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        from transformers import AutoConfig

        self._tokenizer = tokenizer_of(folder)
        longest = int(AutoConfig.from_pretrained(folder).max_position_embeddings)
        smaller = None if isinstance(settings, TransformersEngine) else settings.context
        self.context = min(longest, smaller or longest)

    def ids(self, ask: Ask) -> list[int]:
        """A prompt as the model is given it."""
        return prompt_ids(self._tokenizer, ask)


def seed_of(seed: int, name: str, task_id: str, sample: int) -> int:
    """The seed of one sample of one task: it depends on no other, nor on how many there are."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name} {task_id} {sample}".encode()).digest()[:4]) >> 1


def missing(settings: Settings) -> Sequence[str]:
    """What an engine needs and is not here, with the mend."""
    if not isinstance(settings, VllmEngine) or environment.ready(name := settings.environment):
        return ()
    return (f"generation.engine: the environment {name} is not built: run `make .envs/{name}/.ready`",)


def told(settings: Settings) -> dict[str, Any]:
    """What decides a completion beside the model and the decoding."""
    found = settings.model_dump(exclude=set(OF_THE_WORK))
    if isinstance(settings, VllmEngine):
        lock = environment.ROOT / "docker" / settings.environment / "requirements.lock"
        version = re.search(r"^vllm(?:-cpu)?==(\S+)", lock.read_text(), re.MULTILINE)
        found["version"] = version and version[1]
    return found


def of(folder: Path, dtype: str, settings: Settings) -> Engine:
    """The engine of a model: made once for all benchmarks that a process asks it, and ended when another is wanted, by `end`, or with
    the process."""
    key = (folder, dtype, settings)
    if key not in _made:
        end()
        _made[key] = make(folder, dtype, settings)
    return _made[key]


def end() -> None:
    """Ends the engine that `of` keeps."""
    while _made:
        _made.popitem()[1].close()


def make(folder: Path, dtype: str, settings: Settings) -> Engine:
    """A new engine, for the caller to close."""
    if isinstance(settings, TransformersEngine):
        from magicoder_repro.generate.decode import Transformers

        return Transformers(folder, dtype, settings)
    if isinstance(settings, ServerEngine):
        from magicoder_repro.generate.server import of_user

        return of_user(folder, settings)
    from magicoder_repro.generate.vllm import Vllm

    return Vllm(folder, dtype, settings)
