"""What chance was measured to do, and what a report makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import benchmarks, records
from magicoder_repro import profile as profiles
from magicoder_repro.artifact import Work
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import agreement
from magicoder_repro.report import build, noise
from magicoder_repro.report.noise import Noise

Measure = Callable[..., str]


@pytest.fixture
def measured(tmp_path: Path) -> Measure:
    """Writes what `magicoder agreement -o` would; gives the file's name."""

    def write(moved: int = 3, **changes: Any) -> str:
        def row(way: str, identical: int, other: int) -> dict[str, Any]:
            plus = {"passed_plus": 80, "other_verdicts_plus": other}
            return {"way": way, "identical": identical, "passed": 90, "other_verdicts": other, **plus, "seconds": 1.0}

        content = {
            "version": 1, "model": "mine", "benchmark": "humaneval", "protocol": "paper", "dataset": {"name": "HumanEval+"},
            "style": "magicoder", "max_new_tokens": 512, "tasks": 164, "of": 164, "judged": True, "device": {}, "versions": {},
            "rows": [row("the paper's", 164, 0), row("one at a time", 160, 1), row("vLLM", 150, moved)],
        }  # fmt: skip
        path = tmp_path / "agreement.json"
        path.write_text(json.dumps(content | changes))
        return str(path)

    return write


def test_the_recorded_noise_adds_what_the_scorer_and_what_the_engine_move() -> None:
    recorded = [one for one in noise.collect(()) if not one.default]
    assert noise.allowed(recorded, "humaneval") == 1
    assert noise.allowed(recorded, "mbpp") == 6
    assert noise.allowed(recorded, "humaneval", ("scorer",)) == 0
    assert noise.allowed(recorded, "ds1000_overall") is None


def test_a_measurement_of_the_profile_counts_beside_the_recorded_ones(measured: Measure) -> None:
    found = noise.collect([measured(moved=3)])
    assert [noise.allowed(found, name, ("generation",)) for name in ("humaneval", "humaneval_plus")] == [3, 3]
    assert noise.words(found, "humaneval_plus") == "another engine or batch size and the scorer"
    assert (
        noise.allowed(noise.collect([measured(moved=0)]), "humaneval") == 1
    )  # the paper's models were seen to move that


def test_a_default_counts_only_where_nothing_else_was_measured() -> None:
    def of(tasks: int, default: bool) -> Noise:
        return Noise(kind="generation", metrics=["mbpp"], tasks=tasks, of=399, what="x", source="y", default=default)

    assert noise.allowed([of(9, True), of(2, False)], "mbpp") == 2
    assert noise.allowed([of(9, True)], "mbpp") == 9
    assert noise.words([of(9, True)], "mbpp") == "another engine or batch size (a default: of another model)"


@pytest.mark.parametrize("path", noise.files(()), ids=lambda path: path.name)
def test_the_defaults_are_whole_measurements_of_the_pinned_sets(path: Path) -> None:
    found = agreement.read(path)
    pinned = benchmarks.get(found.benchmark).protocol("paper").files[None].sha256
    assert found.tasks == found.of and found.judged and found.dataset["sha256"] == pinned
    assert all(one.default for one in noise.collect(()) if path.name in one.source)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": 20}, "tasks: 20 of 164: measure all"),
        ({"judged": False}, "judged: it has no verdicts"),
        ({"benchmark": "minibench-humaneval"}, "benchmark: no greedy cell of the paper is of minibench-humaneval"),
        ({"benchmark": "nonsense"}, "benchmark: no greedy cell of the paper is of nonsense"),
        ({"rows": []}, "not written by `magicoder agreement -o` \\(rows: "),
        ({"tasks": "164"}, "not written by `magicoder agreement -o` \\(tasks: "),
    ],
)
def test_a_measurement_that_says_nothing_of_a_cell_is_refused(
    changes: dict[str, Any], said: str, measured: Measure
) -> None:
    with pytest.raises(UsageError, match=f"agreement.json: {said}"):
        noise.collect([measured(**changes)])


def test_a_profile_s_measurement_that_is_not_there_is_told_before_any_work() -> None:
    profile = profiles.load("released-one")
    named = profile.model_copy(
        update={"report": profile.report.model_copy(update={"noise": ["results/noise/none.json"]})}
    )
    with pytest.raises(
        UsageError, match=r"report.noise: .*/results/noise/none.json: no such file: `magicoder agreement"
    ):
        build.check_names(named)


def test_the_report_says_where_its_noise_is_from(small: Any, tmp_path: Path, measured: Measure) -> None:
    """The made-up run has 116 - 20 tasks of HumanEval+ where the paper has 109: 13 apart."""
    outcomes = {}
    for moved in (12, 13):
        settings = {**small.config["report"], "noise": [measured(moved)]}
        work = Work(tmp_path / str(moved), small.inputs, {**small.config, "report": settings})
        work.out.mkdir()
        build.build(work)
        report = records.read_json(work.out / "report.json")
        (cell,) = (one for one in report["cells"] if one["id"] == "table-1.MagicoderS-CL-7B.humaneval_plus")
        outcomes[moved] = cell["outcome"]
        page = (work.out / "report.html").read_text()
        assert "mine (80 tasks passed), 2 other ways than the paper&#39;s" in page and f"{moved} of 164" in page
        assert "at least 150 of 164 completions are identical" in page
    assert outcomes[13] == "reproduced" != outcomes[12]
