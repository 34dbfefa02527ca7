"""What a benchmark is: its tasks, what a model is asked, the program that an answer makes, and who judges it."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from magicoder_repro import downloads, records
from magicoder_repro.environment import ROOT, file_sha256
from magicoder_repro.errors import UsageError

if TYPE_CHECKING:  # the judges' environments have no pydantic
    from magicoder_repro.profile import Scoring

Style = Literal["magicoder", "completion"]
"""`magicoder`: the paper's instruction prompt; `completion`: the bare code, as base models are evaluated."""
PROTOCOLS = ("paper", "current")
"""What the paper's authors ran, and what people run today."""
FENCE = "```"
SETTINGS_OF_ALL = frozenset({"workers", "sandbox", "executor"})
"""What every benchmark reads of `Scoring`."""
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Dataset:
    """A benchmark's tasks with the identity of the file they came from."""

    name: str
    version: str
    sha256: str
    tasks: list[records.Record]
    path: Path

    @property
    def identity(self) -> dict[str, str]:
        """What results carry: name, version and sha256."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}

    def first(self, count: int | None) -> Dataset:
        """The set with its first tasks only."""
        return replace(self, tasks=self.tasks[:count])


@dataclass(frozen=True)
class File:
    """Where a set's tasks are: a file under MAGICODER_DATA, pinned by its sha256, or one of this package (an absolute path)."""

    name: str
    version: str
    path: str
    sha256: str = ""
    url: str | None = None
    """Its public home."""


@dataclass(frozen=True)
class Protocol:
    """What a protocol's name stands for. `files`: of each subset (`None` where there are none); `sanitized`: whether the paper's
    script cleaned the answers to its own prompt up before they were judged."""

    files: Mapping[str | None, File]
    sanitized: bool = False


@dataclass(frozen=True)
class Ask:
    """One prompt; the completion ends before the first of `stops`."""

    task_id: str
    prompt: str
    stops: tuple[str, ...]
    together: bool = False
    """As the harnesses of base models do it: the tokenizer begins the prompt in its own way, and the answer is decoded with it, which
    keeps the space that SentencePiece drops at a text's start. Else as the paper's scripts do: BOS first, if any, and alone."""
    special_tokens: bool = False
    """Whether they stay in the answer, which then ends before the text of EOS."""
    four_spaces: bool = False
    """Whether tabs in the answer become four spaces."""

    def cut(self, text: str) -> str:
        """The text before the first stop in it."""
        if self.four_spaces:
            text = text.replace("\t", "    ")
        return text[: min([len(text), *(at for stop in self.stops if (at := text.find(stop)) >= 0)])]

    def ends(self, text: str) -> bool:
        """Whether there is a stop in the text."""
        return any(stop in text for stop in self.stops)


@dataclass(frozen=True)
class JudgeSpec:
    """Who answers requests: `factory` is the `module:Class` of a callable object (request in, answer out; `close()` ends it), built
    from `settings` in a process of `environment`. An answer is a verdict: at least `status` and `seconds`."""

    environment: str
    factory: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Judging:
    """How samples are judged: the protocol, the scoring settings, the sandbox's back end and each subset's tasks."""

    protocol: str
    scoring: Scoring
    backend: str
    datasets: Mapping[str | None, Dataset]


@dataclass(frozen=True)
class Work:
    """One request to a judge, and the program of which task and subset its answer is the verdict on, or a part of it."""

    request: records.Record
    subset: str | None
    task_id: str
    program: str


