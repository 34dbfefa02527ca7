"""Counts tokens as a model's tokenizer does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def of_tiktoken(name: str) -> Callable[[str], int]:
    """The tokenizer of an OpenAI model or a tiktoken encoding, such as `cl100k_base`."""
    import tiktoken

    try:
        encoding = tiktoken.encoding_for_model(name)
    except KeyError:
        encoding = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def of_model(folder: Path) -> Callable[[str], int]:
    """The tokenizer of a model folder."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids)
