"""The verdicts of a run, one character a sample, as `report.json` and `recorded.json` keep them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from magicoder_repro.errors import UsageError
from magicoder_repro.report.scored import Scored
from magicoder_repro.score.result import Result, Sample, explain

FAILED, BASE, ALL = ".", "b", "P"
"""A sample failed, passed the base tests only, or passed all that there are."""
PASSED = {"pass@1": BASE + ALL, "pass@1+": ALL}


class Verdicts(BaseModel):
    """One model's verdicts on one benchmark. `key`: `humaneval.magicoder`, as rows of the report are named; `tasks`: a character a
    sample (`FAILED`, `BASE` or `ALL`) for each task, by its name in the whole set (`rs/HumanEval_0_...` where there are languages)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    key: str
    benchmark: str
    model: str
    protocol: str
    dataset: dict[str, str]
    scorer: str
    sanitized: bool
    tasks: dict[str, Annotated[str, Field(pattern=r"^[.bP]+$")]]

    def rate(self, task: str, metric: str) -> float:
        """The share of a task's samples that passed, by the base tests (`pass@1`) or by all (`pass@1+`)."""
        marks = self.tasks[task]
        return sum(mark in PASSED[metric] for mark in marks) / len(marks)

    def percent(self, tasks: Sequence[str], metric: str) -> float:
        """The mean of the tasks' rates, in percent."""
        return 100 * sum(self.rate(task, metric) for task in tasks) / len(tasks) if tasks else 0.0


def of_node(scored: Scored) -> list[Verdicts]:
    """What a score node holds."""
    return [verdicts(scored.path(name), result, name, scored.model) for name, result in scored.results.items()]


def verdicts(path: Path, result: Result, benchmark: str | None = None, model: str = "") -> Verdicts:
    """The verdicts in a result of `magicoder score`. `benchmark`: its name in the run; without it what the result says; `path` is for
    the errors."""
    languages = {task.language for task in result.tasks}
    own = f"-{languages.pop()}" if len(languages) == 1 and None not in languages else ""
    name = benchmark or result.benchmark + own
    try:
        return Verdicts(
            key=f"{name}.{model}" if model else name,
            benchmark=name,
            model=model,
            protocol=result.protocol,
            dataset=result.dataset,
            scorer=result.scorer,
            sanitized=result.sanitized,
            tasks={task.name: "".join(map(_mark, task.samples)) for task in result.tasks},
        )
    except ValidationError as error:
        raise UsageError(f"{path}: not a result of `magicoder score` ({explain(error)})") from None


def _mark(sample: Sample) -> str:
    if not sample.passed:
        return FAILED
    return BASE if sample.passed_plus is False else ALL
