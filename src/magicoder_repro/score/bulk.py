"""Judging in bulk: requests in, answers out, by this machine's processes, or in shards on datatrove's executors for Slurm and Ray.

A judge is a callable object, record in, record out, built in the process that does the work (`base.JudgeSpec`). Every answer goes into
a journal under the work folder, which all machines must see. A killed run goes on there with any executor, and neither that nor the
number of shards or workers changes an answer or its place. What is damaged in that folder is noticed (a journal is chained to its job)
and done again. datatrove's executor runs in a process of its own: what it starts dies with it, and it dies with the caller.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, processes, records, sandbox, temporary
from magicoder_repro.benchmarks.base import JudgeSpec
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Executor
from magicoder_repro.progress import Bar, bar
from magicoder_repro.score import worker
from magicoder_repro.score.workers import Workers, spread

_LOOK_SECONDS = 0.5
_OF_SLURM = "slurm"  # a folder of the work
_SHARDS_A_WORKER, _LEAST = 8, 8  # requests of a shard, at least
_DRIVER = "import sys; from magicoder_repro.score import bulk; bulk.drive(sys.argv[1], int(sys.argv[2]))"


@dataclass(frozen=True)
class Part:
    """Requests for one judge. `folder` keeps what is done; one that holds another job's work is emptied."""

    requests: Sequence[records.Record]
    spec: JudgeSpec
    folder: Path


def judge(
    parts: Sequence[Part], label: str, workers: int, executor: Executor, early: Workers | None = None
) -> list[list[records.Record]]:
    """The answers to each part's requests, in their order.

    `early`: processes of a part's judge that have been started. A judge that raises stops the work with a UsageError that holds its
    message.
    """
    jobs = []
    for part in parts:
        if part.requests:
            _prepare(part.requests, part.spec, part.folder, workers, executor)
            shutil.rmtree(part.folder / "errors", ignore_errors=True)  # of an earlier attempt
        jobs.append(_Job.read(part.folder) if part.requests else None)
    with bar(label, sum(len(part.requests) for part in parts), "programs") as progress:
        if executor.kind == "local":
            return _here(parts, jobs, workers, progress, early)
        for job in filter(None, jobs):
            job.cut_damaged()
            job.carry_over()
        progress.resume(sum(job.done() for job in filter(None, jobs)))
        for job in filter(None, jobs):
            _elsewhere(job, executor, progress)
        return [job.answers() if job else [] for job in jobs]


def _here(
    parts: Sequence[Part], jobs: Sequence[_Job | None], workers: int, progress: Bar, early: Workers | None
) -> list[list[records.Record]]:
    """By processes of this machine, as they come to the parts' requests in their order."""
    found = [job.so_far() if job else {} for job in jobs]
    progress.resume(sum(map(len, found)))
    left = [
        [number for number in range(len(part.requests)) if number not in done]
        for part, done in zip(parts, found, strict=True)
    ]
    with contextlib.ExitStack() as everything:
        open_ones, journals, work = [], [], []
        for part, job, numbers in zip(parts, jobs, left, strict=True):
            stack = everything.enter_context(contextlib.ExitStack())
            of = (part.spec.environment, part.spec.factory)
            known = early is not None and early.of == of
            own: AbstractContextManager[Workers | None] = (
                nullcontext(early) if known else Workers(*of, min(workers, len(numbers)))
            )
            ours = stack.enter_context(own)
            assert ours
            ours.begin(part.spec.settings)
            journals.append(stack.enter_context(records.Journal(job.local, job.identity)) if job and numbers else None)
            work.append((ours, [part.requests[number] for number in numbers]))
            open_ones.append(stack)
        for place, number, answer in spread(work, workers):
            journal = journals[place]
            assert journal
            journal.add({"number": left[place][number], "answer": answer})
            found[place][left[place][number]] = answer
            progress.advance()
            if len(found[place]) == len(parts[place].requests):
                open_ones[place].close()  # what its judges hold in memory is free for the others
    return [[done[number] for number in range(len(part.requests))] for part, done in zip(parts, found, strict=True)]


def _elsewhere(job: _Job, executor: Executor, progress: Bar) -> None:
    """By datatrove's executor, in a process of its own."""
    done = job.done()
    if done == job.requests:
        return
    with (job.folder / "executor.log").open("wb") as log:
        command = [sys.executable, "-c", _DRIVER, str(job.folder), str(os.getpid())]
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_variables())
    try:
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
            now = job.done()
            progress.advance(now - done)
            done = now
            if done == job.requests and executor.kind == "ray":  # it may wait on for its own processes
                break
    finally:
        process.kill()
        process.wait()
        if executor.kind == "slurm" and job.done() < job.requests:
            from magicoder_repro.score import slurm  # loads datatrove

            slurm.cancel(job.folder / _OF_SLURM)
    progress.advance(job.done() - done)


def _prepare(
    requests: Sequence[records.Record], spec: JudgeSpec, folder: Path, workers: int, executor: Executor
) -> None:
    """Writes the job, unless the folder holds it already; only who does the work may then be another."""
    work = {"judge": asdict(spec), "requests": len(requests), "code": code(spec.factory.partition(":")[0])}
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
    for rank in range(shards) if executor.kind != "local" else ():
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


