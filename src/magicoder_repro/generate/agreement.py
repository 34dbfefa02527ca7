"""`magicoder agreement`: one model's greedy completions of the same prompts in several ways (batch size, dtype, attention, order,
engine), by the stages `generate` and `score`. How many are identical, and how many tasks change their verdict, is the noise that two
runs of one model have anyway.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
    """What all ways are asked, greedy: the first tasks of a benchmark."""

    benchmark: str
    tasks: int | None = None
    max_new_tokens: int = 512
    style: Style = "magicoder"


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


def measure(folder: Path, prompts: Prompts, chosen: Sequence[Way]) -> dict[str, Any]:
    """Of each way: how many completions are the first way's, how many tasks pass, and how many have another verdict than there."""
    if benchmarks.get(prompts.benchmark).subsets:
        raise UsageError(f"--benchmark {prompts.benchmark}: it has several sets: name one that is decoded greedily")
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: no folder of a model (config.json is missing): name one, as runs/PROFILE/sft/NAME")
    rows: list[dict[str, Any]] = []
    first: tuple[list[str], list[bool]] | None = None
    with tempfile.TemporaryDirectory() as name:
        for number, way in enumerate(chosen):
            begun = time.monotonic()
            texts, passed = _run(folder, prompts, way, Path(name, str(number)))
            first = first or (texts, passed)
            same, other = (
                sum(one == two for one, two in zip(texts, first[0], strict=True)),
                sum(one != two for one, two in zip(passed, first[1], strict=True)),
            )
            row = {"way": way.name, "identical": same, "passed": sum(passed), "other_verdicts": other}
            rows.append({**row, "seconds": round(time.monotonic() - begun, 1)})
            tell(
                f"{way.name:52} {same} of {len(texts)} completions identical ({100 * same / len(texts):.1f} %)"
                + (f", {sum(passed)} tasks passed, {other} other verdicts" if passed else "")
            )
    about = {"benchmark": prompts.benchmark, "style": prompts.style, "max_new_tokens": prompts.max_new_tokens}
    return {**about, "tasks": len(texts), "judged": bool(passed), "device": environment.device(), "rows": rows}


def _run(folder: Path, prompts: Prompts, way: Way, out: Path) -> tuple[list[str], list[bool]]:
    """The completions, and the verdicts on them; none where this benchmark cannot be judged here."""
    decoding = Greedy(tasks=prompts.tasks, max_new_tokens=prompts.max_new_tokens, batch=way.batch)
    common = {"benchmark": prompts.benchmark, "protocol": "paper", "label": way.name}
    config = {**common, "style": prompts.style, "dtype": way.dtype, "decoding": decoding.model_dump(mode="json")}
    generated = Work(out / "generated", {"model": folder}, config | {"engine": way.settings.model_dump(mode="json")})
    try:
        complete.build(generated)
    finally:
        engines.end()
    texts = [row["completion"] for row in records.read_jsonl(generated.out / f"{prompts.benchmark}.jsonl")]
    scoring = score.settings(Scoring(workers=len(os.sched_getaffinity(0))), prompts.benchmark)
    judged = Work(out / "judged", {"samples": generated.out}, {**common, "scoring": scoring})
    score.build(judged)
    path = judged.out / f"{prompts.benchmark}.json"
    tasks = results.read(path, results.Judged).tasks if path.is_file() else []
    return texts, [bool(task.samples[0].passed) for task in tasks]
