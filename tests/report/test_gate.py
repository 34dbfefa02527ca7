"""What the regression gate tells people and CI: whatever task ids and names hold, it is text, and it never is too long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from magicoder_repro import records
from magicoder_repro.cli import app
from magicoder_repro.profile import Regress
from magicoder_repro.report import compare, gate, recorded, regress
from magicoder_repro.report.recorded import Recorded, Side
from magicoder_repro.report.regress import Cell, Flip, Outcome

HOSTILE = (
    "\x1b[31m\x00\x08\ufffe\u202eid\n::error::x\r\n##[stop-commands]x %0A::set-output name=x:: </failure>]]> <script> & \"'"
    " | `c` [a](https://b.example) ![i](x) <!-- @user #1 *b* __c__ ~~d~~ \\| www.e.example"
)


@pytest.fixture(autouse=True)
def _not_on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


def outcome(cells: int, flips: int = 1, text: str = "x", level: str = "failed") -> Outcome:
    all_flips = tuple(Flip(f"{text}{m}", "P", ".") for m in range(flips))
    found = [
        Cell(f"{text}{n}", "MOVED", level, text, all_flips)  # type: ignore[arg-type]
        for n in range(cells)
    ]
    side = Side(Path("runs/x"), Recorded(numbers={}, judged=[]), None, {})
    return Outcome(Regress(), side, side, (*found, Cell("same", "same", "passed", "")))


def is_clean(text: str) -> bool:
    return all(one.isprintable() or one == "\n" for one in text)


@pytest.mark.parametrize("text", ["plain", HOSTILE])
def test_junit_has_a_case_for_each_cell(text: str, tmp_path: Path) -> None:
    found = outcome(3, 5, text)
    warned = outcome(1, text=text, level="warning").cells[0]
    gate.write_junit(
        Outcome(found.policy, found.baseline, found.run, (*found.cells, warned)), tmp_path / "new" / "x.xml"
    )
    suites = ElementTree.parse(tmp_path / "new" / "x.xml").getroot()
    (suite,) = suites
    assert suite.attrib | {"name": ""} == suites.attrib | {"name": ""}
    assert [suite.get(name) for name in ("tests", "failures", "skipped", "errors")] == ["5", "3", "1", "0"]
    assert [[child.tag for child in case] for case in suite] == [*[["failure"]] * 3, [], ["skipped"]]
    for failure in suite.iter("failure"):
        assert len((failure.text or "").strip().splitlines()) == 6 and is_clean(failure.text or "")
    assert all(is_clean(value) for one in suites.iter() for value in one.attrib.values())


@pytest.mark.parametrize("text", ["plain", HOSTILE])
@pytest.mark.parametrize("cells", [0, 1, 10, 11, 500])
def test_there_are_never_more_than_ten_annotations(cells: int, text: str) -> None:
    lines = gate.commands(outcome(cells, 3, text))
    assert len(lines) == min(cells, 10)
    for line in lines:
        assert re.fullmatch(r"::error title=[^:,\n]*::[^\n\r]*", line) and is_clean(line) and "##[" not in line
        assert line.count("::error") == 1 + line.partition("title=")[2].count("::error")
    if cells > 10:
        assert f"{cells - 9} more cells" in lines[-1]


def test_lines_of_an_annotation_are_escaped() -> None:
    (line,) = gate.commands(outcome(1, 2, "50%, a:b"))
    assert line == ("::error title=MOVED%3A 50%25%2C a%3Ab0::50%25, a:b%0A50%25, a:b0: P -> .%0A50%25, a:b1: P -> .")


@pytest.mark.parametrize("text", ["plain ", HOSTILE])
def test_a_comment_and_a_job_summary_stay_below_githubs_limits(text: str, tmp_path: Path) -> None:
    huge = outcome(5000, 300, text)
    assert len(gate.markdown(huge, gate.COMMENT_BYTES)) <= 65_536
    summary = tmp_path / "summary"
    for _ in range(4):  # a step may run the command more than once
        gate.add_summary(huge, summary)
    assert 2**19 < summary.stat().st_size < gate.SUMMARY_BYTES == 2**20
    told = summary.read_text()
    assert "more cells" in told and is_clean(told)


def test_markdown_of_a_hostile_name_has_the_marks_of_a_plain_one() -> None:
    told, plain = (gate.markdown(outcome(2, 2, text), 10**6) for text in (HOSTILE, "plain"))
    assert len(told.splitlines()) == len(plain.splitlines())
    for mark in "|<>`[]*_~@\\!":
        assert told.count(mark) == plain.count(mark), mark
    for word in ("https://", "www.", "@user", "#1 ", "<script", "<!--"):
        assert word not in told


def test_a_run_that_did_not_move_is_told_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.tell_all(outcome(0)) == 0
    assert capsys.readouterr().out == "none of 1 cells fails (1 same): runs/x against runs/x, policy tolerance\n"
    assert ":white_check_mark:" in gate.markdown(outcome(0), 1000)


def test_flipped_tasks_are_listed_up_to_twenty(capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.tell_all(outcome(1, 25)) == 1
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 1 + 1 + 20 + 1 and told[-1] == "  - and 5 more"


@pytest.mark.parametrize("on_github", [True, False])
def test_github_is_told_only_where_it_runs_the_command(
    on_github: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true" if on_github else "")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    gate.tell_all(outcome(2, 3, HOSTILE))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.lstrip().startswith("::") for line in lines) == (2 if on_github else 0)
    assert not [line for line in lines if "##[" in line or not is_clean(line)]
    assert (tmp_path / "summary").exists() is on_github


# The command


def _numbers(path: Path, value: float) -> Path:
    records.write_json(path, {"numbers": {"a.b": {"value": value, "tolerance": 1.0}}})
    return path


def _regress(*arguments: object) -> int:
    return CliRunner().invoke(app, ["regress", *map(str, arguments)], catch_exceptions=False).exit_code


def test_the_command_writes_what_ci_reads(tmp_path: Path) -> None:
    one, other = _numbers(tmp_path / "one.json", 1), _numbers(tmp_path / "other.json", 3)
    junit, markdown = tmp_path / "ci" / "junit.xml", tmp_path / "ci" / "comment.md"
    assert _regress(one, one) == 0
    assert _regress(one, other, "--junit", junit, "--markdown", markdown) == 1
    assert len(ElementTree.parse(junit).getroot().findall("*/testcase/failure")) == 1
    assert "MOVED" in markdown.read_text()
    assert _regress(one, tmp_path / "one.json", "--profile", "tiny") == 0


def test_a_profile_names_the_baseline_and_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    for folder, value in (("smoke", 1), ("same", 1), ("other", 3)):
        (tmp_path / folder).mkdir()
        _numbers(tmp_path / folder / "recorded.json", value)
    assert _regress("--profile", "smoke", "--runs", tmp_path / "same") == 0
    assert _regress("--profile", "smoke", "--runs", tmp_path / "other") == 1


def test_the_profile_says_the_policy_and_the_command_line_may_say_another(tmp_path: Path) -> None:
    assert regress.policy_of("smoke", {}) == Regress()
    assert regress.policy_of(None, {"policy": "exact", "missing": "warn"}) == Regress(policy="exact", missing="warn")


@pytest.mark.long
def test_a_wrong_request_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    one = _numbers(tmp_path / "one.json", 1)
    for arguments, said in (
        ((one, tmp_path / "none.json"), "no such file"),
        ((one, one, "--policy", "exakt"), "--policy: should be 'exact', 'paired' or 'tolerance'"),
        ((one, one, "--margin", "-1"), "--margin: "),
        ((one, one, "--junit", one), "this is the input"),
        ((one, one, "--policy", "exact"), "no verdicts"),
        ((), "name a baseline"),
        ((one,), "name a run as well"),
        (("--profile", "tiny"), "names no folder under results/: name a baseline"),
    ):
        command = [sys.executable, "-m", "magicoder_repro.cli", "regress", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ})
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and said in done.stderr, done.stderr


def test_a_file_of_recorded_numbers_names_its_machine(tmp_path: Path) -> None:
    run = {"machine": "m", "numbers": {"a.b": 1.0}}
    records.write_json(
        tmp_path / "x.json", {"version": 2, "numbers": {"a.b": {"value": 1, "tolerance": 1}}, "runs": [run]}
    )
    assert recorded.side(tmp_path / "x.json").machine == "m"
