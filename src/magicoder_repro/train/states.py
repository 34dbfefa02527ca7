"""A training's log as the transformers trainer leaves it (`trainer_state.json`): how the authors' losses are read."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.errors import UsageError

_MOST_BYTES = 1 << 28


def read_losses(path: Path) -> list[tuple[int, float]]:
    """(optimizer step, training loss) of each entry of `log_history` that has a loss, in nats a token and in the order of the steps.

    Entries of evaluations and the last one, of the whole training, have no `loss` and are passed over."""
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise UsageError(f"{path}: more than {_MOST_BYTES >> 20} MB: not a trainer_state.json")
    content = records.read_json(path)
    history = content.get("log_history") if isinstance(content, dict) else None
    if not isinstance(history, list):
        raise UsageError(f"{path}: 'log_history', a list, is missing: not a trainer_state.json of transformers")
    losses = [_entry(path, number, entry) for number, entry in enumerate(history) if _has_loss(entry)]
    if not losses:
        raise UsageError(f"{path}: log_history has no entry with 'loss': no training was logged in it")
    for (before, _), (after, _) in pairwise(losses):
        if after <= before:
            raise UsageError(
                f"{path}: log_history: step {after} comes after step {before}: not the log of one training"
            )
    return losses


def _has_loss(entry: Any) -> bool:
    return not isinstance(entry, dict) or "loss" in entry


def _entry(path: Path, number: int, entry: Any) -> tuple[int, float]:
    step, loss = (entry.get("step"), entry.get("loss")) if isinstance(entry, dict) else (None, None)
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise UsageError(f"{path}: log_history.{number}.step: a whole number from 0 on is wanted, got {step!r:.80}")
    if not isinstance(loss, int | float) or isinstance(loss, bool) or not math.isfinite(loss):
        raise UsageError(f"{path}: log_history.{number}.loss: a finite number is wanted, got {loss!r:.80}")
    return step, float(loss)
