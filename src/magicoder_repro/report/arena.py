"""A run's verdicts task by task, as Eval Arena (github.com/crux-eval/eval-arena) reads them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from magicoder_repro.report.drill import TaskSet
from magicoder_repro.terminal import shown

FIELDS = ("benchmark_id", "model", "example_id", "pass1", "correct", "count")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows(sets: Sequence[TaskSet]) -> Iterator[dict[str, Any]]:
    """One row a task and model; EvalPlus' further tests are a benchmark of their own, `humaneval+`."""
    for one in sets:
        for plus in (False, True) if one.plus else (False,):
            name = f"{one.link}+" if plus else one.link
            for task_id, task in one.tasks.items():
                for model, answer in task.answers.items():
                    count = len(answer.marks)
                    rate = answer.rate(base=not plus)
                    row = (name, model, shown(task_id), round(rate, 6), round(rate * count), count)
                    yield dict(zip(FIELDS, row, strict=True))


def to_csv(sets: Sequence[TaskSet]) -> str:
    """The rows as CSV; text that a spreadsheet would take for a formula is quoted as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows(sets):
        writer.writerow({key: _inert(value) for key, value in row.items()})
    return text.getvalue()


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
