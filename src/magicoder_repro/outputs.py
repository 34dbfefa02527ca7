"""A command's `-o`: never one of its inputs, and never two commands' at the same time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from magicoder_repro.errors import UsageError


@contextmanager
def claimed(out: Path, inputs: Iterable[Path] = (), file: bool = False) -> Iterator[None]:
    """The right to make `out` while the block runs: a file in a folder that exists, or a file or folder anywhere.

    UsageError when `out` is one of `inputs` (by whatever name: a link, another path), holds one, or when another process makes it.
    The lock lies beside `out` and ends with this process, however that ends.
    """
    if file and (out.is_dir() or not out.parent.is_dir()):
        raise UsageError(f"{out}: give the name of a file in a folder that exists")
    if out.exists() and not out.is_file() and not out.is_dir():
        raise UsageError(f"{out}: a pipe or device, which a finished file cannot take the place of: name a file")
    refuse_inputs(out, inputs)
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f".{out.name}.lock")
    lock = _lock(path)
    if lock is None:
        raise UsageError(f"{out}: another command makes it right now: wait for it, or give another name")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def refuse_inputs(out: Path, inputs: Iterable[Path]) -> None:
    """UsageError when writing `out` would replace one of the inputs."""
    for path in inputs:
        with suppress(FileNotFoundError, NotADirectoryError):
            if out.samefile(path):
                raise UsageError(f"{out}: this is the input {path}: give another name for the result")
        if out.resolve() in path.resolve().parents:
            raise UsageError(f"{out}: the input {path} lies in it: give another name for the result")


def _lock(path: Path) -> int | None:
    """The descriptor that holds the lock; None when another process has it."""
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its owner removed the file while this process opened it
