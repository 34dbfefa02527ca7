"""What the page knows of each task, and how it is packed."""

from __future__ import annotations

import base64
import csv
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import benchmarks
from magicoder_repro.errors import UsageError
from magicoder_repro.report import arena, cells, drill, scored, tables
from magicoder_repro.report.drill import Answer, Task, TaskSet


def _set(text: str = "x", tasks: int = 2) -> TaskSet:
    one = TaskSet(
        "humaneval", "humaneval", None, "paper", {}, plus=True, asked={"base": "completion", "s": "magicoder"}
    )
    for number in range(tasks):
        answers = {"base": Answer("b", 0, "wrong", text=text), "s": Answer("P", 0, "passed", text=text)}
        one.tasks[f"T/{number}"] = Task(prompt=text, answers=answers)
    return one


def _collect(inputs: Mapping[str, Path]) -> list[TaskSet]:
    return drill.collect(scored.each(inputs), inputs)


def _unpacked(packed: drill.Packed) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(packed.text)))


def test_the_first_sample_that_fails_is_shown(small: Any) -> None:
    (java,) = [one for one in _collect(small.inputs) if one.name == "multipl-e-java"]
    for name, task in java.tasks.items():
        for model, answer in task.answers.items():
            first = answer.marks.find(".")
            assert answer.shown == max(first, 0) and len(answer.marks) == 20
            assert answer.text.startswith("def "), (name, model)
            assert answer.status == ("passed" if first < 0 else "wrong value")


def test_a_set_judged_by_two_protocols_is_two_sets(no_data: Path, tmp_path: Path, made_up: Any) -> None:
    run = made_up(tmp_path)
    for protocol, mark in (("paper", "P"), ("current", ".")):
        run.judged("magicoder-s", "humaneval", None, {"HumanEval/0": mark}, lambda *_: "pass", True, protocol=protocol)
    sets = _collect(run.inputs)
    assert [(one.link, one.tasks["HumanEval/0"].answers["magicoder-s"].marks) for one in sets] == [
        ("humaneval", "P"),
        ("humaneval@current", "."),
    ]
    measured = [one for node in scored.each(run.inputs) for one in cells.scores(node)]
    found = cells.compare(measured, run.config, ())
    links = [one.link for one in sets]
    entries = [one for later in (False, True) for table in tables.layout(found, links, later) for one in table.entries]
    assert {one.cell.protocol: one.tasks for one in entries if one.is_measured} == {
        "paper": links[0],
        "current": links[1],
    }


def test_prompts_are_those_of_the_very_data_file(small: Any) -> None:
    found = {one.name: one for one in _collect(small.inputs)}
    assert all(task.prompt for task in found["humaneval"].tasks.values()) and not found["humaneval"].note
    assert "no such file" in found["multipl-e-java"].note
    path = small.inputs["score/base/humaneval"] / "humaneval.json"
    kept = path.read_text()
    try:
        path.write_text(kept.replace('"sha256": "', '"sha256": "0'))
        (other,) = _collect({"score/base/humaneval": path.parent})
    finally:
        path.write_text(kept)
    assert "not the one that these verdicts are of" in other.note and other.tasks["HumanEval/0"].prompt is None


def test_texts_are_shortened_before_prompts_and_the_page_says_so() -> None:
    noise = "".join(chr(33 + (number * number * 7 + number // 3) % 90) for number in range(7000))
    sets = [_set(noise + str(number), 1) for number in range(1)]
    whole = drill.pack(sets, {})
    assert not whole.note and _unpacked(whole)["sets"][0]["tasks"][0][3][0][4] == noise + "0"
    short = drill.pack(sets, {}, most=len(whole.text) - 1)
    task = _unpacked(short)["sets"][0]["tasks"][0]
    assert "completions after 3000 characters" in short.note and "[... " in task[3][0][4] and task[2] == noise + "0"
    least = drill.pack(sets, {}, most=400)
    assert "all completions and all prompts" in least.note or "all completions" in least.note
    with pytest.raises(UsageError, match="the verdicts alone take"):
        drill.pack(sets, {}, most=10)


def test_packing_is_the_same_each_time_and_closes_no_tag() -> None:
    evil = _set("</script><script>alert(1)</script>\u202e")
    one, other = drill.pack([evil], {"base": "</script>"}), drill.pack([evil], {"base": "</script>"})
    assert one == other and set(one.text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
    assert "\\u202e" in _unpacked(one)["sets"][0]["tasks"][0][2]


def test_two_runs_are_merged_task_by_task() -> None:
    first, second = _set("one"), _set("two", tasks=3)
    for run, one in (("A", first), ("B", second)):
        one.asked = {f"{run}: {name}": asked for name, asked in one.asked.items()}
        for task in one.tasks.values():
            task.answers = {f"{run}: {name}": answer for name, answer in task.answers.items()}
    (merged,) = drill.merge([first], [second])
    assert list(merged.asked) == ["A: base", "A: s", "B: base", "B: s"] and len(merged.tasks) == 3
    content = _unpacked(drill.pack([merged], {}))["sets"][0]
    assert content["usual"] == [0, 2] and content["tasks"][2][3][0] is None


def test_eval_arena_gets_a_row_for_each_task_model_and_kind_of_tests(small_report: Path) -> None:
    rows = list(csv.DictReader((small_report / "eval_arena.csv").open()))
    assert list(rows[0]) == ["benchmark_id", "model", "example_id", "pass1", "correct", "count"]
    assert len(rows) == 3 * (2 * 164 + 158) and len(
        {(row["benchmark_id"], row["model"], row["example_id"]) for row in rows}
    ) == len(rows)
    passed = sum(
        float(row["pass1"]) for row in rows if (row["benchmark_id"], row["model"]) == ("humaneval+", "magicoder-s")
    )
    assert passed == 96
    lines = [json.loads(line) for line in (small_report / "eval_arena.jsonl").read_text().splitlines()]
    assert [str(line["correct"]) for line in lines] == [row["correct"] for row in rows]


def test_a_task_that_would_be_a_formula_is_text() -> None:
    one = _set()
    one.tasks["=1+1"] = one.tasks.pop("T/0")
    assert "'=1+1" in arena.to_csv([one])


def test_data_that_must_not_be_put_online_are_not_on_the_page(tmp_path: Path, made_up: Any) -> None:
    run = made_up(tmp_path)
    run.judged("magicoder-s", "ds1000", None, {"0": "P"}, lambda *_: "pass")
    (found,) = _collect(run.inputs)
    assert found.tasks["0"].prompt is None and "never be put online" in found.note
    assert benchmarks.get("ds1000").private and not benchmarks.get("minibench-ds1000").private
