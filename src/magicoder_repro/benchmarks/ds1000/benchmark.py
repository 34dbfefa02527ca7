"""DS-1000: problems, prompts, and the libraries that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from magicoder_repro import environment, prompts, records
from magicoder_repro.benchmarks import minibench
from magicoder_repro.benchmarks.base import (
    FENCE,
    PROTOCOLS,
    Ask,
    Benchmark,
    Dataset,
    File,
    JudgeSpec,
    Judging,
    Protocol,
    Style,
)
from magicoder_repro.benchmarks.ds1000 import judge
from magicoder_repro.benchmarks.ds1000.environment import ENVIRONMENT

_STOPS = ("</code>", "# SOLUTION END", "END SOLUTION", FENCE)
_TABLE = "table3_ds1000_completion.csv"
_LIBRARIES = ("Matplotlib", "Numpy", "Pandas", "Pytorch", "Scipy", "Sklearn", "Tensorflow")
_FILE = File(
    "DS-1000",
    "simplified",
    "ds1000/ds1000.jsonl",
    "26a492838b05f9d030b2f08a5715c6bafecafb601c157da912bf417fd8b0d363",
)


class LibraryProblems(Benchmark):
    """The set, or minibench in its format. A problem without a sample is left out of the mean."""

    options = frozenset({"memory_mb", "ds1000_seconds"})
    groups_name = "libraries"
    id_field = "problem_id"
    whole = False

    def __init__(self, name: str, file: File, environment_name: str = ENVIRONMENT) -> None:
        self.name, self._environment = name, environment_name
        self.protocols = dict.fromkeys(PROTOCOLS, Protocol({None: file}))  # one way to judge it, under both names
        if file is _FILE:
            columns: dict[str | None, str] = {None: "overall", **{library: library.lower() for library in _LIBRARIES}}
            self.reference = {(library, "pass@1"): (_TABLE, column) for library, column in columns.items()}

    def task_id(self, task: records.Record) -> str:
        return judge.task_id(task)

    def sample_id(self, sample: records.Record) -> str | None:
        """`problem_id`, or `task_id`: a number, or the number as text."""
        name = sample.get("problem_id", sample.get("task_id"))
        return str(name) if isinstance(name, int | str) and not isinstance(name, bool) else None

    def group(self, task: records.Record) -> str:
        return str(task["metadata"]["library"])

    def ask(self, task: records.Record, style: Style) -> Ask:
        if style == "completion":
            return Ask(self.task_id(task), task["prompt"], _STOPS)
        return Ask(self.task_id(task), prompts.magicoder(*prompts.ds1000(task["prompt"])), (FENCE,))

    def unknown(self, dataset: Dataset) -> str:
        return f"problem ids are not in the set (0 to {len(dataset.tasks) - 1})"

    def scorer(self, judging: Judging) -> str:
        return (
            f"DS-1000's own tests, environment {self._environment} ({environment.lock_sha256(self._environment)[:8]})"
        )

    def facts(self, protocol: str) -> dict[str, Any]:
        return {self._environment: environment.built(self._environment)}

    def missing(self, protocol: str) -> Sequence[str]:
        home = self._environment
        mend = f"make .envs/{home}/.ready, then the same command again"
        return () if environment.ready(home) else (f"the environment {home} is not built: {mend}",)

    def job(self, task: records.Record) -> str:
        """A library's problems share their warm interpreters."""
        return self.group(task)

    def judge(self, job: str, judging: Judging) -> JudgeSpec:
        dataset = judging.datasets[None]
        settings = {
            "tasks": str(dataset.path),
            "dataset": dataset.sha256,
            "library": job,
            "environment": self._environment,
            "lock": environment.lock_sha256(self._environment),  # verdicts of other versions are not gone on with
            "backend": judging.backend,
            "seconds": judging.scoring.ds1000_seconds,
            "memory_mb": judging.scoring.memory_mb,
        }
        return JudgeSpec("core", f"{judge.__name__}:Judge", settings)

    def extra(self, rows: Mapping[str, Sequence[records.Record]]) -> dict[str, Any]:
        """The problems whose tests load an example table that is not there, by its name: they count as failed."""
        statuses = {name: found[0]["status"] for name, found in rows.items()}
        missing = {name: text for name, text in statuses.items() if text.startswith(judge.NO_TABLE)}
        return {"missing_tables": {name: text.removeprefix(judge.NO_TABLE) for name, text in missing.items()}}


DS1000 = LibraryProblems("ds1000", _FILE)
MINIBENCH = LibraryProblems("minibench-ds1000", minibench.file("ds1000"))
