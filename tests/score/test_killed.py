"""SIGKILL of `score`: what it started ends at once, nothing of it stays in TMPDIR, and the same command goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from magicoder_repro import benchmarks
from magicoder_repro.temporary import own_folder

pytestmark = pytest.mark.sandbox

_SECONDS = 3.0


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short name: a long TMPDIR is not used, for sockets lie in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_a_long_name_of_the_temporary_folder_holds_no_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with own_folder():
        assert len(tempfile.mkdtemp(prefix="pymp-") + "/listener-12345678") < 108


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_nothing_outlives_a_killed_score(tmp_path: Path, temporary: Path) -> None:
    tasks = benchmarks.get("minibench-multipl-e").load(subset="js").tasks
    rows = [{"task_id": task["name"], "completion": "while (true) {}\n}"} for task in tasks]
    samples = tmp_path / "samples.jsonl"
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "magicoder_repro.cli", "score", "minibench-multipl-e", str(samples)]
    command += ["--language", "js", "--workers", "2", "-o", str(tmp_path / "out.json")]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    started: list[psutil.Process] = []
    while not any(_name(one) in ("node", "MainThread") for one in started):  # a program in its sandbox
        assert process.poll() is None, "it ended before the kill"
        time.sleep(0.05)
        if (tmp_path / "out.json.work" / "answers").exists():
            started = psutil.Process(process.pid).children(recursive=True)
    assert list(temporary.iterdir())
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=_SECONDS)
    assert not alive, [one.cmdline() for one in alive]
    deadline = time.monotonic() + _SECONDS
    while list(temporary.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(temporary.iterdir())
    assert not (tmp_path / "out.json").exists()


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def test_nothing_stays_in_the_temporary_folder_after_a_normal_end(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"problem": "a", "solution": "b"}\n')
    command = [sys.executable, "-m", "magicoder_repro.cli", "decontaminate", str(tmp_path / "in.jsonl")]
    for extra, code in ((["-o", str(tmp_path / "out")], 0), (["-o", "/proc/x/y"], 2)):
        environment = {**os.environ, "TMPDIR": str(temporary)}
        assert subprocess.run([*command, *extra], env=environment, capture_output=True).returncode == code
        assert not list(temporary.iterdir())


def test_two_commands_with_one_output(tmp_path: Path) -> None:
    """The second one is refused; when the first is killed its lock is gone."""
    from magicoder_repro import outputs

    out = tmp_path / "out.json"
    rows = [
        {"task_id": task["task_id"], "completion": "    pass\n"}
        for task in benchmarks.get("minibench-humaneval").load().tasks
    ]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for arguments in (
        ["score", "minibench-humaneval", str(tmp_path / "samples.jsonl"), "-o", str(out)],
        ["prompts", "minibench-humaneval", "-o", str(out)],
    ):
        command = [sys.executable, "-m", "magicoder_repro.cli", *arguments]
        with outputs.claimed(out):
            done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2 and f"{out}: another command makes it right now" in done.stderr, done.stderr
        assert not out.exists()
    assert subprocess.run(command, capture_output=True).returncode == 0 and out.exists()
