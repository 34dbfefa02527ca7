"""Judging in bulk: requests in, answers out, in shards on datatrove's executors: this machine's processes, Slurm or Ray.

A judge is a callable object, record in, record out, built in the process that does the work from `settings` by `factory`, the
`module:name` of its class. Every answer goes into its shard's journal under the work folder, which all machines must see. A killed
run goes on there, and neither the executor nor the number of shards or workers changes an answer or its place. What is damaged in
that folder is noticed (a journal is chained to its job and shard) and done again.
The executor runs in a process of its own: what it starts dies with it, and it dies with the caller.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicoder_repro import processes, records, sandbox, temporary
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Executor
from magicoder_repro.progress import bar

_LOOK_SECONDS = 0.5
_SHARDS_A_WORKER, _LEAST = 8, 8  # requests of a shard, at least
_DRIVER = "import sys; from magicoder_repro.score import bulk; bulk.drive(sys.argv[1], int(sys.argv[2]))"


def judge(
    requests: Sequence[records.Record],
    factory: str,
    settings: Mapping[str, Any],
    folder: Path,
    label: str,
    workers: int,
    executor: Executor,
) -> list[records.Record]:
    """The answer to each request, in their order. `folder` keeps what is done; one that holds another job's work is emptied.

    A judge that raises stops the work with a UsageError that holds its message.
    """
    if not requests:
        return []
    _prepare(requests, factory, settings, folder, workers, executor)
    job = _Job.read(folder)
    for name in ("errors", "running"):  # of an earlier attempt
        shutil.rmtree(folder / name, ignore_errors=True)
    job.cut_damaged()
    with bar(label, len(requests), "programs") as progress:
        done = job.done()
        progress.resume(done)
        if done < len(requests):
            with (folder / "executor.log").open("wb") as log:
                command = [sys.executable, "-c", _DRIVER, str(folder), str(os.getpid())]
                process = subprocess.Popen(
                    command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_variables(executor)
                )
            try:
                while True:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_LOOK_SECONDS)
                        break
                    now = job.done()
                    progress.advance(now - done)
                    done = now
                    if executor.kind == "local" and job.lost():  # datatrove's pool would wait for it for ever
                        break
            finally:
                process.kill()
                process.wait()
            progress.advance(job.done() - done)
        return job.answers()


def _prepare(
    requests: Sequence[records.Record],
    factory: str,
    settings: Mapping[str, Any],
    folder: Path,
    workers: int,
    executor: Executor,
) -> None:
    """Writes the job, unless the folder holds it already; only who does the work may then be another."""
    work = {"factory": factory, "settings": dict(settings), "requests": len(requests), "code": _code()}
    content = "".join(records.dumps(request) + "\n" for request in requests).encode()
    identity = hashlib.sha256(json.dumps(work, sort_keys=True).encode() + content).hexdigest()
    shards = _known_shards(folder / "job.json", identity)
    if shards is None:
        if folder.exists():
            shutil.rmtree(folder)
        # small enough that no worker waits long for another
        wanted = min(_SHARDS_A_WORKER * workers, -(-len(requests) // _LEAST))
        shards = max(wanted, -(-len(requests) // executor.shard))
    how = {"shards": shards, "workers": workers, "executor": executor.model_dump()}
    records.write_json(folder / "job.json", {"identity": identity, **work, **how})
    for rank in range(shards):
        path = folder / "requests" / f"{rank:05d}.jsonl"  # an intact one stays: a job that still runs holds its lock
        lines = "".join(records.dumps(request) + "\n" for request in requests[rank::shards]).encode()
        if not path.is_file() or path.read_bytes() != lines:
            records.write_bytes(path, lines)


def _known_shards(path: Path, identity: str) -> int | None:
    """The number of shards of the job that the folder holds; None when it is another job, or the file is damaged."""
    try:
        known = records.read_json(path)
    except UsageError:
        return None
    if not isinstance(known, dict) or known.get("identity") != identity:
        return None
    shards = known.get("shards")
    return shards if type(shards) is int and 0 < shards <= known["requests"] else None


def _variables(executor: Executor) -> dict[str, str]:
    """The environment of the executor: this command's folder for temporary files is not there on another machine."""
    variables = dict(os.environ)
    if executor.kind != "local":
        variables.pop("TMPDIR", None)
        if temporary.before is not None:
            variables["TMPDIR"] = temporary.before
    return variables


@functools.cache
def _code() -> str:
    """The hash of the judges' and the sandbox's own source: another version's answers are not gone on with."""
    found = hashlib.sha256()
    for folder in (Path(__file__).parent, Path(sandbox.__file__).parent):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".java"):
                found.update(path.read_bytes())
    return found.hexdigest()


