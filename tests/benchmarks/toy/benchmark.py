"""The toy: tasks, prompts, and what its judge is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from magicoder_repro import prompts, records
from magicoder_repro.benchmarks.base import (
    FENCE,
    PROTOCOLS,
    Ask,
    Benchmark,
    File,
    JudgeSpec,
    Judging,
    Protocol,
    Style,
    Work,
)

_FILE = File("toy", "1", str(Path(__file__).with_name("toy.jsonl")))


class Toy(Benchmark):
    """A sample's `completion` is the whole program."""

    name = "toy"
    protocols = dict.fromkeys(PROTOCOLS, Protocol({None: _FILE}))

    def ask(self, task: records.Record, style: Style) -> Ask:
        if style == "completion":
            return Ask(task["task_id"], f'"""{task["problem"]}"""\n', ('\n"""', FENCE))
        return Ask(task["task_id"], prompts.magicoder(task["problem"], f"{FENCE}python\n"), (FENCE,))

    def scorer(self, judging: Judging) -> str:
        return "standard output"

    def judge(self, job: str, judging: Judging) -> JudgeSpec:
        settings = {"backend": judging.backend, "memory_mb": judging.scoring.memory_mb}
        return JudgeSpec("core", "magicoder_repro.benchmarks.toy.judge:Judge", settings)

    def requests(
        self, subset: str | None, task: records.Record, programs: Sequence[str], judging: Judging
    ) -> list[Work]:
        """The input and the wanted output go with the program: the judge needs no file of the tasks."""
        task_id, same = task["task_id"], {"stdin": task["stdin"], "stdout": task["stdout"]}
        return [Work({"task_id": task_id, "program": text, **same}, subset, task_id, text) for text in programs]


TOY = Toy()
