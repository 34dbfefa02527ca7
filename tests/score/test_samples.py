"""Samples as people have them: real files of every form are read alike, a wrong one is one line, and the command's options hold."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import benchmarks, errors, records
from magicoder_repro.benchmarks import minibench
from magicoder_repro.errors import UsageError
from magicoder_repro.score import command, compare, samples

HUMANEVAL, MBPP, MULTIPL_E, DS1000 = (
    benchmarks.get(f"minibench-{name}") for name in ("humaneval", "mbpp", "multipl-e", "ds1000")
)
TASKS = HUMANEVAL.load().tasks
RIGHT = {task["task_id"]: task["prompt"] + task["canonical_solution"] for task in TASKS}
NAMES = list(RIGHT)
JS = MULTIPL_E.load(subset="js").tasks
JS_RIGHT = minibench.solutions()["js"]
LINES = [{"task_id": name, "solution": text} for name, text in RIGHT.items()]


def _read(path: Path, name: str = "humaneval", language: str | None = None) -> samples.Given:
    benchmark = benchmarks.get(f"minibench-{name}")
    return samples.read(path, benchmark, language, lambda subset: benchmark.load(subset=subset))


def _refused(read: Callable[[], Any], message: str) -> None:
    """One line that begins as `message` does, a pattern."""
    with pytest.raises(UsageError) as caught:
        read()
    assert re.match(message, str(caught.value)) and "\n" not in str(caught.value), caught.value


def _pack(path: Path, content: bytes | str | Any) -> Path:
    """A gzip file of bytes, of lines or of a JSON document."""
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(gzip.compress(content, mtime=0))
    return path


def _jsonl(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# JSONL, packed


def test_a_packed_file_is_read_as_a_plain_one(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(_jsonl(LINES))
    plain, packed = _read(tmp_path / "s.jsonl"), _read(_pack(tmp_path / "s.jsonl.gz", _jsonl(LINES)))
    assert packed.rows == plain.rows == LINES
    assert (plain.form, packed.form) == ("JSONL", "JSONL, packed")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(_jsonl(LINES).encode(), mtime=0)[:-20], r"\S+s\.jsonl\.gz: not a whole gzip file \("),
        (gzip.compress(_jsonl(LINES).encode(), mtime=0)[:5], r"\S+s\.jsonl\.gz: not a whole gzip file \("),
        (b"\x1f\x8b\x08\x00" + b"x" * 50, r"\S+s\.jsonl\.gz: not a whole gzip file \("),
        (_jsonl(LINES).encode(), r"\S+s\.jsonl\.gz: not a whole gzip file \(Not a gzipped file"),
        (gzip.compress(b"", mtime=0), r"\S+s\.jsonl\.gz: no sample in it"),
        (gzip.compress(b"\n\n{]\n", mtime=0), r"\S+s\.jsonl\.gz:3: not JSON \(.*: mend or remove this line"),
        (gzip.compress(b"\n[]\n", mtime=0), r"\S+s\.jsonl\.gz:2: a list, not a JSON object"),
        (gzip.compress(b'{"task_id": "a"}\n\n{}\n', mtime=0), r"\S+s\.jsonl\.gz:3: the field 'task_id' is missing"),
        (gzip.compress(b'{"task_id": 3}\n', mtime=0), r"\S+s\.jsonl\.gz:1: the field 'task_id' is not text"),
    ],
)
def test_a_bad_packed_file_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl.gz").write_bytes(content)
    _refused(partial(_read, tmp_path / "s.jsonl.gz"), message)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _pack(tmp_path / "s.jsonl.gz", b" " * (3 << 20))
    monkeypatch.setattr(samples, "_MOST_BYTES", 2 << 20)
    monkeypatch.setattr(samples, "_PART", 1 << 16)
    _refused(partial(_read, path), r"\S+s\.jsonl\.gz: unpacks to more than \S+ GB: not samples")
    monkeypatch.setattr(samples, "_MOST_BYTES", 3 << 20)
    _refused(partial(_read, path), r"\S+s\.jsonl\.gz: no sample in it")


# Folders of .py files


@pytest.mark.parametrize("numbered", [False, True])
def test_a_folder_of_python_files(numbered: bool, tmp_path: Path) -> None:
    for name, text in RIGHT.items():
        path = tmp_path / name.replace("/", "_")
        path = path / "0.py" if numbered else path.with_name(f"{path.name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    given = _read(tmp_path)
    assert given.form == "a folder of .py files"
    assert sorted(given.rows, key=lambda row: NAMES.index(row["task_id"])) == LINES


def test_several_files_of_a_task_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / NAMES[0].replace("/", "_")
    folder.mkdir()
    for number in (10, 2, 0, 1):
        (folder / f"{number}.py").write_text(str(number))
    (folder / "notes.txt").write_text("no sample")
    assert [row["solution"] for row in _read(tmp_path).rows] == ["0", "1", "2", "10"]
    assert {row["task_id"] for row in _read(tmp_path).rows} == {NAMES[0]}


def test_files_of_no_task_are_named(tmp_path: Path) -> None:
    (tmp_path / "MiniHumanEval_0.py").write_text("")
    (tmp_path / "HumanEval_0.py").write_text("")
    (tmp_path / "MiniHumanEval-1").mkdir()
    (tmp_path / "MiniHumanEval-1" / "0.py").write_text("")
    _refused(
        partial(_read, tmp_path),
        r"\S+: 2 files are of no task \(TASK\.py or TASK/N\.py, as MiniHumanEval_0\.py\): "
        r"(HumanEval_0\.py, MiniHumanEval-1/0\.py|MiniHumanEval-1/0\.py, HumanEval_0\.py)$",
    )


def test_the_folders_of_the_papers_script(tmp_path: Path) -> None:
    for name in ("Numpy/Completion/q0/10.py", "Numpy/Completion/q0/2.py", "Pandas/Completion/q0/0.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "Numpy/Completion/q0/FINISHED").touch()
    given = _read(tmp_path, "ds1000")
    assert [(row["problem_id"], row["completion"][-5:]) for row in given.rows] == [
        ("1", "/2.py"),
        ("1", "10.py"),
        ("0", "/0.py"),
    ]
    assert given.form == "a folder of DS-1000's completions"
    (tmp_path / "Numpy/Completion/q7").mkdir()
    (tmp_path / "Numpy/Completion/q7/0.py").touch()
    _refused(partial(_read, tmp_path, "ds1000"), r"\S+: 1 files are of no problem .*: Numpy/Completion/q7/0\.py$")


def test_an_empty_folder_and_one_for_a_benchmark_without_whole_programs(tmp_path: Path) -> None:
    _refused(partial(_read, tmp_path), r"\S+: no sample in it")
    _refused(partial(_read, tmp_path, "ds1000"), r"\S+: a folder of \.py files .* minibench-ds1000 does not take")
    _refused(partial(_read, tmp_path, "multipl-e"), r"\S+: no \.json or \.json\.gz file of a task in it")


# generations.json


def _generations(folder: Path, content: Any) -> Path:
    (folder / "generations.json").write_text(json.dumps(content))
    return folder / "generations.json"


def test_generations_are_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    given = _read(_generations(tmp_path, [[text, "second"] for text in RIGHT.values()]))
    assert given.form == "generations.json of bigcode-evaluation-harness"
    assert given.rows == [row for line in LINES for row in (line, {**line, "solution": "second"})]


def test_generations_of_a_language_get_its_tests(tmp_path: Path) -> None:
    texts = [task["prompt"].strip() + JS_RIGHT[task["name"]] for task in JS]
    path = _generations(tmp_path, [[text] for text in texts])
    rows = _read(path, "multipl-e", "js").rows
    assert [row["task_id"] for row in rows] == [task["name"] for task in JS]
    assert [MULTIPL_E.program(task, row) for task, row in zip(JS, rows, strict=True)] == [
        MULTIPL_E.program(task, {"completion": JS_RIGHT[task["name"]]}) for task in JS
    ]
    _refused(partial(_read, path, "multipl-e"), "minibench-multipl-e needs --language, one of cpp, ")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ([["x"]] * (len(TASKS) + 1), "humaneval", rf"{len(TASKS) + 1} tasks, the set has {len(TASKS)}: generations"),
        (
            [["x"]],
            "ds1000",
            "generations.json has no names, and its order for minibench-ds1000 is not known: give JSONL",
        ),
        ([], "humaneval", "neither JSONL nor generations.json"),
        ({"a": 1}, "humaneval", "neither JSONL nor generations.json"),
        (["x"], "humaneval", "neither JSONL nor generations.json"),
        ([["x"], [3]], "humaneval", "neither JSONL nor generations.json"),
        ([[]], "humaneval", "no sample in it"),
        ([["x"]], "humaneval", rf"1 tasks, the set has {len(TASKS)}, and the texts do not begin with the prompts"),
    ],
)
def test_wrong_generations_are_one_line(content: Any, name: str, message: str, tmp_path: Path) -> None:
    _refused(partial(_read, _generations(tmp_path, content), name), rf"\S+generations\.json: {message}")


@pytest.mark.sandbox
def test_fewer_generations_than_tasks_are_not_taken_for_the_whole(tmp_path: Path) -> None:
    path = _generations(tmp_path, [[text] for text in RIGHT.values()][:-1])
    _refused(
        partial(command.score, HUMANEVAL.name, path, tmp_path / "o.json", command.Options()),
        rf"\S+generations\.json: 1 of {len(TASKS)} tasks have no sample: {NAMES[-1]}: .*--partial",
    )


# MultiPL-E's folder


def _of_task(task: dict[str, Any], *completions: str) -> dict[str, Any]:
    """What MultiPL-E writes for a task; its tests here are not the pinned ones."""
    fields = {key: task[key] for key in ("name", "language", "prompt", "stop_tokens")}
    return {**fields, "temperature": 0.2, "top_p": 0.95, "tests": "process.exit(0)", "completions": list(completions)}


def _outcomes(task: dict[str, Any], *outcomes: tuple[str, int]) -> dict[str, Any]:
    """What it writes beside that."""
    rows = [
        {"program": "", "stdout": "", "stderr": "", "status": status, "exit_code": code} for status, code in outcomes
    ]
    return {"name": task["name"], "language": task["language"], "results": rows}


@pytest.fixture
def multipl_e(tmp_path: Path) -> Path:
    """Two completions a task: the first is right, the second wrong. Their verdicts agree but for one that timed out."""
    folder = tmp_path / "humaneval-js-model-0.2"
    folder.mkdir()
    for number, task in enumerate(JS):
        _pack(folder / f"{task['name']}.json.gz", _of_task(task, JS_RIGHT[task["name"]], "  return 0;\n}"))
        first = ("Timeout", -1) if number == 1 else ("OK", 0)
        _pack(folder / f"{task['name']}.results.json.gz", _outcomes(task, first, ("Exception", 1)))
    return folder


def test_a_folder_of_multipl_e_is_judged_by_the_pinned_tests(multipl_e: Path) -> None:
    given = _read(multipl_e, "multipl-e")
    assert given.form == "MultiPL-E's folder" and len(given.rows) == 2 * len(JS)
    for task, row in zip(JS, given.rows[::2], strict=True):
        assert (row["task_id"], row["language"]) == (task["name"], "js")
        assert row["program"] == task["prompt"] + JS_RIGHT[task["name"]] + "\n" + task["tests"]
    unpacked = multipl_e.with_name("unpacked")
    unpacked.mkdir()
    for path in multipl_e.glob("*.gz"):
        (unpacked / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert _read(unpacked, "multipl-e") == given


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
@pytest.mark.sandbox
def test_a_score_is_compared_with_the_verdicts_in_the_folder(
    multipl_e: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    command.score(MULTIPL_E.name, multipl_e, out, command.Options(ks="1,2", settings=("workers=2",)))
    assert records.read_json(out)["metrics"] == {"pass@1": 50.0, "pass@2": 100.0}
    capsys.readouterr()
    assert compare.compare(out, multipl_e) == errors.EXIT_BAD_RESULT
    assert capsys.readouterr().out.splitlines() == [
        f"js/{JS[1]['name']}: pass/- fail/- | fail/- fail/-",
        f"1 of {len(JS)} tasks differ (passed/passed_plus of each sample; {out} | {multipl_e})",
    ]
    _pack(multipl_e / f"{JS[1]['name']}.results.json.gz", _outcomes(JS[1], ("OK", 0), ("OK", 1)))
    assert compare.compare(out, multipl_e) == errors.EXIT_DONE
    (multipl_e / f"{JS[2]['name']}.results.json.gz").unlink()
    assert compare.compare(multipl_e, out) == errors.EXIT_BAD_RESULT
    assert f"js/{JS[2]['name']}: missing | pass/- fail/-" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"completions": "x"}, "not a file of MultiPL-E: 'name', 'language', 'prompt' and 'completions' are wanted"),
        ({"prompt": None}, "not a file of MultiPL-E"),
        ({"name": 3}, "not a file of MultiPL-E"),
        ({"completions": ["x", 3]}, "a completion is no text"),
        ({"language": "lua"}, "minibench-multipl-e needs --language, one of cpp, .*, not 'lua'"),
        (None, r"not a whole gzip file \("),
        ("{", r"not JSON \("),
        ("[]", "not a file of MultiPL-E"),
    ],
)
def test_a_bad_file_of_a_task_is_named(change: Any, message: str, multipl_e: Path) -> None:
    path = multipl_e / f"{JS[1]['name']}.json.gz"
    content = {**_of_task(JS[1], "x"), **change} if isinstance(change, dict) else change
    _pack(path, content or "")
    if change is None:
        path.write_bytes(path.read_bytes()[:-3])
    _refused(partial(_read, multipl_e, "multipl-e"), rf"\S+{re.escape(path.name)}: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not a file of MultiPL-E: 'name' and 'results' are wanted"),
        ('{"name": "a", "results": 3}', "not a file of MultiPL-E"),
        ('{"name": 3, "results": [{"exit_code": 0}]}', "not a file of MultiPL-E"),
        ('{"name": "a", "results": [3]}', "a result has no 'exit_code'"),
        ('{"name": "a", "results": [{"status": "OK"}]}', "a result has no 'exit_code'"),
        ("{", r"not JSON \("),
    ],
)
def test_bad_verdicts_of_multipl_e_are_named(content: str, message: str, multipl_e: Path) -> None:
    path = _pack(multipl_e / f"{JS[0]['name']}.results.json.gz", content)
    _refused(partial(compare.compare, multipl_e, multipl_e), rf"\S+{re.escape(path.name)}: {message}")


def test_a_folder_without_verdicts_is_one_line(tmp_path: Path) -> None:
    _refused(partial(compare.compare, tmp_path, tmp_path), r"\S+: no \.results\.json or \.results\.json\.gz file in it")


# DS-1000's answers


def test_answers_of_ds1000_are_texts_or_lists_of_texts(tmp_path: Path) -> None:
    rows = [{"id": 0, "code": "a"}, {"id": "1", "code": ["b", "c"], "metadata": {}}, {"problem_id": 2, "code": "d"}]
    (tmp_path / "a.jsonl").write_text(_jsonl(rows))
    given = _read(tmp_path / "a.jsonl", "ds1000")
    assert given.form == "DS-1000's answers"
    named = [(DS1000.sample_id(row), row["completion"]) for row in given.rows]
    assert named == [("0", "a"), ("1", "b"), ("1", "c"), ("2", "d")]
    tasks = DS1000.load().tasks
    assert [DS1000.program(tasks[0], row) for row in given.rows] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"code": "a"}, "an answer with 'code' has no 'id': give the problem's number"),
        ({"id": 7, "code": []}, "the field 'code' of 7 is no text and no list of texts"),
        ({"id": 7, "code": ["a", None]}, "the field 'code' of 7 is no text"),
        ({"problem_id": "x" * 200, "code": 3}, "the field 'code' of 'x{79} is no text"),
    ],
)
def test_a_bad_answer_is_one_line(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(_jsonl([{"id": 0, "code": "a"}, row]))
    _refused(partial(_read, tmp_path / "a.jsonl", "ds1000"), rf"\S+a\.jsonl: {message}")


# The command: --partial, --k, --set


def _score(folder: Path, rows: Sequence[Any], **options: Any) -> dict[str, Any]:
    (folder / "s.jsonl").write_text(_jsonl(rows))
    wanted = command.Options(**{"settings": ("workers=2",), **options})
    command.score(HUMANEVAL.name, folder / "s.jsonl", folder / "result.json", wanted)
    content: dict[str, Any] = records.read_json(folder / "result.json")
    return content


@pytest.mark.sandbox
def test_a_part_of_the_set_is_not_told_as_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = [*LINES[:2], {"task_id": NAMES[0], "solution": "x"}, {"task_id": NAMES[1], "solution": "x"}]
    _refused(
        partial(_score, tmp_path, some), rf"\S+: {len(TASKS) - 2} of {len(TASKS)} tasks have no sample: .*--partial"
    )
    assert not (tmp_path / "result.json").exists()
    result = _score(tmp_path, some, partial=True, ks="1,2")
    assert (
        result["partial"] == {"tasks": 2, "of": len(TASKS)} and [one["task_id"] for one in result["tasks"]] == NAMES[:2]
    )
    assert result["metrics"] == {"pass@1": 50.0, "pass@1+": 50.0, "pass@2": 100.0, "pass@2+": 100.0}
    told = capsys.readouterr().err
    assert f"WARNING: 2 of {len(TASKS)} tasks have a sample: these numbers are of those only" in told
    assert "the mean of 2 tasks" in told


@pytest.mark.sandbox
def test_the_whole_set_is_not_partial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = _score(tmp_path, LINES, partial=True)
    assert "partial" not in result and result["metrics"] == {"pass@1": 100.0, "pass@1+": 100.0}
    assert "WARNING" not in capsys.readouterr().err


def test_too_few_samples_for_k_are_one_line(tmp_path: Path) -> None:
    rows = [*LINES, *LINES[1:]]
    _refused(partial(_score, tmp_path, rows, ks="1,2"), r"\S+: pass@2 needs 2 samples of every task: the fewest are 1$")
    _refused(
        partial(_score, tmp_path, LINES, ks="1,10"), r"\S+: pass@10 needs 10 samples of every task: the fewest are 1$"
    )


@pytest.mark.parametrize("text", ["", "0", "1,0", "-1", "a", "1,,2", "1.5"])
def test_a_k_that_is_no_number(text: str, tmp_path: Path) -> None:
    _refused(partial(_score, tmp_path, LINES, ks=text), rf"--k {re.escape(text)}: give numbers above 0, as 1,10")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("call_second=2", "no such setting: did you mean 'call_seconds'"),
        ("zzz=2", "no such setting: one of call_seconds, executor, "),
        ("ds1000_seconds=2", "minibench-humaneval does not read it: one of call_seconds, "),
        ("call_seconds", "give KEY=VALUE, KEY one of call_seconds, "),
        ("=2", "give KEY=VALUE"),
        ("executor.=2", "give KEY=VALUE"),
        ("call_seconds=0", "Input should be greater than 0"),
        ("call_seconds=soon", "Input should be a valid number"),
        ("call_seconds=NaN", "Input should be a finite number"),
        ("memory_mb=1.5", "Input should be a valid integer"),
        ("executor.shard=0", "Input should be greater than 0"),
        ("executor.partition=gpu", "the executor local does not read it: give --executor ray or slurm"),
    ],
)
def test_a_wrong_setting_is_one_line(word: str, message: str) -> None:
    key = word.partition("=")[0]
    _refused(partial(command.settings, HUMANEVAL, [word]), rf"--set {re.escape(key)}(=[^:]*)?: {message}")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("workers=0", "--workers 0: "),
        ("sandbox=cloud", "--sandbox cloud: one of auto, bubblewrap, "),
        ("executor=cloud", "--executor cloud: one of local, ray, slurm"),
        ("executor.kind=cloud", "--executor cloud: one of local, ray, slurm"),
    ],
)
def test_a_wrong_setting_that_has_an_option_is_named_as_that(word: str, message: str) -> None:
    _refused(partial(command.settings, HUMANEVAL, [word]), message)


def test_a_limit_that_the_protocol_does_not_have_is_refused() -> None:
    _refused(
        partial(command.settings, HUMANEVAL, ["program_seconds=5"]),
        "--set program_seconds=5: protocol paper does not read it: one of call_seconds, executor, memory_mb, ",
    )
    assert command.settings(HUMANEVAL, ["program_seconds=5"], "current").program_seconds == 5


def test_settings_of_the_executor_are_datatrove_s() -> None:
    words = ["executor=slurm", "executor.partition=gpu", "executor.shard=5", "call_seconds=2", "workers=3"]
    scoring = command.settings(HUMANEVAL, words)
    assert (scoring.executor.kind, scoring.executor.shard) == ("slurm", 5)
    assert scoring.executor.options == {"partition": "gpu"}
    assert (scoring.call_seconds, scoring.workers) == (2.0, 3)


# compare


def _result(path: Path, **verdicts: Any) -> Path:
    tasks = [
        {"task_id": name, "samples": [{"passed": passed, "passed_plus": plus} for passed, plus in found]}
        for name, found in verdicts.items()
    ]
    records.write_json(path, {"tasks": tasks})
    return path


def test_compare_lists_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = _result(
        tmp_path / "a.json", t10=[(True, True)], t2=[(True, None)], same=[(False, False)], gone=[(True, True)]
    )
    other = _result(tmp_path / "b.json", t10=[(True, False)], t2=[(False, None)], same=[(False, False)])
    assert compare.compare(one, one) == errors.EXIT_DONE
    assert capsys.readouterr().out.startswith("0 of 4 tasks differ")
    assert compare.compare(one, other) == errors.EXIT_BAD_RESULT
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "t2: pass/- | fail/-",
        "t10: pass/pass | pass/fail",
        "gone: pass/pass | missing",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"not a result of `magicoder score` \("),
        ({"version": 2, "tasks": []}, r"not a result of `magicoder score` \(version: "),
        ({"tasks": [{"task_id": "a"}]}, r"not a result of `magicoder score` \(tasks\.0\.samples: "),
        ({"tasks": [{"task_id": "a", "samples": []}] * 2}, "the task a is in it twice"),
    ],
)
def test_compare_refuses_what_is_no_result(content: Any, message: str, tmp_path: Path) -> None:
    records.write_json(tmp_path / "a.json", content)
    _refused(partial(compare.compare, tmp_path / "a.json", tmp_path / "a.json"), rf"\S+a\.json: {message}")
