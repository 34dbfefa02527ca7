"""How each of MultiPL-E's languages is compiled and run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from magicoder_repro.benchmarks.multipl_e import ending, headers
from magicoder_repro.benchmarks.multipl_e.toolchains import Toolchain
from magicoder_repro.sandbox import view


@dataclass(frozen=True)
class Language:
    """Seconds are the reference harness's. A command line is a list of words."""

    file: str
    probes: tuple[str, ...]  # programs that pass where the toolchain works, with all that programs are promised
    compile_seconds: float
    run_seconds: float
    compiler: Callable[[Toolchain], list[str]] | None = None  # the command line, to which options and files are added
    run: Callable[[Toolchain, int], list[str]] = lambda _, __: ["./program"]  # the number: MB of memory
    output: tuple[str, ...] = ()  # the compiler's last words


def _gxx(found: Toolchain) -> list[str]:
    linker = ["-fuse-ld=gold"] if view.tool("ld.gold") else []  # the quicker one
    return [found.tools["g++"], *headers.OPTIONS, *linker]


def _javac(found: Toolchain) -> list[str]:
    quick = ["-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC"]
    return [
        found.tools["javac"],
        *quick,
        "-encoding",
        "UTF8",
        "-proc:none",
        "-nowarn",
        "-cp",
        found.classpath,
        "-d",
        ".",
    ]


def _java(found: Toolchain, memory: int) -> list[str]:
    options = ["-ea", "-XX:+UseSerialGC", f"-Xmx{memory // 2}m", "-cp", f".:{found.classpath}"]
    return [found.tools["java"], *options, "Problem"]


_CPP_HEAD = "#include<assert.h>\n#include<bits/stdc++.h>\n"
LANGUAGES = {
    "cpp": Language(
        "program.cpp",
        (  # with the common headers, and with all
            _CPP_HEAD + "int main() {\n    assert(std::vector<long>(2).size() == 2);\n}\n",
            _CPP_HEAD + "int main() {\n    assert(std::complex<double>(2.0).real() == 2.0);\n}\n",
        ),
        15.0,
        15.0,
        _gxx,
        output=("-o", "program"),
    ),
    "java": Language(
        "program.java",
        (
            "class Problem {\n    public static void main(String[] args) {\n"
            "    assert(org.javatuples.Pair.with(1l, 2l).getValue0() == 1l);\n    }\n}\n",
        ),
        15.0,
        15.0,
        _javac,
        _java,
        output=(ending.JAVA_FILE,),
    ),
    "js": Language(
        "program.js",
        ("require('node:assert').deepEqual([1], [1]);",),
        15.0,
        5.0,
        run=lambda found, _: [found.tools["node"], "-r", f"./{ending.JS_FILE}", "program.js"],
    ),
    "php": Language(
        "program.php",
        ("<?php 1;", "<?php if (mb_strlen('é') !== 1) { throw new Exception(); }"),
        15.0,
        15.0,
        run=lambda found, _: [found.tools["php"], "program.php"],
    ),
    "rs": Language(
        "program.rs",
        ("fn main() {\n    assert_eq!(vec![1isize].len(), 1);\n}\n",),
        15.0,
        5.0,
        lambda found: [found.tools["rustc"]],
        output=("-o", "program"),
    ),
    "swift": Language(
        "program.swift",
        ("import Foundation\nassert(sqrt(4.0) == 2.0)",),
        45.0,
        5.0,
        lambda found: [found.tools["swiftc"]],
        output=("-o", "program"),
    ),
}


def compile_line(language: str, found: Toolchain, options: Sequence[str] = ()) -> list[str] | None:
    """The command that makes a program; None for a language without one."""
    how = LANGUAGES[language]
    if how.compiler is None:
        return None
    return [*how.compiler(found), *options, how.file, *ending.ENDINGS[language].using, *how.output]
