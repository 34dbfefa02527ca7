"""Samples -> verdicts -> the result of a benchmark. Equal programs of a task are judged once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from magicoder_repro import records, sandbox
from magicoder_repro.benchmarks.base import Benchmark, Dataset, Judging, Work
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import say
from magicoder_repro.score import bulk, pass_at_k
from magicoder_repro.score.result import VERSION, Result
from magicoder_repro.score.workers import Workers

Rows = Sequence[records.Record]
Program = tuple[str | None, str, str]
"""Subset, task id, text."""
_AT_A_TIME = 2


def score(
    benchmark: Benchmark,
    datasets: Mapping[str | None, Dataset],
    samples: Mapping[str | None, Rows],
    scoring: Scoring,
    protocol: str,
    label: str,
    folder: Path,
    *,
    sanitized: bool = False,
    partial: bool = False,
    ks: Sequence[int] = pass_at_k.KS,
    early: Workers | None = None,
) -> Result:
    """The result of the subsets in `samples` (`None` where a benchmark has none).

    `folder` keeps what is done: a killed run goes on there. A subset that cannot be judged here is a gap, without verdicts.
    `partial`: tasks without a sample are left out. `early`: processes of the judge that have been started.
    """
    backend = sandbox.choose(scoring.sandbox)
    judging = Judging(protocol, scoring, backend, {subset: datasets[subset] for subset in samples})
    texts = {
        subset: programs(benchmark, datasets[subset], rows, subset, sanitized, partial)
        for subset, rows in samples.items()
    }
    fewest = min(len(found) for judged in texts.values() for found in judged.values())
    if ks is not pass_at_k.KS and max(ks) > fewest:
        raise UsageError(f"pass@{max(ks)} needs {max(ks)} samples of every task: the fewest are {fewest}")
    gaps = find_gaps(benchmark, samples, judging)
    if not benchmark.subsets and gaps:
        raise UsageError(f"{benchmark.name}: {next(iter(gaps.values()))}")
    judged = [subset for subset in samples if subset not in gaps]
    everything = list(judging.datasets.values())
    judging = replace(judging, datasets={subset: datasets[subset] for subset in judged})
    distinct: dict[Program, None] = {
        (subset, task_id, text): None for subset in judged for task_id, found in texts[subset].items() for text in found
    }
    verdicts, again = _verdicts(benchmark, judging, distinct, label, folder, early)
    rows = {
        subset: {
            task_id: [verdicts[subset, task_id, text] for text in found] for task_id, found in texts[subset].items()
        }
        for subset in judged
    }
    return _result(benchmark, judging, _identity(everything), samples, rows, gaps, distinct, again, sanitized, ks)


def find_gaps(benchmark: Benchmark, subsets: Iterable[str | None], judging: Judging) -> dict[str | None, str]:
    """The subsets that cannot be judged here, each with the reason and the mend."""
    names = list(subsets)
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        reasons = threads.map(lambda subset: benchmark.gap(subset, judging), names)
        return {subset: reason for subset, reason in zip(names, reasons, strict=True) if reason is not None}


def by_subset(benchmark: Benchmark, samples: Rows, subset: str | None) -> dict[str | None, list[records.Record]]:
    """The samples of each language: `subset`, or what the samples' field `language` says."""
    if not benchmark.subsets:
        return {None: list(samples)}
    found: dict[str | None, list[records.Record]] = defaultdict(list)
    for sample in samples:
        about, own = f"a sample of {benchmark.sample_id(sample)}", sample.get("language") or subset
        if own is None:
            raise UsageError(f"{about} names no 'language': give --language, or the field in each sample")
        if own not in benchmark.subsets:
            raise UsageError(f"{about}: unknown language {own!r}: one of {', '.join(benchmark.subsets)}")
        if subset is not None and own != subset:
            raise UsageError(f"{about} is of the language {own!r}, not {subset!r}: leave --language out")
        found[own].append(sample)
    return {name: found[name] for name in benchmark.subsets if name in found}


