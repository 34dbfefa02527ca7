"""`magicoder score`: one file of samples -> one result, and the difference of two results."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from magicoder_repro import benchmarks, errors, records
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import say
from magicoder_repro.score import ds1000, evalplus, sandbox

_BENCHMARKS = ("humaneval", "mbpp", "ds1000")


def score(
    benchmark: str,
    samples: Path,
    out: Path,
    protocol: str,
    data: Path | None,
    sanitized: bool,
    workers: int | None,
    call_seconds: float,
    backend: str,
    skip_unknown: bool,
) -> None:
    """Judges the samples and writes DESIGN's OUT.json."""
    family = benchmark.removeprefix(benchmarks.MINIBENCH)
    if family not in _BENCHMARKS:
        raise UsageError(f"score: no scorer for {benchmark!r}: one of {', '.join(_BENCHMARKS)}")
    chosen = benchmarks.protocol(protocol)
    try:
        config = Scoring.model_validate(
            {"workers": workers or len(os.sched_getaffinity(0)), "call_seconds": call_seconds, "sandbox": backend}
        )
    except ValidationError:
        raise UsageError(f"--sandbox {backend}: one of auto, container, bubblewrap, userns, none") from None
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"{out}: give the name of a file in a folder that exists")
    if family == "ds1000" and (sanitized or chosen != "paper"):
        raise UsageError("score: ds1000 has one protocol, paper, and no --sanitize")
    rows = list(records.read_jsonl(samples, () if family == "ds1000" else ("task_id",)))
    if not rows:
        raise UsageError(f"{samples}: no sample in it")
    dataset = benchmarks.load(benchmark, chosen, data=data)
    if skip_unknown:
        if family == "ds1000":
            numbers = {ds1000.task_id(task) for task in dataset.tasks}
            known = [row for row in rows if ds1000.sample_id(row) in numbers]
        else:
            tasks = {task["task_id"] for task in dataset.tasks}
            known = [row for row in rows if row["task_id"] in tasks]
        say(f"score: {len(rows) - len(known)} samples of tasks that are not in the set are left out")
        rows = known
    scorer = ds1000.scorer() if family == "ds1000" else evalplus.scorer(dataset, chosen)
    say(f"score: {len(rows)} samples, {dataset.name} {dataset.version}, {scorer}, sandbox {sandbox.choose(backend)}")
    if backend == "none":
        say("score: WARNING: no sandbox: model-written code runs as you, with your files and your network")
    try:
        if family == "ds1000":
            result = _ds1000(benchmark, dataset, rows, config, out)
        else:
            result = evalplus.score(benchmark, dataset, rows, config, chosen, "score", sanitized)
    except UsageError as error:
        raise UsageError(f"{samples}: {error}") from None
    records.write_json(out, result)
    metrics = ", ".join(f"{name} {value:.1f}" for name, value in result["metrics"].items())
    say(f"score: {metrics} -> {out}")


def _ds1000(
    benchmark: str, dataset: benchmarks.Dataset, rows: list[records.Record], config: Scoring, out: Path
) -> dict[str, Any]:
    """Judges in a folder beside `out`, where a killed run goes on, and says what the numbers do not tell."""
    work = out.with_name(f".{out.name}.work")
    result = ds1000.score(benchmark, dataset, rows, config, "score ds1000", work)
    shutil.rmtree(work, ignore_errors=True)
    if result["without_samples"]:
        judged = len(result["tasks"])
        say(f"score: WARNING: pass@1 is of the {judged} problems that have samples, of {len(dataset.tasks)}")
    if result["without_table"]:
        say(f"score: WARNING: example tables are not there, these problems fail: {result['without_table']}")
    for library, found in result["libraries"].items():
        say(f"score: {library} {found['pass@1']:.1f} ({found['tasks']} problems)")
    return result


def compare(one: Path, other: Path) -> int:
    """Prints the tasks whose verdicts differ; exit code 1 when any does."""
    first, second = _verdicts(one), _verdicts(other)
    differing = 0
    for task_id in sorted({*first, *second}, key=lambda name: (len(name), name)):
        rows = first.get(task_id), second.get(task_id)
        if rows[0] != rows[1]:
            differing += 1
            print(f"{task_id}: {_shown(rows[0])} | {_shown(rows[1])}")
    print(f"{differing} of {len({*first, *second})} tasks differ (passed/passed_plus of each sample; {one} | {other})")
    return errors.EXIT_BAD_RESULT if differing else errors.EXIT_DONE


def _verdicts(path: Path) -> dict[str, list[tuple[bool, bool | None]]]:
    result = records.read_json(path)
    try:
        return {
            task["task_id"]: [(sample["passed"], sample["passed_plus"]) for sample in task["samples"]]
            for task in result["tasks"]
        }
    except (KeyError, TypeError):
        raise UsageError(f"{path}: not a result of `magicoder score`: no 'tasks' with 'samples' in it") from None


def _shown(rows: Any) -> str:
    marks = {True: "pass", False: "fail", None: "-"}
    return "missing" if rows is None else " ".join(f"{marks[passed]}/{marks[plus]}" for passed, plus in rows)
