"""g++'s precompiled headers decide nothing, whatever is in a program and whatever has become of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magicoder_repro import sandbox
from magicoder_repro.benchmarks.multipl_e import ending, headers, judge, toolchains
from magicoder_repro.sandbox import Outcome

pytestmark = pytest.mark.sandbox

MEGABYTE = 1 << 20
PIECES = [
    *('"', "'", "\\", "\n", "\\\n", "\\ \n", "/", "*", "/*", "*/", "//", 'R"', 'R"(', ')"', 'LR"x(', ')x"', "u8", "L", "_s"),
    *("1", "1'0", "e", "e+", ".", "a", "regex", "é", " ", "\t", "#include", "<", "bits/stdc++.h", "vector", ">", "\0", "\x85"),
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def _splices_removed(text: str) -> str:
    """Lines that end in a backslash joined with the next one, as g++ does (spaces may follow the backslash)."""
    found = ""
    for line in text.split("\n"):
        stripped = line.rstrip(" \t\r\f\v")
        found += stripped[:-1] if stripped.endswith("\\") else line + "\n"
    return found


def _names_by_the_standard(text: str) -> set[str]:
    """A lexer of C++ by the letter, one character after the other: the names outside comments and literals."""
    text = _splices_removed(text)
    found, at = set(), 0

    def is_name(letter: str) -> bool:
        return letter.isalnum() or letter == "_"

    while at < len(text):
        if text.startswith("//", at):
            at = (text + "\n").index("\n", at)
        elif text.startswith("/*", at):
            at = (text + "*/").index("*/", at + 2) + 2
        elif text[at] in "\"'":
            quote = text[at]
            at += 1
            while at < len(text) and text[at] not in (quote, "\n"):
                at += 2 if text[at] == "\\" and text[at + 1 : at + 2] != "\n" else 1
            if text[at : at + 1] == quote:
                at += 1
            while at < len(text) and is_name(text[at]):  # a suffix
                at += 1
        elif text[at].isdigit() or (text[at] == "." and text[at + 1 : at + 2].isdigit()):
            at += 1
            while at < len(text):
                if text[at] in "eEpP" and text[at + 1 : at + 2] in ("+", "-"):
                    at += 2
                elif is_name(text[at]) or text[at] == ".":
                    at += 1
                elif text[at] == "'" and is_name(text[at + 1 : at + 2] or " "):
                    at += 2
                else:
                    break
        elif is_name(text[at]):
            first = at
            while at < len(text) and is_name(text[at]):
                at += 1
            if text[first:at] in ("R", "LR", "uR", "UR", "u8R") and text[at : at + 1] == '"':
                opened = text.find("(", at)
                delimiter = text[at + 1 : opened] if opened > 0 else " "
                if not any(letter in ' \\)\n\t"' for letter in delimiter):  # else it is no raw string, and an error
                    end = f"){delimiter}" + '"'
                    at = (text + end).index(end, opened) + len(end)
            else:
                found.add(text[first:at])
        else:
            at += 1
    return found


@given(TEXTS)
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_no_name_is_missed(text: str) -> None:
    ascii_names = {name for name in _names_by_the_standard(text) if name.isascii()}
    assert ascii_names <= headers.names(text)


@given(TEXTS)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_programs_that_start_with_the_standard_headers(rest: str) -> None:
    start = "// one\n\n#include<assert.h>  \n#include <bits/stdc++.h>"
    assert headers.starts_with_standard_headers(start + rest)
    if headers.starts_with_standard_headers(rest):
        head = rest[: rest.index("bits/stdc++.h")]
        assert "\\" not in head and "/*" not in head.split("//")[0]


def _outcome(text: str) -> Outcome:
    return Outcome("error", 1, text.encode(), text.encode(), 0.0, 0.0, 0.0, "none")


READERS: dict[str, Callable[[str], object]] = {
    "names": headers.names,
    "start": headers.starts_with_standard_headers,
    "tests": lambda text: ending.told(text, text[: len(text) // 2] + "}x", "cpp", (1, 2)),
    "all tests": lambda text: ending.told("x" + text, text + "x", "js", (1, 2)),
    "status": lambda text: judge._status(_outcome(text), b"0" * 16, b"1" * 16),
    "classes": lambda text: judge._unpack(b"\1" + text.encode()[: MEGABYTE // 6 * 6].replace(b"\n", b"\0")),
}
LONG = [
    *('\\"', '"', "'", "/*", "/* x", "//", "1'", "1e+", "\\", " ", "\n", "#include <a>\n", "#include ", "#include <", "a ", "x"),
    *("//\n", '"a\n', "std::bad_allo", "PHP Parse erro", "\\ \n", "\0", "}", "é"),
]  # fmt: skip


def _seconds(read: Callable[[str], object], text: str) -> float:
    begun = time.process_time()
    with contextlib.suppress(struct.error, UnicodeDecodeError):  # of `_unpack`, whose caller expects them
        read(text)
    return time.process_time() - begun


@pytest.mark.parametrize("reader", READERS)
def test_a_megabyte_is_read_in_less_than_a_second(reader: str) -> None:
    for piece in LONG:
        text = "#include <a>\n" + piece * (MEGABYTE // len(piece)) + "\n#include <bits/stdc++.h>"
        assert _seconds(READERS[reader], text) < 1.0, piece


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join), TEXTS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_text_repeated_takes_long(piece: str, end: str) -> None:
    text = piece * (MEGABYTE // 4 // len(piece)) + end
    for reader, read in READERS.items():
        assert _seconds(read, text) < 0.5, reader


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that are made in a moment."""
    monkeypatch.setattr(headers, "_WHOLE", "cstddef")
    monkeypatch.setattr(headers, "_COMMON", "stddef.h")


