"""`magicoder score --compare`: the tasks whose verdicts differ between two results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicoder_repro import errors, records
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import tell

Verdicts = list[tuple[bool, bool | None]]
"""`passed` and `passed_plus` of each sample of a task."""
_MARKS = {True: "pass", False: "fail", None: "-"}


def compare(one: Path, other: Path) -> int:
    """Prints the tasks whose verdicts differ; exit code 1 when any does."""
    first, second = _verdicts(one), _verdicts(other)
    differing = 0
    for task_id in sorted({*first, *second}, key=lambda name: (len(name), name)):
        rows = first.get(task_id), second.get(task_id)
        if rows[0] != rows[1]:
            differing += 1
            tell(f"{task_id}: {_shown(rows[0])} | {_shown(rows[1])}")
    tell(f"{differing} of {len({*first, *second})} tasks differ (passed/passed_plus of each sample; {one} | {other})")
    return errors.EXIT_BAD_RESULT if differing else errors.EXIT_DONE


def _verdicts(path: Path) -> dict[str, Verdicts]:
    """The verdicts of each task of a result, by its language and name."""
    result = records.read_json(path)
    tasks = result.get("tasks") if isinstance(result, dict) else None
    if not isinstance(tasks, list):
        raise UsageError(f"{path}: not a result of `magicoder score`: no 'tasks' with 'samples' in it")
    found: dict[str, Verdicts] = {}
    for number, task in enumerate(tasks, 1):
        name = _name(task)
        if name is None:
            raise UsageError(f"{path}: task {number} has no 'task_id' that is text: not a result of `magicoder score`")
        if name in found:
            raise UsageError(f"{path}: the task {name} is in it twice: not a result of `magicoder score`")
        samples = task.get("samples")
        if not isinstance(samples, list) or not all(_is_verdict(sample) for sample in samples):
            raise UsageError(
                f"{path}: the task {name} has no 'samples' with 'passed' and 'passed_plus' (true, false; null)"
            )
        found[name] = [(sample["passed"], sample["passed_plus"]) for sample in samples]
    return found


def _name(task: Any) -> str | None:
    if not isinstance(task, dict) or not isinstance(task.get("task_id"), str):
        return None
    language = task.get("language")
    return f"{language}/{task['task_id']}" if isinstance(language, str) and language else task["task_id"]


def _is_verdict(sample: Any) -> bool:
    if not isinstance(sample, dict) or not {"passed", "passed_plus"} <= set(sample):
        return False
    return isinstance(sample["passed"], bool) and isinstance(sample["passed_plus"], bool | None)


def _shown(rows: Verdicts | None) -> str:
    return "missing" if rows is None else " ".join(f"{_MARKS[passed]}/{_MARKS[plus]}" for passed, plus in rows)
