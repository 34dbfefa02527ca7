"""MultiPL-E: each language's tasks, prompts and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from magicoder_repro import records
from magicoder_repro.benchmarks import minibench
from magicoder_repro.benchmarks.base import (
    PROTOCOLS,
    Ask,
    Benchmark,
    Dataset,
    File,
    JudgeSpec,
    Judging,
    Protocol,
    Style,
    Work,
)
from magicoder_repro.errors import UsageError

LANGUAGES = ("cpp", "java", "js", "php", "rs", "swift")
_JUDGE = "magicoder_repro.benchmarks.multipl_e.judge:Judge"
_COLUMNS = {"js": "javascript", "rs": "rust"}  # the others have the language's own name
_SHA256 = {
    "cpp": "8717eabdf202137158c84506144b0fb1e73d5ecccbe5363ec79009ca014df629",
    "java": "b21b015763452ec4f9f4e0e6425148ec331ace4da1232c8b4d441186185f6265",
    "js": "634e2eee8d6e22de07c121b972207683dd96be76256bf44bdfc1a3386b739287",
    "php": "bebd86875b1d8e65a8b7e692ed7bdf64612b44aa388825ea4dab40c7047c786b",
    "rs": "e33f562838e973b7e6b8d76dbc1fb84b076d7426629b4cdc624f12678778d2fa",
    "swift": "e4418d6f532e4298969e727690cda80dc88b94e4abf836f8ff79ac18a737eaaa",
}
_FILES: Mapping[str | None, File] = {
    language: File(f"MultiPL-E humaneval-{language}", "reworded", f"multipl-e/humaneval-{language}.jsonl", sha256)
    for language, sha256 in _SHA256.items()
}


class MultiPLE(Benchmark):
    """The set, or minibench in its format."""

    subsets = LANGUAGES
    groups_name = "languages"
    sample_fields = ("program", "completion")

    def __init__(self, name: str, files: Mapping[str | None, File]) -> None:
        self.name = name
        self.protocols = dict.fromkeys(PROTOCOLS, Protocol(files))  # one way to judge it, under both names
        if files is _FILES:
            self.reference = {
                (None, "pass@1"): "multipl_e_average",
                **{(name, "pass@1"): f"multipl_e_{_COLUMNS.get(name, name)}" for name in LANGUAGES},
            }

    def task_id(self, task: records.Record) -> str:
        return str(task["name"])

    def ask(self, task: records.Record, style: Style) -> Ask:
        """The completion format for every model, as bigcode's harness at be2a44c has it (the stop `<file_sep>` came later)."""
        stops = tuple(task["stop_tokens"])
        return Ask(task["name"], task["prompt"].strip(), stops, together=True, special_tokens=True)

    def assemble(self, task: records.Record, name: str, text: str, sanitized: bool) -> str:
        """The whole `program`, or the task's stripped prompt, its `completion`, a newline and the tests."""
        if name == "program":
            return text.replace("\r\n", "\n")  # as the tests, which are looked for in it
        return f"{task['prompt'].strip()}{text}\n{task['tests']}"

    def generation(self, task: records.Record, text: str) -> records.Record:
        return {"program": f"{text}\n{task['tests']}"}

    def check_programs(self, dataset: Dataset, programs: Mapping[str, Sequence[str]]) -> None:
        tests = {self.task_id(task): task["tests"].strip() for task in dataset.tasks}
        if programs and not any(tests[task_id] in text for task_id, found in programs.items() for text in found):
            raise UsageError("no program holds its task's tests: are these samples of another language?")

    def scorer(self, judging: Judging) -> str:
        return "exit code 0 after the last test"

    def environment(self, protocol: str) -> str:
        return "multipl-e"

    def facts(self, protocol: str) -> dict[str, Any]:
        from magicoder_repro.benchmarks.multipl_e import toolchains

        return {"toolchains": toolchains.versions()}

    def missing(self, protocol: str) -> Sequence[str]:
        from magicoder_repro.benchmarks.multipl_e import toolchains

        return [f"{language}: {gap}" for language, gap in toolchains.gaps(LANGUAGES).items()]

    def gap(self, subset: str | None, judging: Judging) -> str | None:
        from magicoder_repro.benchmarks.multipl_e import judge

        assert subset
        return judge.trouble(subset, judging.backend, judging.scoring.memory_mb)

    def toolchain(self, subset: str) -> dict[str, str]:
        from magicoder_repro.benchmarks.multipl_e import toolchains

        return dict(toolchains.find(subset).versions)

    def judge(self, job: str, judging: Judging) -> JudgeSpec:
        versions = {language: self.toolchain(language) for language in judging.datasets if language}
        settings = {"backend": judging.backend, "memory_mb": judging.scoring.memory_mb, "versions": versions}
        return JudgeSpec("core", _JUDGE, settings)

    def requests(
        self, subset: str | None, task: records.Record, programs: Sequence[str], judging: Judging
    ) -> list[Work]:
        task_id = self.task_id(task)
        same = {"language": subset, "tests": task["tests"]}
        return [Work({**same, "program": text}, subset, task_id, text) for text in programs]


MULTIPL_E = MultiPLE("multipl-e", _FILES)
MINIBENCH = MultiPLE("minibench-multipl-e", {name: minibench.file(f"multipl-e/{name}") for name in LANGUAGES})
