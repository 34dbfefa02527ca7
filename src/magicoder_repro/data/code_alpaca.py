"""Code Alpaca, the paper's Self-Instruct data: a file of the user's, which the similarity of section 6 is fitted on too."""

from __future__ import annotations

from pathlib import Path

from magicoder_repro import records
from magicoder_repro.benchmarks.base import data_folder
from magicoder_repro.errors import UsageError

FILES = ("code-alpaca/code_alpaca_20k.json", "code-alpaca/code_alpaca_20k.jsonl")
"""Where it is looked for under MAGICODER_DATA: one JSON list as it was published, or one record a line."""
_FIELDS = ("instruction", "output")


def find() -> Path | None:
    """The file, None when it is not at hand."""
    return next((path for name in FILES if (path := data_folder() / name).is_file()), None)


def pairs(path: Path) -> list[tuple[str, str]]:
    """(instruction, output) of each record; where there is an input, it follows the instruction as the public code has it there."""
    rows = list(records.read_jsonl(path, _FIELDS)) if path.suffix == ".jsonl" else records.read_json(path)
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{path}: not a list of records with 'instruction' and 'output'")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not all(isinstance(row.get(field), str) for field in _FIELDS):
            raise UsageError(f"{path}: record {number} has no text in 'instruction' and 'output'")
        if not isinstance(row.get("input", ""), str):
            raise UsageError(f"{path}: record {number}: the field 'input' is not text")
    return [(_question(row["instruction"], row.get("input", "")), row["output"]) for row in rows]


def _question(instruction: str, given: str) -> str:
    return f"{instruction}\nInput: {given}" if given.strip() else instruction
