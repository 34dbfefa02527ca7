"""The regression gate: what fails, under which policy, and what does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from magicoder_repro import environment, records
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Regress
from magicoder_repro.report import compare, gate, recorded, regress, scored
from magicoder_repro.report.judged import Verdicts, of_node
from magicoder_repro.report.statistics import holm, mcnemar

POLICIES = ("exact", "paired", "tolerance")
Change = Callable[[dict[str, Any]], None]
_CPU = {"cpu": "a processor", "cores": 2, "vectors": "avx2"}
_OTHER = {**_CPU, "cpu": "another one"}


@pytest.fixture(autouse=True)
def _not_on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


def verdicts(key: str, tasks: dict[str, str]) -> dict[str, Any]:
    benchmark, _, model = key.partition(".")
    dataset = {"name": benchmark, "version": "v1", "sha256": "0" * 64}
    return {
        "key": key, "benchmark": benchmark, "model": model, "protocol": "paper", "dataset": dataset, "scorer": "a judge",
        "sanitized": False, "tasks": tasks,
    }  # fmt: skip


def report(device: dict[str, Any] = _CPU) -> dict[str, Any]:
    """A run of two models on 100 tasks, half of which each passes, with two numbers that have no verdicts."""
    judged = [
        verdicts(f"humaneval.{model}", {f"HumanEval/{n}": "P" if n % 2 else "b" if n % 4 else "." for n in range(100)})
        for model in ("base", "magicoder")
    ]
    found = {"version": 2, "judged": judged, "gaps": [], "device": device, "commit": None, "rows": []}
    found["versions"] = {"python": "3.11.7", "torch": "2.0"}
    rate(found)
    found["rows"] += [{"key": "oss-instruct.kept", "value": 47, "tolerance": 12.0}]
    found["rows"] += [{"key": "sft-magicoder.loss", "value": 0.5, "tolerance": 0.25}]
    return found


def rate(content: dict[str, Any]) -> None:
    """Gives the rows of each cell the numbers that its verdicts make."""
    rows = [row for row in content["rows"] if "pass@" not in row["key"]]
    for one in map(Verdicts.model_validate, content["judged"]):
        rows += [
            {"key": f"{one.key}.{name}", "value": round(one.percent(list(one.tasks), name), 4), "tolerance": 5.0}
            for name in ("pass@1", "pass@1+")
        ]
    content["rows"] = rows


def side(folder: Path, content: dict[str, Any], name: str = "report.json") -> recorded.Side:
    folder.mkdir(exist_ok=True)
    records.write_json(folder / name, content)
    return recorded.side(folder)


def judge(tmp_path: Path, change: Change, policy: str = "tolerance", **options: Any) -> regress.Outcome:
    """The outcome for a run that differs from its baseline by the change."""
    after = report()
    change(after)
    wanted = Regress.model_validate({"policy": policy, **options})
    return regress.regress(side(tmp_path / "before", report()), side(tmp_path / "after", after), wanted)


def code(outcome: regress.Outcome) -> int:
    return gate.tell_all(outcome)


def flip(content: dict[str, Any], count: int = 1, cell: int = 1) -> None:
    """So many tasks that passed fail."""
    tasks = content["judged"][cell]["tasks"]
    for name in [name for name, marks in tasks.items() if marks == "P"][:count]:
        tasks[name] = "."
    rate(content)


def other_data(content: dict[str, Any]) -> None:
    content["judged"][1]["dataset"]["sha256"] = "1" * 64


def task_dropped(content: dict[str, Any]) -> None:
    del content["judged"][1]["tasks"]["HumanEval/7"]
    rate(content)


def benchmark_gone(content: dict[str, Any]) -> None:
    del content["judged"][1]
    content["rows"] = [row for row in content["rows"] if not row["key"].startswith("humaneval.magicoder.")]


def number_gone(content: dict[str, Any]) -> None:
    content["rows"] = [row for row in content["rows"] if row["key"] != "oss-instruct.kept"]


def nothing(content: dict[str, Any]) -> None:
    pass


# What fails, and what does not


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_run_passes(policy: str, tmp_path: Path) -> None:
    outcome = judge(tmp_path, nothing, policy)
    assert code(outcome) == 0
    assert {cell.state for cell in outcome.cells} == {"same"}
    assert {cell.key for cell in outcome.cells} == {
        "humaneval.base", "humaneval.magicoder", "oss-instruct.kept", "sft-magicoder.loss",
    }  # fmt: skip


def test_a_cell_without_numbers_is_held_to_its_verdicts_under_tolerance(tmp_path: Path) -> None:
    def side_of(name: str, flips: int) -> recorded.Side:
        content = report()
        flip(content, flips)
        content["rows"] = [row for row in content["rows"] if not row["key"].startswith("humaneval.magicoder.")]
        return side(tmp_path / name, content)

    assert code(regress.regress(side_of("before", 0), side_of("same", 0), Regress())) == 0
    (cell,) = regress.regress(side_of("before", 0), side_of("after", 1), Regress()).of("failed")
    assert cell.key == "humaneval.magicoder" and len(cell.flips) == 1


def test_one_flipped_verdict_fails_under_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = judge(tmp_path, flip, "exact")
    assert code(outcome) == 1
    (cell,) = outcome.of("failed")
    assert cell.key == "humaneval.magicoder" and cell.flips == (regress.Flip("HumanEval/1", "P", "."),)
    told = capsys.readouterr().out
    assert "1 of 4 cells fail" in told and "  - HumanEval/1: P -> .\n" in told
    assert "1 of 100 tasks differ; pass@1 75.00 -> 74.00 (-1.00 points); pass@1+ 50.00 -> 49.00" in told


def test_verdicts_that_flip_both_ways_fail_under_exact_though_no_number_moves(tmp_path: Path) -> None:
    def swap(content: dict[str, Any]) -> None:
        content["judged"][0]["tasks"].update({"HumanEval/0": "P", "HumanEval/1": "."})

    assert code(judge(tmp_path, swap, "exact")) == 1
    assert code(judge(tmp_path, swap, "tolerance")) == 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("change", "state"),
    [
        (other_data, "NOT COMPARABLE"),
        (lambda content: content["judged"][1].update(protocol="current"), "NOT COMPARABLE"),
        (lambda content: content["judged"][1].update(scorer="another"), "NOT COMPARABLE"),
        (lambda content: content["judged"][1].update(sanitized=True), "NOT COMPARABLE"),
        (task_dropped, "MISSING"),
        (benchmark_gone, "MISSING"),
        (number_gone, "MISSING"),
    ],
    ids=["data", "protocol", "scorer", "sanitized", "task", "benchmark", "number"],
)
def test_what_is_gone_or_not_comparable_fails_under_every_policy(
    policy: str, change: Change, state: str, tmp_path: Path
) -> None:
    outcome = judge(tmp_path, change, policy)
    assert code(outcome) == 1
    (cell,) = outcome.of("failed")
    assert cell.state == state and cell.key == ("oss-instruct.kept" if change is number_gone else "humaneval.magicoder")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("change", [task_dropped, benchmark_gone, number_gone])
def test_what_is_gone_warns_or_is_passed_over_where_the_policy_says_so(
    policy: str, change: Change, tmp_path: Path
) -> None:
    warned = judge(tmp_path, change, policy, missing="warn")
    assert code(warned) == 0 and len(warned.of("warning")) == 1
    ignored = judge(tmp_path, change, policy, missing="ignore")
    assert code(ignored) == 0 and not ignored.of("warning")


def test_other_data_warn_where_the_policy_says_so(tmp_path: Path) -> None:
    outcome = judge(tmp_path, other_data, "exact", changed="warn")
    assert code(outcome) == 0
    (cell,) = outcome.of("warning")
    assert cell.said == f"dataset sha256 {'0' * 64} -> {'1' * 64}"

    def both(content: dict[str, Any]) -> None:
        other_data(content)
        flip(content)

    assert code(judge(tmp_path, both, "exact", changed="warn")) == 1


def test_a_cell_that_was_not_judged_is_told_with_its_reason(tmp_path: Path) -> None:
    def no_compiler(content: dict[str, Any]) -> None:
        benchmark_gone(content)
        del content["judged"][0]
        content["rows"] = []
        content["gaps"] = ["humaneval, mbpp: no compiler here"]

    outcome = judge(tmp_path, no_compiler)
    assert [cell.said for cell in outcome.of("failed")][:2] == ["not in the run: no compiler here"] * 2


def test_a_new_cell_and_new_tasks(tmp_path: Path) -> None:
    def more(content: dict[str, Any]) -> None:
        content["judged"].append(verdicts("mbpp.base", {"Mbpp/1": "P"}))
        content["judged"][0]["tasks"]["HumanEval/100"] = "P"
        rate(content)

    outcome = judge(tmp_path, more)
    assert code(outcome) == 0 and [cell.key for cell in outcome.cells if cell.state == "new"] == ["mbpp.base"]
    outcome = judge(tmp_path, more, "exact")
    (cell,) = outcome.of("failed")
    assert cell.said.startswith("1 tasks that the baseline does not have")


# The policy `tolerance`: recorded runs


def _recorded(tmp_path: Path, *contents: dict[str, Any]) -> recorded.Recorded:
    """What `magicoder record` makes of these runs, one after the other."""
    for content in contents:
        records.write_json(tmp_path / "report" / "report.json", content)
        compare.record(tmp_path / "report", tmp_path / "results")
    return recorded.read(tmp_path / "results")


def _with_loss(value: float, device: dict[str, Any] = _CPU) -> dict[str, Any]:
    content = report(device)
    content["rows"][-1]["value"] = value
    return content


def _moved(tmp_path: Path, content: dict[str, Any]) -> list[str]:
    outcome = regress.regress(recorded.side(tmp_path / "results"), side(tmp_path / "run", content), Regress())
    return [cell.key for cell in outcome.of("failed")]


def test_the_same_class_of_machine_gives_the_same_numbers(tmp_path: Path) -> None:
    _recorded(tmp_path, _with_loss(0.5))
    assert _moved(tmp_path, _with_loss(0.5)) == []
    assert _moved(tmp_path, _with_loss(0.5001)) == ["sft-magicoder.loss"]
    assert _moved(tmp_path, _with_loss(0.5001, _OTHER)) == []
    assert _moved(tmp_path, _with_loss(0.76, _OTHER)) == ["sft-magicoder.loss"]


def test_runs_of_one_class_that_disagree_allow_what_lies_between_them(tmp_path: Path) -> None:
    _recorded(tmp_path, _with_loss(0.5), _with_loss(0.51))
    assert _moved(tmp_path, _with_loss(0.505)) == []
    assert _moved(tmp_path, _with_loss(0.511)) == ["sft-magicoder.loss"]


def test_another_class_is_allowed_what_recorded_runs_differ_by_if_that_is_more(tmp_path: Path) -> None:
    found = _recorded(tmp_path, _with_loss(0.1, _OTHER), _with_loss(0.5))
    assert found.allowed("sft-magicoder.loss") == pytest.approx(0.4)
    assert found.allowed("oss-instruct.kept") == 12
    third = {**_CPU, "cores": 4}
    assert _moved(tmp_path, _with_loss(0.11, third)) == []
    assert _moved(tmp_path, _with_loss(0.09, third)) == ["sft-magicoder.loss"]


def test_a_cell_whose_number_moves_lists_its_flipped_tasks(tmp_path: Path) -> None:
    (cell,) = judge(tmp_path, lambda content: flip(content, 30)).of("failed")
    assert len(cell.flips) == 30 and "allowed" in cell.said and "30 tasks differ" in cell.said


def test_record_keeps_the_runs_before_and_forgets_them_when_asked(tmp_path: Path) -> None:
    found = _recorded(tmp_path, *(_with_loss(0.5 + n / 1000) for n in range(recorded.MOST_RUNS + 3)))
    values = [run.numbers["sft-magicoder.loss"] for run in found.runs]
    assert len(values) == recorded.MOST_RUNS and values[0] == pytest.approx(0.503)
    assert found.numbers["sft-magicoder.loss"].value == values[-1]
    assert found.judged is not None and [one.key for one in found.judged] == ["humaneval.base", "humaneval.magicoder"]
    compare.record(tmp_path / "report", tmp_path / "results", fresh=True)
    assert len(recorded.read(tmp_path / "results").runs) == 1


def test_numbers_recorded_before_verdicts_were_kept_are_still_read(tmp_path: Path) -> None:
    content = report(_OTHER)
    numbers = {row["key"]: {"value": row["value"], "tolerance": row["tolerance"]} for row in content["rows"]}
    device = {"cpu": "a processor", "cores": 2}
    old = side(
        tmp_path / "old", {"commit": None, "device": device, "versions": {}, "numbers": numbers}, "recorded.json"
    )
    flip(content, 30)
    outcome = regress.regress(old, side(tmp_path / "run", content), Regress())
    assert {cell.key for cell in outcome.of("failed")} == {"humaneval.magicoder.pass@1", "humaneval.magicoder.pass@1+"}
    assert "numbers only, no verdicts" in gate.sentence(outcome)
    for policy in ("exact", "paired"):
        with pytest.raises(UsageError, match=r"no verdicts.*--policy tolerance"):
            regress.regress(old, old, Regress.model_validate({"policy": policy}))


def test_the_committed_numbers_of_smoke_are_read() -> None:
    smoke = recorded.side(environment.ROOT / "results" / "smoke")
    outcome = regress.regress(smoke, smoke, Regress())
    assert len(outcome.cells) >= 20 and not outcome.of("failed")


def test_the_class_of_a_machine() -> None:
    versions = {"python": "3.11.7", "torch": "2.13.0+cpu"}
    one = environment.machine_class(_CPU, versions)
    assert one == environment.machine_class(_CPU, {**versions, "python": "3.11.9", "numpy": "2"})
    others = [
        environment.machine_class(_OTHER, versions),
        environment.machine_class({**_CPU, "cores": 4}, versions),
        environment.machine_class({**_CPU, "vectors": "avx512f"}, versions),
        environment.machine_class({**_CPU, "gpu": ["a GPU"]}, versions),
        environment.machine_class(_CPU, {**versions, "torch": "2.13.0+cu130"}),
        environment.machine_class(_CPU, {**versions, "python": "3.12.1"}),
    ]
    assert len({one, *others}) == 7
    assert environment.machine_class(environment.device(), environment.versions())


# The policy `paired`


def test_a_loss_beyond_margin_and_chance_fails(tmp_path: Path) -> None:
    (cell,) = judge(tmp_path, lambda content: flip(content, 20), "paired").of("failed")
    assert cell.state == "MOVED" and "20 of 100 tasks worse, 0 better" in cell.said and len(cell.flips) == 20


def test_a_loss_within_the_margin_does_not_fail(tmp_path: Path) -> None:
    outcome = judge(tmp_path, lambda content: flip(content, 20), "paired", margin=20)
    assert code(outcome) == 0
    assert {cell.state for cell in outcome.cells} == {"same", "allowed"}


def test_a_gain_does_not_fail(tmp_path: Path) -> None:
    def better(content: dict[str, Any]) -> None:
        content["judged"][1]["tasks"] = dict.fromkeys(content["judged"][1]["tasks"], "P")
        rate(content)

    assert code(judge(tmp_path, better, "paired")) == 0


def test_a_loss_of_what_only_the_further_tests_see_fails(tmp_path: Path) -> None:
    def only_base(content: dict[str, Any]) -> None:
        tasks = content["judged"][1]["tasks"]
        tasks.update({name: "b" for name, marks in tasks.items() if marks == "P"})
        rate(content)

    (cell,) = judge(tmp_path, only_base, "paired").of("failed")
    assert cell.said.startswith("pass@1+")


def test_a_test_that_could_not_have_seen_the_margin_says_so(tmp_path: Path) -> None:
    outcome = judge(tmp_path, lambda content: flip(content, 3), "paired")
    assert code(outcome) == 0
    (cell,) = outcome.of("warning")
    assert cell.state == "INCONCLUSIVE" and "could not have seen a loss of 2 points" in cell.said
    outcome = judge(tmp_path, lambda content: flip(content, 3), "paired", margin=15)
    assert not outcome.of("warning"), "16 tasks of 100 would have been seen"


def test_several_samples_a_task_are_compared_by_their_rates(tmp_path: Path) -> None:
    def sampled(content: dict[str, Any], marks: str) -> dict[str, Any]:
        for one in content["judged"]:
            one["tasks"] = dict.fromkeys(one["tasks"], marks)
        rate(content)
        return content

    before, after = sampled(report(), "PPP."), sampled(report(), "PP..")
    wanted = Regress(policy="paired")
    outcome = regress.regress(side(tmp_path / "a", before), side(tmp_path / "b", after), wanted)
    assert [cell.said.partition(",")[0] for cell in outcome.of("failed")] == [
        "pass@1 75.00 -> 50.00 (-25.00 points): 100 of 100 tasks worse"
    ] * 2


def test_false_alarms_of_the_paired_policy_stay_below_its_level(tmp_path: Path) -> None:
    """2,000 runs that nothing but chance tells from their baselines, with no margin that would hide an alarm."""
    random = numpy.random.default_rng(0)
    chances = random.uniform(size=(3, 100))
    empty = recorded.Side(tmp_path, recorded.Recorded(numbers={}), None, {})
    names = [str(n) for n in range(100)]
    cells = [Verdicts.model_validate(verdicts(f"b{n}.m", dict.fromkeys(names, "."))) for n in range(3)]

    def draw() -> recorded.Side:
        passed = random.uniform(size=chances.shape) < chances
        judged = [
            cell.model_copy(update={"tasks": {name: "P" if one else "." for name, one in zip(names, row, strict=True)}})
            for cell, row in zip(cells, passed, strict=True)
        ]
        return recorded.Side(tmp_path, empty.recorded.model_copy(update={"judged": judged}), None, {})

    policy = Regress(policy="paired", margin=0, alpha=0.1)
    alarms = sum(bool(regress.regress(draw(), draw(), policy).of("failed")) for _ in range(2000))
    assert 0 < alarms <= 2000 * 0.1 + 3 * (2000 * 0.1 * 0.9) ** 0.5


def test_the_tests_of_the_statistics() -> None:
    assert mcnemar(0, 0) == 1 and mcnemar(5, 5) == 1
    assert mcnemar(6, 0) == pytest.approx(2 / 2**6) and mcnemar(0, 6) == mcnemar(6, 0)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


# What is read


def _result(tasks: dict[str, str], benchmark: str = "humaneval") -> dict[str, Any]:
    """A result of `magicoder score`."""
    dataset = {"name": benchmark, "version": "v1", "sha256": "0" * 64}
    rows = [
        {
            "task_id": name,
            "samples": [{"passed": mark != ".", "passed_plus": mark == "P", "status": "x"} for mark in marks],
        }
        for name, marks in tasks.items()
    ]
    one = Verdicts.model_validate(verdicts("a.b", tasks))
    metrics = {name: round(one.percent(list(tasks), name), 4) for name in ("pass@1", "pass@1+")}
    return {
        "version": 1, "benchmark": benchmark, "protocol": "paper", "dataset": dataset, "scorer": "a judge", "sandbox": "userns",
        "metrics": metrics, "programs": {}, "statuses": {}, "tasks": rows,
    }  # fmt: skip


def _file(path: Path, content: Any) -> Path:
    records.write_json(path, content)
    return path


def test_two_results_are_compared_exactly_whatever_they_are_called(tmp_path: Path) -> None:
    tasks = report()["judged"][0]["tasks"]
    one = recorded.side(_file(tmp_path / "one.json", _result(tasks)))
    other = recorded.side(_file(tmp_path / "other.json", _result({**tasks, "HumanEval/1": "b"})))
    for policy in ("exact", "tolerance"):
        wanted = Regress.model_validate({"policy": policy})
        assert code(regress.regress(one, one, wanted)) == 0
        (cell,) = regress.regress(one, other, wanted).of("failed")
        assert cell.key == "humaneval" and cell.flips == (regress.Flip("HumanEval/1", "P", "b"),)


def test_a_result_is_compared_with_the_cell_of_a_run_that_is_of_its_benchmark(tmp_path: Path) -> None:
    content = report()
    tasks = content["judged"][0]["tasks"]
    result = recorded.side(_file(tmp_path / "one.json", _result({**tasks, "HumanEval/1": "."})))
    with pytest.raises(UsageError, match=r"humaneval\.base, humaneval\.magicoder: name the file of one"):
        regress.regress(side(tmp_path / "run", content), result, Regress())
    del content["judged"][1]
    run = side(tmp_path / "run", content)
    for sides in ((run, result), (result, run)):
        outcome = regress.regress(*sides, Regress(policy="exact"))
        assert [(cell.key, cell.state) for cell in outcome.cells] == [("humaneval", "MOVED")]
    mbpp = recorded.side(_file(tmp_path / "mbpp.json", _result(tasks, "mbpp")))
    with pytest.raises(UsageError, match="one result of mbpp"):
        regress.regress(run, mbpp, Regress())


def test_the_verdicts_of_a_runs_score_nodes(tmp_path: Path) -> None:
    folder = tmp_path / "score" / "base" / "multipl-e"
    content = _result({"HumanEval_0": "Pb."}, "multipl-e")
    content["tasks"][0]["language"] = "rs"
    records.write_json(folder / "multipl-e-rs.json", content)
    rows = [
        {"benchmark": name, "family": "multipl-e", "subset": subset, "gap": gap}
        for name, subset, gap in (
            ("multipl-e-rs", "rs", None),
            ("multipl-e-js", "js", "no node"),
            ("multipl-e", None, None),
        )
    ]
    records.write_jsonl(folder / "summary.jsonl", rows)
    (node,) = scored.each({"score/base/multipl-e": folder, "corpus": tmp_path})
    (one,) = of_node(node)
    assert (one.key, one.tasks) == ("multipl-e-rs.base", {"rs/HumanEval_0": "Pb."})
    assert one.rate("rs/HumanEval_0", "pass@1") == pytest.approx(2 / 3)
    assert one.rate("rs/HumanEval_0", "pass@1+") == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "no report"),
        ({}, "no report"),
        ({"rows": [{"key": "a"}]}, r"rows\.0\.value"),
        ({"rows": [], "judged": [{}]}, r"judged\.0\.key"),
        ({"rows": [], "judged": [report()["judged"][0]] * 2}, "twice"),
        ({"rows": [], "version": 3}, "version"),
        ({"rows": [], "judged": []}, "no number and no verdict"),
        ({"numbers": []}, "'numbers' is missing"),
        ({"numbers": {"a": {"value": "1", "tolerance": 1}}}, r"numbers\.a\.value"),
        ({"numbers": {}, "runs": [{}]}, r"runs\.0\.machine"),
        ({"numbers": {}, "more": 1}, "more"),
        ({"tasks": []}, "benchmark"),
        ({**_result({"a": "P"}), "tasks": [{"task_id": "a", "samples": []}]}, "tasks.a"),
        ({**_result({"a": "P"}), "metrics": {"pass@1": 1e999}}, "metrics"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_these(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=said) as caught:
        found = recorded.side(path)
        regress.regress(found, found, Regress())
    assert str(path) in str(caught.value)


def test_a_report_made_before_verdicts_were_kept_must_be_made_again(tmp_path: Path) -> None:
    old = copy.deepcopy(report())
    del old["judged"], old["version"]
    with pytest.raises(UsageError, match=r"no verdicts.*magicoder run report"):
        regress.regress(side(tmp_path / "a", report()), side(tmp_path / "b", old), Regress())


def test_a_folder_without_any_of_these(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="magicoder run report"):
        recorded.side(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        recorded.side(tmp_path / "nothing")


def test_a_number_that_its_verdicts_do_not_make_fails_under_exact(tmp_path: Path) -> None:
    def wrong(content: dict[str, Any]) -> None:
        next(row for row in content["rows"] if row["key"] == "humaneval.base.pass@1")["value"] += 1

    (cell,) = judge(tmp_path, wrong, "exact").of("failed")
    assert cell.said == "pass@1 75.00 -> 76.00 (+1.00 points)"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_number_of_a_cell_that_is_gone_fails_under_every_policy(policy: str, tmp_path: Path) -> None:
    def gone(content: dict[str, Any]) -> None:
        content["rows"] = [row for row in content["rows"] if row["key"] != "humaneval.base.pass@1+"]

    (cell,) = judge(tmp_path, gone, policy).of("failed")
    assert (cell.state, cell.said) == ("MISSING", "pass@1+: not in the run")
    assert not judge(tmp_path, gone, policy, missing="ignore").of("failed")


def test_a_number_that_moved_on_the_same_class_is_not_recorded_beside_the_old_one(tmp_path: Path) -> None:
    _recorded(tmp_path, _with_loss(0.5))
    with pytest.raises(UsageError, match=r"1 numbers left their tolerance .* \(sft-magicoder.loss\)"):
        _recorded(tmp_path, _with_loss(0.9))
    compare.record(tmp_path / "report", tmp_path / "results", fresh=True)
    assert recorded.read(tmp_path / "results").numbers["sft-magicoder.loss"].value == 0.9
