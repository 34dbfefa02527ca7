"""Stage `generate`: a model's completions of one benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from magicoder_repro import benchmarks, records
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks.base import Ask, Style
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Greedy, Sampled
from magicoder_repro.progress import bar

Setting = Greedy | Sampled


class Asked(BaseModel):
    """What a model was asked: one entry of `benchmarks.json`. `gap`: why it was not."""

    model_config = ConfigDict(strict=True)

    benchmark: str
    protocol: str
    language: str | None
    dataset: dict[str, str] | None
    tasks: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=0)]
    prompt: str
    decoding: dict[str, Any]
    gap: str | None = None


@dataclass(frozen=True)
class _Batch:
    """Prompts that are decoded together (a benchmark's subsets share batches), each with its samples file.

    What a batch holds does not depend on how a run was interrupted."""

    number: int
    asks: tuple[tuple[str, Ask], ...]


def facts(benchmark: str, protocol: str) -> Callable[[], Mapping[str, Any]]:
    """The identity of each of its sets, None for one that is not at hand."""

    def found() -> dict[str, Any]:
        return {"datasets": {name: identity for name, identity, _ in _sets(benchmark, protocol)}}

    return found


def missing(benchmark: str, protocol: str) -> Callable[[], Sequence[str]]:
    """The sets that are not at hand, each with the mend."""
    return lambda: tuple(gap for _, _, gap in _sets(benchmark, protocol) if gap)


def _sets(benchmark: str, protocol: str) -> list[tuple[str, dict[str, str] | None, str | None]]:
    found: list[tuple[str, dict[str, str] | None, str | None]] = []
    one = benchmarks.get(benchmark)
    for subset in one.subsets or (None,):
        try:
            found.append((file_name(benchmark, subset), one.find(protocol, subset).identity, None))
        except UsageError as error:
            found.append((file_name(benchmark, subset), None, str(error)))
    return found


def build(work: Work) -> None:
    """`model` folder -> `BENCHMARK.jsonl` (`task_id, completion`) and `benchmarks.json` (dataset and decoding of each set)."""
    config = work.config
    benchmark, setting = benchmarks.get(config["benchmark"]), setting_of(config["decoding"])
    bare = isinstance(setting, Greedy) and setting.prompt == "completion"
    style: Style = "completion" if bare else config["style"]
    copies = setting.samples if isinstance(setting, Sampled) else 1
    asks: list[tuple[str, Ask]] = []
    asked: dict[str, Asked] = {}
    for subset in benchmark.subsets or (None,):
        name = file_name(benchmark.name, subset)
        about: dict[str, Any] = {"benchmark": benchmark.name, "protocol": config["protocol"], "language": subset}
        about |= {"prompt": style, "decoding": setting.model_dump(exclude={"tasks", "prompt", "models", "protocol"})}
        try:
            dataset = benchmark.load(config["protocol"], subset)
        except UsageError as error:
            work.notes.append(f"{name}: {error}")
            asked[name] = Asked(**about, dataset=None, tasks=0, of=0, gap=str(error))
            continue
        chosen = dataset.first(setting.tasks if isinstance(setting, Greedy) else None).tasks
        asks += [(name, benchmark.ask(task, style)) for task in chosen for _ in range(copies)]
        asked[name] = Asked(**about, dataset=dataset.identity, tasks=len(chosen), of=len(dataset.tasks))
    batches = [
        _Batch(number, tuple(asks[first : first + setting.batch]))
        for number, first in enumerate(range(0, len(asks), setting.batch))
    ]
    samples: dict[str, list[records.Record]] = {name: [] for name, one in asked.items() if one.gap is None}
    with (
        records.Journal(work.private / "batches.jsonl") as journal,
        bar(config["label"], len(asks), "prompts") as progress,
    ):
        done = {row["number"]: row["completions"] for row in journal.rows}
        progress.resume(sum(len(completions) for completions in done.values()))
        for batch in batches:
            completions = done.get(batch.number)
            if completions is None:
                model = _model(work.inputs["model"], config["dtype"])
                seed = setting.seed + batch.number if isinstance(setting, Sampled) else 0
                completions = model.complete([ask for _, ask in batch.asks], decoding(setting), seed)
                journal.add({"number": batch.number, "completions": completions})
                progress.advance(len(batch.asks))
            for (name, ask), text in zip(batch.asks, completions, strict=True):
                samples[name].append({"task_id": ask.task_id, "completion": text})
    for name, rows in samples.items():
        records.write_jsonl(work.out / f"{name}.jsonl", rows)
        work.counts[name] = len(rows)
    records.write_json(work.out / "benchmarks.json", {name: one.model_dump() for name, one in asked.items()})


@lru_cache(1)
def _model(folder: Path, dtype: str) -> Any:
    """Loaded once for the benchmarks that a process asks it."""
    from magicoder_repro.generate.decode import Model

    return Model(folder, dtype)


def setting_of(content: Mapping[str, Any]) -> Setting:
    """The decoding in a config."""
    return (Sampled if "temperature" in content else Greedy).model_validate(dict(content))


def file_name(benchmark: str, subset: str | None) -> str:
    """The stem of a benchmark's samples file."""
    return f"{benchmark}-{subset}" if subset else benchmark


def decoding(setting: Setting) -> Any:
    """How `decode` is told of it."""
    from magicoder_repro.generate.decode import Decoding

    if isinstance(setting, Greedy):
        return Decoding(max_new_tokens=setting.max_new_tokens)
    return Decoding(
        max_tokens=setting.max_tokens, temperature=setting.temperature, top_p=setting.top_p, top_k=setting.top_k
    )
