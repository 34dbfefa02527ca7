"""The Trainer's checkpoints, whole or absent: a checkpoint counts once its mark lists every file of it.

The mark is written last, when all files are on the disk, with their sizes and hashes. A checkpoint without it was torn by a kill, one
that does not equal it was damaged later: both are set aside, and training goes on from the one before, or from the start.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from magicoder_repro import records
from magicoder_repro.environment import file_sha256
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import say

_MARK = "whole.json"
_PREFIX, _ASIDE = "checkpoint-", "damaged-"


class Marker(TrainerCallback):
    """Marks each checkpoint when the Trainer has written it."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called in each process after its last file of a checkpoint."""
        if args.world_size > 1:
            torch.distributed.barrier()
        if state.is_world_process_zero and args.output_dir is not None:
            mark(of(Path(args.output_dir), state.global_step))


def of(folder: Path, step: int) -> Path:
    """The place of a step's checkpoint."""
    return folder / f"{_PREFIX}{step}"


def step(checkpoint: Path) -> int:
    """The step of a checkpoint."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def processes(checkpoint: Path) -> int:
    """How many processes wrote it: each leaves the state of its generators."""
    return len(list(checkpoint.glob("rng_state*.pth")))


def mark(checkpoint: Path) -> None:
    """Writes the mark of a checkpoint whose files are all there."""
    files = _files(checkpoint)
    for path in [
        *files.values(),
        *(path for path in checkpoint.rglob("*") if path.is_dir()),
        checkpoint,
        checkpoint.parent,
    ]:
        records.sync(path)
    about = {name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for name, path in files.items()}
    records.write_json(checkpoint / _MARK, about)
    records.sync(checkpoint)


def last(folder: Path) -> Path | None:
    """The newest whole checkpoint; the damaged ones after it are set aside, each with a line."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdecimal()]
    for path in sorted(found, key=step, reverse=True):
        trouble = _trouble(path)
        if trouble is None:
            return path
        aside = folder / f"{_ASIDE}{path.name}"
        say(f"the checkpoint of step {step(path)} is damaged ({trouble}): set aside as {aside}, going on without it")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    return None


def _trouble(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint; None when it is whole."""
    try:
        about = records.read_json(checkpoint / _MARK)
    except UsageError:
        return "it was not finished"
    files = _files(checkpoint)
    if not isinstance(about, dict) or set(about) != set(files):
        return "files are missing or too many"
    for name, path in files.items():
        expected = about[name] if isinstance(about[name], dict) else {}
        if path.stat().st_size != expected.get("bytes") or file_sha256(path) != expected.get("sha256"):
            return f"{name} is not as it was written"
    return None


def _files(checkpoint: Path) -> dict[str, Path]:
    """The files of a checkpoint by their names in it, without the mark."""
    paths = (path for path in checkpoint.rglob("*") if path.is_file() and path != checkpoint / _MARK)
    return {str(path.relative_to(checkpoint)): path for path in sorted(paths)}
