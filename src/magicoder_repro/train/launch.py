"""The processes of one training, one a device, started by torchrun's agent in this process. They never outlive it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from magicoder_repro import artifact, interrupts, processes, records
from magicoder_repro.errors import BadResultError, Stopped, UsageError
from magicoder_repro.train import nodes, rank
from magicoder_repro.train.rank import Job

_JOB = "job.json"  # beside the checkpoints
_SAVE_SECONDS = 270  # in which the processes end their step and write a checkpoint after a signal
_LOOK_SECONDS = 1.0
_PEER_SECONDS = 5.0  # in which the agent ends the processes whose peer has failed


def devices(wanted: int | None) -> int:
    """How many processes a training has: on each node as many as it is to have, or one a GPU, or one on a CPU."""
    gpus = torch.cuda.device_count()
    if wanted is not None and gpus and wanted > gpus:
        raise UsageError(f"training.processes: {wanted}, but {gpus} GPUs are here: lower it or leave it out")
    return (wanted or gpus or 1) * nodes.here().count


def run(job: Job, count: int) -> None:
    """Trains with so many processes, those of all nodes; one trains here."""
    if count == 1:
        rank.train(job)
        return
    told, ours = job.checkpoints.with_name(_JOB), nodes.here()
    records.write_text(told, job.model_dump_json())
    processes = count // ours.count
    endpoint = ours.call(told.parent, processes) if ours.count > 1 else "localhost:0"
    _start(told, job.label, processes, ours, endpoint)


def join(folder: Path, label: str, made: Callable[[], bool]) -> None:
    """The part of every node but the first: its processes train with those of the first, once that calls from `folder`, where the
    stage works. Nothing when the result has been `made`. That the training was stopped is for the first node to say."""
    ours = nodes.here()
    while (meeting := ours.called(folder)) is None:
        if made():
            return
        time.sleep(_LOOK_SECONDS)
    with suppress(Stopped):
        _start(folder / _JOB, label, meeting.processes, ours, meeting.endpoint)


def _start(told: Path, label: str, count: int, ours: nodes.Nodes, endpoint: str) -> None:
    """torchrun's agent of this node, and so many processes."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // count)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # a process tells its error itself
    alone = ours.count == 1
    config = LaunchConfig(
        min_nodes=ours.count,
        max_nodes=ours.count,
        nproc_per_node=count,
        # static: the processes are numbered by their nodes, and number 0, which writes, is on the first
        rdzv_backend="c10d" if alone else "static",
        rdzv_configs={} if alone else {"rank": ours.number},
        rdzv_endpoint=endpoint,
        local_addr="localhost" if alone else None,
        run_id=ours.start or uuid.uuid4().hex,
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(),
        signals_to_handle="SIGHUP",  # the others stay ours
        shutdown_timeout=_SAVE_SECONDS,
    )
    command = ("-m", "magicoder_repro.cli", "rank", str(told), "--parent", str(os.getpid()))
    try:
        elastic_launch(config, sys.executable)(*command)
    except SignalException as error:
        raise Stopped(error.sigval) from None
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            raise UsageError(
                f"{label}: process {number} ended by {name}: out of memory? start the same command again, "
                "it goes on where it was"
            ) from None
        if failure.exitcode > 128:
            raise Stopped(failure.exitcode - 128) from None
        raise SystemExit(failure.exitcode) from None


def work(told: Path, parent: int) -> None:
    """The body of one process, which ends with `parent`."""
    processes.end_with(parent)
    try:
        _train(Job.model_validate_json(told.read_bytes()))
    except Stopped as stop:  # `magicoder run` says so
        raise SystemExit(stop.code) from None
    torch.distributed.destroy_process_group()


def _train(job: Job) -> None:
    try:
        rank.train(job)
    except (UsageError, BadResultError, OSError):
        raise
    except Exception as error:
        if (number := artifact.failed_write(error)) is not None:
            raise OSError(number, os.strerror(number), str(job.out)) from error
        # What comes of a peer's failure is not told: the agent ends this process now, or has already told it to end.
        if interrupts.came() is None:
            time.sleep(_PEER_SECONDS)
        if (came := interrupts.came()) is not None:
            raise Stopped(came) from None
        raise
