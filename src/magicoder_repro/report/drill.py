"""What the page shows task by task: prompts, completions and verdicts, packed into one string of the page."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, records
from magicoder_repro.benchmarks.base import Benchmark
from magicoder_repro.errors import UsageError
from magicoder_repro.generate.complete import file_name
from magicoder_repro.report.scored import Scored
from magicoder_repro.score import result as results
from magicoder_repro.terminal import shown, visible

PASSED, BASE_ONLY, FAILED = "P", "b", "."
"""A sample's mark: all tests, EvalPlus' base tests only, neither."""
MOST = 3_500_000
"""Characters that the packed data may take."""
# The most characters of a completion and of a prompt, until everything fits.
_STEPS = ((8000, 12000), (3000, 8000), (1500, 4000), (800, 2500), (400, 1500), (200, 800), (0, 800), (0, 0))
_ANSWERS = ("generate", "published")
_MOST_EXTRAS = 400
_PLAIN = frozenset(("undecided", "budget_used"))  # the judge's own book-keeping


@dataclass(frozen=True)
class Answer:
    """A model's samples of one task: a mark each, the text and status of the one that is shown, and what else its verdict says."""

    marks: str
    shown: int
    status: str
    extras: str = ""
    text: str = ""

    def rate(self, base: bool = False) -> float:
        """The share of samples that pass all tests, or the base tests."""
        return sum(mark == PASSED or (base and mark == BASE_ONLY) for mark in self.marks) / len(self.marks)


@dataclass
class Task:
    """`group`: the library, where there are several. `answers`: by model."""

    group: str = ""
    prompt: str | None = None
    answers: dict[str, Answer] = field(default_factory=dict)


@dataclass
class TaskSet:
    """A benchmark's set of one protocol. `plus`: whether there are EvalPlus' further tests; `note`: why prompts are left out."""

    name: str
    benchmark: str
    subset: str | None
    protocol: str
    dataset: Mapping[str, Any]
    plus: bool = False
    note: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        return list(self.asked)

    @property
    def link(self) -> str:
        """Its name in links."""
        return self.name if self.protocol == "paper" else f"{self.name}@{self.protocol}"


def nodes_of(run: Path) -> dict[str, Path]:
    """The folders of a run that hold samples and verdicts, by node."""
    return {
        str(path.relative_to(run)): path
        for stage in (*_ANSWERS, "score")
        for path in sorted(run.glob(f"{stage}/*/*"))
        if (path / "manifest.json").is_file()
    }


def collect(nodes: Iterable[Scored], inputs: Mapping[str, Path], before: str = "") -> list[TaskSet]:
    """The sets that a run judged, with every model's answers. `inputs`: each node's folder; `before`: goes before a model's name."""
    found: dict[str, TaskSet] = {}
    for scored in nodes:
        add(found, scored, inputs, before)
    return with_prompts(found)


def add(found: dict[str, TaskSet], scored: Scored, inputs: Mapping[str, Path], before: str = "") -> None:
    """Adds the answers of a score node to the sets, which are by `link`."""
    said = [scored.node.replace("score", kind, 1) for kind in _ANSWERS]
    answers = next((inputs[node] for node in said if node in inputs), None)
    model = before + scored.model
    for row in scored.summary:
        if (judged := scored.results.get(row["benchmark"])) is None:
            continue
        name = file_name(row["family"], row["subset"])
        one = TaskSet(name, row["family"], row["subset"], row["protocol"], judged.dataset)
        one = found.setdefault(one.link, one)
        one.asked[model] = row["prompt"]
        texts = None if answers is None else answers / f"{name}.jsonl"
        _add(one, model, judged.tasks, benchmarks.get(row["family"]), texts)


def with_prompts(found: Mapping[str, TaskSet]) -> list[TaskSet]:
    """The sets with the text of each task, where it is at hand and may be shown."""
    for one in found.values():
        _add_prompts(one)
    return list(found.values())


def merge(first: Iterable[TaskSet], second: Iterable[TaskSet]) -> list[TaskSet]:
    """The sets of two runs, each with the models of both; their names must differ."""
    found = {one.link: one for one in first}
    for other in second:
        one = found.setdefault(other.link, other)
        if one is other:
            continue
        if one.dataset != other.dataset:
            one.note = "The two runs were judged on different data files: a difference may be theirs."
        one.asked |= other.asked
        one.plus |= other.plus
        for name, task in other.tasks.items():
            mine = one.tasks.setdefault(name, task)
            mine.answers |= task.answers
            mine.prompt = task.prompt if mine.prompt is None else mine.prompt
    return list(found.values())


def _add(one: TaskSet, model: str, tasks: Sequence[results.Task], benchmark: Benchmark, texts: Path | None) -> None:
    wanted: dict[str, int] = {}
    for task in tasks:
        marks = "".join(_mark(sample) for sample in task.samples)
        at = next((place for place, mark in enumerate(marks) if mark != PASSED), 0)
        sample = task.samples[at]
        one.plus |= any(verdict.passed_plus is not None for verdict in task.samples)
        entry = one.tasks.setdefault(task.task_id, Task(group=task.library or ""))
        entry.answers[model] = Answer(marks, at, sample.status, _extras(sample))
        wanted[task.task_id] = at
    if texts is None or not texts.is_file():
        return
    for name, place, row in _numbered(texts, benchmark):
        if wanted.get(name) == place:
            text = next((row[key] for key in benchmark.sample_fields if isinstance(row.get(key), str)), "")
            found = one.tasks[name].answers[model]
            one.tasks[name].answers[model] = Answer(found.marks, found.shown, found.status, found.extras, text)


