"""The compilers and interpreters of MultiPL-E's languages: which are here, their versions, how to get the others."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro import environment
from magicoder_repro.errors import UsageError

INSTALL = {
    "cpp": "apt-get install g++",
    "java": "apt-get install default-jdk-headless libjavatuples-java",
    "js": "apt-get install nodejs",
    "php": "apt-get install php-cli php-mbstring",
    "rs": "apt-get install rustc",
    "swift": "apt-get install swiftlang (Debian 13), or an archive of swift.org unpacked into /usr",
}
_TOOLS = {
    "cpp": {"g++": "-dumpfullversion"},
    "java": {"javac": "-version", "java": "-version"},
    "js": {"node": "--version"},
    "php": {"php": "--version"},
    "rs": {"rustc": "--version"},
    "swift": {"swiftc": "--version"},
}
_JAVATUPLES = (
    "/usr/share/java/javatuples-1.2.jar",
    "/usr/share/java/javatuples.jar",
    "/usr/multiple/javatuples-1.2.jar",
)
_SECONDS = 60.0
_WHOLE = "bits/stdc++.h"
# What programs use. The others' inline functions cost every program as much again: g++ instantiates at the end of each what they use.
_COMMON = (
    *(
        "stdlib.h",
        "math.h",
        "algorithm",
        "any",
        "array",
        "bitset",
        "cassert",
        "cctype",
        "cerrno",
        "cfloat",
        "climits",
        "clocale",
    ),
    *(
        "cmath",
        "csignal",
        "cstdarg",
        "cstddef",
        "cstdint",
        "cstdio",
        "cstdlib",
        "cstring",
        "ctime",
        "cwchar",
        "cwctype",
        "deque",
    ),
    *(
        "exception",
        "forward_list",
        "functional",
        "initializer_list",
        "iomanip",
        "iostream",
        "iterator",
        "limits",
        "list",
        "map",
    ),
    *(
        "memory",
        "new",
        "numeric",
        "optional",
        "queue",
        "random",
        "ratio",
        "set",
        "sstream",
        "stack",
        "stdexcept",
        "string",
    ),
    *(
        "string_view",
        "tuple",
        "type_traits",
        "typeindex",
        "typeinfo",
        "unordered_map",
        "unordered_set",
        "utility",
        "variant",
    ),
    "vector",
)
_NOT_NAMES = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"\w*|'(?:\\.|[^'\\\n])+'""", re.DOTALL)
_NAME = re.compile(r"\b[A-Za-z_]\w*")
CPP = ("-std=c++17", "-O0", "--param", "ggc-min-heapsize=1000000")  # kB: it collects no garbage below that
"""g++'s options; a precompiled header serves only the options that it was made with."""


@dataclass(frozen=True)
class Toolchain:
    """One language's tools: where they are, their versions, and the folders outside /usr that they need to see."""

    tools: Mapping[str, str]
    versions: Mapping[str, str]
    readonly: tuple[Path, ...] = ()
    classpath: str = ""  # Java's


class MissingError(UsageError):
    """A language's toolchain is not on this machine."""


@functools.cache
def find(language: str) -> Toolchain:
    """The language's toolchain, or a MissingError that says how to get it."""
    tools, found = {}, {}
    prefixes: list[Path] = []
    for name, question in _TOOLS[language].items():
        path = shutil.which(name)
        if path is None:
            raise _missing(language)
        tools[name] = path  # not resolved: swiftc is a link, and its name says what it does
        prefixes.append(Path(path).resolve().parents[1])
        found[name] = _version([path, question])
    if language == "java":
        jar = next((Path(name).resolve() for name in _JAVATUPLES if Path(name).is_file()), None)
        if jar is None:
            raise _missing(language)
        return Toolchain(tools, {**found, "javatuples": "1.2"}, _outside_usr(*prefixes, jar), str(jar))
    if language == "rs":  # what is on the path may be rustup's, which needs a home
        root = Path(_output([tools["rustc"], "--print", "sysroot"]).strip())
        return Toolchain({"rustc": str(root / "bin" / "rustc")}, found, _outside_usr(root))
    if language == "php" and "mbstring" not in _output([tools["php"], "-m"]).split():
        raise _missing(language)
    return Toolchain(tools, found, _outside_usr(*prefixes))


def gaps(languages: Iterable[str]) -> dict[str, str]:
    """The languages whose toolchain is missing, each with how to get it."""
    found = {}
    for language in languages:
        try:
            find(language)
        except MissingError as error:
            found[language] = str(error)
    return found


def versions() -> dict[str, dict[str, str]]:
    """The tools of each language that is here."""
    missing = gaps(INSTALL)
    return {language: dict(find(language).versions) for language in INSTALL if language not in missing}


@dataclass(frozen=True)
class Headers:
    """g++'s standard headers, precompiled. `rare`: the names that <bits/stdc++.h> has and the common headers have not."""

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
        return self.rare.isdisjoint(_names(program))


def _names(text: str) -> set[str]:
    return set(_NAME.findall(_NOT_NAMES.sub(" ", text)))


@functools.cache
def headers() -> Headers | None:
    """The precompiled headers, made once for each g++; None where that does not work."""
    compiler = find("cpp").tools["g++"]
    identity = f"{compiler} {find('cpp').versions['g++']} {CPP} {_COMMON} {Path(compiler).stat().st_mtime_ns}"
    cache = environment.cache().resolve() / "multipl-e"
    folder = cache / hashlib.sha256(identity.encode()).hexdigest()[:16]
    try:
        _precompile(compiler, cache, folder)
        return Headers(folder, frozenset((folder / "rare.txt").read_text().split()))
    except (OSError, subprocess.SubprocessError):  # it is for speed only
        return None


def _precompile(compiler: str, cache: Path, folder: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        aside = cache / f".{folder.name}.{os.getpid()}"
        empty = aside / "instead" / _WHOLE
        try:
            empty.parent.mkdir(parents=True)
            empty.touch()
            known = []
            for name, included in (("whole.h", (_WHOLE,)), ("common.h", _COMMON)):
                header = aside / name
                header.write_text("".join(f"#include <{one}>\n" for one in included))
                _gxx([compiler, *CPP, "-x", "c++-header", str(header), "-o", f"{header}.gch"])
                shown = [_gxx([compiler, *CPP, "-x", "c++", "-E", *more, str(header)]) for more in (["-P"], ["-dM"])]
                known.append(_names("".join(shown)))
            (aside / "rare.txt").write_text("\n".join(sorted(known[0] - known[1])))
            aside.chmod(0o755)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _gxx(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout


def _missing(language: str) -> MissingError:
    return MissingError(f"toolchain missing: install with `{INSTALL[language]}`")


def _version(command: list[str]) -> str:
    found = re.search(r"\d+(\.\d+)+", _output(command))
    return found.group() if found else "unknown"


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def _outside_usr(*paths: Path) -> tuple[Path, ...]:
    return tuple(path for path in paths if path != Path("/") and not path.is_relative_to("/usr"))
