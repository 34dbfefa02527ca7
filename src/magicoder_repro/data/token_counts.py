"""Counts tokens as a model's tokenizer does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from magicoder_repro.errors import UsageError, nearest


def of_tiktoken(name: str, key: str) -> Callable[[str], int]:
    """The tokenizer of an OpenAI model or a tiktoken encoding, such as `cl100k_base`; `key` is where the profile names it.

    tiktoken downloads an encoding's table once; UsageError when there is no such name or no way to the table."""
    import tiktoken

    encodings = tiktoken.list_encoding_names()
    try:
        encoding_name = tiktoken.encoding_name_for_model(name)
    except KeyError:
        encoding_name = name
    if encoding_name not in encodings:
        hint = nearest(name, [*tiktoken.model.MODEL_TO_ENCODING, *encodings])
        raise UsageError(f"{key}: {name!r} is no OpenAI model and no encoding of tiktoken: {hint}it has {encodings}")
    try:
        encoding = tiktoken.get_encoding(encoding_name)
    except (OSError, ValueError) as error:  # of `requests`; a table whose hash is wrong
        if isinstance(error, OSError) and error.filename is not None:  # this machine's
            raise
        raise UsageError(
            f"{key}: the table of {encoding_name!r} cannot be downloaded ({type(error).__name__}): run once with a network, "
            "or set TIKTOKEN_CACHE_DIR to a folder of another machine that has it"
        ) from None
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def of_model(folder: Path) -> Callable[[str], int]:
    """The tokenizer of a model folder."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids)
