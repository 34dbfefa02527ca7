"""Training text to token ids, labels and padded batches (PROTOCOL section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from magicoder_repro import prompts, records
from magicoder_repro.data import kinds

IGNORED = -100
"""The label of a token that the loss does not count."""


def pair(record: records.Record) -> tuple[str, str]:
    """(instruction, response) of an OSS-Instruct record (`problem, solution`) or an evolved one (`instruction, output`)."""
    pair = kinds.Pair.of(record, "a training record")
    own = pair.columns == ("problem", "solution")
    return prompts.oss_instruct_instruction(pair.question) if own else pair.question, pair.answer


def encode(tokenizer: Any, instruction: str, response: str, max_length: int) -> dict[str, list[int]]:
    """`input_ids` and `labels`, at most `max_length` each: [BOS] prompt response EOS, cut on the right."""
    prompt = tokenizer(prompts.magicoder(instruction), add_special_tokens=False).input_ids
    if tokenizer.bos_token_id is not None:
        prompt = [tokenizer.bos_token_id, *prompt]
    answer = [*tokenizer(response, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return {
        "input_ids": [*prompt, *answer][:max_length],
        "labels": [*([IGNORED] * len(prompt)), *answer][:max_length],
    }


@dataclass(frozen=True)
class Collator:
    """Pads on the right to the longest sequence of the batch; the mask leaves out every pad id, as the paper's code does."""

    pad_token_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Rows of `input_ids` and `labels` -> int64 tensors (batch, longest) and their `attention_mask`."""
        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), longest), self.pad_token_id)
        labels = torch.full((len(rows), longest), IGNORED)
        for number, row in enumerate(rows):
            ids[number, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            labels[number, : len(row["labels"])] = torch.tensor(row["labels"])
        return {"input_ids": ids, "labels": labels, "attention_mask": ids.ne(self.pad_token_id)}
