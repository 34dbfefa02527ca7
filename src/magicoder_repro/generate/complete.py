"""Stages `generate-base`, `generate-magicoder`, `generate-magicoder-s`: a model's completions of every benchmark of the profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from magicoder_repro import benchmarks, records
from magicoder_repro.artifact import Work
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import tasks
from magicoder_repro.profile import Generation, GreedyBenchmark, SampledBenchmark
from magicoder_repro.progress import bar


@dataclass(frozen=True)
class _Batch:
    """Prompts that are decoded together, of one setting (MultiPL-E's languages share theirs), each with its samples file.

    What a batch holds does not depend on how a run was interrupted."""

    number: int
    asks: tuple[tuple[str, tasks.Ask], ...]
    setting: GreedyBenchmark | SampledBenchmark


def build(work: Work) -> None:
    """`model` folder -> `BENCHMARK.jsonl` (`task_id, completion`) and `benchmarks.json` (dataset and decoding of each)."""
    config = Generation.model_validate(work.config["generation"])
    style: tasks.Style = work.config["style"]
    asked: dict[str, tuple[GreedyBenchmark | SampledBenchmark, list[tuple[str, tasks.Ask]]]] = {}
    protocol: dict[str, Any] = {}
    for benchmark, language, setting in selected(config):
        name = file_name(benchmark, language)
        try:
            dataset = benchmarks.load(benchmark, language=language)
        except UsageError as error:
            work.notes.append(f"{name}: {error}")
            continue
        chosen = dataset.tasks[: setting.tasks] if isinstance(setting, GreedyBenchmark) else dataset.tasks
        bare = isinstance(setting, GreedyBenchmark) and setting.prompt == "completion"
        asked_as: tasks.Style = "completion" if bare else style
        copies = setting.samples if isinstance(setting, SampledBenchmark) else 1
        asks = [(name, ask) for ask in tasks.asks(benchmark, chosen, asked_as) for _ in range(copies)]
        asked.setdefault(benchmark, (setting, []))[1].extend(asks)
        protocol[name] = {
            "benchmark": benchmark,
            "language": language,
            "dataset": dataset.identity,
            "tasks": len(chosen),
            "of": len(dataset.tasks),
            "prompt": asked_as,
            "decoding": setting.model_dump(exclude={"tasks", "prompt"}),
        }
    batches = [
        _Batch(number, tuple(asks[first : first + setting.batch]), setting)
        for setting, asks in asked.values()
        for number, first in enumerate(range(0, len(asks), setting.batch))
    ]
    if not batches:
        raise UsageError("generate: no benchmark of the profile is at hand")
    samples: dict[str, list[records.Record]] = {name: [] for name in protocol}
    total = sum(len(batch.asks) for batch in batches)
    with (
        records.Journal(work.private / "batches.jsonl") as journal,
        bar(work.config["label"], total, "prompts") as progress,
    ):
        done = {(row["first"], row["number"]): row["completions"] for row in journal.rows}
        progress.resume(sum(len(completions) for completions in done.values()))
        model = None
        for batch in batches:
            first = batch.asks[0][0]
            completions = done.get((first, batch.number))
            if completions is None:
                if model is None:
                    from magicoder_repro.generate.decode import Model

                    model = Model(work.inputs["model"], config.dtype)
                prompts = [ask for _, ask in batch.asks]
                completions = model.complete(prompts, _decoding(batch.setting), _seed(batch))
                journal.add({"first": first, "number": batch.number, "completions": completions})
                progress.advance(len(prompts))
            for (name, ask), text in zip(batch.asks, completions, strict=True):
                samples[name].append({"task_id": ask.task_id, "completion": text})
    for name, rows in samples.items():
        records.write_jsonl(work.out / f"{name}.jsonl", rows)
        work.counts[name] = len(rows)
    records.write_json(work.out / "benchmarks.json", protocol)


def selected(config: Generation) -> list[tuple[str, str | None, GreedyBenchmark | SampledBenchmark]]:
    """(benchmark, language, setting) for each benchmark that the profile asks for, in the paper's order."""
    found: list[tuple[str, str | None, GreedyBenchmark | SampledBenchmark]] = []
    for field in Generation.model_fields:
        setting = getattr(config, field)
        if not isinstance(setting, GreedyBenchmark | SampledBenchmark):
            continue
        benchmark = field.replace("_", "-")
        if benchmark.endswith("multipl-e"):
            found += [(benchmark, language, setting) for language in benchmarks.MULTIPL_E_LANGUAGES]
        else:
            found.append((benchmark, None, setting))
    return found


def identities(config: Generation) -> dict[str, dict[str, str] | None]:
    """The identity of each selected benchmark's dataset, None for one that is not at hand."""
    found: dict[str, dict[str, str] | None] = {}
    for benchmark, language, _ in selected(config):
        try:
            found[file_name(benchmark, language)] = benchmarks.load(benchmark, language=language).identity
        except UsageError:
            found[file_name(benchmark, language)] = None
    return found


def file_name(benchmark: str, language: str | None) -> str:
    """The stem of a benchmark's samples file."""
    return f"{benchmark}-{language}" if language else benchmark


def _decoding(setting: GreedyBenchmark | SampledBenchmark) -> Any:
    from magicoder_repro.generate.decode import Decoding

    if isinstance(setting, GreedyBenchmark):
        return Decoding(max_new_tokens=setting.max_new_tokens)
    return Decoding(
        max_tokens=setting.max_tokens, temperature=setting.temperature, top_p=setting.top_p, top_k=setting.top_k
    )


def _seed(batch: _Batch) -> int:
    return batch.setting.seed + batch.number if isinstance(batch.setting, SampledBenchmark) else 0
