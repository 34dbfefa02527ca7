"""Batched decoding with transformers: left padding, greedy or sampled, each row ended by its own stops and its own limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    StoppingCriteria,
    StoppingCriteriaList,
)

from magicoder_repro.benchmarks.base import Ask
from magicoder_repro.generate.text import completion_text, prompt_ids

_TAIL = 16  # tokens at the end of a row in which a stop is looked for


@dataclass(frozen=True)
class Decoding:
    """How to decode. `max_new_tokens` bounds a reply; `max_tokens` bounds prompt and reply together; None: no such bound."""

    max_new_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0


class _Ended(StoppingCriteria):
    """Marks the rows that hold a stop, or have reached their limit of tokens."""

    def __init__(
        self, tokenizer: Any, asks: Sequence[Ask], padding: Sequence[int], width: int, limit: int | None
    ) -> None:
        self._tokenizer, self._asks, self._padding, self._width, self._limit = (
            tokenizer,
            asks,
            padding,
            width,
            limit,
        )

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """(batch, length) ids -> (batch,) booleans."""
        tails = self._tokenizer.batch_decode(input_ids[:, max(self._width, input_ids.shape[1] - _TAIL) :])
        length = input_ids.shape[1]
        ended = [
            any(stop in tail for stop in ask.stops) or (self._limit is not None and length - padding >= self._limit)
            for tail, ask, padding in zip(tails, self._asks, self._padding, strict=True)
        ]
        return torch.tensor(ended, device=input_ids.device)


class Model:
    """A model folder, ready to complete prompts."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        self._model = model.to(self._device).eval()
        pad = self._tokenizer.pad_token_id
        self._pad: int = self._tokenizer.eos_token_id if pad is None else pad

    def complete(self, asks: Sequence[Ask], decoding: Decoding, seed: int = 0) -> list[str]:
        """One completion for each prompt of a batch, cut before its first stop."""
        rows = [prompt_ids(self._tokenizer, ask) for ask in asks]
        width = max(len(row) for row in rows)
        padding = [width - len(row) for row in rows]
        ids = torch.tensor(
            [[self._pad] * pad + row for pad, row in zip(padding, rows, strict=True)], device=self._device
        )
        context = self._model.config.max_position_embeddings
        new_tokens = min(
            context - width,
            decoding.max_new_tokens or context,
            context if decoding.max_tokens is None else decoding.max_tokens - min(len(row) for row in rows),
        )
        if new_tokens <= 0:
            return ["" for _ in asks]
        sampled = decoding.temperature > 0
        options: dict[str, Any] = {}
        if sampled:
            options = {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": decoding.top_k}
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=new_tokens,
            do_sample=sampled,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._pad,
            **options,
        )
        torch.manual_seed(seed)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids,
                attention_mask=ids.ne(self._pad),
                generation_config=config,
                stopping_criteria=StoppingCriteriaList(
                    [_Ended(self._tokenizer, asks, padding, width, decoding.max_tokens)]
                ),
            )
        answers = output[:, width:].tolist()
        return [
            ask.cut(completion_text(self._tokenizer, ask, row, answer, self._pad))
            for ask, row, answer in zip(asks, rows, answers, strict=True)
        ]
