"""The nodes of one training: srun starts the same command on each, the first does the stage's work, the others train with it.

They meet by a file in the folder that the stage works in, which all of them see.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from magicoder_repro import records
from magicoder_repro.errors import UsageError

_FILE = "nodes.json"


class Meeting(BaseModel):
    """Where the nodes meet. `start`: the attempt that it is of; `processes`: of each node; `endpoint`: HOST:PORT of the first one."""

    start: str
    processes: int
    endpoint: str


@dataclass(frozen=True)
class Nodes:
    """`number`: of this node, from 0 on; `start`: what tells this attempt from earlier ones."""

    count: int = 1
    number: int = 0
    start: str = ""

    def call(self, folder: Path, processes: int) -> str:
        """Tells the other nodes that the work in `folder` begins; gives HOST:PORT of this one."""
        with socket.socket() as free:
            free.bind(("", 0))
            endpoint = f"{socket.gethostname()}:{free.getsockname()[1]}"
        records.write_text(
            folder / _FILE, Meeting(start=self.start, processes=processes, endpoint=endpoint).model_dump_json()
        )
        return endpoint

    def called(self, folder: Path) -> Meeting | None:
        """What the first node has told of this attempt; None before it does."""
        try:
            found = Meeting.model_validate(records.read_json(folder / _FILE))
        except (UsageError, ValueError):
            return None
        return found if found.start == self.start else None


def here() -> Nodes:
    """By the variables that srun sets in each task; this node alone where it has not started one on each of several."""
    tasks, count = (int(os.environ.get(f"SLURM_STEP_NUM_{what}", "1")) for what in ("TASKS", "NODES"))
    if tasks == 1:
        return Nodes()
    if tasks != count:
        raise UsageError(f"srun started {tasks} tasks on {count} nodes: give --ntasks-per-node=1")
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    return Nodes(count, int(os.environ["SLURM_NODEID"]), ".".join(os.environ.get(name, "0") for name in names))
