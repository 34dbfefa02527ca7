"""A set with one fault of each kind: each is named, and nothing else is off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from magicoder_repro.data import audit, benchmark_texts
from magicoder_repro.errors import UsageError

RIGHT = [
    {"seed": "int a;", "problem": "Add two numbers.", "solution": "```python\ndef add(a, b):\n    return b + a\n```"},
    {"seed": "int b;", "problem": "Count the words.", "solution": "```rust\nfn words() {}\n```"},
    {"seed": "int c;", "problem": "Check a password.", "solution": "```python\nok = passed(password)\n```"},
    {"seed": "int d;", "problem": "Sort a list.", "solution": "```cpp\nsort(a, b);\n```"},
]
EXPECTED = audit.Expected(records=4, python=(2, 2), finished=(4, 4))
CODE = "def zipped(a, b):\n    return list(zip(a, b))"


@pytest.fixture(autouse=True)
def _mbpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark of one task, under MAGICODER_DATA."""
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "mbpp").mkdir(parents=True)
    task = {"task_id": 11, "text": "Write a function to zip the two given lists.", "code": CODE}
    (tmp_path / "data" / "mbpp" / "mbpp.jsonl").write_text(json.dumps(task) + "\n")


def _count(text: str) -> int:
    return len(text.split())


def _set(folder: Path, *, number: int = 0, **changed: str) -> Path:
    """A data artifact: the right records, one of them changed."""
    rows = [{**row, **changed} if at == number else row for at, row in enumerate(RIGHT)]
    folder.mkdir(exist_ok=True)
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _faults(folder: Path, expected: audit.Expected = EXPECTED) -> list[str]:
    return audit.audit(folder, expected, _count).faults


def test_a_right_set_has_no_fault(tmp_path: Path) -> None:
    found = audit.audit(_set(tmp_path / "set"), EXPECTED, _count)
    assert found.faults == []
    assert found.tokens["problem"] == {"median": 3, "95%": 3, "most": 3}
    (note,) = found.notes
    assert note.startswith("contamination: without apps_docstrings, gsm8k_questions, ds1000_prompts: put their files")
    assert len([item for item in benchmark_texts.load() if item.source is None]) == 3


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"solution": " \n"}, "empty fields: 1: line 4"),
        ({"seed": ""}, "empty fields: 1: line 4"),
        ({"seed": " int\ta;"}, "duplicates: 1 (1 seeds): line"),
        ({"problem": "Add two\nnumbers."}, "duplicates: 1 (1 problems): line"),
        ({"solution": RIGHT[1]["solution"] + "\n"}, "duplicates: 1 (1 solutions): line"),
        ({"solution": f"```cpp\n{CODE.upper()}\n```"}, "with a benchmark's text: 1 (1 mbpp_solutions): line 4"),
        (
            {"problem": "Write a function to zip the two given lists."},
            "with a benchmark's text: 1 (1 mbpp_docstrings): line 4",
        ),
        ({"solution": "```python\nsort(a, b)\n```"}, "with ```python: 3, not 2 to 2"),
        ({"solution": "```cpp\npass\n```"}, "without `pass` or NotImplemented: 3, not 4 to 4"),
        ({"solution": "raise NotImplementedError"}, "without `pass` or NotImplemented: 3, not 4 to 4"),
        ({"problem": "a " * 2_498}, "longer than the teacher's 2,500 tokens: 1: line 4"),
    ],
)
def test_each_fault_is_one_line(changed: dict[str, str], fault: str, tmp_path: Path) -> None:
    (line,) = _faults(_set(tmp_path / "set", number=3, **changed))
    assert line.startswith(fault)


def test_the_released_set_is_what_is_expected_without_a_word(tmp_path: Path) -> None:
    assert _faults(_set(tmp_path / "set"), audit.Expected()) == [
        "4 records, not 75,197",
        "with ```python: 2, not 42,500 to 43,499",
        "without `pass` or NotImplemented: 4, not 66,000 to 70,000",
    ]


def test_instructions_without_seeds_are_audited_too(tmp_path: Path) -> None:
    path = tmp_path / "evol.jsonl"
    rows = [{"instruction": row["problem"], "output": row["solution"]} for row in (*RIGHT, RIGHT[0])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (line,) = _faults(path, audit.Expected(5, None, None))
    assert line.startswith("duplicates: 1 (1 problems): line")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no record"),
        ('{"problem": "a"}', "records.jsonl:1: neither"),
        ('{"problem": "a", "solution": "b", "seed": 1}', ":1: the field 'seed' is not text"),
    ],
)
def test_what_is_no_set_is_refused(text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(text)
    with pytest.raises(UsageError, match=error):
        _faults(tmp_path)


def test_the_command_prints_a_table_or_json_and_says_what_is_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit.token_counts, "of_tiktoken", lambda name, key: _count)
    folder = _set(tmp_path / "set")
    assert audit.command(folder, 4, as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["records", "4", "4", "ok"] and "median 3, 95% 3, most 3" in lines[-3]
    assert audit.command(folder, 5, as_json=True) == 1
    shown = capsys.readouterr()
    content = json.loads(shown.out)
    assert [check["name"] for check in content["checks"] if not check["ok"]] == ["records"]
    assert shown.err == "off: 4 records, not 5\n"


def test_a_missing_table_of_tokens_leaves_the_lengths_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, key: str) -> None:
        raise UsageError("no table")

    monkeypatch.setattr(audit.token_counts, "of_tiktoken", missing)
    assert audit.command(_set(tmp_path / "set"), 4, as_json=True) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["tokens"] == {} and "tokens were not counted: no table" in content["notes"]