class Benchmark:
    """A benchmark. What differs from these defaults is overridden in its own folder."""

    name: str
    protocols: Mapping[str, Protocol]
    subsets: tuple[str, ...] = ()
    """MultiPL-E's languages; none for a benchmark of one set."""
    options: ClassVar[frozenset[str]] = frozenset({"memory_mb"})
    """The settings of `Scoring` that it reads, beside `SETTINGS_OF_ALL`."""
    reference: Mapping[tuple[str | None, str], str] = MappingProxyType({})
    """(subset or group, metric) -> what that number is called in results/reference/cells.csv."""
    private: bool = False
    """Whether its authors ask that its data never be put online: a report, which may be, shows no prompt of it."""
    groups_name: ClassVar[str | None] = None
    """What the tasks' groups are called in a result (`languages`, `libraries`)."""
    whole: ClassVar[bool] = True
    """Whether a task without a sample is an error."""
    id_field: ClassVar[str] = "task_id"
    """What the task's name is called in samples."""
    generation: Callable[[records.Record, str], records.Record] | None = None
    """The field that a text of bigcode-evaluation-harness' `generations.json` is for a task; None where the order is not known."""
    sample_fields: ClassVar[tuple[str, ...]] = ("completion",)
    """Where a sample's text may stand; the first one that is there counts."""

    # tasks

    def task_id(self, task: records.Record) -> str:
        """The task's name in samples and results."""
        return str(task["task_id"])

    def sample_id(self, sample: records.Record) -> str | None:
        """The name of the task that a sample is of; None when it has none."""
        name = sample.get("task_id")
        return name if isinstance(name, str) else None

    def group(self, task: records.Record) -> str | None:
        """The library that a task is of, where results are grouped by one."""
        return None

    def cluster(self, task: records.Record) -> str | None:
        """The problem that this task is one variant of, where verdicts of variants hang together; None: it stands for itself."""
        return None

    def check_subset(self, subset: str | None) -> None:
        """A UsageError for a subset that there is not."""
        if self.subsets and subset not in self.subsets:
            raise UsageError(f"{self.name} needs --language, one of {', '.join(self.subsets)}, not {subset!r}")
        if not self.subsets and subset is not None:
            raise UsageError(f"{self.name} has no --language")

    def load(self, protocol: str = "paper", subset: str | None = None, data: Path | None = None) -> Dataset:
        """One subset with its tasks."""
        found = self.find(protocol, subset, data)
        return replace(found, tasks=read_tasks(found.path))

    def find(self, protocol: str = "paper", subset: str | None = None, data: Path | None = None) -> Dataset:
        """One subset's identity and its pinned file, which is not read for its tasks."""
        self.check_subset(subset)
        file = self.protocol(protocol).files[subset]
        path = (data or data_folder()) / file.path
        if not path.is_file():
            fetched = f", or run `magicoder fetch {self.name} --protocol {protocol}`" if file.url else ""
            raise UsageError(
                f"{path}: no such file: {file.name} {file.version} belongs there (MAGICODER_DATA or --data){fetched}"
            )
        sha256 = file_sha256(path)
        if file.sha256 and sha256 != file.sha256:
            raise UsageError(f"{path}: not {file.name} {file.version}: its sha256 is {sha256}, not {file.sha256}")
        return Dataset(file.name, file.version, sha256, [], path)

    def identify(self, file: File, path: Path) -> str:
        """The hash of a file that was fetched, to be compared with the pinned one."""
        return file_sha256(path)

    def protocol(self, name: str) -> Protocol:
        """What a protocol's name stands for."""
        if name not in self.protocols:
            raise UsageError(f"--protocol {name}: one of {', '.join(self.protocols)}")
        return self.protocols[name]

    def reads(self, protocol: str) -> frozenset[str]:
        """The settings of `Scoring` that verdicts of this protocol hang on."""
        return SETTINGS_OF_ALL | self.options

    def sanitized(self, protocol: str, prompt: str) -> bool:
        """Whether answers are cleaned up before they are judged. `prompt`: the style of the question, or `published`."""
        return self.protocol(protocol).sanitized

    # prompts and programs

    def ask(self, task: records.Record, style: Style) -> Ask:
        """What a model is asked for a task, and where its answer ends."""
        raise NotImplementedError

    def program(self, task: records.Record, sample: records.Record, sanitized: bool = False) -> str:
        """The program that is judged: what `assemble` makes of the sample's text."""
        for name in self.sample_fields:
            if name in sample:
                if not isinstance(sample[name], str):
                    raise UsageError(f"a sample of {self.task_id(task)}: the field {name!r} is not text")
                return self.assemble(task, name, sample[name], sanitized)
        wanted = " nor ".join(repr(name) for name in sorted(self.sample_fields))
        raise UsageError(f"a sample of {self.task_id(task)} has {'neither ' if ' nor ' in wanted else 'no '}{wanted}")

    def assemble(self, task: records.Record, name: str, text: str, sanitized: bool) -> str:
        """The program of a sample whose field `name` holds `text`."""
        return text

    def unknown(self, dataset: Dataset) -> str:
        """What is said of samples of tasks that are not in the set, after their number."""
        return "tasks of the samples are not in the set"

    def check_programs(self, dataset: Dataset, programs: Mapping[str, Sequence[str]]) -> None:
        """A UsageError when the programs cannot be of this set."""

    # judging

    def scorer(self, judging: Judging) -> str:
        """Whose rules decide."""
        raise NotImplementedError

    def environment(self, protocol: str) -> str:
        """The folder of docker/ whose image has all that it is judged with."""
        return "core"

    def facts(self, protocol: str) -> dict[str, Any]:
        """What decides a verdict beside the settings: locks of environments, versions of tools."""
        return {}

    def gap(self, subset: str | None, judging: Judging) -> str | None:
        """Why this cannot be judged here, and the mend; None when it can."""
        return next(iter(self.missing(judging.protocol)), None)

    def missing(self, protocol: str) -> Sequence[str]:
        """What it takes to judge and is not here, each with the mend; a quick look."""
        return ()

    def job(self, task: records.Record) -> str:
        """Tasks of one job go to the same judge; the jobs come one after the other."""
        return ""

    def neighbours(self, task: records.Record) -> str:
        """Tasks of one job that their judge keeps the same thing warm for come one after the other."""
        return ""

    def judge(self, job: str, judging: Judging) -> JudgeSpec:
        """Who judges a job."""
        raise NotImplementedError

    def early(self, protocol: str) -> JudgeSpec | None:
        """A judge that takes long to start, and can be started before its settings are known."""
        return None

    def requests(
        self, subset: str | None, task: records.Record, programs: Sequence[str], judging: Judging
    ) -> list[Work]:
        """The requests for the distinct programs of one task."""
        task_id = self.task_id(task)
        return [Work({"task_id": task_id, "program": text}, subset, task_id, text) for text in programs]

    def first(self, task: records.Record) -> bool:
        """Whether a task takes so long that it should be begun before the others."""
        return False

    def join(self, work: Sequence[Work], answers: Sequence[records.Record]) -> records.Record | Work:
        """The verdict on one program from the answers to its requests; or a request that is asked again, with nothing beside it."""
        (answer,) = answers
        return {"passed": answer["status"] == "passed", "passed_plus": None, **answer}

    def learn(self, judging: Judging, work: Sequence[Work], answers: Sequence[records.Record]) -> None:
        """Keeps what the answers hold for later runs."""

    def extra(self, rows: Mapping[str, Sequence[records.Record]]) -> dict[str, Any]:
        """Fields of its own in a result, of the judged samples by task."""
        return {}

    def toolchain(self, subset: str) -> dict[str, str]:
        """The tools that a subset was judged with."""
        return {}


