"""Judging in bulk: the same answers from any executor, any number of workers, and after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from magicoder_repro import records
from magicoder_repro.benchmarks.base import JudgeSpec
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Executor
from magicoder_repro.score import bulk
from magicoder_repro.score.workers import Workers

pytestmark = pytest.mark.sandbox

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

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that judge find this file."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def _judge(folder: Path, workers: int = 2, executor: Executor | None = None, **settings: Any) -> list[dict[str, Any]]:
    return _one(folder, _spec(**settings), workers, executor)


def _one(
    folder: Path, spec: JudgeSpec, workers: int, executor: Executor | None = None, early: Workers | None = None
) -> list[dict[str, Any]]:
    (answers,) = bulk.judge([bulk.Part(REQUESTS, spec, folder)], "test", workers, executor or Executor(), early)
    return answers


def _spec(**settings: Any) -> JudgeSpec:
    return JudgeSpec("core", SQUARES, settings)


def _shards(size: int = 100) -> Executor:
    """Shards on datatrove's executor, as Slurm and Ray have them: Ray's own processes of this machine."""
    pytest.importorskip("ray", reason="ray is not installed")
    return Executor(kind="ray", shard=size, options={"mem_per_cpu_gb": 0.2})


def _done(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("answers/*"))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_answers_do_not_depend_on_workers(workers: int, tmp_path: Path) -> None:
    assert _judge(tmp_path / "work", workers) == EXPECTED


def test_a_process_judges_many_requests_with_one_judge(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    assert _judge(tmp_path / "work", 2, marks=str(tmp_path / "marks")) == EXPECTED
    assert 1 <= len(list((tmp_path / "marks").iterdir())) <= 2


def test_a_judge_may_start_and_kill_processes(tmp_path: Path) -> None:
    assert _judge(tmp_path / "work", children=True) == EXPECTED


def test_what_is_to_run_alone_runs_alone_among_processes_that_were_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, most, lock = 0, 0, threading.Lock()
    ask = Workers.ask

    def counted(self: Workers, request: Any) -> Any:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            return ask(self, request)
        finally:
            with lock:
                at_once -= 1

    monkeypatch.setattr(Workers, "ask", counted)
    with Workers("core", SQUARES, 2, early=True) as early:
        spec = _spec(pause=0.01)
        assert _one(tmp_path / "work", spec, 1, early=early) == EXPECTED
        assert most == 1
        assert _one(tmp_path / "other", spec, 2, early=early) == EXPECTED
    assert most == 2


def test_what_this_machine_has_answered_is_not_asked_of_another(tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert _judge(work, 1) == EXPECTED
    _lines(work / "answers" / "local.jsonl", lambda lines: lines[:20])
    bulk._prepare(REQUESTS, _spec(), work, 1, _shards())
    job = bulk._Job.read(work)
    job.carry_over()
    assert job.done() >= 16  # of three shards, each up to its first gap


def test_a_judge_that_cannot_be_imported_is_one_line(tmp_path: Path) -> None:
    spec = JudgeSpec("core", "no_such_module:Judge", {})
    with pytest.raises(UsageError, match=r"no_such_module:Judge cannot be used in .*: ModuleNotFoundError"):
        _one(tmp_path / "work", spec, 1)


def test_no_request_is_no_answer(tmp_path: Path) -> None:
    assert bulk.judge([bulk.Part([], _spec(), tmp_path / "work")], "test", 2, Executor()) == [[]]
    assert bulk.judge([], "test", 2, Executor()) == []


def test_several_jobs_are_done_side_by_side_each_by_judges_of_its_own(tmp_path: Path) -> None:
    marks = [tmp_path / f"marks{number}" for number in range(3)]
    for folder in marks:
        folder.mkdir()
    few = REQUESTS[:5]
    specs = [_spec(marks=str(folder), pause=0.02) for folder in marks]
    parts = [
        bulk.Part(requests, spec, tmp_path / str(number))
        for number, (requests, spec) in enumerate(zip((REQUESTS, few, REQUESTS), specs, strict=True))
    ]
    assert bulk.judge(parts, "test", 2, Executor()) == [EXPECTED, EXPECTED[:5], EXPECTED]
    started = [len(list(folder.iterdir())) for folder in marks]
    assert started[1] == 1 and sum(started) <= 4  # a process a job, and one that helps where much is left
    assert bulk.judge(parts, "test", 2, Executor()) == [EXPECTED, EXPECTED[:5], EXPECTED]
    assert [len(list(folder.iterdir())) for folder in marks] == started


def test_finished_work_is_not_done_again_and_another_job_is_not_mistaken_for_it(tmp_path: Path) -> None:
    assert _judge(tmp_path / "work") == EXPECTED
    (tmp_path / "marks").mkdir()
    assert _judge(tmp_path / "work", 1) == EXPECTED
    assert _judge(tmp_path / "work", marks=str(tmp_path / "marks")) == EXPECTED
    assert len(list((tmp_path / "marks").iterdir())) == 2


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("usage", "^13 brings bad luck$"),
        ("bug", "^ZeroDivisionError: 13 brings bad luck$"),
        ("killed", "the judge of a program died 2 times: out of memory.* the same command goes on there"),
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
    assert len(started) == 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert not alive
    assert 0 < _done(work) < len(REQUESTS)
    assert _judge(work, **settings) == EXPECTED
    assert _done(work) == len(REQUESTS)


def _lines(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


_ANSWERS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "half a line": lambda lines: [*lines[:2], lines[2][:9]],
    "reordered": lambda lines: lines[::-1],
    "another verdict": lambda lines: [lines[0], lines[1].replace(b"square", b"sguare"), *lines[2:]],
    "a line twice": lambda lines: [lines[0], *lines],
    "too many": lambda lines: lines + lines,
    "no JSON": lambda lines: [b"\0\xff\n"] * 20,
    "deep": lambda lines: [b"[" * 5000 + b"\n"],
}


@pytest.mark.parametrize(
    "damages", [("half a line", "reordered", "another verdict"), ("a line twice", "too many", "no JSON"), ("deep",)]
)
def test_damaged_answers_are_given_again(damages: tuple[str, ...], finished: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(finished, work)
    for rank, damage in enumerate(damages):
        _lines(work / "answers" / f"{rank:05d}.jsonl", _ANSWERS[damage])
    assert _judge(work, 1) == EXPECTED  # by this machine's processes: they go on with what shards have left


@pytest.mark.parametrize("damage", _ANSWERS)
def test_damaged_answers_of_this_machine_are_given_again(damage: str, tmp_path: Path) -> None:
    assert _judge(tmp_path / "work", 1) == EXPECTED
    _lines(tmp_path / "work" / "answers" / "local.jsonl", _ANSWERS[damage])
    assert _judge(tmp_path / "work", 1) == EXPECTED


@pytest.mark.long
def test_exchanged_answers_and_damaged_requests_are_noticed(finished: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(finished, work)
    one, other, third = (work / "answers" / f"0000{rank}.jsonl" for rank in range(3))
    one.rename(work / "x"), other.rename(one), (work / "x").rename(other)
    _lines(work / "requests" / "00000.jsonl", lambda lines: lines[:2])
    _lines(work / "requests" / "00002.jsonl", lambda lines: [line.replace(b"1", b"2") for line in lines])
    third.unlink()
    assert _judge(work, 1, _shards()) == EXPECTED


@pytest.mark.parametrize(
    "content", ["", "[]", '{"identity": ', "no JSON", "shards", pytest.param(None, id="absent")]
)  # "shards": another number of them
def test_a_damaged_job_is_begun_again(content: str | None, finished: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(finished, work)
    path = work / "job.json"
    about = json.loads(path.read_text())
    path.unlink()
    if content is not None:
        path.write_text(json.dumps({**about, "shards": 2}) if content == "shards" else content)
    bulk._prepare(REQUESTS, _spec(), work, 1, _shards())
    job = bulk._Job.read(work)
    job.cut_damaged()
    assert job.identity == about["identity"] and job.shards == (2 if content == "shards" else 3)
    assert not any(records.Journal.read(path, job._key(int(path.stem))) for path in work.glob("answers/*"))
    assert [len(list(records.read_jsonl(path))) for path in sorted(work.glob("requests/*"))][:2] == (
        [12, 11] if content == "shards" else [8, 8]
    )


@pytest.mark.long
def test_a_real_slurm_gives_the_same_answers_and_its_jobs_end_with_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slurmd  # which the processes that judge do not find

    options = {"partition": "main", "time": 5, "mem_per_cpu_gb": 0, "qos": ""}
    executor = Executor(kind="slurm", shard=8, options=options)
    work = tmp_path / 'a run\'s "folder"'
    with slurmd.cluster(monkeypatch):
        assert _judge(work / "one", executor=executor) == EXPECTED
        with pytest.raises(UsageError, match=r"^13 brings bad luck$"):
            _judge(work / "two", executor=executor, trouble="usage", pause=1)
        with pytest.raises(UsageError, match=r"judging stopped after .* of 23 programs"):
            _judge(work / "three", executor=executor, trouble="killed")
        with pytest.raises(UsageError, match=r"executor slurm: sbatch refused the jobs: .*executor.log says why"):
            _judge(work / "four", executor=Executor(kind="slurm", options={**options, "partition": "none"}))
        assert not subprocess.run(["squeue", "--noheader"], capture_output=True, check=True).stdout
    with pytest.raises(UsageError, match="executor slurm: which time have the jobs"):
        _judge(work / "five", executor=Executor(kind="slurm", options={"partition": "main"}))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "work"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        assert _judge(folder, 1, _shards()) == EXPECTED
    return folder
