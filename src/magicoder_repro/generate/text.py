"""From a question to token ids, and from the ids of an answer to its text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from magicoder_repro.benchmarks.base import Ask


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer in a model's folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def pad_of(tokenizer: Any) -> int:
    """The id that fills rows: EOS where there is none of its own."""
    pad = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if pad is None else pad)


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


def served_text(tokenizer: Any, ask: Ask, text: str) -> str:
    """The same of an answer that a server sent as text alone, which it has decoded after the prompt, as for `together`. Decoded by
    itself it would lose the space at its start, where the tokenizer drops one. Special tokens that the server left out stay out."""
    if ask.special_tokens and tokenizer.eos_token:
        text = text.partition(tokenizer.eos_token)[0]
    return text[1:] if not ask.together and text.startswith(" ") and _drops_space(tokenizer) else text


@lru_cache(maxsize=1)
def _drops_space(tokenizer: Any) -> bool:
    """Whether a text loses the space that its first token begins with, as SentencePiece's do."""
    word = next(
        (number for token, number in tokenizer.get_vocab().items() if len(token) > 1 and token[0] == "\u2581"), None
    )
    return word is not None and not tokenizer.decode([word]).startswith(" ")
