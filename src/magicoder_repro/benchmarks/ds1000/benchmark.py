"""DS-1000: problems, prompts, and the libraries that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
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
    data_folder,
)
from magicoder_repro.benchmarks.ds1000 import judge, original, original_judge
from magicoder_repro.benchmarks.ds1000.environment import ENVIRONMENT, ORIGINAL_ENVIRONMENT

_STOPS = ("</code>", "# SOLUTION END")
_LIBRARIES = ("Matplotlib", "Numpy", "Pandas", "Pytorch", "Scipy", "Sklearn", "Tensorflow")
_SIMPLIFIED = File(
    "DS-1000",
    "simplified",
    "ds1000/ds1000.jsonl",
    "26a492838b05f9d030b2f08a5715c6bafecafb601c157da912bf417fd8b0d363",
)
_ORIGINAL = File("DS-1000", "original", f"{original.FOLDER}/ds1000_data.zip", original.SHA256, original.URL)
"""What the paper's authors ran. The file is a folder, or an archive of it; the hash is over what is in it."""
_SECONDS, _SIMPLIFIED_SECONDS = 60.0, 120.0  # either release's own limit of a program


def _original(file: File) -> bool:
    return file.version == _ORIGINAL.version


class LibraryProblems(Benchmark):
    """The set, or minibench in the simplified format. A problem without a sample is left out of the mean."""

    options = frozenset({"memory_mb", "ds1000_seconds"})
    groups_name = "libraries"
    id_field = "problem_id"
    whole = False

    def __init__(self, name: str, files: Mapping[str, File], environments: Mapping[str, str]) -> None:
        self.name, self._environments = name, environments
        self.protocols = {protocol: Protocol({None: file}) for protocol, file in files.items()}
        if any(map(_original, files.values())):
            self.private = True
            columns: dict[str | None, str] = {None: "overall", **{library: library.lower() for library in _LIBRARIES}}
            self.reference = {(library, "pass@1"): f"ds1000_{column}" for library, column in columns.items()}

    def _file(self, protocol: str) -> File:
        return self.protocol(protocol).files[None]

    def find(self, protocol: str = "paper", subset: str | None = None, data: Path | None = None) -> Dataset:
        file = self._file(protocol)
        if not _original(file):
            return super().find(protocol, subset, data)
        self.check_subset(subset)
        folder, sha256 = original.find(data or data_folder())
        return Dataset(file.name, file.version, sha256, [], folder)

    def load(self, protocol: str = "paper", subset: str | None = None, data: Path | None = None) -> Dataset:
        found = self.find(protocol, subset, data)
        if not _original(self._file(protocol)):
            return super().load(protocol, subset, data)
        return replace(found, tasks=original.tasks(found.path))

    def identify(self, file: File, path: Path) -> str:
        return original.archive_sha256(path) if _original(file) else super().identify(file, path)

    def task_id(self, task: records.Record) -> str:
        return judge.task_id(task)

    def sample_id(self, sample: records.Record) -> str | None:
        """`problem_id`, or `task_id`: a number, or the number as text."""
        name = sample.get("problem_id", sample.get("task_id"))
        return str(name) if isinstance(name, int | str) and not isinstance(name, bool) else None

    def group(self, task: records.Record) -> str:
        return str(task["metadata"]["library"])

    def cluster(self, task: records.Record) -> str | None:
        """The problem of the library that it was made from, by the authors' perturbations: 453 in all."""
        about = task["metadata"]
        return f"{about['library']}/{about['perturbation_origin_id']}" if "perturbation_origin_id" in about else None

    def ask(self, task: records.Record, style: Style) -> Ask:
        """Magicoder as the paper's script asks it, which decodes answers alone: where one begins indented (71 problems end in an
        indented mark), SentencePiece drops a space of it, as in the paper. Base models as bigcode's harness at be2a44c asks them."""
        if style == "completion":
            return Ask(self.task_id(task), task["prompt"], _STOPS, together=True, special_tokens=True)
        return Ask(self.task_id(task), prompts.magicoder(*prompts.ds1000(task["prompt"])), (FENCE,))

    def unknown(self, dataset: Dataset) -> str:
        return f"problem ids are not in the set (0 to {len(dataset.tasks) - 1})"

    def scorer(self, judging: Judging) -> str:
        home, file = self._environments[judging.protocol], self._file(judging.protocol)
        return f"DS-1000's own tests, {file.version} release, environment {home} ({environment.lock_sha256(home)[:8]})"

    def environment(self, protocol: str) -> str:
        return self._environments[protocol]

    def facts(self, protocol: str) -> dict[str, Any]:
        home = self._environments[protocol]
        return {home: environment.built(home)}

    def missing(self, protocol: str) -> Sequence[str]:
        home = self._environments[protocol]
        mend = f"make .envs/{home}/.ready, then the same command again"
        return () if environment.ready(home) else (f"the environment {home} is not built: {mend}",)

    def job(self, task: records.Record) -> str:
        """A library's problems share their warm interpreters."""
        return self.group(task)

    def neighbours(self, task: records.Record) -> str:
        """Problems whose programs are forked from the same interpreter."""
        return " ".join(original_judge.needed(task))

    def judge(self, job: str, judging: Judging) -> JudgeSpec:
        dataset, home, file = judging.datasets[None], self._environments[judging.protocol], self._file(judging.protocol)
        settings = {
            "tasks": str(dataset.path),
            "dataset": dataset.sha256,
            "library": job,
            "environment": home,
            "lock": environment.lock_sha256(home),  # verdicts of other versions are not gone on with
            "backend": judging.backend,
            "seconds": judging.scoring.ds1000_seconds or (_SECONDS if _original(file) else _SIMPLIFIED_SECONDS),
            "memory_mb": judging.scoring.memory_mb,
        }
        module = original_judge if _original(file) else judge
        return JudgeSpec("core", f"{module.__name__}:Judge", settings)

    def extra(self, rows: Mapping[str, Sequence[records.Record]]) -> dict[str, Any]:
        """The problems whose tests load an example table that is not there, by its name: they count as failed."""
        statuses = {name: found[0]["status"] for name, found in rows.items()}
        missing = {name: text for name, text in statuses.items() if text.startswith(judge.NO_TABLE)}
        return {"missing_tables": {name: text.removeprefix(judge.NO_TABLE) for name, text in missing.items()}}


DS1000 = LibraryProblems(
    "ds1000",
    {"paper": _ORIGINAL, "current": _SIMPLIFIED},
    {"paper": ORIGINAL_ENVIRONMENT, "current": ENVIRONMENT},
)
MINIBENCH = LibraryProblems(
    "minibench-ds1000", dict.fromkeys(PROTOCOLS, minibench.file("ds1000")), dict.fromkeys(PROTOCOLS, ENVIRONMENT)
)
