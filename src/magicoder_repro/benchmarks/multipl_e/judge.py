"""One MultiPL-E program -> its verdict. Compilers run in the sandbox too: a compiler can be attacked.

A program passes when it compiles, ends with exit code 0 and has finished its tests. That it has is told by code put after the tests
(`ending.py`), which prints the sum of two random numbers: a program that leaves before (`exit(0)`) cannot print it, neither can one
that prints its own source, which holds the two numbers and not their sum. One that is written against this judge, reads its own source
or memory and does the sum could: that remains.

A judge that cannot work gives no verdicts: before the first program of a language small ones are judged as all are, and must pass.
"""

from __future__ import annotations

import functools
import re
import secrets
import shlex
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from magicoder_repro import records, sandbox
from magicoder_repro.benchmarks.multipl_e import ending, headers, toolchains
from magicoder_repro.benchmarks.multipl_e.ending import told
from magicoder_repro.benchmarks.multipl_e.languages import LANGUAGES, compile_line
from magicoder_repro.benchmarks.multipl_e.toolchains import Toolchain
from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import Limits, Outcome, Program
from magicoder_repro.sandbox import session as sessions

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
_WALL = 3  # times the CPU limit: a busy machine decides nothing, and a program that sleeps ends
_COMPILER = Path(__file__).with_name("guest") / "Compiler.java"
_SESSION = Limits(cpu_seconds=1e6, memory_mb=2048, processes=128)  # of the compiler that stays alive
_HEAP_MB = 512
_MOST_WORDS, _LAST_WORDS = 20_000, 200  # bytes of a compiler's messages; characters of the last one that are shown
_MOST_CLASSES = 16 << 20  # bytes
_MOST_FILES, _MOST_NAME = 200, 255  # of class files that go into the sandbox one by one
_FAILED_SIGNALS = {128 + number for number in (4, 5, 6, 8, 11)}  # traps, assertions, bad memory: the program's own
_OUT_OF_MEMORY = re.compile(
    rb"std::bad_alloc|java\.lang\.OutOfMemoryError|heap out of memory|memory allocation of|Allowed memory size|Out of memory"
)


@dataclass(frozen=True)
class _Job:
    """A program's files. `options`: the compiler's, several for one that is tried in several ways; the first that ends well decides.
    `token`: what it prints at the end of its tests."""

    language: str
    files: Mapping[str, bytes]
    options: Sequence[Sequence[str]]
    token: bytes


class BrokenError(UsageError):
    """A toolchain that is here does not work in the sandbox."""


@functools.cache
def trouble(language: str, backend: str, memory_mb: int) -> str | None:
    """Why the language cannot be judged here: its toolchain is missing, or does not work in the sandbox."""
    try:
        versions = {language: dict(toolchains.find(language).versions)}
        judge = Judge({"backend": backend, "memory_mb": memory_mb, "versions": versions})
        try:
            judge.prepare(language)
        finally:
            judge.close()
    except UsageError as error:
        return str(error)
    return None


