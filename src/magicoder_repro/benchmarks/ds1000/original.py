"""DS-1000's original release: its data, as folders of problems, and what stands in them.

Its authors ask that the unpacked data never be put online. It is taken as it was published (`ds1000_data.zip`), packed anew
(`completion.tar.xz`) or unpacked (`ds1000_data/`); an archive is unpacked into the cache of this machine. Which files count, and that
they are the pinned ones, is a hash over names and contents of Completion mode, however they were packed.
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from magicoder_repro import archives, environment, records
from magicoder_repro.errors import UsageError

FOLDER = "ds1000-original"
"""Under MAGICODER_DATA."""
SHA256 = "93bdc53d06c7dbc63b1d9a456798066ac26e6f300e98ad0545fd9f17f335117f"
"""Of the lines `sha256  path`, sorted, of the files under `ds1000_data/LIBRARY/Completion/`."""
URL = "https://github.com/xlang-ai/DS-1000/raw/49c1c543ada8b58138181333cdc62e613204efcf/ds1000_data.zip"
LIBRARIES = ("Pandas", "Numpy", "Matplotlib", "Tensorflow", "Scipy", "Sklearn", "Pytorch")
"""In the order of problem ids."""
_ARCHIVES = ("completion.tar.xz", "ds1000_data.zip")
_TREE = "ds1000_data"
_FILE = re.compile(
    rf"(?:\./)?{_TREE}/((?:{'|'.join(LIBRARIES)})/Completion/q\d+/(?:(?:ans|input|titanic)/)?\.?\w+(?:\.\w+)?)"
)
_BOUNDS = archives.Bounds("the original release of DS-1000", 20_000, 1 << 29, 1 << 26)
_TEXTS = ("prompt", "code_context", "reference_code")
_TEST = "test_code.py"
_KEPT_BACK = re.compile(r"ans/|test_code\.py$|test_generate_pickle\.py$|reference_code\.txt$")
"""What the program of a problem is not shown: the answers, and how they were made."""


def find(data: Path) -> tuple[Path, str]:
    """The folder with the problems under a data folder (an archive is unpacked once), and its hash, which is the pinned one."""
    home = data / FOLDER
    if (home / _TREE).is_dir():
        return _checked(home / _TREE, f"{home / _TREE}")
    archive = next((home / name for name in _ARCHIVES if (home / name).is_file()), None)
    if archive is None:
        raise UsageError(
            f"{home}: neither {' nor '.join(_ARCHIVES)} nor {_TREE}/ in it: DS-1000's original release belongs there "
            "(MAGICODER_DATA or --data), or run `magicoder fetch ds1000`"
        )
    kept = environment.cache() / FOLDER / environment.file_sha256(archive)[:16]
    if kept not in _found_whole:
        with _alone(kept):
            if not _whole(kept):
                _unpack(archive, kept)
        _found_whole.add(kept)
    return kept, SHA256


def tree_sha256(folder: Path) -> str:
    """The hash of the problems in a folder. UsageError when a file is no plain one or too large."""
    return _sha256((name, _content(folder / name)) for name in _names(folder))


def archive_sha256(path: Path) -> str:
    """The same of an archive, which is not unpacked."""
    return _sha256(_members(path))


def tasks(folder: Path, libraries: Sequence[str] = LIBRARIES) -> list[records.Record]:
    """The problems of some libraries in the order of their ids: libraries as the release lists them, numbers within a library."""
    found: list[records.Record] = []
    first = 0
    for library in LIBRARIES:
        places = _places(folder / library / "Completion")
        if library in libraries:
            found += [_task(place, library, first + number) for number, place in enumerate(places)]
        first += len(places)
    return found


def files(folder: Path, task: records.Record) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of a problem by their names in its folder: what its program is shown, and what only the test sees (`ans/`)."""
    about = task["metadata"]
    place = folder / about["library"] / "Completion" / f"q{about['library_problem_id']}"
    inside = str(place.relative_to(folder))
    found = {name[len(inside) + 1 :]: _content(folder / name) for name in _names(folder, inside)}
    shown = {name: content for name, content in found.items() if not _KEPT_BACK.match(name)}
    return shown, {name: content for name, content in found.items() if name.startswith("ans/")}


def _task(place: Path, library: str, number: int) -> records.Record:
    about = configparser.RawConfigParser()
    about.read_string(_text(place / ".cfg"))
    return {
        **{name: _text(place / f"{name}.txt") for name in _TEXTS},
        "test_code": _text(place / _TEST),
        "metadata": {
            "problem_id": number,
            "library": library,
            "library_problem_id": int(place.name[1:]),
            "test_case_cnt": max(1, about.getint("test", "test_case_cnt")),  # none: the program runs all the same
            "test_type": about.getint("test", "test_type"),
            "perturbation_origin_id": about.getint(
                "perturbation", "perturbation_origin_id", fallback=int(place.name[1:])
            ),
        },
    }


def _text(path: Path) -> str:
    return path.read_text("utf-8")  # line ends become \n, as the release reads them


def _checked(folder: Path, about: str) -> tuple[Path, str]:
    sha256 = tree_sha256(folder)
    if sha256 != SHA256:
        raise UsageError(
            f"{about}: not the original release of DS-1000: the hash over its files is {sha256}, not {SHA256}"
        )
    return folder, sha256


_found_whole: set[Path] = set()  # by this process


def _whole(kept: Path) -> bool:
    """Whether the cache holds every file as it was."""
    try:
        return kept.is_dir() and tree_sha256(kept) == SHA256
    except UsageError:
        return False


@contextmanager
def _alone(kept: Path) -> Iterator[None]:
    """One command at a time looks at the cache and mends it."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.with_name(f"{kept.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        where = error.filename or kept
        raise UsageError(f"{where}: {error.strerror}: DS-1000 is unpacked there (MAGICODER_CACHE)") from None


def _unpack(archive: Path, kept: Path) -> None:
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".unpacking-") as name:
        folder = Path(name, _TREE)
        for path, content in _members(archive):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        folder.mkdir(exist_ok=True)
        _checked(folder, str(archive))
        if kept.exists() or kept.is_symlink():
            kept.rename(Path(name, "damaged"))
        folder.rename(kept)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The problems' files in an archive. Only plain files of the expected names are looked at; sizes are bounded."""
    return archives.members(archive, _BOUNDS, _wanted)


def _wanted(name: str) -> str | None:
    match = _FILE.fullmatch(name)
    return match and match[1]


def _names(folder: Path, inside: str = ".") -> list[str]:
    """The files under a folder that the hash is over, and that are read: what else lies there is nobody's."""
    names = (str(path.relative_to(folder)) for path in (folder / inside).rglob("*") if not path.is_dir())
    return sorted(name for name in names if _FILE.fullmatch(f"{_TREE}/{name}"))


def _places(folder: Path) -> list[Path]:
    """The problems' folders, in the order of their numbers."""
    found = [place for place in folder.iterdir() if re.fullmatch(r"q\d+", place.name)]
    return sorted(found, key=lambda place: int(place.name[1:]))


def _content(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _BOUNDS.each:
        raise UsageError(f"{path}: a link, a pipe or too large: not the original release of DS-1000")
    return path.read_bytes()


def _sha256(found: Iterable[tuple[str, bytes]]) -> str:
    lines = sorted(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in found)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
