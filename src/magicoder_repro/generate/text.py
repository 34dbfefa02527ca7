"""From a question to token ids, and from the ids of an answer to its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magicoder_repro.benchmarks.base import Ask


def prompt_ids(tokenizer: Any, ask: Ask) -> list[int]:
    """The ids of a prompt with the special tokens before it."""
    ids: list[int] = tokenizer(ask.prompt, add_special_tokens=ask.together).input_ids
    bos = tokenizer.bos_token_id
    return ids if ask.together or bos is None else [bos, *ids]


def completion_text(tokenizer: Any, ask: Ask, prompt: Sequence[int], answer: Sequence[int], pad: int) -> str:
    """The text of an answer, with what follows a stop. `prompt`: from `prompt_ids`; `answer`: new ids, and `pad` up to its end."""
    length = next((at for at in range(len(answer), 0, -1) if answer[at - 1] != pad), 0)
    before = list(prompt) if ask.together else []
    if before and before[0] == tokenizer.bos_token_id:
        before = before[1:]
    skip = not ask.special_tokens
    whole: str = tokenizer.decode([*before, *answer[:length]], skip_special_tokens=skip)
    text = whole[len(tokenizer.decode(before, skip_special_tokens=skip)) :]
    return text.partition(tokenizer.eos_token)[0] if ask.special_tokens and tokenizer.eos_token else text
