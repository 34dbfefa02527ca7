"""What ends a training early: a loss that is no number, a signal, a full disk."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import artifact, interrupts
from magicoder_repro.errors import BadResultError, Stopped
from magicoder_repro.train import checkpoints, rank

RECIPE: dict[str, Any] = {
    "max_length": 320, "epochs": 2, "batch": 4, "micro_batch": 2, "learning_rate": 1e-3, "warmup_steps": 2,
    "optimizer": "adafactor", "dtype": "float32", "attention": "sdpa", "seed": 42, "checkpoint_steps": 0,
}  # fmt: skip
Build = Callable[..., artifact.Manifest]


def _at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Does something when a step has ended."""
    real = rank._Progress.on_step_end

    def end(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == step:
            act()
        real(self, args, state, control, **more)

    monkeypatch.setattr(rank._Progress, "on_step_end", end)


def test_a_loss_that_is_no_number_is_told_with_its_step_and_records(
    build: Build, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rank.Trainer.compute_loss

    def loss(self: Any, model: Any, inputs: Any, **more: Any) -> Any:
        found, outputs = real(self, model, inputs, **more)
        return (found * float("nan") if self.state.global_step == 2 else found), outputs

    monkeypatch.setattr(rank.Trainer, "compute_loss", loss)
    with pytest.raises(
        BadResultError, match=r"t: step 3: the loss is nan on the records of lines (\d+), (\d+): "
    ) as told:
        build(tmp_path / "out", RECIPE)
    rank_order = rank.order.of(10, rank.Recipe.model_validate(RECIPE)).records
    lines = ", ".join(str(number + 1) for number in rank_order[2 * 4 : 2 * 4 + 2])
    assert f"lines {lines}:" in str(told.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lora", [None, {"rank": 2, "alpha": 4.0, "dropout": 0.1}])
def test_a_signal_leaves_a_checkpoint_of_the_step_and_the_same_weights(
    lora: dict[str, Any] | None, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {**RECIPE, "lora": lora}
    whole = build(tmp_path / "whole", recipe)
    monkeypatch.setattr(interrupts, "_came", None)
    with monkeypatch.context() as patch:
        _at_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped) as stopped:
            build(tmp_path / "out", recipe)
    assert stopped.value.code == 143
    last = checkpoints.last(tmp_path / "out.partial" / "work" / "checkpoints")
    assert last is not None and checkpoints.step(last) in (3, 4)  # which of the callbacks looks first
    monkeypatch.setattr(interrupts, "_came", None)
    assert build(tmp_path / "out", recipe).outputs == whole.outputs


def test_a_full_disk_keeps_the_last_good_checkpoint(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {**RECIPE, "checkpoint_steps": 2}
    whole = build(tmp_path / "whole", recipe)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        _at_step(patch, 4, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1])))
        try:
            with pytest.raises(OSError, match=r"File too large|No space left"):
                build(tmp_path / "out", recipe)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder = tmp_path / "out.partial" / "work" / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["checkpoint-2"]
    assert checkpoints.last(folder) == folder / "checkpoint-2"
    assert build(tmp_path / "out", recipe).outputs == whole.outputs
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [1, 2, 3, 4, 5, 6]
