"""The records of the data stages: one model a kind, and how files of them are written and read.

A file is JSONL. A row keeps the order of its keys, and whatever else it has beside its kind's own: sets of other people have more
columns. `version` of a kind goes up when a column is renamed, goes, or means something else; the manifest beside a file says which it
is of. A file without that, of the user's own or of a release before there were kinds, is read as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from magicoder_repro import artifact, records
from magicoder_repro.artifact import Work
from magicoder_repro.errors import UsageError

_K = TypeVar("_K", bound="Kind")


class Kind(BaseModel):
    """A row of one kind."""

    model_config = ConfigDict(strict=True, extra="allow")
    kind: ClassVar[str]
    version: ClassVar[int] = 1

    @classmethod
    def of(cls, row: records.Record, where: str) -> Self:
        """The row, checked. `where`: its place, for the error."""
        try:
            return cls.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            what = {"missing": "is missing", "string_type": "is not text"}.get(first["type"], f"({first['msg']})")
            raise UsageError(f"{where}: the field {first['loc'][0]!r} {what}") from None

    @classmethod
    def check(cls, row: records.Record, where: str) -> None:
        """A UsageError when the row is of another kind."""
        cls.of(row, where)

    def row(self) -> records.Record:
        """As it stands in a file: its own keys in this order, then what else it has."""
        return self.model_dump(exclude_unset=True)


class Seed(Kind):
    """One to fifteen lines of a document. `raw_index`: its document's number; `index`: its own after the shuffle."""

    kind = "seed"
    raw_index: int
    index: int
    seed: str
    lang: str


class Problem(Kind):
    """What is evolved: an OSS-Instruct record of anybody's."""

    kind = "problem"
    index: int
    problem: str
    solution: str


class OssInstruct(Seed):
    """A seed with what the teacher made of it."""

    kind = "oss-instruct"
    openai_fingerprint: str | None
    problem: str
    solution: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Evolved(Kind):
    """A problem that the teacher has evolved and answered. `method`: the number of the heuristic in `prompts.EVOLVE_METHODS`."""

    kind = "evolved"
    source_index: int
    method: int
    instruction: str
    output: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Pair(Kind):
    """What a training record asks and answers, and what its two columns are called. A row of it is of any set."""

    kind = "pair"
    question: str
    answer: str
    columns: tuple[str, str]

    COLUMNS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("problem", "solution"),
        ("instruction", "output"),
        ("instruction", "response"),
    )
    """OSS-Instruct's, Evol-Instruct's as this package writes it, Evol-Instruct's as it was released."""

    @classmethod
    def of(cls, row: records.Record, where: str) -> Self:
        """The question and the answer of a row. `where`: its place, for the error."""
        columns = cls.names(row, where)
        return cls(question=row[columns[0]], answer=row[columns[1]], columns=columns)

    @classmethod
    def check(cls, row: records.Record, where: str) -> None:
        cls.names(row, where)

    @classmethod
    def names(cls, row: records.Record, where: str) -> tuple[str, str]:
        """The two columns of a row, both text: all that stages which pass rows on need of it."""
        for pair in cls.COLUMNS:
            if pair[0] in row and pair[1] in row:
                for name in pair:
                    if not isinstance(row[name], str):
                        raise UsageError(f"{where}: the field {name!r} is not text")
                return pair
        wanted = ", nor ".join(f"{one!r} and {other!r}" for one, other in cls.COLUMNS)
        raise UsageError(f"{where}: neither {wanted}")


class Dropped(Kind):
    """A record that a stage has left out, or what is known of it, and why. `decontaminate` adds `matched`, the text that it holds."""

    kind = "dropped"
    reason: str


_VERSIONS = {one.kind: one.version for one in (Seed, Problem, OssInstruct, Evolved, Pair, Dropped)}


def read(path: Path, kind: type[_K]) -> Iterator[_K]:
    """Yields the rows of a file, each checked."""
    for number, row in enumerate(rows(path), 1):
        yield kind.of(row, f"{path}:{number}")


def checked(path: Path, kind: type[Kind]) -> Iterator[records.Record]:
    """Yields the rows of a file as they are, each checked: for stages that pass them on."""
    for number, row in enumerate(rows(path), 1):
        kind.check(row, f"{path}:{number}")
        yield row


def rows(path: Path) -> Iterator[records.Record]:
    """Yields the rows of a file of any kind, in a version that is known."""
    name, _, version = _told(path).partition(" ")
    if name and version != str(_VERSIONS.get(name)):
        raise UsageError(f"{path}: {name!r} records of version {version}, which is not this release's: make them again")
    yield from records.read_jsonl(path)


def _told(path: Path) -> str:
    """The kind and version of a file by the manifest beside it; "" where nothing says it."""
    if (path.parent / artifact.MANIFEST).is_file():
        with suppress(UsageError):
            return artifact.read_manifest(path.parent).kinds.get(path.name, "")
    return ""


def write(work: Work, name: str, kind: type[Kind], rows: Iterable[records.Record]) -> None:
    """Writes the rows, each checked, as a file of the stage's folder."""
    records.write_jsonl(work.out / name, (_checked(row, kind, f"{name}:{n}") for n, row in enumerate(rows, 1)))
    work.kinds[name] = f"{kind.kind} {kind.version}"


def _checked(row: records.Record, kind: type[Kind], where: str) -> records.Record:
    kind.check(row, where)
    return row
