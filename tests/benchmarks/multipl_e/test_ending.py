"""What is put after and before MultiPL-E programs depends on nothing that they declare: each is judged as it is when run plainly.

"Plainly" is the reference harness: the program alone, compiled and run, exit code 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from magicoder_repro import sandbox
from magicoder_repro.benchmarks import minibench
from magicoder_repro.benchmarks.multipl_e import ending, judge, toolchains
from magicoder_repro.benchmarks.multipl_e.benchmark import LANGUAGES
from magicoder_repro.sandbox import Limits, Program

pytestmark = pytest.mark.sandbox

SOLUTIONS = minibench.solutions()

# What comes before a right program, between its solution and its tests, and after these. All pass when run plainly.
PROGRAMS: dict[str, list[tuple[str, str, str]]] = {
    "cpp": [
        ("", "}\n#define extern static\n#define ull\n#define static\n#define volatile error\n#define __asm__ error\nvoid f() {", ""),
        ("", '}\nextern "C" int dprintf(int, const char*, ...) { abort(); }\nint told_at_the_end, text, at, call;\nvoid f() {', ""),
        ("", '}\nextern "C" long write(int, const void*, unsigned long) { abort(); }\nvoid f() {', "// no line end"),
        ("", "}\nusing namespace std;\nnamespace told { struct magicoder_tests {}; int at; }\nusing namespace told;\nvoid f() {", ""),
        ("", '}\nint g = (fclose(stdout), freopen("/dev/null", "w", stderr), 0);\nvoid f() {', "\nint last() { return 1; }"),
        ("// one\n#define NDEBUG\n", "}\nstatic_assert(__LINE__ == 13);\nvoid f() {", ""),
    ],
    "java": [
        ("", "    }\n    static int java = 1, System = 2, magicoder = 3;\n    static void f() {", ""),
        ("", "    }\n    static class java { static class lang { } }\n    static class System { }\n    static void f() {", ""),
        ("", "", "\nclass java { }\nclass System { static Object err; }\nclass Ended { }\nclass IOException { }"),
        ("", "", "\nclass FileDescriptor { }\nclass FileOutputStream { }\nclass Long { } // no line end"),
        ("", "    }\n    static { System.setErr(null); System.setOut(null); }\n    static void f() {", ""),
        ("", "    }\n    static { System.err.close(); }\n    static void f() {", ""),
    ],
    "js": [
        ("", "function process(list) { return list; }\n", ""),
        ("", "const process = 3;\n", "  // no line end"),
        ("", "process = (list) => list;\n", ""),
        ("", "let globalThis = 1, global = 2, console = 3, Number = 4, Object = 5, told = 6;\n", ""),
        ("'use strict';\n", "class process { }\n", "\n[1, 2].forEach(x => x)"),
        ("", "process.stderr.write = process.stdout.write = () => { throw new Error(); };\n", ""),
        ("", "console.log = console.error = null; require('fs').writeSync = null;\n", ""),
        ("", "require('fs').closeSync(2);\n", ""),
        ("", "Object.freeze(Number.prototype); Number.prototype.valueOf = Number.prototype.toString = null;\n", ""),
        ("", "for (let i = 0; i < 2000; i++) console.error('x'.repeat(200));\n", ""),
        ("", "", "\nprocess.exit(0)"),
        ("", "var fs = null, value = null, one = null, other = null;\n", "/* the\nend */"),
        ("import {createRequire} from 'node:module';\nconst require = createRequire(import.meta.url), process = 1;\n", "", ""),
    ],
    "php": [
        ("namespace Told;\n", "function fwrite(...$all) { exit(3); }\nfunction file_put_contents(...$all) { exit(3); }\n", ""),
        ("namespace Told;\nconst STDERR = 3;\n", "", " // no line end"),
        ("declare(strict_types=1);\n", "", " # no line end"),
        ("", "fclose(STDERR); fclose(STDOUT);\n", ""),
        ("", "ob_start(function ($text) { return ''; });\n", "\n?>\nthe end"),
        ("", "$text = <<<END\n  PHP ?> <?php\nEND;\n", "\n__halt_compiler(); @"),
        ("", "set_error_handler(function () { exit(4); });\n", "\nexit;"),
        ("", "class candidates { const fd = 'php'; }\ntrait file { }\n", "/* the\nend */"),
    ],
    "rs": [
        ("#![forbid(unsafe_code)]\n", "", ""),
        ("#![deny(warnings)]\n", "", "// no line end"),
        ("", "}\nmacro_rules! eprintln { () => { compile_error!() } }\nfn f() {", ""),
        ("", "}\nmod core { }\nmod told { }\nfn f() {", ""),
        ("", "}\n#[allow(non_camel_case_types)]\nstruct u64;\nfn ended() {", ""),
        ("", '}\n#[no_mangle]\npub extern "C" fn told(x: u64) -> u64 { x }\nfn f() {', "/* the\nend */"),
    ],
    "swift": [
        ("struct Swift { }\n", "}\nfunc print(_ text: String) {", ""),
        ("enum UInt64 { }\n", "}\nfunc ended(_ x: Int) {", " // no line end"),
        ("", "}\nfunc write(_ text: String) {", ""),
        ("", "}\nguard double_and_add(x: 1, y: 1) == 3 else { fatalError() }\nfunc f() {", "/* the\nend */"),
        ("", "}\nclass magicoder { }\nfunc f() {", ""),
    ],
}  # fmt: skip
# No programs, because of how they end or what they hold.
NONE = {
    "cpp": [("", "}\nvoid f() {", "\n/* the end"), ("", "}\n#define char short\n#define void int\nint f() { return 0;", "")],
    "java": [("", "", "\n/* the end")],
    "js": [("", "", "\n/* the end"), ("", "const text = `\n", ""), ("", "", "\nconst require = 1;"), ("", "", "\n++process.exitCode")],
    "php": [("", "", "\n/* the end"), ("", "$text = <<<END\n", "")],
    "rs": [("", "}\nmod std { }\nfn f() {", ""), ("", "", "\n/* the end"), ("#![no_std]\n", "", "")],
    "swift": [("", "", "\n/* the end"), ("", "", "\n#endif")],
}  # fmt: skip
# Exit code 0 before the tests end: by what the code after the tests uses, or so that it is not reached.
EARLY = {
    "cpp": ["    return 0;\n}\nint main() { return 0; }\n#define main other\nvoid f() {"],
    "java": ["        magicoder_tests.Ended.sum(0, 0); System.exit(0); return 0;"],
    "js": [
        "  for (const name of Object.getOwnPropertyNames(Number.prototype)) try { (0)[name](); (0)[name](1, 2); } catch { }\n"
        "  process.exit(0);\n}",
        "}\nconst process = require('process'); process.exit(0);\n",
    ],
    "php": ["    return 0;\n}\n?>\n", "    file_put_contents('php://fd/9', '0'); exit(0);\n}"],
    "rs": ["    magicoder_tests::ended(0, 0); std::process::exit(0)"],
    "swift": ["    exit(0)", "    magicoder_tests.ended(0, 0); exit(0)"],
}


@pytest.fixture(scope="module")
def judging() -> Iterator[judge.Judge]:
    """Of all languages that are here."""
    versions = toolchains.versions()
    found = judge.Judge({"backend": sandbox.detect(), "memory_mb": 1500, "versions": versions})
    yield found
    found.close()


def _task(language: str) -> dict[str, Any]:
    gap = toolchains.gaps([language]).get(language)
    if gap:
        pytest.skip(f"{language}: {gap}")
    return minibench.load(f"multipl-e/{language}")[0]


def _whole(language: str, before: str, between: str, after: str) -> str:
    """A right program with text before, between and after its parts."""
    task = _task(language)
    prompt = task["prompt"].strip()
    opening = "<?php\n" if language == "php" else ""
    solution = SOLUTIONS[language][task["name"]]
    return f"{opening}{before}{prompt.removeprefix(opening)}\n{solution}\n{between}\n{task['tests'].strip()}{after}"


PLAINLY = {
    "cpp": "g++ -std=c++17 program.cpp -o program && ./program",
    "java": "javac -encoding UTF8 -d . -cp {jar} program.java && java -ea -cp .:{jar} Problem",
    "js": "node program.js",
    "php": "php program.php",
    "rs": "{rustc} program.rs -o program && ./program",
    "swift": "swiftc program.swift -o program && ./program",
}


def _plainly(language: str, program: str) -> int | None:
    """The exit code as the reference harness sees it."""
    found = toolchains.find(language)
    script = PLAINLY[language].format(jar=found.classpath, **found.tools)
    limits = Limits(90.0, 30.0, 1500, processes=128)
    files = {f"program.{language}": program.encode()}
    return sandbox.run(Program(("/bin/sh", "-c", script), files, limits=limits, readonly=found.readonly)).exit_code


def _status(language: str, judging: judge.Judge, program: str) -> str:
    return str(judging({"language": language, "program": program, "tests": _task(language)["tests"]})["status"])


@pytest.mark.parametrize(("language", "number"), [(name, i) for name in LANGUAGES for i in range(len(PROGRAMS[name]))])
def test_what_passes_plainly_passes(language: str, number: int, judging: judge.Judge) -> None:
    program = _whole(language, *PROGRAMS[language][number])
    assert _plainly(language, program) == 0
    assert _status(language, judging, program) == "passed"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_fails_plainly_does_not_pass(language: str, judging: judge.Judge) -> None:
    for parts in NONE[language]:
        program = _whole(language, *parts)
        assert _plainly(language, program) != 0, parts
        assert _status(language, judging, program) in ("failed", "compile error"), parts


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_leaves_early_does_not_pass(language: str, judging: judge.Judge) -> None:
    prelude = "import Foundation\nimport magicoder_tests\n" if language == "swift" else ""
    for completion in EARLY[language]:
        task = _task(language)
        program = f"{prelude}{task['prompt'].strip()}\n{completion}\n{task['tests']}"
        assert _status(language, judging, program) == "left early", completion


CALLS = {
    "cpp": r"told_\w+\(\d+ull, \d+ull\);",
    "java": r"magicoder_tests\.Ended\.sum\(\d+L, \d+L\);",
    "js": r"\n;\(0\)\['told_\w+'\]\(\d+, \d+\);",
    "php": r"""\n\\file_put_contents\('php://fd/9', "\\n" \. \(\d+ \+ \d+\) \. "\\n"\);""",
    "rs": r"magicoder_tests::ended\(\d+, \d+\);",
    "swift": r"\nimport magicoder_tests\nmagicoder_tests\.ended\(\d+, \d+\)\n",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_that_a_program_gets_is_a_call_after_its_tests(language: str) -> None:
    """Also of a language that is not here. Where a comment may stand before the call, a line end does."""
    tests = minibench.load(f"multipl-e/{language}")[0]["tests"].strip()
    program, numbers = f"// {tests}\nbefore {tests} // after", (123456789, 987654321)
    text = ending.told(program, tests, language, numbers)
    assert text is not None
    (call,) = re.finditer(CALLS[language], text)
    assert re.fullmatch(r"[\s}]* // after", text[call.end() :])
    assert (text[: call.start()] + text[call.end() :]).endswith(program)
    assert "1111111110" not in text + "".join(ending.files(language, numbers).values())