def programs(
    benchmark: Benchmark, dataset: Dataset, samples: Rows, subset: str | None, sanitized: bool, partial: bool
) -> dict[str, list[str]]:
    """The programs of each task, in the order of the samples. Unknown and missing tasks are errors that list them."""
    about = f"{subset}: " if subset else ""
    tasks = {benchmark.task_id(task): task for task in dataset.tasks}
    found: dict[str, list[str]] = {}
    unknown: dict[str, None] = {}
    for number, sample in enumerate(samples, 1):
        name = benchmark.sample_id(sample)
        if name is None:
            raise UsageError(
                f"{about}sample {number} has no {benchmark.id_field!r}: give the task's name in the whole set"
            )
        if name in tasks:
            found.setdefault(name, []).append(benchmark.program(tasks[name], sample, sanitized))
        else:
            unknown[name] = None
    if unknown:
        kind = "samples of another language? else remove them" if subset else "remove them"
        raise UsageError(
            f"{about}{len(unknown)} {benchmark.unknown(dataset)}: {listed(list(unknown))}: {kind} or give --skip-unknown"
        )
    missing = [task_id for task_id in tasks if task_id not in found]
    if missing and benchmark.whole and not partial:
        raise UsageError(
            f"{about}{len(missing)} of {len(tasks)} tasks have no sample: {listed(missing)}: generate them too, or give --partial"
        )
    if not found:
        raise UsageError(f"{about}no sample of a task that is in the set")
    try:
        benchmark.check_programs(dataset, found)
    except UsageError as error:
        raise UsageError(f"{about}{error}") from None
    return found


def _verdicts(
    benchmark: Benchmark,
    judging: Judging,
    distinct: Mapping[Program, None],
    label: str,
    folder: Path,
    early: Workers | None,
) -> tuple[dict[Program, records.Record], int]:
    """The verdict on each program, and how many ran again alone."""
    tasks = {
        subset: {benchmark.task_id(task): task for task in dataset.tasks}
        for subset, dataset in judging.datasets.items()
    }
    texts: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    for subset, task_id, text in distinct:
        texts[subset, task_id].append(text)
    jobs: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
    order = {
        key: (not benchmark.first(task), benchmark.neighbours(task)) for key in texts if (task := tasks[key[0]][key[1]])
    }
    for subset, task_id in sorted(texts, key=lambda key: order[key]):
        jobs[benchmark.job(tasks[subset][task_id])].append((subset, task_id))
    work = {
        job: [
            one
            for subset, task_id in keys
            for one in benchmark.requests(subset, tasks[subset][task_id], texts[subset, task_id], judging)
        ]
        for job, keys in jobs.items()
    }
    found = _joined(benchmark, judging, work, label, folder, judging.scoring.workers, early)
    again: dict[str, list[Work]] = defaultdict(list)
    for one in found.values():
        if isinstance(one, Work):
            again[benchmark.job(tasks[one.subset][one.task_id])].append(one)
    alone = sum(map(len, again.values()))
    if alone:
        say(f"{label}: {alone} programs came near a time limit: each again, with nothing beside it")
        found |= _joined(benchmark, judging, again, f"{label} alone", folder / "alone", 1, early)
    return {key: one for key, one in found.items() if not isinstance(one, Work)}, alone


def _joined(
    benchmark: Benchmark,
    judging: Judging,
    work: Mapping[str, Sequence[Work]],
    label: str,
    folder: Path,
    workers: int,
    early: Workers | None,
) -> dict[Program, records.Record | Work]:
    """What the answers to the requests of each job make of each program."""
    requests = {job: [one.request for one in works] for job, works in work.items()}
    parts = [bulk.Part(requests[job], benchmark.judge(job, judging), folder / job if job else folder) for job in work]
    answered = bulk.judge(parts, label, workers, judging.scoring.executor, early)
    found: dict[Program, list[tuple[Work, records.Record]]] = defaultdict(list)
    for works, answers in zip(work.values(), answered, strict=True):
        benchmark.learn(judging, works, answers)
        for one, answer in zip(works, answers, strict=True):
            found[one.subset, one.task_id, one.program].append((one, answer))
    return {
        key: benchmark.join([one for one, _ in pairs], [answer for _, answer in pairs]) for key, pairs in found.items()
    }


