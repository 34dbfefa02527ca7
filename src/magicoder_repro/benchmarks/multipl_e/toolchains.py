"""The compilers and interpreters of MultiPL-E's languages: which are here, their versions, how to get the others."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro import environment
from magicoder_repro.benchmarks.multipl_e.headers import Headers, load
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
        if not (root / "bin" / "rustc").is_file():
            raise _missing(language)
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
def headers(anew: bool = False) -> Headers | None:
    """The precompiled headers of the g++ that is here, made once (or `anew`); None where that does not work."""
    found = find("cpp")
    try:
        cache = environment.cache() / "multipl-e"
        return load(cache, found.tools["g++"], found.versions["g++"], anew)
    except (OSError, subprocess.SubprocessError):  # they are for speed only
        return None


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
