"""What models and verdicts take, said before they are made: formulas with their assumptions, and what was measured.

GPU hours are of one A100 of 80 GB, the paper's GPU, by its data sheet. Nothing of it was measured on a GPU.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any

from magicoder_repro import benchmarks
from magicoder_repro.benchmarks.base import Benchmark
from magicoder_repro.data.estimate import Size
from magicoder_repro.environment import ROOT
from magicoder_repro.profile import Generation, Greedy, Recipe, Sampled, Scoring, Training, TransformersEngine
from magicoder_repro.report import reference
from magicoder_repro.takes import Takes, amount
from magicoder_repro.train import CHECKPOINTS_KEPT

FLOPS, BYTES_PER_SECOND, DEVICE = 312e12, 2.039e12, "an A100-80GB (312 TFLOP/s in bfloat16, 2.0 TB/s by its data sheet)"
SHARE = 0.4  # of the peak that arithmetic reaches
_PROMPT_TOKENS = 45  # the paper's prompt around a record, 4 bytes a token
_BYTES = {"bfloat16": 2, "float32": 4}
ASSUMED = (
    f"GPU hours are of {DEVICE}; assumed: arithmetic at {SHARE:.0%} of the peak, weights read once for each new token of a batch "
    "and nothing else in the way. Nothing of it was measured on a GPU: engines are slower (a user reports more than an hour for "
    "HumanEval(+), issue 36 of the public code). An H100 has 3.2 times the peak and 1.6 times the bandwidth"
)


def parameters(source: str) -> float | None:
    """How many a model has, by its name (`CodeLlama-7b-Python-hf`); None where that says nothing, as of `embedded`."""
    found = re.search(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", source.rpartition("/")[2].lower())
    return float(found[1]) * (1e9 if found[2] == "b" else 1e6) if found else None


def of_weights(source: str, dtype: str) -> Takes | None:
    """The hub's copy of a model and ours."""
    count = parameters(source)
    if count is None:
        return None
    said = f"disk: {amount(count)} parameters (by the model's name) x {_BYTES[dtype]} bytes, kept twice (the hub's cache and ours)"
    return Takes(cpu_hours=None, disk=2 * count * _BYTES[dtype], sources=(f"{said}; more where the hub has float32",))


def of_training(source: str, dtype: str, recipe: Recipe, training: Training, size: Size) -> Takes | None:
    """Of one training of the model that `source` began with, on a set of that size."""
    count = parameters(source)
    if count is None:
        return None
    disk = (CHECKPOINTS_KEPT + 1) * count * _BYTES[dtype] if recipe.checkpoint_steps else count * _BYTES[dtype]
    kept = (
        f"disk: the model and its newest {CHECKPOINTS_KEPT} checkpoints"
        if recipe.checkpoint_steps
        else "disk: the model"
    )
    kept += f", {amount(count)} parameters (by its name) x {_BYTES[dtype]} bytes"
    if size.records is None or size.tokens is None:
        return Takes(
            None, None, disk, None, None, (kept, "tokens: the size of this data set is not known before it is made")
        )
    length = min(size.tokens + _PROMPT_TOKENS, recipe.max_length)
    tokens = recipe.epochs * size.records * length
    padding = _padding() if recipe.speed == "paper" else 0.0
    work = 4 if recipe.lora else 6
    hours = work * count * tokens / (1 - padding) / (FLOPS * SHARE) / 3600
    devices = training.processes or 1
    sources = (
        f"tokens: {recipe.epochs} x {size.records:,} records x {length:,.0f} tokens (by the file's size, 4 bytes a token)",
        f"GPU hours: {work} x {amount(count)} parameters x tokens"
        + (f", and {padding:.0%} padding (benchmarks/sft.json, drawn lengths)" if padding else ""),
        kept,
    )
    return Takes(hours, 0.0, disk, tokens, *_paid(hours / devices, training, sources))