def _numbered(path: Path, benchmark: Benchmark) -> Iterator[tuple[str, int, records.Record]]:
    """Each sample with its task and its place among the task's."""
    seen: dict[str, int] = {}
    for row in records.read_jsonl(path):
        name = benchmark.sample_id(row)
        if name is not None:
            yield name, seen.get(name, 0), row
            seen[name] = seen.get(name, 0) + 1


def _mark(sample: results.Sample) -> str:
    if not sample.passed:
        return FAILED
    return BASE_ONLY if sample.passed_plus is False else PASSED


def _extras(sample: results.Sample) -> str:
    """What else the judge says of a sample, as `name: value`."""
    found = {key: value for key, value in (sample.model_extra or {}).items() if key not in _PLAIN}
    texts = [f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in found.items()]
    return "; ".join(texts)[:_MOST_EXTRAS]


def _add_prompts(one: TaskSet) -> None:
    """The bare text of each task, where the data file of the verdicts is here."""
    benchmark = benchmarks.get(one.benchmark)
    if benchmark.private:
        one.note = "The prompts are not shown: the authors of this data ask that it never be put online."
        return
    try:
        dataset = benchmark.load(one.protocol, one.subset)
    except UsageError as error:
        one.note = f"The prompts are not shown: {error}"
        return
    if one.dataset and dataset.identity != dict(one.dataset):
        one.note = "The prompts are not shown: the data file here is not the one that these verdicts are of."
        return
    for row in dataset.tasks:
        if (task := one.tasks.get(benchmark.task_id(row))) is not None:
            task.prompt = benchmark.ask(row, "completion").prompt


@dataclass(frozen=True)
class Packed:
    """gzip in base64, and what was shortened for the sake of the page's size."""

    text: str
    note: str


def pack(sets: Sequence[TaskSet], labels: Mapping[str, str], most: int = MOST) -> Packed:
    """Everything as one text of at most `most` characters; completions are shortened first, prompts last.

    `labels`: what each model is called on the page."""
    for step, (text, prompt) in enumerate(_STEPS):
        content = json.dumps(_content(sets, labels, text, prompt), ensure_ascii=True, separators=(",", ":"))
        packed = base64.b64encode(gzip.compress(content.encode(), 9, mtime=0)).decode()
        if len(packed) <= most:
            return Packed(packed, _told(text, prompt) if step else "")
    raise UsageError(f"the verdicts alone take {len(packed)} characters, the page has room for {most}")


def _told(text: int, prompt: int) -> str:
    completions = f"completions after {text} characters" if text else "all completions"
    prompts = f"prompts after {prompt}" if prompt else "all prompts"
    return f"To keep this page small, {completions} and {prompts} are left out; the run's folders hold them whole."


def _content(sets: Sequence[TaskSet], labels: Mapping[str, str], text: int, prompt: int) -> dict[str, Any]:
    """What report.js reads. A task: [name, group, prompt, answer or null of each model]; an answer: [marks, shown, status, extras,
    text]."""

    def answer(found: Answer | None) -> list[Any] | None:
        if found is None:
            return None
        return [found.marks, found.shown, shown(found.status), shown(found.extras), _cut(found.text, text)]

    return {
        "sets": [
            {
                "name": one.link,
                "title": shown(f"{one.name}{'' if one.protocol == 'paper' else f' (protocol {one.protocol})'}"),
                "note": shown(one.note),
                "plus": one.plus,
                "usual": _usual(one),
                "models": [
                    {"name": name, "label": shown(labels.get(name, name)), "asked": one.asked[name]}
                    for name in one.models
                ],
                "tasks": [
                    [
                        shown(name),
                        shown(task.group),
                        None if task.prompt is None else _cut(task.prompt, prompt),
                        [answer(task.answers.get(model)) for model in one.models],
                    ]
                    for name, task in one.tasks.items()
                ],
            }
            for one in sets
        ]
    }


def _usual(one: TaskSet) -> tuple[int, int]:
    """The pair that is shown first: of two runs the model with the most differences, else the first model and the last."""
    names = one.models
    pairs = [(first, f"B: {first[3:]}") for first in names if first.startswith("A: ") and f"B: {first[3:]}" in names]
    if not pairs:
        return 0, len(names) - 1
    first, other = max(pairs, key=lambda pair: differing(one, *pair))
    return names.index(first), names.index(other)


def differing(one: TaskSet, first: str, other: str) -> int:
    """The tasks on which two models' marks differ."""
    answers = [(task.answers.get(first), task.answers.get(other)) for task in one.tasks.values()]
    return sum(a is not None and b is not None and a.marks != b.marks for a, b in answers)


def _cut(text: str, most: int) -> str:
    """Text without what steers or hides, shortened with a note."""
    text = visible(text, keep="\n\t")
    return text if len(text) <= most else f"{text[:most]}\n[... {len(text) - most} more characters]"
