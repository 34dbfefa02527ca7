"""Judging in bulk: the same answers from any executor, any number of workers, and after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Executor
from magicoder_repro.score import bulk

REQUESTS = [{"number": number} for number in range(23)]
EXPECTED = [{"square": number * number} for number in range(23)]
SQUARES = f"{__name__.rpartition('.')[2]}:Squares"


class Squares:
    """A judge of numbers. `pause`: seconds a number; `trouble`: what a 13 does; `marks`: where it leaves its process id."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        if "marks" in settings:
            Path(settings["marks"], str(os.getpid())).touch()

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self.settings.get("pause", 0))
        if self.settings.get("children"):  # as a sandbox does: start processes and kill them
            child = subprocess.Popen(["sleep", "60"])
            child.kill()
            child.wait()
        if request["number"] == 13 and "trouble" in self.settings:
            if self.settings["trouble"] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise {"usage": UsageError, "bug": ZeroDivisionError}[self.settings["trouble"]]("13 brings bad luck")
        return {"square": request["number"] ** 2}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that judge find this file."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def _judge(folder: Path, workers: int = 2, executor: Executor | None = None, **settings: Any) -> list[dict[str, Any]]:
    return bulk.judge(REQUESTS, SQUARES, settings, folder, "test", workers, executor or Executor())


def _done(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("answers/*"))


@pytest.mark.parametrize(("workers", "shard"), [(1, 100), (2, 100), (2, 5), (3, 1)])
def test_answers_do_not_depend_on_workers_and_shards(workers: int, shard: int, tmp_path: Path) -> None:
    assert _judge(tmp_path / "work", workers, Executor(shard=shard)) == EXPECTED


def test_a_process_judges_many_shards_with_one_judge(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    assert _judge(tmp_path / "work", 2, Executor(shard=3), marks=str(tmp_path / "marks")) == EXPECTED
    assert 1 <= len(list((tmp_path / "marks").iterdir())) <= 2


def test_a_judge_may_start_and_kill_processes(tmp_path: Path) -> None:
    assert _judge(tmp_path / "work", children=True) == EXPECTED


def test_no_request_is_no_answer(tmp_path: Path) -> None:
    assert bulk.judge([], SQUARES, {}, tmp_path / "work", "test", 2, Executor()) == []


def test_finished_work_is_not_done_again_and_another_job_is_not_mistaken_for_it(tmp_path: Path) -> None:
    assert _judge(tmp_path / "work") == EXPECTED
    (tmp_path / "marks").mkdir()
    assert _judge(tmp_path / "work", 1, Executor(shard=1)) == EXPECTED
    assert _judge(tmp_path / "work", marks=str(tmp_path / "marks")) == EXPECTED
    assert len(list((tmp_path / "marks").iterdir())) == 2


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("usage", "^13 brings bad luck$"),
        ("bug", "^ZeroDivisionError: 13 brings bad luck$"),
        ("killed", "judging stopped after .* of 23 programs: out of memory.*executor.log may say"),
    ],
)
def test_a_judge_in_trouble_is_one_line_and_the_rest_goes_on_later(trouble: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        _judge(tmp_path / "work", trouble=trouble)


def test_killed_in_the_middle_it_goes_on_and_leaves_nothing_running(tmp_path: Path) -> None:
    work, marks = tmp_path / "work", tmp_path / "marks"
    marks.mkdir()
    settings = {"pause": 0.1, "marks": str(marks)}
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_bulk as t; from pathlib import Path;"
        "t._judge(Path(sys.argv[2]), pause=0.1, marks=sys.argv[3])"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(work), str(marks)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not _done(work) and process.poll() is None:
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 3
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert not alive
    assert 0 < _done(work) < len(REQUESTS)
    assert _judge(work, **settings) == EXPECTED
    assert _done(work) == len(REQUESTS)
