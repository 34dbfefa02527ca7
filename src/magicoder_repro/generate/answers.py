"""Stage `answers`: what an archive of published answers holds, sorted by model and benchmark.

Which benchmark a file is of is told by its content: the task ids of EvalPlus JSONL (packed or not), or the names of EvalPlus' folders
of programs (`HumanEval_0/0.py`). Which model it is of is told by its path and the profile's table of patterns. What is not recognised
is named.
"""

from __future__ import annotations

import gzip
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from magicoder_repro import archives, downloads, records
from magicoder_repro.artifact import Work
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.generate import at_hand
from magicoder_repro.generate.at_hand import BOUNDS
from magicoder_repro.profile import ARCHIVED, Archive

TABLE = "table.json"
_SETS = dict(zip(("HumanEval", "Mbpp"), ARCHIVED, strict=True))
_TASK = re.compile(rf"({'|'.join(_SETS)})/\d+")
_PROGRAM = re.compile(rf"(?:(?P<home>.+)/)?(?P<set>{'|'.join(_SETS)})[_/](?P<number>\d+)(?:/(?P<sample>\d+))?\.py")
_TEXTS = ("solution", "completion")  # as evalplus looks for them
_OF_VERDICTS = ("base_status", "plus_status", "passed")
_SANITIZED = "sanitized"
_NAMED = 10  # files in a note


class Found(BaseModel):
    """One file, or folder of programs, with answers to one benchmark. `model`: None where no pattern of the profile is of it."""

    model_config = ConfigDict(strict=True)

    path: str
    model: str | None
    benchmark: str
    tasks: int
    samples: int
    used: bool


class Table(BaseModel):
    """`table.json`: what was found in an archive."""

    model_config = ConfigDict(strict=True)

    version: Literal[1] = 1
    found: list[Found]
    verdicts: list[str]
    unrecognised: dict[str, str]


@dataclass(frozen=True)
class Answers:
    """The answers to one benchmark in one file, or in one folder of programs."""

    path: str
    benchmark: str
    rows: list[records.Record]

    @property
    def sanitized(self) -> bool:
        """Whether its name says that somebody has cleaned them up."""
        return _SANITIZED in self.path.lower()


@dataclass
class Contents:
    """What an archive holds. `unrecognised`: the reason of each file; `unpacked`: bytes of the packed files in it, so far."""

    answers: list[Answers] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    unrecognised: dict[str, str] = field(default_factory=dict)
    unpacked: int = 0


def facts(archive: Archive) -> Callable[[], Mapping[str, Any]]:
    """The hash of its content."""
    return lambda: {"sha256": at_hand.checked(archive)}


def missing(name: str, archive: Archive) -> Callable[[], Sequence[str]]:
    """The archive, where it is not at hand, with the mend."""

    def found() -> Sequence[str]:
        path = at_hand.place(archive)
        if path.exists():
            return ()
        mend = f"run `magicoder fetch {name}`, or put {archive.url} there" if archive.url else "put it there"
        return (f"archives.{name}: {path}: no such file: {mend}",)

    return found


def build(work: Work) -> None:
    """An archive -> `MODEL/BENCHMARK.jsonl`, EvalPlus' samples, and `table.json`, what was found in it."""
    config = work.config
    archive = Archive.model_validate({name: config[name] for name in Archive.model_fields if name in config})
    for gap in missing(config["archive"], archive)():
        raise UsageError(gap)
    path = at_hand.place(archive)
    found = contents(path)
    chosen, owners = sort_out(found, config["models"], path)
    if not chosen:
        more = f"; {listed([one.path for one in found.answers], _NAMED)} are of none of these" if found.answers else ""
        raise UsageError(f"{path}: no answers of {', '.join(config['models'])} in it{more}: mend `match` of the models")
    if archive.url is not None:
        downloads.hold(path, str(config["sha256"]))
        first = downloads.held(path)
        kept = "sha256 written down at the first fetch" if first else "sha256 not written down (no permission)"
        work.notes.append(f"{path.name}: {kept}: {config['sha256']}; its publisher has named none")
    for (model, benchmark), one in chosen.items():
        records.write_jsonl(work.out / model / f"{benchmark}.jsonl", one.rows)
        work.counts[f"{model}/{benchmark}"] = len(one.rows)
    table = Table(
        found=[_told(one, owners.get(one.path), chosen) for one in found.answers],
        verdicts=found.verdicts,
        unrecognised=found.unrecognised,
    )
    records.write_json(work.out / TABLE, table.model_dump())
    work.notes += notes(found, owners)


def notes(found: Contents, owners: Mapping[str, str]) -> list[str]:
    """What a reader must know of the files that were not used."""
    lines = []
    if found.verdicts:
        lines.append(f"verdicts, not answers: {listed(found.verdicts, _NAMED)}")
    strangers = [f"{one.path} ({one.benchmark})" for one in found.answers if one.path not in owners]
    if strangers:
        lines.append(f"answers of no model of the profile: {listed(strangers, _NAMED)}")
    if found.unrecognised:
        told = [f"{name} ({reason})" for name, reason in found.unrecognised.items()]
        lines.append(f"not recognised: {listed(told, _NAMED)}")
    return lines


def _told(one: Answers, owner: str | None, chosen: Mapping[tuple[str, str], Answers]) -> Found:
    tasks = len({row["task_id"] for row in one.rows})
    used = owner is not None and chosen[owner, one.benchmark] is one
    return Found(path=one.path, model=owner, benchmark=one.benchmark, tasks=tasks, samples=len(one.rows), used=used)


# what a file is


