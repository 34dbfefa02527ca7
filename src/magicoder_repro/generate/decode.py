"""The engine `transformers`: batches with left padding, greedy or sampled, each row ended by its own stops and its own limit."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from magicoder_repro.generate.engines import Completion, Decoding, Request, Settle
from magicoder_repro.generate.text import completion_text, pad_of, tokenizer_of
from magicoder_repro.profile import TransformersEngine

_TAIL = 16  # tokens at the end of a row in which a stop is looked for


class Transformers:
    """A model folder, loaded in this process."""

    def __init__(self, folder: Path, dtype: str, settings: TransformersEngine) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = tokenizer_of(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation=settings.attention
        )
        self._model = model.to(self._device).eval()
        self._eos: int = self._tokenizer.eos_token_id
        self._pad = pad_of(self._tokenizer)
        self._by_length = settings.order == "length"

    def complete(self, requests: Sequence[Request], decoding: Decoding, done: Container[int], settle: Settle) -> None:
        """Batch by batch. A batch's rows and seed are the same whatever is done already."""
        for number, batch in self._batches(requests, decoding.batch):
            if all(one.position in done for one in batch):
                continue
            torch.manual_seed(decoding.seed + number)
            ids = self._padded(batch)
            with torch.inference_mode():
                rows = (self._shrinking if self._by_length else self._generated)(batch, ids, decoding)
            for request, row in zip(batch, rows, strict=True):
                if request.position not in done:
                    settle(request.position, self._completion(request, row))

    def close(self) -> None:
        """Nothing was started."""

    def _batches(self, requests: Sequence[Request], size: int) -> Iterator[tuple[int, list[Request]]]:
        """Batches with their numbers: in the benchmark's order, where one without a prompt that has room is left out; or the longest
        prompts first."""
        if self._by_length:
            ordered = sorted(requests, key=lambda one: (-len(one.ids), one.position))
            yield from ((first // size, ordered[first : first + size]) for first in range(0, len(ordered), size))
            return
        found: dict[int, list[Request]] = {}
        for one in requests:
            found.setdefault(one.position // size, []).append(one)
        yield from found.items()

    def _padded(self, batch: Sequence[Request]) -> torch.Tensor:
        """(rows, width of the longest prompt)."""
        width = max(len(one.ids) for one in batch)
        rows = [[self._pad] * (width - len(one.ids)) + list(one.ids) for one in batch]
        return torch.tensor(rows, device=self._device)

    def _generated(self, batch: Sequence[Request], ids: torch.Tensor, decoding: Decoding) -> list[list[int]]:
        """The new tokens of each row by transformers' own `generate`, as the paper."""
        options: dict[str, Any] = {}
        if decoding.temperature > 0:
            options = {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": decoding.top_k}
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max(one.room for one in batch),
            do_sample=bool(options),
            eos_token_id=self._eos,
            pad_token_id=self._pad,
            **options,
        )
        ended = _Ended(self._tokenizer, batch, ids.shape[1])
        output = self._model.generate(
            input_ids=ids,
            attention_mask=ids.ne(self._pad),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([ended]),
        )
        return [row[: one.room] for row, one in zip(output[:, ids.shape[1] :].tolist(), batch, strict=True)]

    def _shrinking(self, batch: Sequence[Request], ids: torch.Tensor, decoding: Decoding) -> list[list[int]]:
        """The same, but a row that has ended leaves the batch."""
        processors: Any = LogitsProcessorList()
        if decoding.temperature > 0:
            processors.append(TemperatureLogitsWarper(decoding.temperature))
            if decoding.top_k:
                processors.append(TopKLogitsWarper(decoding.top_k))
            if decoding.top_p < 1:
                processors.append(TopPLogitsWarper(decoding.top_p))
        found: list[list[int]] = [[] for _ in batch]
        rows = list(range(len(batch)))  # those that are left
        cache = DynamicCache(config=self._model.config)
        mask = ids.ne(self._pad).long()
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        while rows:
            scores = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            drawn = _drawn(processors(ids, scores.float()), decoding)
            for row, token in zip(rows, drawn.tolist(), strict=True):
                found[row].append(token)
            going = [place for place, row in enumerate(rows) if not self._has_ended(batch[row], found[row])]
            if len(going) < len(rows):
                rows = [rows[place] for place in going]
                chosen = torch.tensor(going, dtype=torch.long, device=self._device)
                cache.batch_select_indices(chosen)
                drawn, mask, places = drawn[chosen], mask[chosen], places[chosen]
            ids, places = drawn[:, None], places[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        return found

    def _has_ended(self, request: Request, row: Sequence[int]) -> bool:
        if row[-1] == self._eos or len(row) >= request.room:
            return True
        tail: str = self._tokenizer.decode(row[-_TAIL:])
        return any(stop in tail for stop in request.ask.stops)

    def _completion(self, request: Request, row: Sequence[int]) -> Completion:
        text = completion_text(self._tokenizer, request.ask, request.ids, row, self._pad)
        full = len(row) >= request.room and row[-1] not in (self._eos, self._pad)
        return Completion(request.ask.cut(text), truncated=full and not request.ask.ends(text))


class _Ended(StoppingCriteria):
    """Marks the rows that hold a stop, or have reached their limit of tokens."""

    def __init__(self, tokenizer: Any, batch: Sequence[Request], width: int) -> None:
        self._tokenizer, self._batch, self._width = tokenizer, batch, width

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """(rows, length) ids -> (rows,) booleans."""
        length = input_ids.shape[1]
        tails = self._tokenizer.batch_decode(input_ids[:, max(self._width, length - _TAIL) :])
        ended = [
            length - self._width >= one.room or any(stop in tail for stop in one.ask.stops)
            for tail, one in zip(tails, self._batch, strict=True)
        ]
        return torch.tensor(ended, device=input_ids.device)


def _drawn(scores: torch.Tensor, decoding: Decoding) -> torch.Tensor:
    """One token a row."""
    if decoding.temperature > 0:
        return torch.multinomial(torch.softmax(scores, dim=-1), 1)[:, 0]
    return scores.argmax(dim=-1)
