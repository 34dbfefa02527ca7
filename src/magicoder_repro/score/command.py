"""`magicoder score`: samples as people have them -> one result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from magicoder_repro import benchmarks, outputs, records, sandbox
from magicoder_repro.benchmarks.base import Benchmark, Dataset, Judging
from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.profile import Executor, Scoring
from magicoder_repro.progress import say
from magicoder_repro.score import pass_at_k, run, samples
from magicoder_repro.score.result import Result
from magicoder_repro.score.workers import Workers


@dataclass(frozen=True)
class Options:
    """What the command line asks for. `settings`: `KEY=VALUE` of `Scoring`."""

    protocol: str = "paper"
    data: Path | None = None
    language: str | None = None
    sanitized: bool = False
    partial: bool = False
    skip_unknown: bool = False
    ks: str | None = None
    settings: Sequence[str] = ()


def score(name: str, path: Path, out: Path, options: Options, early: Workers | None = None) -> None:
    """Judges the samples in `path` and writes DESIGN's OUT.json. `early`: processes of the judge that have been started."""
    benchmark = benchmarks.get(name)
    benchmark.protocol(options.protocol)
    if options.language is not None:
        benchmark.check_subset(options.language)
    scoring = settings(benchmark, options.settings, options.protocol)
    ks = _ks(options.ks)

    @cache
    def load(subset: str | None) -> Dataset:
        return benchmark.load(options.protocol, subset, options.data)

    if path.is_dir() and path.resolve() in out.resolve().parents:
        raise UsageError(f"{out}: lies in the folder of the samples, and would be taken for one: give another name")
    work = _work(out)
    if not options.sanitized and benchmark.protocol(options.protocol).sanitized:
        say("score: the samples are judged as they are; the paper's script cleaned MBPP's up first (--sanitize does)")
    try:
        given = samples.read(path, benchmark, options.language, load)
        asked = run.by_subset(benchmark, given.rows, options.language)
        datasets = {subset: load(subset) for subset in asked}
        outputs.refuse_inputs(out, [dataset.path for dataset in datasets.values()])
        if options.skip_unknown:
            asked = {subset: _known(benchmark, datasets[subset], rows) for subset, rows in asked.items()}
            left_out = len(given.rows) - sum(len(rows) for rows in asked.values())
            say(f"score: {left_out} samples of tasks that are not in the set are left out")
        _announce(benchmark, given, datasets, scoring, options.protocol)
        result = run.score(
            benchmark,
            datasets,
            asked,
            scoring,
            options.protocol,
            "score",
            work,
            sanitized=options.sanitized,
            partial=options.partial,
            ks=ks,
            early=early,
        )
    except UsageError as error:
        text = str(error)
        raise UsageError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    records.write_json(out, result.to_json())
    shutil.rmtree(work, ignore_errors=True)
    _tell(result, out)


def settings(benchmark: Benchmark, words: Sequence[str], protocol: str = "paper") -> Scoring:
    """The scoring model from `KEY=VALUE` words, `executor.KEY=VALUE` for what is datatrove's. A key that this benchmark does not read
    is an error: it would change nothing."""
    found: dict[str, Any] = {"workers": len(os.sched_getaffinity(0))}
    allowed = sorted(benchmark.reads(protocol))
    for word in words:
        key, equals, value = word.partition("=")
        head, dot, rest = key.partition(".")
        if not equals or not key or (dot and not rest):
            raise UsageError(f"--set {word}: give KEY=VALUE, KEY one of {', '.join(allowed)}")
        if head not in allowed:
            known = head in Scoring.model_fields
            reader = f"protocol {protocol}" if head in benchmark.options else benchmark.name
            what = f"{reader} does not read it: " if known else f"no such setting: {nearest(head, allowed)}"
            raise UsageError(f"--set {word}: {what}one of {', '.join(allowed)}")
        if head == "executor":
            _set_executor(found.setdefault("executor", {}), rest if dot else "kind", _value(value))
        else:
            found[key] = _value(value)
    try:
        scoring = Scoring.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        option = {"workers": "--workers ", "sandbox": "--sandbox ", "executor.kind": "--executor "}.get(
            key, f"--set {key}="
        )
        words_of = {
            "sandbox": "one of auto, bubblewrap, userns, none",
            "executor.kind": "one of local, ray, slurm",
        }
        raise UsageError(f"{option}{first['input']!s:.80}: {words_of.get(key, first['msg'])}") from None
    if scoring.executor.kind == "local" and scoring.executor.options:
        key = next(iter(scoring.executor.options))
        raise UsageError(f"--set executor.{key}: the executor local does not read it: give --executor ray or slurm")
    return scoring


def _set_executor(found: dict[str, Any], key: str, value: Any) -> None:
    """`kind` and `shard` are ours, the others datatrove's."""
    if key in Executor.model_fields and key != "options":
        found[key] = value
    else:
        found.setdefault("options", {})[key] = value


def _value(text: str) -> Any:
    """JSON (a number) is read as such, the rest is text."""
    try:
        return records.loads(text)
    except ValueError:
        return text


def _ks(text: str | None) -> tuple[int, ...]:
    if text is None:
        return pass_at_k.KS
    try:
        found = tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise UsageError(f"--k {text}: give numbers above 0, as 1,10")
    return found


def _known(benchmark: Benchmark, dataset: Dataset, rows: Sequence[records.Record]) -> list[records.Record]:
    tasks = {benchmark.task_id(task) for task in dataset.tasks}
    return [row for row in rows if benchmark.sample_id(row) in tasks]


def _announce(
    benchmark: Benchmark, given: samples.Given, datasets: dict[str | None, Dataset], scoring: Scoring, protocol: str
) -> None:
    backend = sandbox.choose(scoring.sandbox)
    judging = Judging(protocol, scoring, backend, datasets)
    names = " and ".join(dict.fromkeys(f"{one.name} {one.version}" for one in datasets.values()))
    say(f"score: {len(given.rows)} samples ({given.form}), {names}, {benchmark.scorer(judging)}, sandbox {backend}")
    if backend == "none":
        say("score: WARNING: no sandbox: model-written code runs as you, with your files and your network")


def _tell(result: Result, out: Path) -> None:
    for name, language in (result.languages or {}).items():
        versions = ", ".join(f"{tool} {version}" for tool, version in (language.toolchain or {}).items())
        say(f"score: {name}: {_metrics(language.metrics)} of {language.tasks} tasks ({versions})")
    for name, library in (result.libraries or {}).items():
        say(f"score: {name}: {_metrics(library.metrics)} of {library.tasks} problems")
    for name, gap in (result.gaps or {}).items():
        say(f"score: {name}: {gap}")
    if result.missing_tables:
        say(f"score: WARNING: example tables are not there, so these problems count as failed: {result.missing_tables}")
    if result.partial:
        say(
            f"score: WARNING: {result.partial['tasks']} of {result.partial['of']} tasks have a sample: these numbers are of those only"
        )
    same = result.programs
    say(
        f"score: {_metrics(result.metrics) or 'nothing judged'}, the mean of {len(result.tasks)} tasks; "
        f"{same['distinct']} of {same['samples']} programs differ -> {out}"
    )


def _metrics(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in found.items())


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
