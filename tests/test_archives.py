"""What others packed is read with one line for anything that is not what it seems: links, names that lead out, bombs, cut files."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from magicoder_repro import archives
from magicoder_repro.errors import UsageError

BOUNDS = archives.Bounds("a test's archive", files=4, total=4000, each=3000)
FILES = {"a/one.txt": b"1", "two.txt": b"22"}


def _tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as opened:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tuple):
                about = tarfile.TarInfo(member[0])
                about.size = len(member[1])
                opened.addfile(about, io.BytesIO(member[1]))
            else:
                opened.addfile(member)
    return path


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def _zip(path: Path, files: dict[str, bytes], mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            about = zipfile.ZipInfo(name)
            about.external_attr, about.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            opened.writestr(about, content)
    return path


def _folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize(
    "pack",
    [
        *(lambda path, mode=mode: _tar(path, *FILES.items(), mode=mode) for mode in ("w", "w:gz", "w:xz", "w:bz2")),
        lambda path: _zip(path, FILES),
        lambda path: _folder(path, FILES),
    ],
    ids=["tar", "gz", "xz", "bz2", "zip", "folder"],
)
def test_the_same_files_are_read_however_they_are_packed(pack: Callable[[Path], Path], tmp_path: Path) -> None:
    """By their content: the name says nothing."""
    assert dict(archives.members(pack(tmp_path / "archive"), BOUNDS)) == FILES


def _bomb(path: Path) -> Path:
    """A header that claims a name of 50 MB, which tarfile would read into memory."""
    header = _special("name", tarfile.GNUTYPE_LONGNAME)
    header.size = 50 << 20
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + b"x" * (50 << 20)))
    return path


@pytest.mark.parametrize(
    ("pack", "message"),
    [
        (lambda path: _tar(path, ("../out", b"x")), "leads out of it"),
        (lambda path: _tar(path, ("/etc/out", b"x")), "leads out of it"),
        (lambda path: _tar(path, _special("a", tarfile.SYMTYPE, "/etc/passwd")), "a is a link or too large"),
        (lambda path: _tar(path, _special("a", tarfile.LNKTYPE, "b")), "a is a link or too large"),
        (lambda path: _tar(path, _special("a", tarfile.CHRTYPE)), "a is no plain file or too large"),
        (lambda path: _tar(path, ("a", b"x" * 3001)), "a is no plain file or too large"),
        (lambda path: _tar(path, ("a", b"x" * 2500), ("b", b"x" * 2500)), "more files or bytes than expected"),
        (lambda path: _tar(path, *((str(number), b"") for number in range(5))), "more files or bytes than expected"),
        (_bomb, "more files or bytes than expected"),
        (lambda path: _zip(path, {"../out": b"x"}), "leads out of it"),
        (lambda path: _zip(path, {"a": b"/etc/passwd"}, mode=0o120777), "a is a link or too large"),
        (lambda path: _zip(path, {"a": b"x" * 3001}), "a is no plain file or too large"),
        (lambda path: path.write_bytes(_tar(path, *FILES.items()).read_bytes()[:-20]), "damaged, or not an archive"),
        (lambda path: path.write_bytes(_zip(path, FILES).read_bytes()[:-30]), "damaged, or not an archive"),
        (lambda path: path.write_text("<html>not found</html>"), "damaged, or not an archive"),
        (lambda path: path.write_bytes(b""), "damaged, or not an archive"),
    ],
)  # fmt: skip
def test_what_is_no_archive_of_plain_files_is_one_line(
    pack: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "archive"
    pack(path)
    with pytest.raises(UsageError, match=message) as caught:
        list(archives.members(path, BOUNDS))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "folder", FILES)
    (folder / "b").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match="b is a link or too large"):
        list(archives.members(folder, BOUNDS))


def test_only_what_is_wanted_is_looked_at(tmp_path: Path) -> None:
    path = _tar(tmp_path / "archive", _special("../link", tarfile.SYMTYPE, "/"), *FILES.items())
    found = archives.members(path, BOUNDS, lambda name: name if name == "two.txt" else None)
    assert dict(found) == {"two.txt": b"22"}


@pytest.mark.parametrize(("name", "stem"), [("a.tar.gz", "a"), ("b_0.0.zip", "b_0.0"), ("c", "c"), ("d.tgz", "d")])
def test_the_name_of_what_an_archive_unpacks_to(name: str, stem: str) -> None:
    assert archives.stem(name) == stem
