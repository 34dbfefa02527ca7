"""The benchmark strings that training data must not contain (PROTOCOL section 3), and where they are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro import records
from magicoder_repro.benchmarks.base import data_folder
from magicoder_repro.benchmarks.evalplus import human_eval
from magicoder_repro.environment import file_sha256
from magicoder_repro.errors import UsageError

_MBPP_TASKS = range(11, 511)
# The official source quotes the last one so that it never equals a solution: it is no exemption in effect.
_EXEMPT_SOLUTIONS = frozenset({"return x + y", "return len(string)", "return n**2"})


@dataclass(frozen=True)
class TextList:
    """One list of strings: `name` is the reason's stem, `source` the file, None when it is missing."""

    name: str
    source: Path | None
    texts: tuple[str, ...]


def load() -> list[TextList]:
    """All lists in the paper's order; one whose file is missing has no source and no texts."""
    folder = data_folder()
    mbpp = folder / "mbpp" / "mbpp.jsonl"
    places: list[tuple[str, Path, Callable[[Path], list[str]]]] = [
        ("mbpp_docstrings", mbpp, lambda path: _mbpp(path, "text")),
        ("mbpp_solutions", mbpp, lambda path: _mbpp(path, "code")),
        ("human_eval_docstrings", human_eval.path(), _human_eval_docstrings),
        ("human_eval_solutions", human_eval.path(), _human_eval_solutions),
        ("apps_docstrings", folder / "apps" / "test.jsonl", lambda path: _stripped(path, "question")),
        ("gsm8k_questions", folder / "gsm8k" / "gsm8k_test.jsonl", lambda path: _stripped(path, "question")),
        ("ds1000_prompts", folder / "ds1000" / "ds1000.jsonl", _ds1000),
    ]
    lists = []
    for name, path, read in places:
        if not path.is_file():
            lists.append(TextList(name, None, ()))
        else:
            lists.append(TextList(name, path, tuple(read(path))))
    return lists


def identity() -> dict[str, str]:
    """sha256 by list name: the lists are an input of the stage although they are no stage's output."""
    return {item.name: file_sha256(item.source) for item in load() if item.source is not None}


def _mbpp(path: Path, field: str) -> list[str]:
    return [row[field] for row in records.read_jsonl(path, ("task_id",), (field,)) if _number(row, path) in _MBPP_TASKS]


def _number(row: records.Record, path: Path) -> int:
    try:
        return int(row["task_id"])
    except (ArithmeticError, TypeError, ValueError):
        raise UsageError(f"{path}: a 'task_id' is {str(row['task_id'])[:80]!r}, not a number") from None


def _stripped(path: Path, field: str) -> list[str]:
    texts = [row[field].strip() for row in records.read_jsonl(path, texts=(field,))]
    return [text for text in texts if text]


def human_eval_docstring(prompt: str) -> str:
    """The docstring of a HumanEval prompt: the second one where a helper function has one of its own."""
    for quotes in ('"""', "'''"):
        parts = prompt.split(quotes)
        if len(parts) == 3:
            return parts[1].strip()
        if quotes == '"""' and len(parts) == 5:
            return parts[3].strip()
    raise ValueError(f"no docstring in {prompt!r}")


def _human_eval_docstrings(_: Path) -> list[str]:
    return [human_eval_docstring(row["prompt"]) for row in human_eval.read()]


def _human_eval_solutions(_: Path) -> list[str]:
    texts = [row["canonical_solution"].strip() for row in human_eval.read()]
    return [text for text in texts if text and text not in _EXEMPT_SOLUTIONS]


def _ds1000(path: Path) -> list[str]:
    texts = []
    for row in records.read_jsonl(path, texts=("prompt",)):
        prompt = row["prompt"]
        for mark in ("SOLUTION START", "BEGIN SOLUTION"):
            if mark in prompt:
                prompt = prompt[: prompt.index(mark)]
                break
        texts.append(prompt)
    return texts