def of_completions(
    source: str, benchmark: str, protocol: str, setting: Greedy | Sampled, generation: Generation, training: Training
) -> Takes | None:
    """Of a model's completions of one benchmark, at the most."""
    count, tasks = parameters(source), _tasks(benchmark, protocol)
    if count is None or tasks is None:
        return None
    tasks = min(tasks, setting.tasks or tasks)
    samples, limit = (
        (setting.samples, setting.max_tokens) if isinstance(setting, Sampled) else (1, setting.max_new_tokens)
    )
    tokens = tasks * samples * limit
    said = f"tokens at most: {tasks} tasks x {samples} x {limit}" + (", prompts included" if samples > 1 else "")
    disk = 4.0 * tokens  # bytes of a token
    if not isinstance(generation.engine, TransformersEngine):
        return Takes(None, 0.0, disk, tokens, None, (said, f"GPU hours: not known of {generation.engine.kind}"))
    batches, width = math.ceil(tasks * samples / setting.batch), _BYTES[generation.dtype]
    step = max(count * width / BYTES_PER_SECOND, 2 * count * setting.batch / (FLOPS * SHARE))
    hours = batches * limit * step / 3600
    sources = (
        said,
        f"GPU hours: {batches:,} batches x {limit} steps x {amount(count)} parameters (by the model's name) x {width} bytes read",
    )
    return Takes(hours, 0.0, disk, tokens, *_paid(hours, training, sources))


def of_verdicts(benchmark: str, protocol: str, setting: Any, scoring: Scoring, training: Training) -> Takes | None:
    """Of judging one model's answers, at the most: equal programs are judged once."""
    measured, tasks = _measured(benchmark, protocol), _tasks(benchmark, protocol)
    if measured is None or tasks is None:
        return None
    tasks = min(tasks, getattr(setting, "tasks", None) or tasks)
    programs = tasks * getattr(setting, "samples", 1)
    hours = programs * measured[0] / 3600
    said = f"CPU hours at most: {programs:,} programs x {measured[0]:.2f} s, measured: {measured[1]}"
    return Takes(0.0, hours, 1000.0 * programs, 0.0, *_paid(hours / scoring.workers, training, (said,)))


def _paid(hours: float, training: Training, sources: tuple[str, ...]) -> tuple[float | None, tuple[str, ...]]:
    """What hours of the machine cost, and the sources with that one."""
    price = training.price_per_hour
    if price is None:
        return None, sources
    return hours * price, (*sources, f"dollars: {hours:.2g} hours of the machine x training.price_per_hour {price:g}")


@cache
def _tasks(name: str, protocol: str) -> int | None:
    """How many tasks a benchmark has: as many as the paper's numbers are of; None where that is not known."""
    benchmark = benchmarks.get(name)
    known = {one.metric: one.tasks for one in reference.numbers() if one.protocol == protocol and one.samples}
    counts = [known.get(metric) for metric in _metrics(benchmark)]
    return sum(one for one in counts if one) if counts and None not in counts else None


def _metrics(benchmark: Benchmark) -> list[str]:
    """The metric of the whole set, or of each of its parts."""
    of_parts = {part: metric for (part, name), metric in benchmark.reference.items() if name == "pass@1"}
    return [of_parts[None]] if None in of_parts else list(of_parts.values())


def _padding() -> float:
    return float(_figures("sft.json")["rows"][0]["padding_of_paper"])


@cache
def _measured(name: str, protocol: str) -> tuple[float, str] | None:
    """Core seconds of one program, and on what that was measured."""
    if name in ("humaneval", "mbpp"):
        file = benchmarks.get(name).protocol(protocol).files[None]
        figures = _figures("score_evalplus.json")
        (row,) = [one for one in figures["rows"] if one["set"] == f"{file.name} {file.version}"]
        tasks = _tasks(name, protocol)
        seconds = row["ours"]["cold"] * figures["device"]["cores"] / tasks if tasks else None
        return seconds and (seconds, _place("score_evalplus.json", figures["device"], "another model's answers"))
    if name == "multipl-e":
        figures = _figures("score_multipl_e.json")
        row = figures["rows"][-1]
        of = "four of the six languages"
        return row["ours"] * figures["workers"] / row["programs"], _place("score_multipl_e.json", figures["device"], of)
    if name == "ds1000":
        figures = _figures("score_ds1000.json")
        (row,) = [one for one in figures["rows"] if one["protocol"] == protocol]
        of = "the reference solutions"
        seconds = row["ours"]["seconds"] * figures["workers"] / row["ours"]["problems"]
        return seconds, _place("score_ds1000.json", row["device"], of)
    return None


def _place(file: str, device: dict[str, Any], of: str) -> str:
    return f"{of}, {device['cpu']} (benchmarks/{file})"


def _figures(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / name).read_text())
    return found
