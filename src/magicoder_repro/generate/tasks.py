"""What a model is asked for each task of a benchmark: the exact prompt, and where its answer ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from magicoder_repro import benchmarks, prompts, records
from magicoder_repro.errors import UsageError

Style = Literal["magicoder", "completion"]
"""`magicoder`: the paper's instruction prompt; `completion`: the bare code, as base models are evaluated."""

FENCE = "```"
_PYTHON_STOPS = ("\nclass ", "\ndef ", "\n#", "\n@", "\nprint", "\nif ", "\nassert", FENCE)
_DS1000_STOPS = ("</code>", "# SOLUTION END", "END SOLUTION", FENCE)


@dataclass(frozen=True)
class Ask:
    """One prompt; the completion ends before the first of `stops`."""

    task_id: str
    prompt: str
    stops: tuple[str, ...]

    def cut(self, text: str) -> str:
        """The text before the first stop in it."""
        return text[: min([len(text), *(at for stop in self.stops if (at := text.find(stop)) >= 0)])]


def asks(benchmark: str, tasks: list[records.Record], style: Style) -> list[Ask]:
    """The prompts of a benchmark's tasks, in their order. MultiPL-E has the completion format for every model."""
    plain = benchmark.removeprefix(benchmarks.MINIBENCH)
    if plain == "multipl-e":
        return [_multipl_e(task) for task in tasks]
    if plain == "humaneval":
        if style == "completion":
            return [Ask(task["task_id"], task["prompt"].strip(), _PYTHON_STOPS) for task in tasks]
        return [_magicoder(task["task_id"], prompts.humaneval(task["prompt"])) for task in tasks]
    if plain == "mbpp":
        if style == "completion":
            return [Ask(task["task_id"], task["prompt"].strip() + "\n", (*_PYTHON_STOPS, '\n"""')) for task in tasks]
        return [_magicoder(task["task_id"], prompts.mbpp(task["prompt"])) for task in tasks]
    if plain == "ds1000":
        found = [(str(task["metadata"]["problem_id"]), task["prompt"]) for task in tasks]
        if style == "completion":
            return [Ask(task_id, prompt, _DS1000_STOPS) for task_id, prompt in found]
        return [_magicoder(task_id, prompts.ds1000(prompt)) for task_id, prompt in found]
    raise UsageError(f"unknown benchmark {benchmark!r}: one of {', '.join(benchmarks.BENCHMARKS)}")


def _magicoder(task_id: str, parts: tuple[str, str]) -> Ask:
    return Ask(task_id, prompts.magicoder(*parts), (FENCE,))


def _multipl_e(task: records.Record) -> Ask:
    return Ask(task["name"], task["prompt"].strip(), (*task["stop_tokens"], "<file_sep>"))
