"""`magicoder score`: one file of samples -> one result."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from magicoder_repro import benchmarks, outputs, records, sandbox
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import say
from magicoder_repro.score import evalplus
from magicoder_repro.score.judges import Judges

_BENCHMARKS = ("humaneval", "mbpp", "multipl-e", "ds1000")


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
    language: str | None,
    executor: str,
    executor_options: Sequence[str],
    judges: Judges | None = None,
) -> None:
    """Judges the samples and writes DESIGN's OUT.json. `judges`: those that were started early."""
    if benchmark.removeprefix(benchmarks.MINIBENCH) not in _BENCHMARKS:
        raise UsageError(f"score: no scorer for {benchmark!r}: one of {', '.join(_BENCHMARKS)}")
    chosen = benchmarks.protocol(protocol)
    try:
        config = Scoring.model_validate(
            {
                "workers": workers or len(os.sched_getaffinity(0)),
                "call_seconds": call_seconds,
                "sandbox": backend,
                "executor": {"kind": executor, "options": _options(executor_options)},
            }
        )
    except ValidationError as error:
        wrong = {
            "executor": f"--executor {executor}: one of local, ray, slurm",
            "call_seconds": f"--call-seconds {call_seconds}: give a number of seconds above 0",
            "sandbox": f"--sandbox {backend}: one of auto, container, bubblewrap, userns, none",
        }
        raise UsageError(wrong[str(error.errors()[0]["loc"][0])]) from None
    of_ds1000 = benchmark.endswith("ds1000")
    rows = list(records.read_jsonl(samples, () if of_ds1000 else ("task_id",)))
    if not rows:
        raise UsageError(f"{samples}: no sample in it")
    for row in rows if not of_ds1000 else ():
        if not isinstance(row["task_id"], str):
            raise UsageError(
                f"{samples}: a task_id is {json.dumps(row['task_id'])[:80]}, not text: give the task's name"
            )
    if benchmark.endswith("multipl-e"):
        _multipl_e(benchmark, samples, rows, out, config, chosen, data, skip_unknown, language)
        return
    benchmarks.key(benchmark, language)  # the others have no --language
    dataset = benchmarks.load(benchmark, chosen, data=data)
    outputs.refuse_inputs(out, [dataset.path])
    if of_ds1000:
        _ds1000(benchmark, samples, rows, out, config, dataset, skip_unknown)
        return
    if skip_unknown:
        tasks = {task["task_id"] for task in dataset.tasks}
        known = [row for row in rows if row["task_id"] in tasks]
        say(f"score: {len(rows) - len(known)} samples of tasks that are not in the set are left out")
        rows = known
    say(
        f"score: {len(rows)} samples, {dataset.name} {dataset.version}, {evalplus.scorer(dataset, chosen)}, "
        f"sandbox {sandbox.choose(backend)}"
    )
    _warn(backend)
    try:
        result = evalplus.score(benchmark, dataset, rows, config, chosen, "score", sanitized, judges)
    except UsageError as error:
        raise UsageError(f"{samples}: {error}") from None
    records.write_json(out, result)
    metrics = ", ".join(f"{name} {value:.1f}" for name, value in result["metrics"].items())
    say(f"score: {metrics} -> {out}")


