"""What a profile's `archives` name: where it lies, that it is the file which was seen first, and how it gets there."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from magicoder_repro import archives, downloads, records
from magicoder_repro.benchmarks.base import data_folder
from magicoder_repro.environment import file_sha256
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Archive
from magicoder_repro.train import states

BOUNDS = archives.Bounds("published answers", files=50_000, total=1 << 30, each=1 << 28)
_MOST_BYTES = 1 << 28  # of a download


def place(archive: Archive, data: Path | None = None) -> Path:
    """Where it lies: the file itself, or the folder that somebody has unpacked it to."""
    path = (data or data_folder()) / archive.file
    unpacked = path.with_name(archives.stem(path.name))
    return unpacked if not path.exists() and unpacked.is_dir() else path


def sha256_of(path: Path) -> str:
    """Of a file its bytes, of a folder the names and bytes of all files in it."""
    if not path.is_dir():
        return file_sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    found = {str(file.relative_to(path)): file_sha256(file) for file in files}
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def checked(archive: Archive, data: Path | None = None) -> str | None:
    """Its sha256, that of its first fetch or use where it has a public home; None when it is not at hand."""
    path = place(archive, data)
    if not path.is_file() and not path.is_dir():
        return None
    sha256 = sha256_of(path)
    if archive.url is not None:
        downloads.check(path, sha256)
    return sha256


def fetch(name: str, archive: Archive, data: Path | None = None, patience: float = downloads.PATIENCE) -> Path:
    """Downloads it unless it is at hand; writes its sha256 down, or checks the one that was. Nothing is written of a download that is
    damaged, too large or another file than before."""
    path = place(archive, data)
    if archive.url is None:
        if not path.exists():
            raise UsageError(f"archives.{name}: {path}: no such file, and no public home of it is known: put it there")
        return path
    if path.exists():
        downloads.hold(path, sha256_of(path))
        return path
    try:
        content = downloads.get(archive.url, _MOST_BYTES, patience)
    except OSError as error:
        raise downloads.failed(archive.url, error, path) from None
    try:
        _check_content(archive, path.name, content)
        downloads.check(path, hashlib.sha256(content).hexdigest())
    except UsageError as error:
        raise UsageError(f"{archive.url}: {error} (what was fetched; nothing was written)") from None
    records.write_bytes(path, content)
    downloads.hold(path, file_sha256(path))
    return path


def _check_content(archive: Archive, name: str, content: bytes) -> None:
    """A UsageError when a download is no archive, or no log: a server's page of apologies would be held from then on."""
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder, name)
        aside.write_bytes(content)
        try:
            if archive.answers is None:
                states.read_losses(aside)
            elif not sum(1 for _ in archives.members(aside, BOUNDS)):
                raise UsageError("an empty archive")
        except UsageError as error:
            raise UsageError(str(error).removeprefix(f"{aside}: ")) from None


def named(name: str, known: Mapping[str, Archive]) -> dict[str, Archive]:
    """The archives that a name means: one, or all whose names go on with `-` after it."""
    return {key: one for key, one in known.items() if key == name or key.startswith(f"{name}-")}