def data_folder() -> Path:
    """Where benchmark files are looked for: MAGICODER_DATA, or `data/` of the checkout."""
    return Path(os.environ.get("MAGICODER_DATA") or ROOT / "data")


def fetch(benchmark: Benchmark, protocol: str = "paper", data: Path | None = None) -> Path:
    """Downloads a benchmark's pinned file from its public home into the data folder, checked by its sha256."""
    files = benchmark.protocol(protocol).files
    file = files.get(None) or next(iter(files.values()))
    path = (data or data_folder()) / file.path
    if Path(file.path).is_absolute():
        raise UsageError(f"{benchmark.name} is a part of this package: there is nothing to fetch")
    if file.url is None:
        more = " and the other languages' beside it" if benchmark.subsets else ""
        raise UsageError(f"{benchmark.name}: no public home is known to this command: put the file at {path}{more}")
    with suppress(UsageError):  # what is missing or another one is fetched
        return benchmark.find(protocol, next(iter(files)), data).path
    try:
        content = downloads.get(file.url, _MOST_BYTES)
    except OSError as error:
        raise downloads.failed(file.url, error, path) from None
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder, path.name)
        aside.write_bytes(content)
        try:
            sha256 = benchmark.identify(file, aside)
        except UsageError as error:
            text = str(error).removeprefix(f"{aside}: ")
            raise UsageError(f"{file.url}: {text} (what was fetched; nothing was written)") from None
    if sha256 != file.sha256:
        raise UsageError(
            f"{file.url}: not {file.name} {file.version}: its sha256 is {sha256}, not {file.sha256}: nothing was written"
        )
    records.write_bytes(path, content)
    benchmark.find(protocol, next(iter(files)), data)  # another file may stand in its place
    return path


def read_tasks(path: Path) -> list[records.Record]:
    """The tasks in a JSONL file, packed or not."""
    if path.suffix != ".gz":
        return list(records.read_jsonl(path))
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except (EOFError, ValueError, zlib.error) as error:  # its hash has been compared: only a failing disk
        raise UsageError(f"{path}: damaged ({error}): put it there again") from None
