"""g++'s standard headers, precompiled: most of a C++ program's compile time. They are for speed only and decide no verdict.

They lie in a folder of the cache, whole or absent, with a list of its files and their sizes; every mode is set, since the sandbox
reads them as another user, whatever the umask was. What is cut is made again, what cannot be read is mended, and where neither works
programs are compiled without them.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro.sandbox import view

OPTIONS = ("-std=c++17", "-O0", "--param", "ggc-min-heapsize=1000000")  # kB: it collects no garbage below that
"""g++'s options; a precompiled header serves only the options that it was made with."""
_SECONDS = 120.0
_MOST = 1 << 16  # characters of a program in which names are looked for; a longer one is compiled with all headers
_WHOLE = "bits/stdc++.h"
# What programs use. The others' inline functions cost every program as much again: g++ instantiates at the end of each what they use.
_COMMON = """
    stdlib.h math.h algorithm any array bitset cassert cctype cerrno cfloat climits clocale cmath csignal cstdarg cstddef cstdint
    cstdio cstdlib cstring ctime cwchar cwctype deque exception forward_list functional initializer_list iomanip iostream iterator
    limits list map memory new numeric optional queue random ratio set sstream stack stdexcept string string_view tuple type_traits
    typeindex typeinfo unordered_map unordered_set utility variant vector
"""
_LIST = "files.txt"
_RARE = "rare.txt"

# Each alternative ends where it ends: no text makes it look at a character more than a few times. An unfinished comment or literal is
# one up to where it would have to end.
_TOKEN = re.compile(
    r"""//[^\n]*+
    | /\*(?:[^*]++|\*(?!/))*+(?:\*/)?+
    | "(?:[^"\\\n]++|\\.)*+"?+\w*+
    | '(?:[^'\\\n]++|\\.)*+'?+\w*+
    | \.?\d(?:[eEpP][+-]|'?\w|\.)*+
    | ((?:u8|[uUL])?R"|[A-Za-z_]\w*+)""",
    re.DOTALL | re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z_]\w*+")
# Where comments and literals may end elsewhere than they seem to: lines that go on in the next one, and raw strings.
_SPLICE = re.compile(r"\\[^\S\n]*+\n")
_RAW = {'R"', 'u8R"', 'uR"', 'UR"', 'LR"'}
_STANDARD = re.compile(
    r"""(?:\s++|//[^\n\\]*+\n|(?!\#include\s*+<bits/stdc\+\+\.h>)\#include\s*+<[\w/.+]++>[^\S\n]*+\n)*+
    \#include\s*+<bits/stdc\+\+\.h>""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Headers:
    """`rare`: the names that <bits/stdc++.h> has and the common headers have not."""

    folder: Path
    rare: frozenset[str]

    @property
    def whole(self) -> tuple[str, ...]:
        """Options that read <bits/stdc++.h>, precompiled, before a program."""
        return ("-include", str(self.folder / "whole.h"))

    @property
    def common(self) -> tuple[str, ...]:
        """Options that read the common headers instead; the program's own #include <bits/stdc++.h> then finds an empty file."""
        return ("-include", str(self.folder / "common.h"), "-I", str(self.folder / "instead"))

    def suffice(self, program: str) -> bool:
        """Whether the program has none of the rare names, so that the common headers are all that it can use."""
        return len(program) <= _MOST and self.rare.isdisjoint(names(program))

    def sets(self, program: str) -> tuple[tuple[str, ...], ...]:
        """The options to compile a program with, best first; none for one that does not begin with the standard headers.

        One that does not compile with the common headers is compiled with all.
        """
        if not starts_with_standard_headers(program):
            return ()
        return (self.common, self.whole) if self.suffice(program) else (self.whole,)


def names(text: str) -> set[str]:
    """The names in C++ text, outside comments and literals; where these are unclear, the names of the whole text."""
    joined = _SPLICE.sub("", text)
    found = _names(joined)
    return found if joined == text and _RAW.isdisjoint(found) else set(_NAME.findall(joined))


def starts_with_standard_headers(program: str) -> bool:
    """Whether nothing but #include of system headers comes before a program's #include <bits/stdc++.h>."""
    return _STANDARD.match(program) is not None


def load(cache: Path, compiler: str, version: str, anew: bool = False) -> Headers:
    """The headers of this compiler, made when they are not there or damaged, or `anew`. OSError, SubprocessError: in vain."""
    identity = f"{compiler} {version} {OPTIONS} {_COMMON} {Path(compiler).stat().st_mtime_ns}"
    folder = cache.resolve() / hashlib.sha256(identity.encode()).hexdigest()[:16]
    if anew or not _whole(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if anew or not _whole(folder):
                _make(compiler, folder)
    _let_all_read(folder)
    return Headers(folder, frozenset((folder / _RARE).read_text().split()))


def _names(text: str) -> set[str]:
    return set(_TOKEN.findall(text)) - {""}


def _make(compiler: str, folder: Path) -> None:
    aside, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for left in (aside, old):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
    empty = aside / "instead" / _WHOLE
    environment = {**view.environment(), "TMPDIR": str(aside)}

    def run(*words: str) -> str:
        command = [compiler, *OPTIONS, "-x", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True, env=environment)
        return done.stdout

    try:
        empty.parent.mkdir(parents=True)
        empty.touch()
        known = []
        for name, included in (("whole.h", [_WHOLE]), ("common.h", _COMMON.split())):
            header = aside / name
            header.write_text("".join(f"#include <{one}>\n" for one in included))
            run("c++-header", str(header), "-o", f"{header}.gch")
            known.append(_names("".join(run("c++", "-E", shown, str(header)) for shown in ("-P", "-dM"))))
        (aside / _RARE).write_text("\n".join(sorted(known[0] - known[1])))
        (aside / _LIST).write_text(_sizes(aside))
        if folder.is_dir():
            folder.rename(old)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sizes(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _LIST)
    return "".join(f"{path.stat().st_size} {path.relative_to(folder)}\n" for path in files)


def _whole(folder: Path) -> bool:
    """Whether all is there, as long as it was when it was made."""
    try:
        return (folder / _LIST).read_bytes() == _sizes(folder).encode()
    except OSError:
        return False


def _let_all_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        mode = 0o755 if path.is_dir() else 0o644
        if stat.S_IMODE(path.stat().st_mode) & mode != mode:
            path.chmod(mode)
