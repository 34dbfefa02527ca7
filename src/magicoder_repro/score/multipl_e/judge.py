"""One MultiPL-E program -> its verdict. Compilers run in the sandbox too: a compiler can be attacked.

A program passes when it compiles, ends with exit code 0 and has finished its tests. That it has is told by code put after the
tests, which prints the sum of two random numbers: a program that leaves before (`exit(0)`) cannot print it, neither can one that
prints its own source, which holds the two numbers and not their sum. One that is written against this judge, reads its own source
or memory and does the sum could: that remains.
"""

from __future__ import annotations

import functools
import re
import secrets
import shlex
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from magicoder_repro import records
from magicoder_repro.errors import UsageError
from magicoder_repro.score import sandbox
from magicoder_repro.score.multipl_e import toolchains
from magicoder_repro.score.multipl_e.toolchains import Toolchain
from magicoder_repro.score.sandbox import Limits, Outcome, Program, view
from magicoder_repro.score.sandbox import session as sessions

Status = Literal[
    "passed",
    "failed",
    "compile error",
    "timeout",
    "out of memory",
    "killed",
    "too much output",
    "left early",
    "no tests",
]
_LEAST = 1 << 50  # of each number: their sum is exact in every language, JavaScript's floats too
_WALL = 3  # times the CPU limit: a busy machine decides nothing, and a program that sleeps ends
_COMPILER = Path(__file__).with_name("Compiler.java")
_SESSION = Limits(cpu_seconds=1e6, memory_mb=2048, processes=128)  # of the compiler that stays alive
_HEAP_MB = 512
_MOST_WORDS = 20_000  # bytes of a compiler's messages
_MOST_CLASSES = 16 << 20  # bytes
_MOST_FILES, _MOST_NAME = 200, 255  # of class files that go into the sandbox one by one
_FAILED_SIGNALS = {128 + number for number in (4, 5, 6, 8, 11)}  # traps, assertions, bad memory: the program's own
_OUT_OF_MEMORY = re.compile(
    rb"std::bad_alloc|java\.lang\.OutOfMemoryError|heap out of memory|memory allocation of|Allowed memory size|Out of memory"
)
_STARTS_WITH_STANDARD_HEADERS = re.compile(
    r"(?:\s|//[^\n]*\n|#include\s*<[\w/.+]+>[^\S\n]*\n)*#include\s*<bits/stdc\+\+\.h>"
)


@dataclass(frozen=True)
class Language:
    """How a language's programs are run. Seconds are the reference harness's."""

    file: str
    closing: int  # how many brackets end the tests: the code that tells of their end goes before them
    told: str  # that code; the numbers are put into it
    nothing: str  # a program that passes where the toolchain works
    compile_seconds: float
    run_seconds: float
    compile: Callable[[Toolchain, str], list[list[str]]] | None = None  # commands: the first that ends well decides
    run: Callable[[Toolchain, int], list[str]] = lambda _, __: ["./program"]  # the number: MB of memory


