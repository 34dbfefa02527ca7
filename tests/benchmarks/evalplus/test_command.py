"""The command over HumanEval and MBPP: bad samples, another number of workers, Ctrl-C, a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from judged import score

from magicoder_repro import benchmarks
from magicoder_repro.benchmarks.base import Judging
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            [{"task_id": "X", "completion": ""}, {"task_id": "HumanEval/7", "completion": ""}],
            "2 tasks .* X, HumanEval/7",
        ),
        ([{"task_id": "MiniHumanEval/0", "completion": ""}], "29 of 30 tasks have no sample: MiniHumanEval/1,"),
        ([{"task_id": "MiniHumanEval/0"}], "neither 'completion' nor 'solution'"),
        ([{"task_id": "MiniHumanEval/0", "solution": 3}], "MiniHumanEval/0: the field 'solution' is not text"),
    ],
)
def test_bad_samples_are_named(samples: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        score(benchmarks.get("minibench-humaneval").load(), samples)


@pytest.mark.parametrize("benchmark", ["minibench-humaneval", "minibench-multipl-e"])
@pytest.mark.parametrize("skip", [[], ["--skip-unknown"]])
def test_a_task_id_that_is_not_text_is_one_line(benchmark: str, skip: list[str], tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"task_id": ["a"], "completion": ""}\n')
    command = [sys.executable, "-m", "magicoder_repro.cli", "score", benchmark, str(samples), "-o", str(tmp_path / "o")]
    done = subprocess.run([*command, *skip], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "samples.jsonl:1: the field 'task_id' is not text" in done.stderr


def test_the_command_judges_and_compares(tmp_path: Path) -> None:
    dataset = benchmarks.get("minibench-mbpp").load()
    command = [sys.executable, "-m", "magicoder_repro.cli"]

    def magicoder(*arguments: str, name: str = "score") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, name, *arguments], capture_output=True, text=True, timeout=120)

    for name, wrong in (("a", ()), ("b", (1, 3))):
        rows = [
            {"task_id": task["task_id"], "completion": "x = 1" if number in wrong else task["canonical_solution"]}
            for number, task in enumerate(dataset.tasks)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = magicoder("minibench-mbpp", str(tmp_path / f"{name}.jsonl"), "-o", str(tmp_path / f"{name}.json"))
        assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "b.json").read_text())
    assert set(result) >= {"benchmark", "protocol", "dataset", "scorer", "metrics", "tasks", "sandbox"}
    assert set(result["tasks"][0]["samples"][0]) == {"passed", "passed_plus", "status", "seconds"}
    done = magicoder(str(tmp_path / "a.json"), str(tmp_path / "b.json"), name="compare")
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [
        f"{dataset.tasks[number]['task_id']}: pass/pass | fail/fail" for number in (1, 3)
    ]
    assert magicoder(str(tmp_path / "a.json"), str(tmp_path / "a.json"), name="compare").returncode == 0
    done = magicoder(str(tmp_path / "a.json"), str(tmp_path / "a.jsonl"), name="compare")
    assert done.returncode == 2 and "not JSON" in done.stderr
    for arguments, message in (
        (("java", str(tmp_path / "a.jsonl"), "-o", "x.json"), "unknown benchmark 'java'"),
        (("minibench-mbpp", str(tmp_path / "no.jsonl"), "-o", "x.json"), "no such file"),
        (("minibench-mbpp", str(tmp_path / "a.jsonl")), "Missing option '-o'"),
        (("minibench-mbpp", str(tmp_path / "a.jsonl"), "-o", "x.json", "--protocol", "old"), "one of paper, current"),
        (("minibench-mbpp", str(tmp_path / "a.jsonl"), "-o", "x.json", "--sandbox", "jail"), "one of auto, bubblewrap"),
    ):
        done = magicoder(*arguments)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_another_number_of_workers_goes_on_with_the_same_work(data: Path) -> None:
    """What is asked is the identity of a journal, and how many ask must not be a part of it: slow tasks are judged in pieces."""
    humaneval = benchmarks.get("humaneval")
    dataset = humaneval.load(data=data)

    def asked(workers: int) -> list[Any]:
        judging = Judging("paper", Scoring(workers=workers), "none", {None: dataset})
        return [
            work.request
            for task in dataset.tasks
            for work in humaneval.requests(None, task, [task["prompt"] + task["canonical_solution"]], judging)
        ]

    assert asked(1) == asked(7) and len(asked(1)) > len(dataset.tasks)


@pytest.mark.parametrize("after", [0.1, 4.0])
def test_ctrl_c_is_one_line_and_ends_what_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: float) -> None:
    """Seconds after the judges were started: before the first program, and in the middle of them."""
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    rows = [{"task_id": f"HumanEval/{number}", "completion": "    while True: pass\n"} for number in range(164)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "magicoder_repro.cli", "score", "humaneval", str(tmp_path / "samples.jsonl")]
    command += ["-o", str(tmp_path / "out.json")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not psutil.Process(process.pid).children():
        time.sleep(0.01)
    time.sleep(after)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130 and started
    assert [line for line in told.splitlines() if not line.startswith("score: 164 samples")] == [
        "stopped: the same command goes on where it was"
    ]
    assert psutil.wait_procs(started, timeout=10)[1] == []
    assert not (tmp_path / "out.json").exists()


def test_nothing_works_on_when_the_command_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    rows = [{"task_id": f"HumanEval/{number}", "completion": "    while True: pass\n"} for number in range(164)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "magicoder_repro.cli", "score", "humaneval", str(tmp_path / "samples.jsonl")]
    command += ["-o", str(tmp_path / "out.json")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while len(started := psutil.Process(process.pid).children(recursive=True)) < 8:  # programs run
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert psutil.wait_procs(started, timeout=2.0)[1] == []