def _variables() -> dict[str, str]:
    """The environment of the executor: this command's folder for temporary files is not there on another machine, and a job of
    Slurm that this command may run in is not the executor's."""
    ours = [name for name in os.environ if name == "SLURM_CONF" or not name.startswith("SLURM_")]
    variables = {name: os.environ[name] for name in ours}
    variables.pop("TMPDIR", None)
    if temporary.before is not None:
        variables["TMPDIR"] = temporary.before
    return variables


@functools.cache
def code(module: str) -> str:
    """The hash of what judges: the benchmark's folder that a module is in, what all benchmarks share, the sandbox. Another version's
    answers are not gone on with."""
    found = hashlib.sha256()
    folder = Path(str(benchmarks.__file__)).parent
    own = module.removeprefix(f"{benchmarks.__name__}.").partition(".")[0]
    parts = [folder / "base.py", Path(__file__), Path(worker.__file__), *_sources(Path(str(sandbox.__file__)).parent)]
    for path in [*parts, *(_sources(folder / own) if module.startswith(benchmarks.__name__) else ())]:
        found.update(path.read_bytes())
    return found.hexdigest()


def _sources(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".java")]


@dataclass(frozen=True)
class _Job:
    """One job on disk. It is also datatrove's pipeline step: called with a rank, it does that shard."""

    folder: Path
    identity: str
    judge: dict[str, Any]
    requests: int
    shards: int

    @staticmethod
    def read(folder: Path) -> _Job:
        about = records.read_json(folder / "job.json")
        names = ("identity", "judge", "requests", "shards")
        return _Job(folder, **{name: about[name] for name in names})

    def __call__(self, _: Any, rank: int, world_size: int) -> Iterator[records.Record]:
        """Does what is left of a shard: every `world_size`th request from number `rank` on."""
        processes.end_with(os.getppid())
        mine = list(records.read_jsonl(self._requests(rank)))
        try:
            with self._requests(rank).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # a killed run's job may still be in Slurm's queue
                with records.Journal(self._answers(rank), self._key(rank)) as journal:
                    for request in mine[len(journal.rows) :]:
                        journal.add(_judge(json.dumps(self.judge))(request))
                        yield request
        except Exception as error:
            records.write_text(self.folder / "errors" / f"{rank:05d}", worker.in_words(error))
            raise

    @property
    def local(self) -> Path:
        """The journal of this machine's own processes: each answer with its request's number."""
        return self.folder / "answers" / "local.jsonl"

    def so_far(self) -> dict[int, records.Record]:
        """Every answer that has been given, by the number of its request."""
        found = {row["number"]: row["answer"] for row in records.Journal.read(self.local, self.identity)}
        for rank in range(self.shards):
            rows = records.Journal.read(self._answers(rank), self._key(rank))
            found |= {rank + self.shards * place: row for place, row in enumerate(rows)}
        return found

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

    def carry_over(self) -> None:
        """Puts what this machine's own processes have answered into the shards, each as far as it has no gap."""
        found = self.so_far()
        for rank in range(self.shards):
            with contextlib.suppress(BlockingIOError), self._requests(rank).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with records.Journal(self._answers(rank), self._key(rank)) as journal:
                    while (number := rank + self.shards * len(journal.rows)) in found and number < self.requests:
                        journal.add(found[number])

    def done(self) -> int:
        """How many requests have been answered."""
        files = (self._answers(rank) for rank in range(self.shards))
        return sum(file.read_bytes().count(b"\n") for file in files if file.is_file())

    def answers(self) -> list[records.Record]:
        """All answers in the order of the requests; a UsageError when the work came to a halt."""
        shards = [records.Journal.read(self._answers(rank), self._key(rank)) for rank in range(self.shards)]
        done = sum(len(shard) for shard in shards)
        if done != self.requests:
            for error in sorted(self.folder.glob("errors/*")):
                raise UsageError(error.read_text(errors="replace"))
            raise UsageError(
                f"judging stopped after {done} of {self.requests} programs: out of memory? {self.folder / 'executor.log'} may say; "
                "the same command goes on there"
            )
        found: list[Any] = [None] * self.requests
        for rank, shard in enumerate(shards):
            found[rank :: self.shards] = shard
        return found


@functools.cache
def _judge(spec: str) -> Callable[[records.Record], records.Record]:
    """This process's judge; it serves one shard after the other. In another environment it has a process of its own."""
    about = JudgeSpec(**json.loads(spec))
    if about.environment != "core":
        workers = Workers(about.environment, about.factory, 1)
        workers.begin(about.settings)
        return workers.ask
    made: Callable[[records.Record], records.Record] = worker.factory(about.factory)(about.settings)
    return made


def drive(folder_name: str, caller: int) -> None:
    """The process of the executor, started by the process `caller`."""
    processes.end_with(caller)
    folder = Path(folder_name).resolve()  # the executor may work in another folder
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
            records.write_text(folder / "errors" / "executor", f"executor {executor.kind}: {worker.in_words(error)}")
        raise


def _execute(executor: Executor, common: dict[str, Any], job: _Job) -> None:
    if executor.kind == "ray":
        import ray
        from datatrove.executor.ray import RayPipelineExecutor

        # without an address Ray would join whatever cluster it finds on this machine
        ray.init(address=os.environ.get("RAY_ADDRESS") or "local", log_to_driver=False)
        RayPipelineExecutor(**common, **executor.options).run()
    else:
        from magicoder_repro.score import slurm

        jobs = slurm.Slurm(common, executor.options)
        slurm.run(jobs, job.folder / _OF_SLURM, lambda: any(job.folder.glob("errors/*")))
