"""`magicoder compare`: the tasks whose verdicts differ between two results, or two runs."""

from __future__ import annotations

from pathlib import Path

from magicoder_repro import errors
from magicoder_repro.progress import tell
from magicoder_repro.score import samples
from magicoder_repro.score.result import Judged, read

Verdicts = list[tuple[bool, bool | None]]
"""`passed` and `passed_plus` of each sample of a task."""
_MARKS = {True: "pass", False: "fail", None: "-"}


def compare(one: Path, other: Path, out: Path | None = None) -> int:
    """Prints the tasks whose verdicts differ; exit code 1 when any does. Of two runs the page `out` has them."""
    if out is not None or (run_of(one) and run_of(other)):
        from magicoder_repro.report import pair  # its statistics take long to import

        return pair.compare(one, other, out)
    first, second = _verdicts(one), _verdicts(other)
    differing = 0
    for task_id in sorted({*first, *second}, key=lambda name: (len(name), name)):
        rows = first.get(task_id), second.get(task_id)
        if rows[0] != rows[1]:
            differing += 1
            tell(f"{task_id}: {_shown(rows[0])} | {_shown(rows[1])}")
    tell(f"{differing} of {len({*first, *second})} tasks differ (passed/passed_plus of each sample; {one} | {other})")
    return errors.EXIT_BAD_RESULT if differing else errors.EXIT_DONE


def run_of(path: Path) -> Path | None:
    """The run that a folder is, or whose report it is; None for anything else."""
    for folder in (path, path.parent if path.name == "report" else path):
        if (folder / "score").is_dir():
            return folder
    return None


def _verdicts(path: Path) -> dict[str, Verdicts]:
    """The verdicts of each task of a result, by its language and name; of a folder those that MultiPL-E wrote there."""
    if path.is_dir():
        return samples.verdicts_of_multipl_e(path)
    found = read(path, Judged)
    return {task.name: [(sample.passed, sample.passed_plus) for sample in task.samples] for task in found.tasks}


def _shown(rows: Verdicts | None) -> str:
    return "missing" if rows is None else " ".join(f"{_MARKS[passed]}/{_MARKS[plus]}" for passed, plus in rows)
