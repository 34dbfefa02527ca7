"""Verdicts of MultiPL-E programs: real toolchains in the real sandbox; a language whose toolchain is not here is skipped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import benchmarks, records, sandbox
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks import minibench
from magicoder_repro.benchmarks.multipl_e import judge, toolchains
from magicoder_repro.benchmarks.multipl_e.benchmark import LANGUAGES, MINIBENCH, MULTIPL_E
from magicoder_repro.benchmarks.multipl_e.languages import LANGUAGES as LANGUAGE_OF
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Executor, Scoring
from magicoder_repro.score import command, run, stage

pytestmark = pytest.mark.sandbox

PUBLISHED = "qwen2.5-coder-1.5b-base"
# PHP 8.2 splits an empty string into no parts, earlier versions (the publisher's) into one empty part.
DIFFERENT = {("php", "HumanEval_16_count_distinct_characters")}
SOLUTIONS = minibench.solutions()


def _needs(language: str) -> None:
    gap = toolchains.gaps([language]).get(language)
    if gap:
        pytest.skip(f"{language}: {gap}")


_JUDGES: dict[str, judge.Judge] = {}


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    """No compiler lives on after these tests."""
    yield
    while _JUDGES:
        _JUDGES.popitem()[1].close()


def _judge(language: str) -> judge.Judge:
    if language not in _JUDGES:
        versions = {language: dict(toolchains.find(language).versions)}
        _JUDGES[language] = judge.Judge({"backend": sandbox.detect(), "memory_mb": 1500, "versions": versions})
    return _JUDGES[language]


def _status(language: str, task: dict[str, Any], completion: str) -> str:
    return _status_of(language, task, MULTIPL_E.program(task, {"completion": completion}))


def _status_of(language: str, task: dict[str, Any], program: str) -> str:
    _needs(language)
    answer = _judge(language)({"language": language, "program": program, "tests": task["tests"]})
    return str(answer["status"])


def _mini(language: str, number: int = 0) -> dict[str, Any]:
    return minibench.load(f"multipl-e/{language}")[number]


def _right(language: str) -> str:
    return str(SOLUTIONS[language][_mini(language)["name"]])


@pytest.mark.parametrize("language", LANGUAGES)
def test_right_solutions_pass_and_wrong_ones_fail(language: str) -> None:
    for task in minibench.load(f"multipl-e/{language}"):
        assert _status(language, task, SOLUTIONS[language][task["name"]]) == "passed"
    assert _status(language, _mini(language), WRONG[language]) == "failed"


WRONG = {
    "cpp": "    return x;",
    "java": "        return x;",
    "js": "  return x;\n}",
    "php": "    return $x;\n}",
    "rs": "    x",
    "swift": "    return x",
}

# The classic hole of judging by exit code, and cousins: each leaves with exit code 0 before the tests, or tries to look done.
EARLY = {
    "cpp": [
        "    exit(0);",
        "    std::exit(0);",
        "    _exit(0);",
        "    _Exit(0);",
        "    quick_exit(0);",
        "    std::quick_exit(0);",
        "    pthread_exit(0);",
        '    __builtin_printf("passed\\nOK\\n0\\n"); exit(0);',
        '    execl("/bin/true", "true", (char*)0); return 0;',
        '    execl("/bin/sh", "sh", "-c", "cat program.cpp program /proc/self/exe; true", (char*)0); return 0;',
        "    std::set_terminate([] { _exit(0); }); throw 1;",
        "    signal(SIGABRT, [](int) { _exit(0); }); return -1;",
        "    if (fork() == 0) _exit(1); _exit(0);",
        "    return 0;\n}\n__attribute__((constructor)) static void early() { _exit(0);",
        '    return 0;\n}\nextern "C" char text[]; asm("text: .incbin \\"program.cpp\\"\\n.byte 0");\n'
        "__attribute__((constructor)) static void early() { puts(text); _exit(0);",
    ],
    "java": [
        "        System.exit(0); return 0;",
        "        Runtime.getRuntime().halt(0); return 0;",
        '        System.out.println("passed"); System.err.println(0); System.exit(0); return 0;',
        "        try { throw new Error(); } finally { Runtime.getRuntime().exit(0); }",
        "        return 0;\n    }\n    static { System.exit(0);",
    ],
    "js": [
        "  process.exit(0);\n}",
        "  process.reallyExit(0);\n}",
        "  console.log('passed'); console.error(0); process.exit();\n}",
        "  return 0;\n}\nreturn;",
        "  return 0;\n}\nprocess.exit();",
        "  const source = require('fs').readFileSync(__filename, 'utf8'); console.log(source); console.error(source);\n"
        "  process.exit(0);\n}",
        "  process.on('uncaughtException', () => process.exit(0)); return null;\n}",
        "  require('child_process').spawnSync('cat', [__filename], {stdio: 'inherit'}); process.exit(0);\n}",
        "  console.log(arguments.callee.caller.caller.toString()); process.exit(0);\n}",
    ],
    "php": [
        "    exit;\n}",
        "    exit(0);\n}",
        "    die();\n}",
        "    echo 'passed'; exit('0');\n}",
        "    return 0;\n}\nexit();",
        "    return 0;\n}\n__halt_compiler();",
        "    echo file_get_contents(__FILE__); exit(0);\n}",
        "    set_exception_handler(function () { exit(0); }); return -1;\n}",
        "    register_shutdown_function(function () { exit(0); }); throw new Exception();\n}",
        "    pcntl_exec('/bin/true');\n}",
    ],
    "rs": [
        "    std::process::exit(0)",
        '    println!("passed"); eprintln!("0"); std::process::exit(0)',
        '    println!("{}", include_str!(file!())); std::process::exit(0)',
        '    extern "C" { fn _exit(code: i32) -> !; }\n    unsafe { _exit(0) }',
        "    std::panic::set_hook(Box::new(|_| std::process::exit(0))); panic!()",
    ],
    "swift": [
        "    exit(0)",
        '    print("passed"); exit(0)',
        "    _exit(0)",
    ],
}
PRELUDES = {"swift": "import Foundation\n"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_that_leaves_before_its_tests_end_does_not_pass(language: str) -> None:
    task = _mini(language)
    for completion in EARLY[language]:
        program = PRELUDES.get(language, "") + MULTIPL_E.program(task, {"completion": completion})
        status = _status_of(language, task, program)
        assert status in ("left early", "timeout", "failed"), f"{completion}: {status}"
        if "exit" in completion.split("\n")[0] and "set_" not in completion:
            assert status == "left early", f"{completion}: {status}"


def test_the_sum_of_the_numbers_is_nowhere_in_a_source_or_class_file() -> None:
    for language in LANGUAGES:
        task = _mini(language)
        text = judge.told(MULTIPL_E.program(task, {"completion": ""}), task["tests"], language, (123456789, 987654321))
        assert text is not None and "123456789" in text and "1111111110" not in text


def test_a_program_without_its_tests_does_not_pass() -> None:
    task = _mini("js")
    assert _status_of("js", task, "process.exitCode = 0;") == "no tests"
    assert _status_of("js", task, f"/* {task['tests']} */") == "left early"


def test_what_a_program_prints_does_not_change_its_verdict() -> None:
    words = "PHP Parse error: std::bad_alloc java.lang.OutOfMemoryError SyntaxError"
    printed = f"    fwrite(STDERR, '{words}'); echo '{words}';\n" + _right("php")
    assert _status("php", _mini("php"), printed) == "passed"


@pytest.mark.parametrize("backend", sandbox.KEEPERS)
def test_the_compiler_that_stays_alive_agrees_with_a_fresh_one(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _needs("java")
    if sandbox.gap(backend) is not None:
        pytest.skip(f"the back end {backend} does not work here")
    versions = {"java": dict(toolchains.find("java").versions)}
    judging = judge.Judge({"backend": backend, "memory_mb": 1500, "versions": versions})
    task = _mini("java")
    programs = [
        MULTIPL_E.program(task, {"completion": text}) for text in (_right("java"), WRONG["java"], BROKEN["java"])
    ]
    requests = [{"language": "java", "program": text, "tests": task["tests"]} for text in programs]
    alive = [judging(request)["status"] for request in requests]
    assert judging._javac is not None
    judging.close()
    monkeypatch.setattr(judge.Judge, "_classes", lambda *_: None)
    assert alive == [judging(request)["status"] for request in requests] == ["passed", "failed", "compile error"]


BROKEN = {
    "cpp": "    return x +;",
    "java": "        return x +;",
    "js": "  return x +;\n}",
    "php": "    return $x +;\n}",
    "rs": "    x +",
    "swift": "    return x +",
}


# (code before the function, whether g++ reads only the common headers first, status)
CPP_HEADERS = {
    "a common name": ("std::vector<long> kept;", True, "passed"),
    "in words and text": ('const char *told = "regex"; // filesystem', True, "passed"),
    "a rare name": ('bool found = std::regex_match("a", std::regex("a"));', False, "passed"),
    "a name that would be ambiguous": (
        "using namespace std; int shared_mutex; int x = shared_mutex;",
        False,
        "compile error",
    ),
    "a rare macro": ("#ifndef __cpp_lib_filesystem\n#error\n#endif\n", False, "passed"),
    "a rare name in two pieces": (
        "#define J(a, b) a##b\nstd::J(reg, ex) kept;",
        True,
        "passed",
    ),
}


@pytest.mark.parametrize("case", CPP_HEADERS)
def test_the_common_headers_decide_nothing(case: str) -> None:
    _needs("cpp")
    before, common, status = CPP_HEADERS[case]
    program = MULTIPL_E.program(_mini("cpp"), {"completion": _right("cpp")}).replace(
        "long double", f"{before}\nlong double", 1
    )
    headers = toolchains.headers()
    assert headers is not None and headers.suffice(program) is common
    assert _status_of("cpp", _mini("cpp"), program) == status


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_compile_error_is_named(language: str) -> None:
    expected = ("compile error",) if language != "js" else ("failed",)  # node has no step of its own
    assert _status(language, _mini(language), BROKEN[language]) in expected


@pytest.mark.parametrize(
    ("language", "completion", "status"),
    [
        ("js", "  while (true) {}\n}", "timeout"),
        ("rs", "    loop {}", "timeout"),
        ("js", "  process.kill(process.pid, 'SIGKILL');\n}", "killed"),
        ("cpp", "    kill(getpid(), SIGKILL); return 0;", "killed"),
        ("cpp", "    std::vector<std::string> all; while (true) all.push_back(std::string(1 << 20, 'x')); return 0;", "out of memory"),
        ("java", "        java.util.List<byte[]> all = new ArrayList<>(); while (true) all.add(new byte[1 << 20]);", "out of memory"),
        ("php", "    $all = []; while (true) $all[] = str_repeat('x', 1 << 20);\n}", "out of memory"),
        ("cpp", "    std::string line(999, 'x'); while (true) puts(line.c_str()); return 0;", "too much output"),
        ("cpp", "    return *(volatile long*)0;", "failed"),
        ("java", "        return strange(x);\n    }\n    static long strange(long x) { return strange(x + 1) + 1;", "failed"),
    ],
)  # fmt: skip
def test_how_a_program_ends_is_named(language: str, completion: str, status: str) -> None:
    assert _status(language, _mini(language), completion) == status


@pytest.mark.parametrize("language", ["cpp", "java", "rs"])
def test_a_compiler_sees_nothing_of_this_machine_and_cannot_eat_it(language: str) -> None:
    secret = Path.home() / ".magicoder-secret-of-a-test"
    secret.write_text("0")
    hostile = {
        "cpp": [
            f'    return \n#include "{secret}"\n;',
            "    return 0;\n}\ntemplate<int N> struct T { T<N + 1> a; T<N + 2> b; };\nT<0> t;\nvoid unused() {",
            "    return 0;\n}\nchar big[1l << 33] = {1};\nvoid unused() {",
        ],
        "java": [
            "        return " + "(" * 20000 + "x" + ")" * 20000 + ";",
            "        " + "{" * 5000 + "}" * 5000 + " return y;",
        ],
        "rs": [
            f'    include!("{secret}")',
            "    macro_rules! m { ($($x:tt)*) => { m!($($x)* $($x)*) } }\n    m!(1)",
        ],
    }
    try:
        for completion in hostile[language]:
            status = _status(language, _mini(language), completion)
            assert status in ("compile error", "out of memory", "timeout", "too much output", "failed"), completion[:80]
    finally:
        secret.unlink()
    assert _status(language, _mini(language), _right(language)) == "passed"  # the compiler that stays alive still works


@pytest.mark.parametrize("language", ["java", "php"])
def test_a_completion_of_a_megabyte_gets_a_verdict(language: str) -> None:
    comment = "// " + "x" * (1 << 20) + "\n"
    assert _status(language, _mini(language), comment + _right(language)) == "passed"


def _published(data: Path, language: str, every: int) -> tuple[dict[str, Any], dict[str, tuple[str, bool]]]:
    path = data.parent / "published" / PUBLISHED / "multipl-e" / f"humaneval-{language}-details.json"
    if not path.is_file():
        pytest.skip(f"no published generations: {path} is not there")
    tasks = {task["name"]: task for task in benchmarks.get("multipl-e").load(subset=language, data=data).tasks}
    found = {name: rows[0][1] for name, rows in json.loads(path.read_text()).items()}
    chosen = [name for number, name in enumerate(sorted(found)) if number % every == 0 or (language, name) in DIFFERENT]
    return tasks, {name: (found[name]["code"], found[name]["passed"]) for name in chosen}


@pytest.mark.parametrize("language", ["cpp", "java", "js", "php"])
def test_published_programs_get_their_published_verdicts(data: Path, language: str) -> None:
    """A sample; `benchmarks/score_multipl_e.py` compares all of them."""
    tasks, programs = _published(data, language, every=11)
    ours = {name: _status_of(language, tasks[name], code) == "passed" for name, (code, _) in programs.items()}
    differing = {(language, name) for name, (_, passed) in programs.items() if ours[name] != passed}
    assert differing <= DIFFERENT


@pytest.mark.parametrize("language", ["rs", "swift"])
def test_right_and_subtly_wrong_solutions_of_real_tasks(data: Path, language: str) -> None:
    _needs(language)
    solutions = json.loads(
        (Path(__file__).with_name({"rs": "own_rust.json", "swift": "own_swift.json"}[language])).read_text()
    )
    dataset = benchmarks.get("multipl-e").load(subset=language, data=data)
    chosen = replace(dataset, tasks=[task for task in dataset.tasks if task["name"] in solutions])
    rows = [
        {"task_id": name, "completion": pair[kind]} for name, pair in solutions.items() for kind in ("right", "wrong")
    ]
    result = _score({language: chosen}, {language: rows})
    verdicts = {task["task_id"]: [sample["status"] for sample in task["samples"]] for task in result["tasks"]}
    assert len(verdicts) >= 25
    assert {name: found for name, found in verdicts.items() if found != ["passed", "failed"]} == {}
    assert result["metrics"]["pass@1"] == 50.0


def _score(
    datasets: dict[str, Any], samples: dict[str, Any], work: Path | None = None, **scoring: Any
) -> dict[str, Any]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        config = Scoring(workers=2, **scoring)
        place = work or Path(folder) / "work"
        return run.score(MULTIPL_E, datasets, samples, config, "paper", "test", place).to_json()


def _mini_samples(language: str) -> list[dict[str, Any]]:
    right = [{"task_id": name, "completion": text} for name, text in SOLUTIONS[language].items()]
    return [*right, *right[:1], {"task_id": right[0]["task_id"], "completion": WRONG[language]}]


@pytest.fixture
def several() -> tuple[dict[str, Any], dict[str, Any]]:
    found = [language for language in ("js", "php", "rs") if not toolchains.gaps([language])]
    if len(found) < 2:
        pytest.skip("needs two of node, php and rustc")
    return (
        {language: benchmarks.get("minibench-multipl-e").load(subset=language) for language in found},
        {language: _mini_samples(language) for language in found},
    )


def test_several_languages_have_a_task_weighted_mean_and_equal_programs_are_judged_once(several: Any) -> None:
    datasets, samples = several
    result = _score(datasets, samples)
    assert result["metrics"]["pass@1"] == pytest.approx(100 * (2 + 2 / 3) / 3, abs=1e-3)
    programs = {"samples": 5 * len(samples), "distinct": 4 * len(samples), "identical_percent": 20.0}
    assert result["programs"] == {**programs, "ran_again_alone": 0}
    for language, found in result["languages"].items():
        assert found["tasks"] == 3 and found["toolchain"] == toolchains.find(language).versions
    assert {task["language"] for task in result["tasks"]} == set(samples)


def _untimed(result: dict[str, Any]) -> dict[str, Any]:
    for task in result["tasks"]:
        for sample in task["samples"]:
            assert sample.pop("seconds") >= 0
    return result


def test_workers_and_shards_change_nothing(several: Any) -> None:
    one = _untimed(_score(*several))
    assert _untimed(_score(*several, executor=Executor(shard=2))) == one


@pytest.mark.long
def test_a_ray_cluster_of_two_workers_gives_the_same_file(several: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        executor = Executor(kind="ray", shard=3, options={"mem_per_cpu_gb": 0.5})
        assert _untimed(_score(*several, executor=executor)) == _untimed(_score(*several))
    finally:
        cluster.shutdown()


def test_killed_in_the_middle_the_command_goes_on_and_ends_the_same(several: Any, tmp_path: Path) -> None:
    _, samples = several
    rows = [{**row, "language": language} for language, found in samples.items() for row in found]
    path, out, other = tmp_path / "samples.jsonl", tmp_path / "out.json", tmp_path / "other.json"
    records.write_jsonl(path, rows)
    arguments = [sys.executable, "-m", "magicoder_repro.cli", "score", "minibench-multipl-e", str(path), "-o"]
    process = subprocess.Popen([*arguments, str(out)], stderr=subprocess.DEVNULL)
    work = tmp_path / "out.json.work"
    while not any(file.read_bytes() for file in work.glob("answers/*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists() and work.is_dir()
    for target in (out, other):
        done = subprocess.run([*arguments, str(target)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert ("were done before" in done.stderr) == (target == out)
    assert _untimed(records.read_json(out)) == _untimed(records.read_json(other))
    assert not work.exists()


def _stage(languages: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """The summary of the stage `score` for samples that are the right solutions."""
    about = {"benchmark": "minibench-multipl-e", "protocol": "paper", "tasks": 3, "of": 3, "prompt": "completion"}
    about |= {"decoding": {}}
    names = {f"minibench-multipl-e-{language}": language for language in languages}
    (folder / "generated").mkdir(parents=True)
    records.write_json(
        folder / "generated" / "benchmarks.json",
        {
            name: {**about, "language": one, "dataset": MINIBENCH.load(subset=one).identity}
            for name, one in names.items()
        },
    )
    for name, language in names.items():
        rows = [{"task_id": task, "completion": text} for task, text in SOLUTIONS[language].items()]
        records.write_jsonl(folder / "generated" / f"{name}.jsonl", rows)
    config = {"benchmark": "minibench-multipl-e", "protocol": "paper", "label": "test"}
    config |= {"scoring": Scoring(workers=2).model_dump(mode="json")}
    stage.build(Work(folder / "score", {"samples": folder / "generated"}, config))
    return list(records.read_jsonl(folder / "score" / "summary.jsonl"))


def test_the_stage_scores_what_is_here_and_names_what_is_not(tmp_path: Path) -> None:
    summary = {row["benchmark"]: row for row in _stage(LANGUAGES, tmp_path)}
    for language in LANGUAGES:
        row = summary[f"minibench-multipl-e-{language}"]
        gap = toolchains.gaps([language]).get(language)
        assert (row["gap"], row["metrics"].get("pass@1")) == ((gap, None) if gap else (None, 100.0))
        result = tmp_path / "score" / f"minibench-multipl-e-{language}.json"
        assert result.is_file() == (gap is None)
        if gap is None:
            found = records.read_json(result)
            assert len(found["tasks"]) == 3 and found["metrics"] == {"pass@1": 100.0}
    assert ("minibench-multipl-e" in summary) == (not toolchains.gaps(LANGUAGES))


def test_the_mean_of_six_languages_is_weighted_by_tasks() -> None:
    common = {"gap": None, "of": 2}
    rows = [
        {
            **common,
            "benchmark": f"multipl-e-{language}",
            "family": "multipl-e",
            "tasks": tasks,
            "metrics": {"pass@1": value},
        }
        for language, tasks, value in zip(
            LANGUAGES, (161, 158, 161, 161, 156, 158), (10, 20, 30, 40, 50, 60), strict=True
        )
    ]
    (mean,) = stage._mean(MULTIPL_E, rows)
    assert mean["benchmark"] == "multipl-e" and mean["tasks"] == 955
    assert mean["metrics"]["pass@1"] == pytest.approx(34.8901, abs=1e-3)
    assert stage._mean(MULTIPL_E, rows[1:]) == []


def test_a_missing_toolchain_is_a_gap_and_no_verdict(several: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets, samples = several
    gone = next(iter(samples))
    real = toolchains.find

    def find(language: str) -> toolchains.Toolchain:
        if language == gone:
            raise toolchains.MissingError(f"toolchain missing: install with `{toolchains.INSTALL[language]}`")
        return real(language)

    monkeypatch.setattr(toolchains, "find", find)
    monkeypatch.setattr(judge, "trouble", judge.trouble.__wrapped__)
    result = _score(datasets, samples)
    assert result["gaps"] == {gone: f"toolchain missing: install with `{toolchains.INSTALL[gone]}`"}
    assert gone not in result["languages"] and gone not in {task["language"] for task in result["tasks"]}
    alone = _score({gone: datasets[gone]}, {gone: samples[gone]})
    assert alone["metrics"] == {} and alone["tasks"] == [] and list(alone["gaps"]) == [gone]


def test_a_toolchain_that_does_not_work_is_a_gap_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchains, "find", lambda _: toolchains.Toolchain({"php": "/bin/false"}, {"php": "0.0"}))
    trouble = judge.trouble.__wrapped__("php", sandbox.detect(), 1000)
    assert trouble.startswith(
        "toolchain does not work here ('<?php 1;': failed): install with `apt-get install php-cli"
    )


def _trouble(language: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> str:
    """What is said when the toolchain is another one than it seems to be."""
    _needs(language)
    found = replace(toolchains.find(language), **changes)
    monkeypatch.setattr(toolchains, "find", lambda _: found)
    trouble = judge.trouble.__wrapped__(language, sandbox.detect(), 1500)
    assert trouble is not None and "\n" not in trouble
    return str(trouble)


def test_what_programs_are_promised_is_tried_in_the_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jar = tmp_path / "javatuples.jar"
    jar.write_bytes(b"PK\5\6" + bytes(18))  # a jar without classes, as one that cannot be read
    trouble = _trouble("java", monkeypatch, classpath=str(jar), readonly=(jar,))
    assert trouble.startswith("toolchain does not work here (") and "org.javatuples" in trouble
    assert trouble.endswith(": compile error): install with `apt-get install default-jdk-headless libjavatuples-java`")


def test_an_extension_that_is_not_loaded_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    php = replace(LANGUAGE_OF["php"], run=lambda found, _: [found.tools["php"], "-n", "program.php"])
    monkeypatch.setitem(LANGUAGE_OF, "php", php)
    trouble = _trouble("php", monkeypatch)
    assert "mb_strlen" in trouble and trouble.endswith("install with `apt-get install php-cli php-mbstring`")


@pytest.mark.parametrize(("language", "tools"), [("rs", {"rustc": "/bin/false"}), ("cpp", {"g++": "/bin/true"})])
def test_a_compiler_that_makes_nothing_is_a_gap(
    language: str, tools: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchains, "headers", lambda anew=False: None)
    trouble = _trouble(language, monkeypatch, tools=tools)
    assert trouble.startswith("toolchain does not work here (")


def test_a_machine_on_which_a_language_does_not_work_stops_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may be on another machine than the command: it gives no verdicts either."""
    _needs("js")
    found = toolchains.find("js")
    judging = judge.Judge({"backend": sandbox.detect(), "memory_mb": 1500, "versions": {"js": found.versions}})
    monkeypatch.setattr(toolchains, "find", lambda _: replace(found, tools={"node": "/bin/false"}))
    for _ in range(2):
        with pytest.raises(UsageError, match=r"^js: toolchain does not work here"):
            judging({"language": "js", "program": "1;", "tests": "1;"})


