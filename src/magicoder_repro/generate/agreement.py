"""`magicoder agreement`: one model's greedy completions of the same prompts in several ways (batch size, dtype, attention, order,
engine), by the stages `generate` and `score`. How many are identical, and how many tasks change their verdict, is the noise that two
runs of one model have anyway. The report reads what is written here (`report/noise.py`).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from magicoder_repro import benchmarks, environment, records
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks.base import Style
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import complete, engines
from magicoder_repro.profile import Engine, Greedy, Scoring, TransformersEngine, VllmEngine
from magicoder_repro.progress import tell
from magicoder_repro.score import result as results
from magicoder_repro.score import stage as score


@dataclass(frozen=True)
class Way:
    """One way of completing the same prompts."""

    dtype: Literal["bfloat16", "float32"]
    settings: Engine
    batch: int = 16

    @property
    def name(self) -> str:
        if isinstance(self.settings, TransformersEngine):
            order = "" if self.settings.order == "paper" else ", by length"
            return f"transformers, {self.dtype}, {self.settings.attention}, batches of {self.batch}{order}"
        told = engines.told(self.settings)
        return f"{told['kind']} {told['version']} ({told['environment']}), {self.dtype}"


@dataclass(frozen=True)
class Prompts:
    """What all ways are asked, greedy: the first tasks of a benchmark; all without `tasks`."""

    benchmark: str
    tasks: int | None = None
    max_new_tokens: int = 512
    style: Style = "magicoder"


class _File(BaseModel):
    model_config = ConfigDict(strict=True)


Count = Annotated[int, Field(ge=0)]


class Row(_File):
    """One way beside the first: completions that are the same text, tasks passed, and tasks whose verdict is another than there.
    `plus`: with EvalPlus' further tests, where there are any."""

    way: str
    identical: Count
    passed: Count
    other_verdicts: Count
    passed_plus: Count | None
    other_verdicts_plus: Count | None
    seconds: float


class Agreement(_File):
    """A whole measurement, as it is written. `model`: what it is called; `tasks` of `of`; `judged`: whether there are verdicts."""

    version: Literal[1] = 1
    model: str
    benchmark: str
    protocol: str
    dataset: dict[str, str]
    style: str
    max_new_tokens: int
    tasks: Annotated[int, Field(gt=0)]
    of: Annotated[int, Field(gt=0)]
    judged: bool
    device: dict[str, Any]
    versions: dict[str, str]
    rows: Annotated[list[Row], Field(min_length=1)]


def read(path: Path) -> Agreement:
    """The measurement in a file; a UsageError names the field that is wrong."""
    try:
        return Agreement.model_validate(records.read_json(path))
    except ValidationError as error:
        raise UsageError(f"{path}: not written by `magicoder agreement -o` ({results.explain(error)})") from None


def ways() -> list[Way]:
    """The paper's way first; then others, and vLLM where its environment is there."""
    found = [
        Way("bfloat16", TransformersEngine()),
        Way("bfloat16", TransformersEngine(), batch=1),
        Way("bfloat16", TransformersEngine(), batch=28),
        Way("bfloat16", TransformersEngine(attention="sdpa")),
        Way("bfloat16", TransformersEngine(order="length")),
        Way("float32", TransformersEngine()),
        Way("float32", TransformersEngine(attention="sdpa")),
    ]
    for served in (VllmEngine(kind="vllm"), VllmEngine(kind="vllm", environment="serve-cpu")):
        if not engines.missing(served):
            return [*found, Way("bfloat16", served), Way("float32", served)]
    return found


