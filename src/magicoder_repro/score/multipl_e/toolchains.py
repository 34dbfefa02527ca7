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
_HEADER = "bits/stdc++.h"
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


@functools.cache
def precompiled_header() -> Path | None:
    """A header file with the precompiled <bits/stdc++.h> beside it, made once for each g++; None where that does not work."""
    compiler = find("cpp").tools["g++"]
    identity = f"{compiler} {find('cpp').versions['g++']} {CPP} {Path(compiler).stat().st_mtime_ns}"
    cache = environment.cache().resolve() / "multipl-e"
    folder = cache / hashlib.sha256(identity.encode()).hexdigest()[:16]
    header = folder / "stdc++.h"
    try:
        return _precompiled(compiler, cache, folder, header)
    except (OSError, subprocess.TimeoutExpired):  # it is for speed only
        return None


def _precompiled(compiler: str, cache: Path, folder: Path, header: Path) -> Path | None:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            aside = cache / f".{folder.name}.{os.getpid()}"
            aside.mkdir(exist_ok=True)
            (aside / header.name).write_text(f"#include <{_HEADER}>\n")
            command = [
                compiler,
                *CPP,
                "-x",
                "c++-header",
                str(aside / header.name),
                "-o",
                str(aside / f"{header.name}.gch"),
            ]
            if subprocess.run(command, capture_output=True, timeout=_SECONDS).returncode:
                shutil.rmtree(aside)
                return None
            aside.chmod(0o755)
            aside.rename(folder)
    return header


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