class Judge:
    """A judge of programs in all languages (`bulk.py`). Settings: `backend`, `memory_mb`, `versions` of each language's tools."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._backend: str = settings["backend"]
        self._memory_mb: int = settings["memory_mb"]
        self._versions: dict[str, dict[str, str]] = settings["versions"]
        self._libraries: dict[str, dict[str, bytes]] = {}  # of each language that is ready
        self._headers: headers.Headers | None = None
        self._javac: sessions.Session | None = None

    def __call__(self, request: records.Record) -> records.Record:
        """`language`, `program`, `tests` -> `status`, CPU `seconds`."""
        language = request["language"]
        try:
            self.prepare(language)
        except UsageError as error:
            raise UsageError(f"{language}: {error}") from None
        job = self._job(language, request["program"], request["tests"])
        if job is None:
            return {"status": "no tests", "seconds": 0.0}
        status, seconds, _ = self._judge(job)
        return {"status": status, "seconds": round(seconds, 3)}

    def close(self) -> None:
        """Ends the compiler that stays alive."""
        if self._javac is not None:
            self._javac.close()
            self._javac = None

    def prepare(self, language: str) -> None:
        """Sees to it, once, that verdicts are possible: the same tools on every machine, and small programs that use what programs
        are promised, compiled and run as all are, pass. A UsageError says what does not work."""
        if language in self._libraries:
            return
        found = dict(toolchains.find(language).versions)
        if found != self._versions[language]:
            raise UsageError(f"{found} on one machine, {self._versions[language]} on another: use one toolchain")
        self._libraries[language] = self._library(language)
        try:
            if language == "cpp":
                self._headers = self._working_headers()
            for program in LANGUAGES[language].probes if self._headers is None or language != "cpp" else ():
                self._probe(language, program)
        except BaseException:
            del self._libraries[language]
            raise

    def _working_headers(self) -> headers.Headers | None:
        """The precompiled headers, each set of them tried by itself; made anew when one does not work; None when that is in vain."""
        for anew in (False, True):
            self._headers = toolchains.headers(anew)
            if self._headers is None:
                return None
            sets = (self._headers.common, self._headers.whole)
            try:
                for program, options in zip(LANGUAGES["cpp"].probes, sets, strict=True):
                    self._probe("cpp", program, (options,))
                return self._headers
            except BrokenError:
                continue
        return None

    def _probe(self, language: str, program: str, options: Sequence[Sequence[str]] | None = None) -> None:
        job = self._job(language, program, program)
        assert job is not None
        status, _, words = self._judge(job if options is None else replace(job, options=options))
        if status != "passed":
            raise self._broken(language, f"{program!r}: {status}", words)

    def _broken(self, language: str, what: str, words: bytes) -> BrokenError:
        lines = [line for line in words.decode(errors="replace").splitlines() if line.strip()]
        last = "".join(letter for letter in (lines or [""])[-1][:_LAST_WORDS] if letter.isprintable())
        why = f"{what}: {last}" if last else what
        return BrokenError(f"toolchain does not work here ({why}): install with `{toolchains.INSTALL[language]}`")

    def _library(self, language: str) -> dict[str, bytes]:
        """The files of our own part of each program, where it is compiled apart from them (`ending.py`)."""
        how, compiler = ending.ENDINGS[language], LANGUAGES[language].compiler
        if not how.products or compiler is None:
            return {}
        found, seconds = toolchains.find(language), LANGUAGES[language].compile_seconds
        files = " ".join(how.products)
        line = shlex.join([*compiler(found), *how.making])
        script = f"{line} >&2 && for file in {files}; do wc -c <$file; done && cat {files}"
        source = {name: text.encode() for name, text in ending.library(language).items()}
        outcome = self._run(script, source, seconds, found.readonly)
        if outcome.status != "ok":
            raise self._broken(language, f"our own {', '.join(source)}: {outcome.status}", outcome.stderr)
        *sizes, content = outcome.stdout.split(b"\n", len(how.products))
        products = {}
        for name, size in zip(how.products, sizes, strict=True):
            products[name], content = content[: int(size)], content[int(size) :]
        return products

    def _job(self, language: str, program: str, tests: str) -> _Job | None:
        """What is run for a program; None when it does not hold its tests."""
        pair = ending.numbers()
        text = told(program, tests, language, pair)
        if text is None:
            return None
        files = {name: content.encode() for name, content in ending.files(language, pair).items()}
        files |= {**self._libraries[language], LANGUAGES[language].file: text.encode("utf-8", "replace")}
        options = self._headers.sets(program) if language == "cpp" and self._headers else ()
        return _Job(language, files, options or ((),), str(sum(pair)).encode())

    def _judge(self, job: _Job) -> tuple[Status, float, bytes]:
        """The status, CPU seconds and the words on standard error."""
        how, found = LANGUAGES[job.language], toolchains.find(job.language)
        compiled = secrets.token_hex(8)
        run = (
            f"echo {compiled} >&2; ulimit -St {how.run_seconds:.0f}; "
            f"exec {shlex.join(how.run(found, self._memory_mb))} {ending.CHANNEL}>&2"
        )
        files, readonly, seconds = job.files, found.readonly, how.run_seconds
        classes = self._classes(files[how.file], found) if job.language == "java" else None
        if classes == {}:
            return "compile error", 0.0, b""
        if classes:
            files, script = classes, run
        elif how.compiler is None:
            script = run
        else:
            script = f"{_compiling(job, found)}; {run}"
            seconds += how.compile_seconds
            if job.language == "cpp" and self._headers is not None:
                readonly = (*readonly, self._headers.folder)
        outcome = self._run(script, files, seconds, readonly)
        if outcome.status == "sandbox":  # so it is this program that cannot be put into it
            return "killed", 0.0, outcome.stderr
        words = outcome.stderr.replace(compiled.encode(), b"")
        return _status(outcome, compiled.encode(), job.token), outcome.cpu_seconds, words

    def _run(self, script: str, files: Mapping[str, bytes], seconds: float, readonly: tuple[Path, ...]) -> Outcome:
        """A UsageError when the sandbox does not work; its status `sandbox` when it does for other programs."""
        limits = Limits(_WALL * seconds, seconds, self._memory_mb, processes=128)
        program = Program(("/bin/sh", "-c", script), files, limits=limits, readonly=readonly)
        outcome = sandbox.run(program, self._backend)
        if outcome.status == "sandbox":
            outcome = sandbox.run(program, self._backend)
        if outcome.status == "sandbox" and sandbox.gap(self._backend) is not None:
            words = outcome.stderr.decode(errors="replace")[-200:]
            raise UsageError(f"the sandbox {self._backend} did not start: {words}")
        return outcome

    def _classes(self, source: bytes, found: Toolchain) -> dict[str, bytes] | None:
        """The class files; none at all for a compile error; None when a compiler of its own must decide."""
        if self._backend not in sandbox.KEEPERS:
            return None
        if self._javac is None:
            options = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", f"-Xmx{_HEAP_MB}m")
            argv = (found.tools["java"], *options, _COMPILER.name, found.classpath, ending.JAVA_FILE)
            ours = {name: text.encode() for name, text in ending.files("java", (0, 0)).items()}
            files = {_COMPILER.name: _COMPILER.read_bytes(), **ours}
            self._javac = sessions.Session(
                Program(argv, files, limits=_SESSION, readonly=found.readonly), self._backend
            )
        answer = self._javac.ask(source, LANGUAGES["java"].compile_seconds, _MOST_CLASSES)
        if not answer or answer[0] == 2:
            self.close()
            return None
        try:
            classes = _unpack(answer)
            return None if classes is None else dict(Program(("java",), classes).files)
        except (struct.error, UnicodeDecodeError, UsageError):
            return None


def _unpack(answer: bytes) -> dict[str, bytes] | None:
    """The classes in an answer of `Compiler.java`; None when they are too many, or have too long names, for files one by one."""
    found: dict[str, bytes] = {}
    at = 1
    while at < len(answer):
        (length,) = struct.unpack_from(">H", answer, at)
        name = answer[at + 2 : at + 2 + length].decode()
        at += 2 + length
        (length,) = struct.unpack_from(">I", answer, at)
        found[name] = answer[at + 4 : at + 4 + length]
        at += 4 + length
        if len(found) > _MOST_FILES or any(len(part.encode()) > _MOST_NAME for part in name.split("/")):
            return None
    return found


def _compiling(job: _Job, found: Toolchain) -> str:
    """The shell's words; the compiler's go nowhere, and what is compiled cannot read its source."""
    how = LANGUAGES[job.language]
    lines = [compile_line(job.language, found, options) or [] for options in job.options]
    tries = [f"(ulimit -St {how.compile_seconds:.0f}; exec {shlex.join(line)} >/dev/null 2>err)" for line in lines]
    return f"{' || '.join(tries)} || {{ head -c {_MOST_WORDS} err >&2; exit 1; }}; rm {how.file} err"


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