def measure(folder: Path, name: str, prompts: Prompts, chosen: Sequence[Way]) -> Agreement:
    """Of each way: how many completions are the first way's, how many tasks pass, and how many have another verdict than there.

    `name`: what the model is called."""
    if benchmarks.get(prompts.benchmark).subsets:
        raise UsageError(f"--benchmark {prompts.benchmark}: it has several sets: name one that is decoded greedily")
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: no folder of a model (config.json is missing): name one, as runs/PROFILE/sft/NAME")
    rows: list[Row] = []
    first: _Answers | None = None
    with tempfile.TemporaryDirectory() as private:
        for number, way in enumerate(chosen):
            begun = time.monotonic()
            found = _run(folder, prompts, way, Path(private, str(number)))
            first = first or found
            rows.append(_beside(first, found, way.name, round(time.monotonic() - begun, 1)))
            tell(_line(rows[-1], first))
    assert first is not None and first.asked.dataset is not None
    return Agreement(
        model=name,
        benchmark=prompts.benchmark,
        protocol=_PROTOCOL,
        dataset=first.asked.dataset,
        style=prompts.style,
        max_new_tokens=prompts.max_new_tokens,
        tasks=len(first.texts),
        of=first.asked.of,
        judged=bool(first.passed),
        device=environment.device(),
        versions=environment.versions(),
        rows=rows,
    )


_PROTOCOL: Literal["paper"] = "paper"


@dataclass(frozen=True)
class _Answers:
    """One way's completions and the verdicts on them: none where this benchmark cannot be judged here, or has no further tests."""

    asked: complete.Asked
    texts: list[str]
    passed: list[bool]
    passed_plus: list[bool] | None


def _beside(first: _Answers, found: _Answers, way: str, seconds: float) -> Row:
    plus = found.passed_plus
    return Row(
        way=way,
        identical=len(found.texts) - _differing(found.texts, first.texts),
        passed=sum(found.passed),
        other_verdicts=_differing(found.passed, first.passed),
        passed_plus=None if plus is None else sum(plus),
        other_verdicts_plus=None if plus is None or first.passed_plus is None else _differing(plus, first.passed_plus),
        seconds=seconds,
    )


def _differing(some: Sequence[object], others: Sequence[object]) -> int:
    return sum(one != other for one, other in zip(some, others, strict=True))


def _line(row: Row, first: _Answers) -> str:
    tasks = len(first.texts)
    said = f"{row.way:52} {row.identical} of {tasks} completions identical ({100 * row.identical / tasks:.1f} %)"
    if first.passed:
        said += f", {row.passed} tasks passed, {row.other_verdicts} other verdicts"
    if row.passed_plus is not None:
        said += f"; further tests: {row.passed_plus} passed, {row.other_verdicts_plus} other verdicts"
    return said


def _run(folder: Path, prompts: Prompts, way: Way, out: Path) -> _Answers:
    decoding = Greedy(tasks=prompts.tasks, max_new_tokens=prompts.max_new_tokens, batch=way.batch)
    common = {"benchmark": prompts.benchmark, "protocol": _PROTOCOL, "label": way.name}
    config = {**common, "style": prompts.style, "dtype": way.dtype, "decoding": decoding.model_dump(mode="json")}
    generated = Work(out / "generated", {"model": folder}, config | {"engine": way.settings.model_dump(mode="json")})
    try:
        complete.build(generated)
    finally:
        engines.end()
    asked = complete.Asked.model_validate(records.read_json(generated.out / "benchmarks.json")[prompts.benchmark])
    if asked.gap is not None:
        raise UsageError(f"--benchmark {prompts.benchmark}: {asked.gap}")
    texts = [row["completion"] for row in records.read_jsonl(generated.out / f"{prompts.benchmark}.jsonl")]
    scoring = score.settings(Scoring(workers=len(os.sched_getaffinity(0))), prompts.benchmark)
    judged = Work(out / "judged", {"samples": generated.out}, {**common, "scoring": scoring})
    score.build(judged)
    path = judged.out / f"{prompts.benchmark}.json"
    verdicts = [task.samples[0] for task in results.read(path, results.Judged).tasks] if path.is_file() else []
    plus = [bool(one.passed_plus) for one in verdicts if one.passed_plus is not None]
    return _Answers(asked, texts, [one.passed for one in verdicts], plus or None)