def _result(
    benchmark: Benchmark,
    judging: Judging,
    identity: dict[str, str],
    samples: Mapping[str | None, Rows],
    rows: Mapping[str | None, Mapping[str, Rows]],
    gaps: Mapping[str | None, str],
    distinct: Mapping[Program, None],
    again: int,
    sanitized: bool,
    ks: Sequence[int],
) -> Result:
    everything = {(subset, task_id): found for subset, judged in rows.items() for task_id, found in judged.items()}
    total = sum(len(samples[subset]) for subset in rows)
    of = sum(len(judging.datasets[subset].tasks) for subset in rows)
    content: dict[str, Any] = {
        "version": VERSION,
        "benchmark": benchmark.name,
        "protocol": judging.protocol,
        "dataset": identity,
        "scorer": benchmark.scorer(judging),
        "sandbox": judging.backend,
        "sanitized": sanitized,
        "metrics": pass_at_k.metrics(everything, ks) if everything else {},
        "programs": {
            "samples": total,
            "distinct": len(distinct),
            "identical_percent": round(100 * (1 - len(distinct) / total), 2) if total else 0.0,
            "ran_again_alone": again,
        },
        "statuses": dict(Counter(row["status"] for found in everything.values() for row in found).most_common()),
        "tasks": [
            {"task_id": task_id, **_of_what(benchmark, subset, task), "samples": rows[subset][task_id]}
            for subset in rows
            for task in judging.datasets[subset].tasks
            if (task_id := benchmark.task_id(task)) in rows[subset]
        ],
        **benchmark.extra({task_id: found for (_, task_id), found in everything.items()}),
    }
    if len(everything) < of:
        content["partial"] = {"tasks": len(everything), "of": of}
    if benchmark.subsets:
        content["gaps"] = {str(subset): reason for subset, reason in gaps.items()}
        content[str(benchmark.groups_name)] = {
            subset: {
                "metrics": pass_at_k.metrics(found, ks),
                "tasks": len(found),
                "toolchain": benchmark.toolchain(str(subset)),
                "dataset": judging.datasets[subset].identity,
            }
            for subset, found in rows.items()
        }
    elif benchmark.groups_name:
        groups: dict[str, dict[str, Rows]] = defaultdict(dict)
        for task in judging.datasets[None].tasks:
            if (task_id := benchmark.task_id(task)) in rows[None]:
                groups[str(benchmark.group(task))][task_id] = rows[None][task_id]
        content[benchmark.groups_name] = {
            name: {"metrics": pass_at_k.metrics(found, ks), "tasks": len(found)} for name, found in groups.items()
        }
    return Result.model_validate(content)


def _of_what(benchmark: Benchmark, subset: str | None, task: records.Record) -> dict[str, str]:
    group, cluster = benchmark.group(task), benchmark.cluster(task)
    found = {"language": subset} if subset else {"library": group} if group else {}
    return found | ({"cluster": cluster} if cluster else {})


def _identity(datasets: Sequence[Dataset]) -> dict[str, str]:
    """What a result carries: one set's identity, or several sets' names, version and hashes."""
    return {
        key: ", ".join(dict.fromkeys(one.identity[key] for one in datasets)) for key in ("name", "version", "sha256")
    }


def of_subset(result: Result, subset: str, of: int) -> Result:
    """One language's part of a result of several; its set has `of` tasks."""
    assert result.languages
    own = result.languages[subset]
    tasks = [task for task in result.tasks if task.language == subset]
    statuses = Counter(sample.status for task in tasks for sample in task.samples)
    return result.model_copy(
        update={
            "partial": {"tasks": len(tasks), "of": of} if len(tasks) < of else None,
            "dataset": own.dataset,
            "metrics": own.metrics,
            "languages": {subset: own},
            "gaps": {},
            "tasks": tasks,
            "statuses": dict(statuses.most_common()),
            "programs": {"samples": sum(len(task.samples) for task in tasks)},
        }
    )
