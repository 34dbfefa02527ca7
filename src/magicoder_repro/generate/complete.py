"""Stage `generate`: a model's completions of one benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from magicoder_repro import benchmarks, records
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks.base import Ask, Style
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import engines
from magicoder_repro.generate.engines import Completion, Decoding, Request, Tokens, seed_of
from magicoder_repro.profile import Engine, Generation, Greedy, Sampled, TransformersEngine
from magicoder_repro.progress import bar, say

Setting = Greedy | Sampled


class Asked(BaseModel):
    """What a model was asked: one entry of `benchmarks.json`. `decoding`: with the engine and its settings; `gap`: why it was not
    asked; `truncated`, `empty`: completions that ended at their limit of tokens, or hold nothing; `unasked`: tasks whose prompt leaves
    no room for a completion (an empty one stands in the samples), and why."""

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
    truncated: Annotated[int, Field(ge=0)] = 0
    empty: Annotated[int, Field(ge=0)] = 0
    unasked: dict[str, str] = {}


@dataclass(frozen=True)
class _Wanted:
    """One sample: of which file, of which task, and which of the task's."""

    name: str
    ask: Ask
    sample: int


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
    settings = Generation.model_validate({"dtype": config["dtype"], "engine": config["engine"]}).engine
    bare = isinstance(setting, Greedy) and setting.prompt == "completion"
    style: Style = "completion" if bare else config["style"]
    wanted: list[_Wanted] = []
    asked: dict[str, Asked] = {}
    for subset in benchmark.subsets or (None,):
        name = file_name(benchmark.name, subset)
        about: dict[str, Any] = {"benchmark": benchmark.name, "protocol": config["protocol"], "language": subset}
        about |= {"prompt": style, "decoding": _told(setting, config["dtype"], settings)}
        try:
            dataset = benchmark.load(config["protocol"], subset)
        except UsageError as error:
            work.notes.append(f"{name}: {error}")
            asked[name] = Asked(**about, dataset=None, tasks=0, of=0, gap=str(error))
            continue
        chosen = dataset.first(setting.tasks).tasks
        for task in chosen:
            ask = benchmark.ask(task, style)
            wanted += [_Wanted(name, ask, sample) for sample in range(_copies(setting))]
        asked[name] = Asked(**about, dataset=dataset.identity, tasks=len(chosen), of=len(dataset.tasks))
    completions = _completions(work, wanted, asked, setting, settings)
    samples: dict[str, list[records.Record]] = {name: [] for name, one in asked.items() if one.gap is None}
    for one, completion in zip(wanted, completions, strict=True):
        samples[one.name].append({"task_id": one.ask.task_id, "completion": completion.text})
        if one.ask.task_id not in asked[one.name].unasked:
            asked[one.name].truncated += completion.truncated
            asked[one.name].empty += not completion.text.strip()
    for name, rows in samples.items():
        records.write_jsonl(work.out / f"{name}.jsonl", rows)
        work.counts[name] = len(rows)
    _tell(work, asked, len(wanted))
    records.write_json(work.out / "benchmarks.json", {name: one.model_dump() for name, one in asked.items()})


def _copies(setting: Setting) -> int:
    return setting.samples if isinstance(setting, Sampled) else 1


def _told(setting: Setting, dtype: str, settings: Engine) -> dict[str, Any]:
    """How completions are made, for whoever reads them. A server makes batches of its own."""
    aside = {"tasks", "prompt", "models", "protocol"} | (
        set() if isinstance(settings, TransformersEngine) else {"batch"}
    )
    return {**setting.model_dump(exclude=aside), "dtype": dtype, "engine": engines.told(settings)}


def _completions(
    work: Work, wanted: Sequence[_Wanted], asked: Mapping[str, Asked], setting: Setting, settings: Engine
) -> list[Completion]:
    """The completion of each sample, in order; finished ones are journaled, so that a killed run goes on."""
    folder = work.inputs["model"]
    requests = _requests(folder, wanted, asked, setting, settings)
    found = {position: Completion("", truncated=False) for position in range(len(wanted))}
    with (
        records.Journal(work.private / "completions.jsonl") as journal,
        bar(work.config["label"], len(requests), "completions") as progress,
    ):
        done = {row["position"]: Completion(row["text"], row["truncated"]) for row in journal.rows}
        progress.resume(len(done))

        def settle(position: int, completion: Completion) -> None:
            journal.add({"position": position, "text": completion.text, "truncated": completion.truncated})
            done[position] = completion
            progress.advance()

        if len(done) < len(requests):
            engine = engines.of(folder, work.config["dtype"], settings)
            engine.complete(requests, decoding(setting), frozenset(done), settle)
    return list((found | done).values())


def _requests(
    folder: Path, wanted: Sequence[_Wanted], asked: Mapping[str, Asked], setting: Setting, settings: Engine
) -> list[Request]:
    """What the engine is asked; a task whose prompt leaves no room is noted as unasked."""
    tokens = Tokens(folder, settings)
    ids: dict[str, list[int]] = {}
    found = []
    for position, one in enumerate(wanted):
        text = one.ask.prompt
        if text not in ids:
            ids[text] = tokens.ids(one.ask)
        room, why = _room(len(ids[text]), setting, tokens.context)
        if room <= 0:
            asked[one.name].unasked[one.ask.task_id] = why
        else:
            seed = setting.seed if isinstance(setting, Sampled) else 0
            own = seed_of(seed, one.name, one.ask.task_id, one.sample)
            found.append(Request(position, one.ask, ids[text], room, own))
    return found


def _room(prompt: int, setting: Setting, context: int) -> tuple[int, str]:
    """How many new tokens a prompt of so many leaves room for, and the reason where that is none."""
    most = context if isinstance(setting, Greedy) else min(context, setting.max_tokens)
    limit = "the model's context is" if most == context else "max_tokens is"
    room = most - prompt
    why = f"no room for a completion: its prompt has {prompt} tokens, {limit} {most}"
    return (min(room, setting.max_new_tokens) if isinstance(setting, Greedy) else room), why


def _tell(work: Work, asked: Mapping[str, Asked], count: int) -> None:
    """Counts and shows what a reader of the scores must know."""
    for name, what in (("truncated", "ended at their limit of tokens"), ("empty", "are empty")):
        work.counts[name] = sum(getattr(one, name) for one in asked.values())
        if work.counts[name]:
            say(f"{work.config['label']}: {work.counts[name]} of {count} completions {what}")
    for name, one in asked.items():
        for task_id, why in one.unasked.items():
            work.notes.append(f"{name}: {task_id}: {why}")
            say(f"{work.config['label']}: {task_id}: {why}")


def setting_of(content: Mapping[str, Any]) -> Setting:
    """The decoding in a config."""
    return (Sampled if "temperature" in content else Greedy).model_validate(dict(content))


def file_name(benchmark: str, subset: str | None) -> str:
    """The stem of a benchmark's samples file."""
    return f"{benchmark}-{subset}" if subset else benchmark


def decoding(setting: Setting) -> Decoding:
    """How engines are told of it."""
    if isinstance(setting, Greedy):
        return Decoding(batch=setting.batch)
    return Decoding(setting.batch, setting.seed, setting.temperature, setting.top_p, setting.top_k)
