"""Where the nodes of a training meet. That two of them train together is in `test_golden.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from magicoder_repro.errors import UsageError
from magicoder_repro.train import nodes

SRUN = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}


def _set(monkeypatch: pytest.MonkeyPatch, **changes: str) -> nodes.Nodes:
    for name, value in {**SRUN, "SLURM_NODEID": "1", **changes}.items():
        monkeypatch.setenv(name, value)
    return nodes.here()


def test_a_command_is_alone_unless_srun_starts_one_on_each_node(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nodes.here() == nodes.Nodes()
    assert _set(monkeypatch, SLURM_STEP_NUM_TASKS="1", SLURM_STEP_NUM_NODES="1") == nodes.Nodes()
    assert _set(monkeypatch) == nodes.Nodes(2, 1, "7.0.0")
    with pytest.raises(UsageError, match="4 tasks on 2 nodes: give --ntasks-per-node=1"):
        _set(monkeypatch, SLURM_STEP_NUM_TASKS="4")


def test_an_earlier_attempt_of_the_same_job_calls_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = _set(monkeypatch, SLURM_NODEID="0")
    now = _set(monkeypatch, SLURM_RESTART_COUNT="1")
    assert now.called(tmp_path) is None
    before.call(tmp_path, 4)
    assert now.called(tmp_path) is None
    endpoint = _set(monkeypatch, SLURM_RESTART_COUNT="1", SLURM_NODEID="0").call(tmp_path, 4)
    assert now.called(tmp_path) == nodes.Meeting(start="7.0.1", processes=4, endpoint=endpoint)
