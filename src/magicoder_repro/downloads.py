"""Files from the network: bounded in size and time, whole or not at all, and, where nobody published a sha256, the one that was seen
first is written down beside the file and held from then on."""

from __future__ import annotations

import http.client
import re
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.errors import UsageError

PATIENCE = 60.0
"""Seconds until a server must have answered, the look-up of its name included, and between any two parts of what it sends."""
_ALL_SECONDS = 1800.0
_PART = 1 << 20
_LINE = re.compile(r"([0-9a-f]{64})(?:\s.*)?\s*", re.DOTALL)


class UnreachableError(UsageError):
    """No server answered: asking for another file of the network would take as long, for nothing."""


def get(url: str, most: int, patience: float = PATIENCE) -> bytes:
    """What lies at an address, of at most so many bytes. An OSError says why it cannot be had; `urllib.error.HTTPError` when a server
    said so."""
    with _answer(url, patience) as reply:
        return _read(reply, most)


def reach(url: str, path: Path, patience: float) -> None:
    """A UsageError when an address gives nothing within `patience` seconds; `path` is where its file belongs."""
    try:
        _answer(url, patience).close()
    except OSError as error:
        raise failed(url, error, path) from None


def _answer(url: str, patience: float) -> Any:
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(urllib.request.urlopen(url, timeout=patience))
        except Exception as error:
            answers.append(error)

    asking = threading.Thread(target=ask, daemon=True)  # no time limit of the socket's covers the look-up of a name
    asking.start()
    asking.join(patience)
    if not answers:
        raise TimeoutError(f"no answer in {patience:.0f} seconds")
    if isinstance(answers[0], http.client.HTTPException | ValueError):
        raise OSError(f"no proper answer ({type(answers[0]).__name__}: {answers[0]!s:.80})")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _read(reply: Any, most: int) -> bytes:
    parts, size, end = [], 0, time.monotonic() + _ALL_SECONDS
    try:
        while part := reply.read(_PART):
            parts.append(part)
            size += len(part)
            if size > most:
                raise OSError(f"more than {most >> 20} MB")
            if time.monotonic() > end:
                raise OSError(f"not here after {_ALL_SECONDS / 60:.0f} minutes")
    except http.client.HTTPException as error:
        raise OSError(f"cut off ({type(error).__name__})") from None
    if reply.length:
        raise OSError(f"cut off, {reply.length} bytes before its end")
    return b"".join(parts)


def failed(url: str, error: OSError, path: Path) -> UsageError:
    """What is said of an address that gave nothing, and where the file belongs."""
    silent = isinstance(error, urllib.error.URLError | TimeoutError) and not isinstance(error, urllib.error.HTTPError)
    kind = UnreachableError if silent else UsageError
    return kind(f"{url}: {error}: download it elsewhere and put it at {path}")


def beside(path: Path) -> Path:
    """Where the sha256 of a file, or of a folder's files, is written down."""
    return path.with_name(f"{path.name}.sha256")


def held(path: Path) -> str | None:
    """The sha256 that was written down at the first fetch or use of a file; None before that."""
    note = beside(path)
    if not note.is_file():
        return None
    with note.open("rb") as file:
        match = _LINE.fullmatch(file.read(1000).decode("utf-8", "replace"))
    if match is None:
        raise UsageError(f"{note}: no sha256 in it: remove it, and the file beside it is taken as it is")
    return match[1]


def check(path: Path, sha256: str) -> None:
    """A UsageError when a file is another one than at its first fetch or use."""
    first = held(path)
    if first is not None and sha256 != first:
        raise UsageError(
            f"{path}: its sha256 is {sha256}, and {beside(path).name} holds {first} from its first fetch or use: put that file back, "
            f"or remove {beside(path).name} to take this one"
        )


def hold(path: Path, sha256: str) -> None:
    """Writes down the sha256 of a file that is used for the first time; checks it from then on. A folder that cannot be written to
    keeps no note."""
    check(path, sha256)
    if held(path) is None:
        with suppress(OSError):
            records.write_text(beside(path), f"{sha256}  {path.name}\n")
