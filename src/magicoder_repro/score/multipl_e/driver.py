"""MultiPL-E samples -> one result: each language's pass@1 and the task-weighted mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from magicoder_repro import records, sandbox
from magicoder_repro.benchmarks import MULTIPL_E_LANGUAGES, Dataset
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.profile import Scoring
from magicoder_repro.score import bulk, pass_at_k
from magicoder_repro.score.multipl_e import judge, toolchains

SCORER = "exit code 0 after the last test"
_JUDGE = "magicoder_repro.score.multipl_e.judge:Judge"
_AT_A_TIME = 2
Samples = Mapping[str, Sequence[records.Record]]
"""The samples of each language."""


def by_language(samples: Sequence[records.Record], language: str | None) -> dict[str, list[records.Record]]:
    """The samples of each language: `language`, or what the samples' field of that name says."""
    found: dict[str, list[records.Record]] = {}
    for sample in samples:
        own = sample.get("language") or language
        if own is None:
            raise UsageError(
                f"a sample of {sample['task_id']} names no 'language': give --language, or the field in each sample"
            )
        if own not in MULTIPL_E_LANGUAGES:
            raise UsageError(
                f"a sample of {sample['task_id']}: unknown language {own!r}: one of {', '.join(MULTIPL_E_LANGUAGES)}"
            )
        if language is not None and own != language:
            raise UsageError(
                f"a sample of {sample['task_id']} is of the language {own!r}, not {language!r}: leave --language out"
            )
        found.setdefault(own, []).append(sample)
    return {name: found[name] for name in MULTIPL_E_LANGUAGES if name in found}


def score(
    benchmark: str,
    datasets: Mapping[str, Dataset],
    samples: Samples,
    config: Scoring,
    protocol: str,
    label: str,
    work: Path,
) -> dict[str, Any]:
    """The result (DESIGN's OUT.json) of the languages in `samples`: `task_id` with `completion` or `program`.

    `work`: a folder for what is done, where a killed run goes on. A language whose toolchain is missing is a gap, without verdicts.
    """
    backend = sandbox.choose(config.sandbox)
    programs = {language: _programs(datasets[language], rows, language) for language, rows in samples.items()}
    tests = {language: {_name(task): task["tests"] for task in datasets[language].tasks} for language in samples}
    missing = gaps(samples, backend, config.memory_mb)
    judged = [language for language in samples if language not in missing]
    distinct = list(
        dict.fromkeys(
            (language, task_id, text)
            for language in judged
            for task_id, texts in programs[language].items()
            for text in texts
        )
    )
    requests = [
        {"language": language, "program": text, "tests": tests[language][task_id]}
        for language, task_id, text in distinct
    ]
    versions = {language: dict(toolchains.find(language).versions) for language in judged}
    settings = {"backend": backend, "memory_mb": config.memory_mb, "versions": versions}
    answers = bulk.judge(requests, _JUDGE, settings, work, label, config.workers, config.executor)
    verdicts = dict(zip(distinct, answers, strict=True))
    rows = {
        language: {
            task_id: [_sample(verdicts[language, task_id, text]) for text in texts]
            for task_id, texts in programs[language].items()
        }
        for language in judged
    }
    total = sum(len(samples[language]) for language in judged)
    everything = {f"{language}/{task_id}": found for language in judged for task_id, found in rows[language].items()}
    return {
        "benchmark": benchmark,
        "protocol": protocol,
        "dataset": _identity([datasets[language] for language in samples]),
        "scorer": SCORER,
        "sandbox": backend,
        "metrics": pass_at_k.metrics(everything) if everything else {},
        "languages": {
            language: {
                "metrics": pass_at_k.metrics(rows[language]),
                "tasks": len(rows[language]),
                "toolchain": versions[language],
                "dataset": datasets[language].identity,
            }
            for language in judged
        },
        "gaps": missing,
        "programs": {
            "samples": total,
            "distinct": len(distinct),
            "identical_percent": round(100 * (1 - len(distinct) / total), 2) if total else 0.0,
        },
        "statuses": dict(sorted(Counter(row["status"] for found in everything.values() for row in found).items())),
        "tasks": [
            {"task_id": task_id, "language": language, "samples": rows[language][task_id]}
            for language in judged
            for task_id in tests[language]
            if task_id in rows[language]
        ],
    }


def gaps(languages: Iterable[str], backend: str, memory_mb: int) -> dict[str, str]:
    """The languages that cannot be judged here, each with the reason and what to install."""
    names = list(languages)
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        reasons = threads.map(lambda language: judge.trouble(language, backend, memory_mb), names)
        return {language: reason for language, reason in zip(names, reasons, strict=True) if reason is not None}


def program(task: records.Record, sample: records.Record) -> str:
    """A sample's whole program: its `program`, or the task's stripped prompt, its `completion`, a newline and the tests."""
    for name in ("program", "completion"):
        if name in sample:
            if not isinstance(sample[name], str):
                raise UsageError(f"a sample of {_name(task)}: the field {name!r} is not text")
            if name == "program":
                return str(sample[name]).replace("\r\n", "\n")  # as the tests, which are looked for in it
            return f"{task['prompt'].strip()}{sample[name]}\n{task['tests']}"
    raise UsageError(f"a sample of {_name(task)} has neither 'completion' nor 'program'")


def _programs(dataset: Dataset, samples: Sequence[records.Record], language: str) -> dict[str, list[str]]:
    """The programs of each task in the order of the samples. Unknown and missing tasks are errors that list them."""
    tasks = {_name(task): task for task in dataset.tasks}
    unknown = list(dict.fromkeys(str(row["task_id"]) for row in samples if row["task_id"] not in tasks))
    if unknown:
        raise UsageError(
            f"{language}: {len(unknown)} tasks of the samples are not in the set: {listed(unknown)}: "
            "samples of another language? else remove them or give --skip-unknown"
        )
    found: dict[str, list[str]] = {}
    for row in samples:
        found.setdefault(row["task_id"], []).append(program(tasks[row["task_id"]], row))
    missing = [task_id for task_id in tasks if task_id not in found]
    if missing:
        raise UsageError(
            f"{language}: {len(missing)} of {len(tasks)} tasks have no sample: {listed(missing)}: generate them too"
        )
    if not any(tasks[task_id]["tests"].strip() in text for task_id, texts in found.items() for text in texts):
        raise UsageError(f"{language}: no program holds its task's tests: are these samples of another language?")
    return found


def of_language(result: dict[str, Any], language: str) -> dict[str, Any]:
    """One language's part of a result of several."""
    own = result["languages"][language]
    tasks = [task for task in result["tasks"] if task["language"] == language]
    part = {
        "dataset": own["dataset"],
        "metrics": own["metrics"],
        "languages": {language: own},
        "gaps": {},
        "tasks": tasks,
    }
    return {**{key: value for key, value in result.items() if key not in ("programs", "statuses")}, **part}


def _identity(datasets: Sequence[Dataset]) -> dict[str, str]:
    """What a result carries: one set's identity, or several sets' names, version and hashes."""
    return {
        key: ", ".join(dict.fromkeys(one.identity[key] for one in datasets)) for key in ("name", "version", "sha256")
    }


def _name(task: records.Record) -> str:
    return str(task["name"])


def _sample(answer: records.Record) -> dict[str, Any]:
    return {"passed": answer["status"] == "passed", "passed_plus": None, **answer}
