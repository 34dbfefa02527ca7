"""The weights, losses and learning rates of the official recipe, as transformers 4.35 and accelerate 0.24.1 ran it.

The last digit depends on the processor: a plain Trainer over the same layout differs from the golden weights as much, 1.2e-7."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from datasets import Dataset
from safetensors.torch import load_file

from magicoder_repro.errors import Stopped
from magicoder_repro.profile import Recipe
from magicoder_repro.train import checkpoints, launch, rank

RECIPE = Recipe(
    max_length=256, epochs=2, batch=16, micro_batch=2, learning_rate=5e-3, warmup_steps=2, optimizer="adafactor",
    dtype="float32", attention="sdpa", seed=42, checkpoint_steps=1,
)  # fmt: skip


def _job(golden: Path, folder: Path, **changes: Any) -> rank.Job:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").is_dir():
        rows = [{**row, rank.LINE: line} for line, row in enumerate(json.loads((golden / "rows.json").read_text()), 1)]
        Dataset.from_list(rows).save_to_disk(folder / "data")
    values = {
        "label": "golden", "recipe": RECIPE, "model": golden / "start", "data": folder / "data", "out": folder,
        "checkpoints": folder / "checkpoints", "logs": folder / "logs", "resume": checkpoints.last(folder / "checkpoints"),
        "saved_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "tokens": 1000, "price_per_hour": None,
    }  # fmt: skip
    return rank.Job.model_validate({**values, **changes})


def _difference(golden: Path, folder: Path) -> float:
    """The largest difference of a weight."""
    theirs, ours = (load_file(path / "model.safetensors") for path in (golden / "official", folder))
    assert set(theirs) == set(ours)
    return max(float((theirs[name] - ours[name]).abs().max()) for name in theirs)


def _same_log(golden: Path, folder: Path) -> None:
    theirs = [entry for entry in json.loads((golden / "official" / "log.json").read_text()) if "loss" in entry]
    ours = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in ours] == [entry["step"] for entry in theirs]
    assert [round(row["epoch"], 2) for row in ours] == [entry["epoch"] for entry in theirs]
    rates = [entry["learning_rate"] for entry in theirs]  # transformers 4.35 logged that of the next step
    assert [row["learning_rate"] for row in ours] == [0.0, *rates[:-1]] and rates[-1] == 0.0
    assert [row["loss"] for row in ours] == pytest.approx([entry["loss"] for entry in theirs], abs=1e-4)


def test_one_process_ends_in_the_official_weights(golden: Path, tmp_path: Path) -> None:
    launch.run(_job(golden, tmp_path, recipe=RECIPE.model_copy(update={"checkpoint_steps": 0})), 1)
    assert _difference(golden, tmp_path) < 1e-6
    _same_log(golden, tmp_path)
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))


_LAUNCH = """
import sys
from pathlib import Path
from magicoder_repro.train import launch, rank
launch.run(rank.Job.model_validate_json(Path(sys.argv[1]).read_bytes()), 2)
"""


@pytest.mark.long
def test_two_processes_that_are_killed_and_stopped_end_in_the_official_weights(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill -9` of the stage leaves none of them; a signal to one ends both after a checkpoint, which one process can go on from."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    told = tmp_path / "told.json"
    told.write_text(_job(golden, tmp_path).model_dump_json())
    stage = subprocess.Popen([sys.executable, "-c", _LAUNCH, str(told)])
    _wait_for_step(tmp_path, 2, stage)
    ranks = psutil.Process(stage.pid).children(recursive=True)
    assert len(ranks) == 2
    stage.kill()
    stage.wait()
    _, alive = psutil.wait_procs(ranks, timeout=10)
    assert not alive
    killed = checkpoints.last(tmp_path / "checkpoints")
    assert killed is not None and 1 <= checkpoints.step(killed) < 8 and checkpoints.processes(killed) == 2

    def stop() -> None:
        _wait_for_step(tmp_path, checkpoints.step(killed) + 1)
        children = psutil.Process().children()  # earlier tests' too: a resource tracker, a server
        next(child for child in children if str(tmp_path) in " ".join(child.cmdline())).send_signal(signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Stopped) as stopped:
        launch.run(_job(golden, tmp_path), 2)
    thread.join()
    assert stopped.value.code == 128 + signal.SIGTERM
    last = checkpoints.last(tmp_path / "checkpoints")
    assert last is not None and checkpoints.step(killed) < checkpoints.step(last) < 8

    launch.run(_job(golden, tmp_path), 1)
    assert _difference(golden, tmp_path) < 1e-6
    _same_log(golden, tmp_path)


_NODES = """
import sys
from pathlib import Path
from magicoder_repro.train import launch, rank
told = Path(sys.argv[1])
if launch.nodes.here().number:
    launch.join(told.parent, "golden", lambda: False)
else:
    launch.run(rank.Job.model_validate_json(told.read_bytes()), launch.devices(1))
"""


@pytest.mark.long
def test_two_nodes_end_in_the_official_weights(golden: Path, tmp_path: Path) -> None:
    """Each is a process here, which learns its place from the variables that srun sets."""
    told = tmp_path / "told.json"
    told.write_text(_job(golden, tmp_path, recipe=RECIPE.model_copy(update={"checkpoint_steps": 0})).model_dump_json())
    srun = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2", "SLURM_JOB_ID": "7", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _NODES, str(told)], env={**os.environ, **srun, "SLURM_NODEID": str(number)}
        )
        for number in (1, 0)
    ]
    try:
        assert [process.wait(300) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    assert _difference(golden, tmp_path) < 1e-6
    _same_log(golden, tmp_path)


def _wait_for_step(folder: Path, step: int, process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + 120
    while not (checkpoints.of(folder / "checkpoints", step) / "whole.json").is_file():
        assert time.monotonic() < end and (process is None or process.poll() is None)
        time.sleep(0.005)
