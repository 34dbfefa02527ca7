"""Counts tokens as a model's tokenizer does."""

from __future__ import annotations

from collections.abc import Callable

from magicoder_repro.data import embedded_model


def counter(name: str) -> Callable[[str], int]:
    """`base` counts with the embedded model's tokenizer; any other name is a model or an encoding of tiktoken."""
    if name == "base":
        from transformers import AutoTokenizer

        path = embedded_model.gguf()
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids)
    import tiktoken

    try:
        encoding = tiktoken.encoding_for_model(name)
    except KeyError:
        encoding = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode(text, disallowed_special=()))