def test_a_toolchain_is_looked_for_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchains, "find", toolchains.find.__wrapped__)
    monkeypatch.setenv("PATH", os.devnull)
    gaps = toolchains.gaps(LANGUAGES)
    assert set(gaps) == set(LANGUAGES)
    assert all(text.startswith("toolchain missing: install with `") for text in gaps.values())


RIGHT_JS = [{"task_id": name, "completion": text} for name, text in SOLUTIONS["js"].items()]


@pytest.mark.parametrize(
    ("rows", "language", "message"),
    [
        (RIGHT_JS, "kotlin", "multipl-e needs --language, one of cpp, java, js, php, rs, swift, not 'kotlin'"),
        (RIGHT_JS, None, "names no 'language': give --language"),
        ([{**RIGHT_JS[0], "language": "cobol"}], None, "unknown language 'cobol': one of cpp"),
        ([{**RIGHT_JS[0], "language": "js"}], "php", "is of the language 'js', not 'php'"),
        ([*RIGHT_JS, {"task_id": "HumanEval_0", "completion": ""}], "js", "js: 1 tasks of the samples are not in the set: Hum"),
        (RIGHT_JS[:1], "js", "js: 2 of 3 tasks have no sample: Mini"),
        ([{"task_id": RIGHT_JS[0]["task_id"]}], "js", "has neither 'completion' nor 'program'"),
        ([{**RIGHT_JS[0], "completion": 3}], "js", "the field 'completion' is not text"),
        ([{"task_id": row["task_id"], "program": "<?php ?>"} for row in RIGHT_JS], "js", "no program holds its task's tests"),
        ([], "js", "no sample in it"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_one_line(rows: list[Any], language: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    records.write_jsonl(path, rows)
    with pytest.raises(UsageError, match="^[^\n]*" + message.replace("[", r"\[")) as caught:
        _command(path, tmp_path / "out.json", language)
    assert "\n" not in str(caught.value) and not (tmp_path / "out.json").exists()


def _command(path: Path, out: Path, language: str | None, executor: str = "local") -> None:
    options = command.Options(language=language, settings=("workers=2", f"executor={executor}"))
    command.score("minibench-multipl-e", path, out, options)


def test_an_unknown_executor_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--executor cloud: one of local, ray, slurm"):
        _command(tmp_path / "samples.jsonl", tmp_path / "out.json", "js", "cloud")


def test_the_command_writes_the_contract_s_file(tmp_path: Path) -> None:
    _needs("php")
    path, out = tmp_path / "samples.jsonl", tmp_path / "out.json"
    records.write_jsonl(path, _mini_samples("php"))
    _command(path, out, "php")
    result = records.read_json(out)
    assert result["benchmark"] == "minibench-multipl-e" and result["protocol"] == "paper"
    assert set(result["dataset"]) == {"name", "version", "sha256"} and result["scorer"] and result["sandbox"]
    first = result["tasks"][0]
    assert first["task_id"] == _mini("php")["name"] and first["language"] == "php"
    assert [sample["status"] for sample in first["samples"]] == ["passed", "passed", "failed"]
    assert set(first["samples"][0]) == {"passed", "passed_plus", "status", "seconds"}
