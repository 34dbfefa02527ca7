"""The Trainer's checkpoints, whole or absent: a checkpoint counts once its mark lists every file of it.

The mark is written last, when all files are on the disk, with their sizes and hashes. A checkpoint without it was torn by a kill, one
that does not equal it was damaged later: both are set aside, and training goes on from the one before, or from the start.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from magicoder_repro import records
from magicoder_repro.environment import file_sha256
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import say

KEPT = 2
"""How many checkpoints stay: the newest may be damaged."""
_MARK = "whole.json"
_PREFIX, _ASIDE = "checkpoint-", "damaged-"


class Marker(TrainerCallback):
    """Marks each checkpoint when the Trainer has written it."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called after the last file of a checkpoint."""
        if state.is_world_process_zero and args.output_dir is not None:
            mark(Path(args.output_dir) / f"{_PREFIX}{state.global_step}")


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


def last(folder: Path) -> tuple[Path, int] | None:
    """(path, step) of the newest whole checkpoint; the damaged ones after it are set aside, each with a line."""
    steps = {
        int(path.name.removeprefix(_PREFIX)): path
        for path in folder.glob(f"{_PREFIX}*")
        if path.name.removeprefix(_PREFIX).isdecimal()
    }
    for step in sorted(steps, reverse=True):
        trouble = _trouble(steps[step])
        if trouble is None:
            return steps[step], step
        aside = folder / f"{_ASIDE}{steps[step].name}"
        say(f"the checkpoint of step {step} is damaged ({trouble}): set aside as {aside}, going on without it")
        shutil.rmtree(aside, ignore_errors=True)
        steps[step].rename(aside)
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
