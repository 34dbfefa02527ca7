"""The Hugging Face hub: what goes wrong on the way to it becomes one line with the profile's key and the mend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from magicoder_repro import records
from magicoder_repro.errors import UsageError


@contextmanager
def access(key: str, name: str) -> Iterator[None]:
    """Around calls that load `name`, which the profile names under `key`: their errors are UsageErrors."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # the libraries have no common class: KeyError, RuntimeError, SafetensorError, ...
        if isinstance(error, OSError) and error.errno is not None:  # this machine's, such as a full disk
            raise
        raise UsageError(f"{key}: {name!r}: {_mend(error)}") from None


def rows(key: str, name: str, fields: Sequence[str], **options: Any) -> Iterator[records.Record]:
    """The rows of a dataset's training split; every one has text in `fields`."""
    from datasets import load_dataset

    with access(key, name):
        for number, row in enumerate(load_dataset(name, split="train", **options), 1):
            for field in fields:
                if field not in row:
                    raise UsageError(f"{key}: {name!r} has no column {field!r}: it has {', '.join(row)}")
                if not isinstance(row[field], str):
                    raise UsageError(f"{key}: {name!r}: row {number} has no text in the column {field!r}")
            yield row


def _mend(error: BaseException) -> str:
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    text = " ".join(str(error).split())

    def met(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in chain)

    if met(GatedRepoError) or "is a gated dataset" in text:  # `datasets` tells of it in words only
        return "the hub lets in who accepted its licence: accept it on the page of the repository, then `hf auth login`"
    if met(RepositoryNotFoundError, DatasetNotFoundError):
        return "the hub has nothing of this name: mend the name, or `hf auth login` if it is private"
    if any(isinstance(one, HfHubHTTPError) and one.response.status_code in (401, 403) for one in chain):
        return "the hub refuses the token: `hf auth login` with one that may read it"
    if met(ConnectionError, LocalEntryNotFoundError):
        return "no way to the hub, and no copy in its cache: run where there is a network (or mend HF_ENDPOINT)"
    if "scripts are no longer supported" in text or "trust_remote_code" in text:
        return "it would run code of its own, which is not run here: give a repository of plain data or weights (Parquet, safetensors)"
    return f"cannot be loaded: {text[:200] or type(error).__name__}"
