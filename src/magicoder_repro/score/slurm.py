"""datatrove's executor for Slurm: its jobs find their Python, take any path, and are waited for."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor

from magicoder_repro import records
from magicoder_repro.errors import UsageError

_LOOK_SECONDS = 5.0
_ID = "slurm.json"
_GONE = "Invalid job id"  # what squeue says of a job that ended some minutes ago


class Slurm(SlurmPipelineExecutor):  # type: ignore[misc]
    """Runs the pipeline's tasks as an array of jobs. `options`: datatrove's own, `partition` and `time` among them."""

    def __init__(self, common: dict[str, Any], options: dict[str, Any]) -> None:
        for name in ("partition", "time"):
            if name not in options:
                raise UsageError(
                    f"which {name} have the jobs? Give --set executor.{name}=..., or scoring.executor.options"
                )
        usual = {
            "env_command": f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
            "job_name": "magicoder-score",
            "slurm_logs_folder": ".",  # of the folder that they are submitted from: a path may hold what Slurm reads
            "srun_args": {"cpus-per-task": options.get("cpus_per_task", 1)},  # which srun does not take over
        }
        super().__init__(**common, **{**usual, **options})

    def get_launch_file_contents(self, sbatch_args: dict[str, Any], run_script: str) -> str:
        path = self.logging_dir.resolve_paths("executor.pik")
        contents: str = super().get_launch_file_contents(sbatch_args, run_script.replace(path, shlex.quote(path)))
        return contents

    def launch_merge_stats(self) -> None:
        """Nothing: nobody reads them."""


def run(executor: Slurm, folder: Path, failed: Callable[[], bool]) -> None:
    """Submits the jobs, and waits until all have left the queue; when one has `failed` the others are cancelled. `folder`: for their
    output, and their id."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        executor.run()
    except subprocess.CalledProcessError:
        raise UsageError(f"sbatch refused the jobs: {folder.parent / 'executor.log'} says why") from None
    records.write_json(folder / _ID, executor.job_id)
    while _queued(executor.job_id):
        if failed():
            cancel(folder)
        time.sleep(_LOOK_SECONDS)
    (folder / _ID).unlink(missing_ok=True)
    print(f"the jobs of {executor.job_id} have ended; their output is in {folder}", flush=True)


def cancel(folder: Path) -> None:
    """Cancels what `run` has submitted there."""
    if (folder / _ID).is_file():
        subprocess.run(["scancel", records.read_json(folder / _ID)], check=False)
        (folder / _ID).unlink()


def _queued(job: str) -> bool:
    done = subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) if done.returncode == 0 else _GONE not in done.stderr