def _multipl_e(
    benchmark: str,
    path: Path,
    rows: list[records.Record],
    out: Path,
    config: Scoring,
    protocol: benchmarks.Protocol,
    data: Path | None,
    skip_unknown: bool,
    language: str | None,
) -> None:
    from magicoder_repro.score.multipl_e import driver as multipl_e

    if language is not None:
        benchmarks.key(benchmark, language)
    work = _work(out)
    try:
        samples = multipl_e.by_language(rows, language)
        datasets = {name: benchmarks.load(benchmark, protocol, name, data) for name in samples}
        outputs.refuse_inputs(out, [dataset.path for dataset in datasets.values()])
        if skip_unknown:
            tasks = {name: {task["name"] for task in dataset.tasks} for name, dataset in datasets.items()}
            samples = {name: [row for row in found if row["task_id"] in tasks[name]] for name, found in samples.items()}
            known = sum(len(found) for found in samples.values())
            say(f"score: {len(rows) - known} samples of tasks that are not in the set are left out")
        say(f"score: {len(rows)} samples, MultiPL-E {', '.join(samples)}, sandbox {sandbox.choose(config.sandbox)}")
        _warn(config.sandbox)
        result = multipl_e.score(benchmark, datasets, samples, config, protocol, "score", work)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    records.write_json(out, result)
    shutil.rmtree(work, ignore_errors=True)
    for name, found in result["languages"].items():
        versions = ", ".join(f"{tool} {version}" for tool, version in found["toolchain"].items())
        say(f"score: {name}: pass@1 {found['metrics']['pass@1']:.1f} of {found['tasks']} tasks ({versions})")
    for name, gap in result["gaps"].items():
        say(f"score: {name}: {gap}")
    mean = f"pass@1 {result['metrics']['pass@1']:.1f}" if result["metrics"] else "nothing judged"
    same = result["programs"]
    say(
        f"score: {mean}; {same['distinct']} of {same['samples']} programs differ ({same['identical_percent']}% identical) -> {out}"
    )


def _ds1000(
    benchmark: str,
    path: Path,
    rows: list[records.Record],
    out: Path,
    config: Scoring,
    dataset: benchmarks.Dataset,
    skip_unknown: bool,
) -> None:
    from magicoder_repro.score import ds1000

    work = _work(out)
    if skip_unknown:
        tasks = {ds1000.task_id(task) for task in dataset.tasks}
        known = [row for row in rows if ds1000.sample_id(row) in tasks]
        say(f"score: {len(rows) - len(known)} samples of tasks that are not in the set are left out")
        rows = known
    say(
        f"score: {len(rows)} samples, {dataset.name} {dataset.version}, {ds1000.scorer()}, "
        f"sandbox {sandbox.choose(config.sandbox)}"
    )
    _warn(config.sandbox)
    try:
        result = ds1000.score(benchmark, dataset, rows, config, "score", work)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    records.write_json(out, result)
    shutil.rmtree(work, ignore_errors=True)
    for library, found in result["libraries"].items():
        say(f"score: {library}: pass@1 {found['metrics']['pass@1']:.1f} of {found['tasks']} problems")
    if result["missing_tables"]:
        say(
            f"score: WARNING: example tables are not there, so these problems count as failed: {result['missing_tables']}"
        )
    if len(result["tasks"]) < len(dataset.tasks):
        say(
            f"score: WARNING: {len(dataset.tasks) - len(result['tasks'])} of {len(dataset.tasks)} problems have no sample"
        )
    mean = result["metrics"]["pass@1"]
    say(f"score: pass@1 {mean:.1f}, the mean of {len(result['tasks'])} problems -> {out}")


def _work(out: Path) -> Path:
    """The folder beside the result where a killed run goes on; one that holds something else is left alone."""
    work = out.with_name(f"{out.name}.work")
    files = [path.name for path in work.rglob("*") if not path.is_dir()]
    ours = any(
        name == "job.json" or name.startswith(".job.json.") for name in files
    )  # the latter: killed while it was written
    if work.is_symlink() or work.is_file() or (files and not ours):
        raise UsageError(f"{work} is in the way, and not of an earlier run: move it or give another name to -o")
    return work


def _options(words: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` words; a value that is JSON (a number) is read as such."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--executor-option {word}: give KEY=VALUE")
        try:
            found[key] = records.loads(value)
        except ValueError:
            found[key] = value
    return found


def _warn(backend: str) -> None:
    if backend == "none":
        say("score: WARNING: no sandbox: model-written code runs as you, with your files and your network")
