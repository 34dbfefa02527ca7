"""JSON and JSONL: read with errors that name the line, written whole, and a journal that survives a kill."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from magicoder_repro.errors import UsageError

Record = dict[str, Any]
_DEEPEST = 100  # lists and objects inside each other; what we write has less than ten


def dumps(value: Any) -> str:
    """One line of JSON; keys keep their order, text stays readable. What UTF-8 cannot hold (lone surrogates) is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if _is_unicode(text) else json.dumps(value)


def loads(text: str | bytes) -> Any:
    """Reads one JSON value; a ValueError says why it cannot be read: no JSON, no UTF-8, a number too long, nested too deeply."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if raw.count(b"[") + raw.count(b"{") > _DEEPEST:
        _check_depth(value)
    return value


_TOO_DEEP = f"lists or objects more than {_DEEPEST} deep"


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST + 1):
        below = (
            item.values() if isinstance(item, dict) else item
            for item in level
            if isinstance(item, dict | list) and item
        )
        level = [item for items in below for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def open_file(path: Path) -> Any:
    """Opens a regular file for reading bytes; anything else is a UsageError."""
    if path.is_dir():
        raise UsageError(f"{path}: a folder: give the name of a file")
    if not path.is_file():
        odd = path.exists()
        raise UsageError(f"{path}: {'a pipe or device: write it to a file first' if odd else 'no such file'}")
    return path.open("rb")


def read_jsonl(path: Path, required: Sequence[str] = (), texts: Sequence[str] = ()) -> Iterator[Record]:
    """Yields the objects of a JSONL file; `required` are the fields every line must have, `texts` those that must be text."""
    with open_file(path) as file:
        yield from parse_jsonl(path, file, required, texts)


def parse_jsonl(
    path: Path, lines: Iterable[bytes], required: Sequence[str] = (), texts: Sequence[str] = ()
) -> Iterator[Record]:
    """As `read_jsonl`, of lines that have been read already; `path` is for the errors."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = loads(line)
        except ValueError as error:
            raise UsageError(f"{path}:{number}: not JSON ({error}): mend or remove this line") from None
        if not isinstance(record, dict):
            raise UsageError(f"{path}:{number}: a {type(record).__name__}, not a JSON object")
        for field in (*required, *texts):
            if field not in record:
                raise UsageError(f"{path}:{number}: the field {field!r} is missing")
        for field in texts:
            if not isinstance(record[field], str):
                raise UsageError(f"{path}:{number}: the field {field!r} is not text")
        yield record


def count_lines(path: Path) -> int:
    """How many lines a file has, for a progress bar; none when there is no such file."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def sync(path: Path) -> None:
    """Waits until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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


def is_torn(path: Path) -> bool:
    """Whether a file is what a killed `write_bytes` has left beside the one that it was to become."""
    name, _, number = path.name.rpartition(".")
    return name.startswith(".") and number.isdigit()


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all; a lone surrogate becomes its escape."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_jsonl(path: Path, rows: Iterable[Record]) -> int:
    """Writes records, one a line, whole or not at all; returns their number."""
    lines = [dumps(row) for row in rows]
    write_text(path, "".join(line + "\n" for line in lines))
    return len(lines)


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON document, indented, whole or not at all."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    write_text(path, (text if _is_unicode(text) else json.dumps(value, indent=1)) + "\n")


def read_json(path: Path) -> Any:
    """Reads one JSON document."""
    with open_file(path) as file:
        content = file.read()
    try:
        return loads(content)
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error})") from None


class Journal:
    """An append-only JSONL file of finished work. A line torn by a kill is cut off when it is opened again, with all after it.

    With a `key`, which says what work it is, each line is `row` and `check`, a hash of the key and of everything up to this row: the
    first line that was changed, is out of its place or of other work is cut off as well.
    """

    def __init__(self, path: Path, key: str = "") -> None:
        self.path = path
        self._key = key
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows, self._check, whole = _whole_lines(path, key)
        self._file = path.open("ab")
        self._file.truncate(whole)

    @staticmethod
    def read(path: Path, key: str = "") -> list[Record]:
        """The rows of a journal, which stays as it is."""
        return _whole_lines(path, key)[0]

    def add(self, row: Record) -> None:
        """Appends one finished piece of work and syncs it to the disk."""
        self._check = _check(self._check, row)
        self._file.write(f"{dumps({'check': self._check, 'row': row} if self._key else row)}\n".encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows.append(row)

    def close(self) -> None:
        """Ends the writing."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check(before: str, row: Record) -> str:
    return hashlib.sha256(f"{before}\n{json.dumps(row)}".encode()).hexdigest()[:16]


def _whole_lines(path: Path, key: str) -> tuple[list[Record], str, int]:
    """The rows of a journal up to the first bad line, the check of the last one and their length in bytes."""
    rows: list[Record] = []
    check, whole = key, 0
    if not path.exists():
        return rows, check, whole
    with path.open("rb") as file:
        for line in file:
            try:
                content = loads(line)
            except ValueError:
                break
            row = content.get("row") if key and isinstance(content, dict) else content
            if not line.endswith(b"\n") or not isinstance(row, dict):
                break
            after = _check(check, row)
            if key and content.get("check") != after:
                break
            rows.append(row)
            check, whole = after, whole + len(line)
    return rows, check, whole
