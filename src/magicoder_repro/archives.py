"""Archives and folders that others made: their files, read without unpacking anything to the disk.

A tar (plain, or packed by gzip, bzip2 or xz), a zip, or an unpacked folder. Only plain files are read; links, devices, names that lead
out, and more files or bytes than what is expected could have end the reading with one line. So does a damaged archive.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zlib import error as ZlibError

from magicoder_repro.errors import UsageError

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    ZlibError,
    struct.error,
    EOFError,
    ValueError,
    RuntimeError,
    OSError,
)
"""What the readers of archives raise: of a cut file, a name that is none, a method or a password that they do not know."""
SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar", ".zip")
_PACKED: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_ZIP = b"PK"


@dataclass(frozen=True)
class Bounds:
    """What an archive may have at most: files, bytes of all files together, bytes of one. `about`: what it is taken for."""

    about: str
    files: int
    total: int
    each: int


def members(
    path: Path, bounds: Bounds, wanted: Callable[[str], str | None] | None = None
) -> Iterator[tuple[str, bytes]]:
    """The files in an archive or folder, name and content, in its order.

    `wanted` gives the name under which a file counts, None for one that is not looked at, whatever it is. Without it every file
    counts, and one whose name leads out of the archive is an error."""
    number = size = 0
    try:
        for name, content in _members(path, bounds, wanted or (lambda name: _inside(path, name, bounds))):
            number, size = number + 1, size + len(content)
            if number > bounds.files or size > bounds.total:
                raise UsageError(f"{path}: more files or bytes than expected: not {bounds.about}")
            yield name, content
    except DAMAGED as error:
        raise UsageError(f"{path}: damaged, or not an archive ({error}): put it there again") from None


def stem(name: str) -> str:
    """The name of an archive without what says how it is packed: what it unpacks to."""
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def _inside(path: Path, name: str, bounds: Bounds) -> str:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise UsageError(f"{path}: the name {name!r:.80} leads out of it: not {bounds.about}")
    return str(pure)


def _members(path: Path, bounds: Bounds, wanted: Callable[[str], str | None]) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        return _of_folder(path, bounds, wanted)
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(_ZIP):
        return _of_zip(path, bounds, wanted)
    unpack = next((unpack for magic, unpack in _PACKED if start.startswith(magic)), None)
    return _of_tar(path, unpack, bounds, wanted)


def _refused(path: Path, name: str, link: bool, bounds: Bounds) -> UsageError:
    kind = "a link" if link else "no plain file"
    return UsageError(f"{path}: {name!s:.200} is {kind} or too large: not {bounds.about}")


def _of_folder(path: Path, bounds: Bounds, wanted: Callable[[str], str | None]) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        name = None if file.is_dir() and not file.is_symlink() else wanted(str(file.relative_to(path)))
        if name is None:
            continue
        if file.is_symlink() or not file.is_file() or file.stat().st_size > bounds.each:
            raise _refused(path, name, file.is_symlink(), bounds)
        yield name, file.read_bytes()


class _Bounded:
    """An unpacked stream that ends with an error where it gets longer than all that is expected, headers included."""

    def __init__(self, path: Path, stream: IO[bytes], bounds: Bounds) -> None:
        self._path, self._stream, self._bounds = path, stream, bounds
        self._left = bounds.total + bounds.files * 2 * tarfile.BLOCKSIZE + (1 << 20)

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise UsageError(f"{self._path}: more files or bytes than expected: not {self._bounds.about}")
        return content


def _of_tar(
    path: Path, unpack: Callable[[Path], Any] | None, bounds: Bounds, wanted: Callable[[str], str | None]
) -> Iterator[tuple[str, bytes]]:
    with (
        unpack(path) if unpack else path.open("rb") as stream,
        tarfile.open(fileobj=_Bounded(path, stream, bounds), mode="r|") as opened,  # type: ignore[call-overload]
    ):
        for member in opened:
            name = None if member.isdir() else wanted(member.name)
            if name is None:
                continue
            file = opened.extractfile(member) if member.isreg() and member.size <= bounds.each else None
            if file is None:
                raise _refused(path, name, member.issym() or member.islnk(), bounds)
            yield name, file.read()


def _of_zip(path: Path, bounds: Bounds, wanted: Callable[[str], str | None]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as opened:
        for member in opened.infolist():
            name = None if member.is_dir() else wanted(member.filename)
            if name is None:
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG) or member.file_size > bounds.each:
                raise _refused(path, name, kind == stat.S_IFLNK, bounds)
            with opened.open(member) as file:
                yield name, file.read(bounds.each)