def contents(path: Path) -> Contents:
    """What an archive, a folder or a single file of JSONL holds. UsageError when it cannot be read safely."""
    found = Contents()
    programs: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
    for name, content in _files(path):
        match = _PROGRAM.fullmatch(name)
        if match:
            text = content.decode("utf-8", "replace")
            key = match["home"] or ".", match["set"]
            programs[key].append((int(match["number"]), int(match["sample"] or 0), text))
        else:
            _sort_in(found, name, content)
    for (home, family), texts in programs.items():
        rows = [{"task_id": f"{family}/{number}", "solution": text} for number, _, text in sorted(texts)]
        found.answers.append(Answers(home, _SETS[family], rows))
    return found


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """A file of answers is taken as an archive that holds nothing else."""
    if path.name.endswith((".jsonl", ".jsonl.gz", ".json", ".py")) and path.is_file():
        if path.stat().st_size > BOUNDS.each:
            raise UsageError(f"{path}: more than {BOUNDS.each >> 20} MB: not {BOUNDS.about}")
        yield path.name, path.read_bytes()
    else:
        yield from archives.members(path, BOUNDS)


def _sort_in(found: Contents, name: str, content: bytes) -> None:
    try:
        if name.endswith(".json"):
            _only_verdicts(name, content)
            found.verdicts.append(name)
        elif name.endswith((".jsonl", ".jsonl.gz")):
            _sort_lines_in(found, name, content)
        else:
            found.unrecognised[name] = "no JSONL, and no program of a task"
    except UsageError as error:
        found.unrecognised[name] = str(error).removeprefix(f"{name}:").strip()


def _only_verdicts(name: str, content: bytes) -> None:
    """A UsageError unless a document holds evalplus' verdicts, and perhaps the programs that they are on."""
    try:
        document = records.loads(content)
    except ValueError as error:
        raise UsageError(f"not JSON ({error})") from None
    if not isinstance(document, dict) or "eval" not in document:
        raise UsageError(f"{name}: JSON, and neither JSONL of answers nor evalplus' verdicts")


def _sort_lines_in(found: Contents, name: str, content: bytes) -> None:
    lines = (_unpacked(found, content) if name.endswith(".gz") else content).split(b"\n")
    sets: dict[str, list[records.Record]] = defaultdict(list)
    verdicts = False
    for row in records.parse_jsonl(Path(name), lines, texts=("task_id",)):
        match = _TASK.fullmatch(row["task_id"])
        text = next((field for field in _TEXTS if field in row), None)
        verdicts = verdicts or any(field in row for field in _OF_VERDICTS)
        if match is None:
            raise UsageError(f"{name}: the task {row['task_id']!r:.80} is of neither {' nor '.join(_SETS)}")
        if text is None or not isinstance(row[text], str):
            raise UsageError(f"{name}: a line of {row['task_id']:.80} has neither 'solution' nor 'completion'")
        sets[_SETS[match[1]]].append({"task_id": row["task_id"], text: row[text]})
    if not sets:
        raise UsageError(f"{name}: empty")
    if verdicts:
        found.verdicts.append(name)
    else:
        found.answers += [Answers(name, benchmark, rows) for benchmark, rows in sets.items()]


def _unpacked(found: Contents, content: bytes) -> bytes:
    most = min(BOUNDS.each, BOUNDS.total - found.unpacked)
    try:
        with gzip.open(io.BytesIO(content)) as file:
            text = file.read(most + 1)
    except archives.DAMAGED as error:
        raise UsageError(f"not a whole gzip file ({error})") from None
    if len(text) > most:
        which = "unpacks" if most == BOUNDS.each else "with the packed files before it, it unpacks"
        raise UsageError(f"{which} to more than {(BOUNDS.each if most == BOUNDS.each else BOUNDS.total) >> 20} MB")
    found.unpacked += len(text)
    return text


# whose it is


def sort_out(
    found: Contents, models: Mapping[str, Sequence[str]], where: Path
) -> tuple[dict[tuple[str, str], Answers], dict[str, str]]:
    """The answers of each model to each benchmark, and the model that each file is of. `models`: the patterns of each.

    Of several files of a model's the one counts that nobody has sanitized: the scorer does as the paper did."""
    owners: dict[str, str] = {}
    several: dict[tuple[str, str], list[Answers]] = defaultdict(list)
    for one in found.answers:
        of = [model for model, patterns in models.items() if matches(one.path, patterns)]
        if len(of) > 1:
            raise UsageError(
                f"{where}: {one.path}: the patterns of two models match it, {of[0]} and {of[1]}: narrow models.{of[0]}.match or "
                f"models.{of[1]}.match"
            )
        if of:
            owners[one.path] = of[0]
            several[of[0], one.benchmark].append(one)
    return {key: _only(key, ones, where) for key, ones in several.items()}, owners


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path is of a model: one of its patterns matches, and none of those that begin with `!`."""
    text = _plain(path)
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(fnmatchcase(text, _plain(one)) for one in wanted) and not any(
        fnmatchcase(text, _plain(one)) for one in unwanted
    )


def _plain(text: str) -> str:
    return re.sub(r"[_ ]", "-", text).lower()


def _only(key: tuple[str, str], ones: Sequence[Answers], where: Path) -> Answers:
    raw = [one for one in ones if not one.sanitized]
    first, *others = raw or ones
    for other in others:
        if _sorted(other) != _sorted(first):
            raise UsageError(
                f"{where}: two files hold different answers of {key[0]} to {key[1]}, {first.path} and {other.path}: let "
                f"models.{key[0]}.match name one of them, or `magicoder rescore` that file alone"
            )
    return first


def _sorted(one: Answers) -> list[str]:
    return sorted(records.dumps(row) for row in one.rows)
