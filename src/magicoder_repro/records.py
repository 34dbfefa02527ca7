"""JSONL records: read with errors that name the line, written whole, and a journal that survives a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from magicoder_repro.errors import UsageError

Record = dict[str, Any]


def dumps(value: Any) -> str:
    """One line of JSON; keys keep their order, text stays readable."""
    return json.dumps(value, ensure_ascii=False)


def read_jsonl(path: Path, required: Sequence[str] = ()) -> Iterator[Record]:
    """Yields the objects of a JSONL file; `required` are the fields every line must have."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}:{number}: not JSON ({error}): mend or remove this line") from None
            if not isinstance(record, dict):
                raise UsageError(f"{path}:{number}: a {type(record).__name__}, not a JSON object")
            for field in required:
                if field not in record:
                    raise UsageError(f"{path}:{number}: the field {field!r} is missing")
            yield record


def count_lines(path: Path) -> int:
    """How many lines a file has, for a progress bar; none when there is no such file."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file aside, syncs it and renames it into place: it is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_jsonl(path: Path, rows: Iterable[Record]) -> int:
    """Writes records, one a line, whole or not at all; returns their number."""
    lines = [dumps(row) for row in rows]
    write_text(path, "".join(line + "\n" for line in lines))
    return len(lines)


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON document, indented, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Reads one JSON document."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error})") from None


class Journal:
    """An append-only JSONL file of finished work. A line torn by a kill is cut off when it is opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Record] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                try:
                    row = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                self.rows.append(row)
                whole += len(line)
        self._file = path.open("ab")
        self._file.truncate(whole)

    def add(self, row: Record) -> None:
        """Appends one finished piece of work and syncs it to the disk."""
        self._file.write(dumps(row).encode("utf-8", "surrogatepass") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows.append(row)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
