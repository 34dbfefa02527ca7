"""PROTOCOL section 3: what counts as a benchmark's text, with the real lists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from magicoder_repro.benchmarks.evalplus import human_eval
from magicoder_repro.data import benchmark_texts
from magicoder_repro.data.decontaminate import Matcher


def _run(
    source: Path, out: Path, data: Path | None
) -> tuple[list[dict[str, str]], list[dict[str, str]], dict[str, object]]:
    environment = {**os.environ, "MAGICODER_DATA": str(data or out.parent / "nothing")}
    command = [sys.executable, "-m", "magicoder_repro.cli", "decontaminate", str(source), "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    kept = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    return kept, dropped, json.loads((out / "manifest.json").read_text())


@pytest.mark.process
def test_every_kind_of_benchmark_text_is_found_whatever_its_case(tmp_path: Path, data: Path) -> None:
    tasks = human_eval.read()
    mbpp = [json.loads(line) for line in (data / "mbpp" / "mbpp.jsonl").read_text().splitlines()]
    gsm8k = json.loads((data / "gsm8k" / "gsm8k_test.jsonl").read_text().splitlines()[0])
    inside = next(row for row in mbpp if int(row["task_id"]) == 11)
    outside = next(row for row in mbpp if int(row["task_id"]) == 600)
    records = [
        {"problem": "Something of our own", "solution": "print('hello')"},
        {"problem": f"Intro. {inside['text'].upper()} Outro.", "solution": "x"},
        {"problem": "x", "solution": "before\n" + inside["code"] + "after"},
        {"problem": benchmark_texts.human_eval_docstring(tasks[0]["prompt"]), "solution": "x"},
        {"problem": "x", "solution": "def f():\n    " + tasks[0]["canonical_solution"].strip()},
        {"problem": gsm8k["question"], "solution": "x"},
        {"problem": outside["text"], "solution": "x"},
        {"problem": "add", "solution": "def add(x, y):\n    return x + y"},
        {"instruction": f"please: {inside['text']}", "output": "x"},
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in records))
    kept, dropped, manifest = _run(source, tmp_path / "out", data)
    assert kept == [records[0], records[6], records[7]]
    assert [row["reason"] for row in dropped] == [
        "mbpp_docstrings_match",
        "mbpp_solutions_match",
        "human_eval_docstrings_match",
        "human_eval_solutions_match",
        "gsm8k_questions_match",
        "mbpp_docstrings_match",
    ]
    assert dropped[0]["matched"] == inside["text"]
    counts = manifest["counts"]
    assert isinstance(counts, dict)
    assert counts["lists_missing"] == ["apps_docstrings"]
    assert counts["lists_applied"]["mbpp_docstrings"] == 500
    assert counts["lists_applied"]["human_eval_docstrings"] == 164
    assert counts["lists_applied"]["ds1000_prompts"] == 1000


@pytest.mark.process
def test_without_data_the_missing_lists_are_named(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"problem": "p", "solution": "s"}\n')
    _, _, manifest = _run(source, tmp_path / "out", None)
    counts = manifest["counts"]
    assert isinstance(counts, dict)
    assert set(counts["lists_applied"]) == {"human_eval_docstrings", "human_eval_solutions"}
    assert len(counts["lists_missing"]) == 5


def test_the_last_exemption_is_none_in_effect() -> None:
    texts = next(item.texts for item in benchmark_texts.load() if item.name == "human_eval_solutions")
    assert "return x + y" not in texts and "return n**2" not in texts and "return len(string)" not in texts
    assert "return ''.join(strings)" in texts


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_list_gives_the_reason(order: int) -> None:
    lists = [benchmark_texts.TextList("a", Path("a"), ("needle",)), benchmark_texts.TextList("b", Path("b"), ("need",))]
    found = Matcher(lists[::order]).find("x", "NEEDLE")
    assert found is not None and found[0] == ("a" if order == 1 else "b")