@dataclass(frozen=True)
class _Job:
    """One job on disk. It is also datatrove's pipeline step: called with a rank, it does that shard."""

    folder: Path
    identity: str
    factory: str
    settings: dict[str, Any]
    requests: int
    shards: int

    @staticmethod
    def read(folder: Path) -> _Job:
        about = records.read_json(folder / "job.json")
        names = ("identity", "factory", "settings", "requests", "shards")
        return _Job(folder, **{name: about[name] for name in names})

    def __call__(self, _: Any, rank: int, world_size: int) -> Iterator[records.Record]:
        """Does what is left of a shard: every `world_size`th request from number `rank` on."""
        processes.end_with(os.getppid())
        mark = self.folder / "running" / f"{rank:05d}"
        records.write_text(mark, str(os.getpid()))
        mine = list(records.read_jsonl(self._requests(rank)))
        try:
            with self._requests(rank).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # a killed run's job may still be in Slurm's queue
                with records.Journal(self._answers(rank), self._key(rank)) as journal:
                    for request in mine[len(journal.rows) :]:
                        journal.add(_judge(self.factory, json.dumps(self.settings))(request))
                        yield request
            mark.unlink()
        except Exception as error:
            records.write_text(self.folder / "errors" / f"{rank:05d}", f"{type(error).__name__}: {error}")
            raise

    def _requests(self, rank: int) -> Path:
        return self.folder / "requests" / f"{rank:05d}.jsonl"

    def _answers(self, rank: int) -> Path:
        return self.folder / "answers" / f"{rank:05d}.jsonl"

    def _key(self, rank: int) -> str:
        return f"{self.identity} {rank} {self.shards}"

    def cut_damaged(self) -> None:
        """Cuts off what is damaged in the answers of an earlier attempt, so that it is done again."""
        for rank in range(self.shards):
            with contextlib.suppress(BlockingIOError), self._requests(rank).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._answers(rank).exists():
                    records.Journal(self._answers(rank), self._key(rank)).close()

    def done(self) -> int:
        """How many requests have been answered."""
        files = (self._answers(rank) for rank in range(self.shards))
        return sum(file.read_bytes().count(b"\n") for file in files if file.is_file())

    def lost(self) -> bool:
        """Whether a process of this machine has died in the middle of a shard."""
        for mark in self.folder.glob("running/[0-9]*"):
            with contextlib.suppress(FileNotFoundError):
                if not Path("/proc", mark.read_text()).exists() and mark.exists():
                    return True
        return False

    def answers(self) -> list[records.Record]:
        """All answers in the order of the requests; a UsageError when the work came to a halt."""
        shards = [records.Journal.read(self._answers(rank), self._key(rank)) for rank in range(self.shards)]
        done = sum(len(shard) for shard in shards)
        if done != self.requests:
            for error in sorted(self.folder.glob("errors/*")):
                kind, _, message = error.read_text(errors="replace").partition(": ")
                raise UsageError(message if kind == UsageError.__name__ else f"{kind}: {message}")
            raise UsageError(
                f"judging stopped after {done} of {self.requests} programs: out of memory? {self.folder / 'executor.log'} may say; "
                "the same command goes on there"
            )
        found: list[Any] = [None] * self.requests
        for rank, shard in enumerate(shards):
            found[rank :: self.shards] = shard
        return found


@functools.cache
def _judge(factory: str, settings: str) -> Callable[[records.Record], records.Record]:
    """This process's judge; it serves one shard after the other."""
    module, _, name = factory.partition(":")
    made: Callable[[records.Record], records.Record] = getattr(importlib.import_module(module), name)(
        json.loads(settings)
    )
    return made


def drive(folder_name: str, caller: int) -> None:
    """The process of the executor, started by the process `caller`."""
    processes.end_with(caller)
    # datatrove's and multiprocess' helpers too
    os.register_at_fork(after_in_child=lambda: processes.end_with(os.getppid()))
    folder = Path(folder_name)
    about = records.read_json(folder / "job.json")
    executor = Executor.model_validate(about["executor"])
    job = _Job.read(folder)
    workers = min(about["workers"], job.shards)
    # Logs of this attempt only: the journals, not datatrove's marks, say what is done.
    common: dict[str, Any] = {
        "pipeline": [job],
        "tasks": job.shards,
        "workers": workers,
        "logging_dir": str(folder / "logs"),
        "skip_completed": False,
    }
    try:
        _execute(executor, common, job)
    except Exception as error:
        if not any(folder.glob("errors/*")):  # not a judge's
            records.write_text(
                folder / "errors" / "executor", f"executor {executor.kind}: {type(error).__name__}: {error}"
            )
        raise


def _execute(executor: Executor, common: dict[str, Any], job: _Job) -> None:
    if executor.kind == "local":
        from datatrove.executor.local import LocalPipelineExecutor

        LocalPipelineExecutor(**common, start_method="fork").run()
    elif executor.kind == "ray":
        import ray
        from datatrove.executor.ray import RayPipelineExecutor

        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
        RayPipelineExecutor(**common, **executor.options).run()
    else:
        from datatrove.executor.slurm import SlurmPipelineExecutor

        SlurmPipelineExecutor(**common, **executor.options).run()
        # `run` has only put it into the queue
        while job.done() < job.requests and not any(job.folder.glob("errors/*")):
            time.sleep(_LOOK_SECONDS)