LANGUAGES = {
    "cpp": Language(
        "program.cpp",
        1,
        # not by stdout: the program may have made it wide; the name is one that no program's macro has
        '{{ extern int told_at_the_end(int, const char *, ...) __asm__("dprintf"); '
        'told_at_the_end(2, "\\n%lld\\n", {0}LL + {1}LL); }}',
        "int main() {\n}\n",
        15.0,
        15.0,
        lambda found, text: [
            [found.tools["g++"], *toolchains.CPP, *options, "program.cpp", "-o", "program"] for options in _faster(text)
        ],
    ),
    "java": Language(
        "program.java",
        2,
        "java.lang.System.err.println({0}L + {1}L);",
        "class Problem {\n    public static void main(String[] args) {\n    }\n}\n",
        15.0,
        15.0,
        lambda found, _: [
            [
                *[found.tools["javac"], "-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "-encoding", "UTF8"],
                *["-proc:none", "-nowarn", "-cp", found.classpath, "-d", ".", "program.java"],
            ]
        ],
        lambda found, memory: [
            *[found.tools["java"], "-ea", "-XX:+UseSerialGC", f"-Xmx{memory // 2}m"],
            *["-cp", f".:{found.classpath}", "Problem"],
        ],
    ),
    "js": Language(
        "program.js",
        0,
        "\n;process.stderr.write(`\\n${{{0} + {1}}}\\n`);",
        "1;",
        15.0,
        5.0,
        run=lambda found, _: [found.tools["node"], "program.js"],
    ),
    "php": Language(
        "program.php",
        0,
        '\n\\fwrite(\\STDERR, "\\n" . ({0} + {1}) . "\\n");',
        "<?php 1;",
        15.0,
        15.0,
        run=lambda found, _: [found.tools["php"], "program.php"],
    ),
    "rs": Language(
        "program.rs",
        1,
        '::std::eprintln!("\\n{{}}", {0}u64 + {1}u64);',
        "fn main() {\n}\n",
        15.0,
        5.0,
        lambda found, _: [[found.tools["rustc"], "program.rs", "-o", "program"]],
    ),
    "swift": Language(
        "program.swift",
        0,
        '\nSwift.print("\\n\\({0} + {1})")',
        "_ = 1",
        45.0,
        5.0,
        lambda found, _: [[found.tools["swiftc"], "program.swift", "-o", "program"]],
    ),
}


@functools.cache
def trouble(language: str, backend: str, memory_mb: int) -> str | None:
    """Why the language cannot be judged here: a toolchain that is missing, or under which a program of nothing does not pass."""
    nothing = LANGUAGES[language].nothing
    try:
        judge = Judge(
            {
                "backend": backend,
                "memory_mb": memory_mb,
                "versions": {language: dict(toolchains.find(language).versions)},
            }
        )
        try:
            status = judge({"language": language, "program": nothing, "tests": nothing})["status"]
        finally:
            judge.close()
    except UsageError as error:
        return str(error)
    if status == "passed":
        return None
    return f"toolchain does not work here ({nothing!r}: {status}): install with `{toolchains.INSTALL[language]}`"


def told(program: str, tests: str, language: str, numbers: tuple[int, int]) -> str | None:
    """The program with the code after its tests that prints the sum of the numbers; None when the tests are not in it."""
    found = program.rfind(tests.strip())
    if found < 0:
        return None
    at = found + len(tests.strip())
    how = LANGUAGES[language]
    for _ in range(how.closing):
        at = program.rindex("}", found, at)
    return program[:at] + how.told.format(*numbers) + program[at:]


class Judge:
    """A judge of programs in all languages (`bulk.py`). Settings: `backend`, `memory_mb`, `versions` of each language's tools."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._backend: str = settings["backend"]
        self._memory_mb: int = settings["memory_mb"]
        self._versions: dict[str, dict[str, str]] = settings["versions"]
        self._checked: set[str] = set()
        self._javac: sessions.Session | None = None

    def __call__(self, request: records.Record) -> records.Record:
        """`language`, `program`, `tests` -> `status`, CPU `seconds`."""
        language = request["language"]
        self._check(language)
        numbers = _LEAST + secrets.randbelow(_LEAST), _LEAST + secrets.randbelow(_LEAST)
        text = told(request["program"], request["tests"], language, numbers)
        if text is None:
            return {"status": "no tests", "seconds": 0.0}
        status, seconds = self._judge(language, text, str(sum(numbers)).encode())
        return {"status": status, "seconds": round(seconds, 3)}

    def close(self) -> None:
        """Ends the compiler that stays alive."""
        if self._javac is not None:
            self._javac.close()
            self._javac = None

    def _check(self, language: str) -> None:
        """On every machine the same tools."""
        if language not in self._checked:
            found = dict(toolchains.find(language).versions)
            if found != self._versions[language]:
                raise UsageError(
                    f"{language}: {found} on one machine, {self._versions[language]} on another: use one toolchain"
                )
            self._checked.add(language)

    def _judge(self, language: str, text: str, token: bytes) -> tuple[Status, float]:
        how, found = LANGUAGES[language], toolchains.find(language)
        source = text.encode("utf-8", "replace")
        readonly = found.readonly
        compiled = secrets.token_hex(8)
        files = {how.file: source}
        run = f"ulimit -St {how.run_seconds:.0f}; exec {shlex.join(how.run(found, self._memory_mb))}"
        classes = self._classes(source, found) if language == "java" else None
        if classes == {}:
            return "compile error", 0.0
        if classes:
            files = classes
            script = f"echo {compiled} >&2; {run}"
        elif how.compile is not None:
            # the compiler's words go nowhere, and what is compiled cannot read its source
            limit = f"ulimit -St {how.compile_seconds:.0f}"
            lines = [f"({limit}; exec {shlex.join(line)} >/dev/null 2>err)" for line in how.compile(found, text)]
            script = (
                f"{' || '.join(lines)} || {{ head -c {_MOST_WORDS} err >&2; exit 1; }}; "
                f"rm {how.file} err; echo {compiled} >&2; {run}"
            )
            if language == "cpp" and (headers := toolchains.headers()):
                readonly = (*readonly, headers.folder)
        else:
            script = f"echo {compiled} >&2; {run}"
        seconds = how.run_seconds + (how.compile_seconds if how.compile and not classes else 0.0)
        limits = Limits(_WALL * seconds, seconds, self._memory_mb, processes=128)
        program = Program(("/bin/sh", "-c", script), files, limits=limits, readonly=readonly)
        outcome = sandbox.run(program, self._backend)
        if outcome.status == "sandbox":
            outcome = sandbox.run(program, self._backend)
        if outcome.status == "sandbox":
            if sandbox.works(self._backend):  # so it is this program that cannot be put into it
                return "killed", 0.0
            raise UsageError(
                f"the sandbox {self._backend} did not start: {outcome.stderr.decode(errors='replace')[-200:]}"
            )
        return _status(outcome, compiled.encode(), token), outcome.cpu_seconds

    def _classes(self, source: bytes, found: Toolchain) -> dict[str, bytes] | None:
        """The class files; none at all for a compile error; None when a compiler of its own must decide."""
        if self._backend not in sessions.BACKENDS:
            return None
        if self._javac is None:
            options = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", f"-Xmx{_HEAP_MB}m")
            argv = (found.tools["java"], *options, _COMPILER.name, found.classpath)
            files = {_COMPILER.name: _COMPILER.read_bytes()}
            self._javac = sessions.Session(
                Program(argv, files, limits=_SESSION, readonly=found.readonly), self._backend
            )
        answer = self._javac.ask(source, LANGUAGES["java"].compile_seconds, _MOST_CLASSES)
        if not answer or answer[0] == 2:
            self.close()
            return None
        try:
            classes = Program(("java",), dict(_unpack(answer))).files
            parts = (part for name in classes for part in name.split("/"))
            few = len(classes) <= _MOST_FILES and all(len(part.encode()) <= _MOST_NAME for part in parts)
            return dict(classes) if few else None
        except (struct.error, UnicodeDecodeError, UsageError):
            return None


def _unpack(answer: bytes) -> list[tuple[str, bytes]]:
    """The classes in an answer of `Compiler.java`."""
    found, at = [], 1
    while at < len(answer):
        (length,) = struct.unpack_from(">H", answer, at)
        name = answer[at + 2 : at + 2 + length].decode()
        at += 2 + length
        (length,) = struct.unpack_from(">I", answer, at)
        found.append((name, answer[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def _status(outcome: Outcome, compiled: bytes, token: bytes) -> Status:
    if outcome.status == "timeout":
        return "timeout"
    if outcome.status == "memory":
        return "out of memory"
    if outcome.status == "output":
        return "too much output"
    if outcome.status == "ok":
        return "passed" if token in outcome.stdout or token in outcome.stderr else "left early"
    if compiled not in outcome.stderr or b"PHP Parse error" in outcome.stdout + outcome.stderr:
        return "compile error"
    if _OUT_OF_MEMORY.search(outcome.stderr):
        return "out of memory"
    return "killed" if outcome.status == "signal" and outcome.exit_code not in _FAILED_SIGNALS else "failed"


def _faster(text: str) -> list[list[str]]:
    """g++'s further options: the quicker linker, and precompiled headers for programs that would read the standard ones first anyway.

    Where the common headers suffice they go first; a program that does not compile with them is compiled with all.
    """
    linker = ["-fuse-ld=gold"] if view.tool("ld.gold") else []
    headers = toolchains.headers() if _STARTS_WITH_STANDARD_HEADERS.match(text) else None
    if headers is None:
        return [linker]
    sets = (headers.common, headers.whole) if headers.suffice(text) else (headers.whole,)
    return [[*linker, *options] for options in sets]
