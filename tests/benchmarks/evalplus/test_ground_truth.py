"""The ground truth: made as far as it is needed, by pieces or as a whole, damaged, not kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from judged import of_equal_tasks, only, score

from magicoder_repro import benchmarks, environment
from magicoder_repro.benchmarks.evalplus import benchmark as evalplus
from magicoder_repro.benchmarks.evalplus import purity
from magicoder_repro.benchmarks.evalplus.worker import ground_truth
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring
from magicoder_repro.score import workers

pytestmark = pytest.mark.sandbox


def test_a_damaged_ground_truth_is_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = of_equal_tasks(tmp_path, "    return x\n", [[1], [2]], [[3], [4]])
    right = [{"task_id": "T/0", "completion": "    return x\n"}]
    score(dataset, right)
    known = evalplus.GroundTruth(dataset, "paper").path
    whole = known.read_bytes()
    reordered = whole.replace(b'"digests":["6901000000","6902000000"]', b'"digests":["6902000000","6901000000"]')
    assert reordered != whole
    for damaged in (whole[:-5], reordered, b"", b"[]", b"\xff" * 99):
        known.write_bytes(damaged)
        capsys.readouterr()
        assert score(dataset, right)["metrics"] == {"pass@1": 100.0, "pass@1+": 100.0}
        told = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
        assert len(told) == 1 and str(known) in told[0]
        assert ground_truth.from_bytes(known.read_bytes())


def test_no_result_is_lost_to_a_cache_that_cannot_be_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = of_equal_tasks(tmp_path, "    return x\n", [[1], [2]], [[3], [4]])
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.setenv("MAGICODER_CACHE", str(file))
    assert score(dataset, [{"task_id": "T/0", "completion": "    return x\n"}])["metrics"]["pass@1+"] == 100.0
    assert "is not kept for next time" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root judges as another user, who may be refused a file")
def test_an_environment_that_programs_cannot_read_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "evalplus"
    shutil.copytree(environment.ROOT / ".envs" / "evalplus-0.2.0", copy, symlinks=True)
    monkeypatch.setattr(environment, "interpreter", lambda name: copy / "bin" / "python")
    dataset = of_equal_tasks(tmp_path, "    return x\n", [[1]], [[2]])
    right = [{"task_id": "T/0", "completion": "    return x\n"}]
    assert score(dataset, right)["metrics"]["pass@1+"] == 100.0
    next(copy.glob("lib/*/site-packages/numpy/lib")).chmod(0o700)
    with pytest.raises(UsageError, match="readable for everyone"):
        score(dataset, right)


def test_pieces_of_a_slow_task_give_the_verdicts_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = benchmarks.get("minibench-humaneval").load()
    bodies = {task["task_id"]: task["canonical_solution"] for task in dataset.tasks}
    wrong_later = (
        "    calls.append(0)\n    return None if len(calls) > 4 else "  # depends on earlier calls: never in pieces
    )
    samples = [
        *({"task_id": task_id, "completion": body} for task_id, body in bodies.items()),
        *({"task_id": task_id, "completion": "    return 0\n"} for task_id in bodies),
        *({"task_id": task_id, "completion": "    raise KeyError\n"} for task_id in bodies),
    ]
    subtract = only(dataset, "subtract").tasks[0]["task_id"]
    samples.append({"task_id": subtract, "solution": f"calls = []\ndef subtract(a, b):\n{wrong_later}a - b\n"})
    whole = score(dataset, samples)
    known = evalplus.GroundTruth(dataset, "paper").path
    expected = ground_truth.read(str(known))
    known.unlink()
    monkeypatch.setattr(evalplus, "SLOW", frozenset(bodies))
    asked: list[workers.Request] = []
    ask = workers.Workers.ask
    monkeypatch.setattr(workers.Workers, "ask", lambda self, request: asked.append(request) or ask(self, request))  # type: ignore[func-returns-value]
    pieces = score(dataset, samples)
    assert {request["task_id"] for request in asked if request["piece"] == (1, 4)} == set(bodies)
    for result in (whole, pieces):
        for task in result["tasks"]:
            for sample in task["samples"]:
                del sample["seconds"]
    assert pieces == whole
    assert whole["tasks"][list(bodies).index(subtract)]["samples"][3]["passed_plus"] is False
    found = ground_truth.read(str(known))
    assert found and {key: {part: one["digests"] for part, one in parts.items()} for key, parts in found.items()} == {
        key: {part: one["digests"] for part, one in parts.items()} for key, parts in expected.items()
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_ground_truth_is_computed_as_far_as_a_program_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """One call takes 0.4 seconds, in C where no signal handler runs; a program that is wrong before it needs it not."""
    monkeypatch.setattr(evalplus, "SLOW", frozenset({"T/0"}))
    canonical = "    return sum(range(x * 10_000_000)) if x > 1 else x\n"
    dataset = of_equal_tasks(tmp_path, canonical, [[0], [1], [0], [1]], [[1], [1], [2], [3]])  # one a piece, at least
    wrong = {"task_id": "T/0", "completion": "    return -1\n"}
    right = {"task_id": "T/0", "completion": "    n = x * 10_000_000\n    return n * (n - 1) // 2 if x > 1 else x\n"}
    late = {"task_id": "T/0", "completion": "    n = x * 10_000_000\n    return n * (n - 1) // 2 if x == 2 else x\n"}
    config = Scoring(workers=workers)
    known = evalplus.GroundTruth(dataset, "paper").path

    def computed() -> int:
        parts = ground_truth.read(str(known))["T/0"]
        return sum(value is not None for part in parts.values() for value in part["digests"])

    verdicts = [score(dataset, [wrong], config)["tasks"][0]["samples"][0]["passed"]]
    assert 0 < computed() <= 6
    before = known.read_text()
    verdicts.append(score(dataset, [wrong], config)["tasks"][0]["samples"][0]["passed"])
    assert known.read_text() == before and verdicts == [False, False]
    both = score(dataset, [right, late], config)["tasks"][0]["samples"]
    assert [(sample["passed"], sample["passed_plus"]) for sample in both] == [(True, True), (True, False)]
    assert computed() == 8


def test_values_that_are_right_in_another_type_do_not_hide_a_wrong_one(tmp_path: Path) -> None:
    """Each float differs from the int that is expected, byte by byte; the wrong one after them ends the program."""
    dataset = of_equal_tasks(tmp_path, "    return x\n", [[number] for number in range(40)], [[-1]])
    body = "    while x < 0:\n        pass\n    return float(x) if x != {} else 0.5\n"
    samples = [{"task_id": "T/0", "completion": body.format(number)} for number in (39, 99)]
    wrong, right_so_far = score(dataset, samples)["tasks"][0]["samples"]
    assert (wrong["status"], wrong["passed"]) == ("wrong", False)
    assert (right_so_far["status"], right_so_far["passed"], right_so_far["passed_plus"]) == ("timeout", True, False)
    assert wrong["seconds"] < right_so_far["seconds"] / 2


@pytest.mark.parametrize(
    ("program", "apart"),
    [
        (
            "import math\nfrom typing import List\ndef f(n: List[int], k=1):\n    'text'\n    total = math.pi\n    return total",
            True,
        ),
        ("def f(n):\n    return sorted(n, key=lambda x: -x)\nZ = 3\n", True),
        ("seen = []\ndef f(n):\n    seen.append(n)\n    return len(seen)", False),
        ("def f(n, seen=[]):\n    seen.append(n)\n    return len(seen)", False),
        ("def f(n, *, seen={}):\n    return seen.setdefault(n, len(seen))", False),
        ("n = 0\ndef f(x):\n    global n\n    n += 1\n    return n", False),
        ("def f(x):\n    f.count = 1 + x", False),
        ("def f(x):\n    f.__dict__['n'] = x", False),
        ("def f(x):\n    globals()['n'] = x", False),
        ("from functools import cache\n@cache\ndef f(x):\n    return x", False),
        ("import functools\nf = functools.cache(lambda x: x)", False),
        ("import random\ndef f(x):\n    return random.random()", False),
        ("import sys\ndef f(x):\n    return x", False),
        ("class A:\n    n = 0\ndef f(x):\n    return x", False),
        ("def f(x):\n    for f.n in x: pass", False),
        ("def f(:", False),
    ],
)
def test_calls_that_may_know_of_each_other_are_never_judged_apart(program: str, apart: bool) -> None:
    assert purity.calls(program) is apart