@pytest.fixture
def umask_of_a_careful_root() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def _load(cache: Path, anew: bool = False) -> headers.Headers:
    found = toolchains.find("cpp")
    return headers.load(cache, found.tools["g++"], found.versions["g++"], anew)


def _all_read(folder: Path) -> bool:
    """Whether every user can read all of it."""
    modes = {path: path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
    return all(mode & 0o755 == 0o755 if path.is_dir() else mode & 0o644 == 0o644 for path, mode in modes.items())


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_everyone_can_read_them_whatever_the_umask(few: None, umask_of_a_careful_root: None, tmp_path: Path) -> None:
    folder = _load(tmp_path / "cache").folder
    made = (folder / "whole.h.gch").stat()
    assert _all_read(folder) and made.st_size
    for path in (folder / "instead", folder / "rare.txt", folder):
        path.chmod(0o700)
    assert _load(tmp_path / "cache").folder == folder and _all_read(folder)
    assert (folder / "whole.h.gch").stat().st_ino == made.st_ino  # mended, not made again


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_damaged_ones_are_made_again(few: None, tmp_path: Path) -> None:
    headers = _load(tmp_path)
    for name, damage in (
        ("rare.txt", b""),
        ("common.h.gch", b"cut"),
        ("files.txt", b"{"),
        ("files.txt", b"[" * 9999),
    ):
        (headers.folder / name).write_bytes(damage)
        (tmp_path / f".{headers.folder.name}.new" / "left").mkdir(parents=True)  # by one that was killed
        assert _load(tmp_path) == headers and (headers.folder / name).read_bytes() != damage
    (headers.folder / "whole.h").unlink()
    assert _load(tmp_path) == headers and (headers.folder / "whole.h").is_file()
    before = (headers.folder / "whole.h").stat().st_ino
    assert _load(tmp_path, anew=True) == headers and (headers.folder / "whole.h").stat().st_ino != before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", headers.folder.name]


def test_where_they_cannot_be_kept_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAGICODER_CACHE", str(tmp_path / "file"))
    assert toolchains.headers.__wrapped__() is None


HEAD = "#include<assert.h>\n#include<bits/stdc++.h>\n"


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@pytest.mark.parametrize(
    "damage", ["unreadable", "of the same size", pytest.param("never readable", marks=pytest.mark.long)]
)
def test_a_verdict_does_not_depend_on_them(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when a look at the files does not tell: the probe in the sandbox does."""
    real = toolchains.headers()
    assert real is not None
    cache = tmp_path / "a cache" / "multipl-e"
    shutil.copytree(real.folder, cache / real.folder.name)
    folder = cache / real.folder.name
    asked = []

    def found_headers(anew: bool = False) -> headers.Headers | None:
        asked.append(anew)
        if anew and damage == "of the same size":
            shutil.rmtree(folder)
            shutil.copytree(real.folder, folder)
        return headers.Headers(folder, real.rare) if damage == "never readable" else _load(cache)

    if damage == "of the same size":
        for name in ("whole.h", "common.h"):
            text = (folder / name).read_text()
            (folder / name).write_text("#error" + text[6:])
            (folder / f"{name}.gch").write_bytes(b"?" * (folder / f"{name}.gch").stat().st_size)
    else:
        folder.chmod(0o000)
    monkeypatch.setattr(toolchains, "headers", found_headers)
    judging = judge.Judge(
        {"backend": sandbox.detect(), "memory_mb": 1500, "versions": {"cpp": toolchains.find("cpp").versions}}
    )
    program = HEAD + "int main() {\n    assert(std::string(3, 'a') == \"aaa\");\n}"
    assert judging({"language": "cpp", "program": program, "tests": "}"})["status"] == "passed"
    if os.geteuid() == 0:
        assert asked == ([False] if damage == "unreadable" else [False, True])
        assert (judging._headers is None) == (damage == "never readable")
