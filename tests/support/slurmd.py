"""A Slurm of two nodes on this machine: Debian's slurm-wlm and munge, under this user and with files of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CONFIG = """
ClusterName=here
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldPort={ports[0]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=2 State=UNKNOWN
PartitionName=main Nodes=n[1-2] Default=YES
"""


@contextmanager
def cluster(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """While the block runs Slurm's commands are those of this cluster. Skips the test where there is no Slurm."""
    where = f"{os.environ['PATH']}:/usr/sbin"
    found = {name: shutil.which(name, path=where) for name in ("munged", "slurmctld", "slurmd", "sbatch", "srun")}
    if missing := [name for name, path in found.items() if path is None]:
        pytest.skip(f"no Slurm here ({missing[0]} is missing): apt-get install slurm-wlm munge")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # munge's socket takes a short path
    folder.chmod(0o711)  # munge insists on it
    for name in ("state", "spool/n1", "spool/n2"):
        (folder / name).mkdir(parents=True)
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o400)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        first = free.getsockname()[1]
    settings = _CONFIG.format(
        host=socket.gethostname(), user=getpass.getuser(), folder=folder, ports=[first, first + 1, first + 2]
    )
    (folder / "slurm.conf").write_text(settings)
    patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    files = [f"--{kind}={folder}/munge.{kind}" for kind in ("pid-file", "log-file", "seed-file")]
    commands = [
        [found["munged"], "--foreground", f"--key-file={folder}/key", f"--socket={folder}/munge", *files],
        [found["slurmctld"], "-D", "-c"],
        *([found["slurmd"], "-D", "-N", node] for node in ("n1", "n2")),
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "log").open("wb") as log:
            for command in commands:
                started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
                time.sleep(1)
        end = time.monotonic() + 60
        while subprocess.run(["sinfo", "-h", "-t", "idle"], capture_output=True).stdout.count(b"n[1-2]") != 1:
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.5)
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder)
