"""HumanEval(+) and MBPP(+): tasks, prompts, programs, and how requests and verdicts go together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from magicoder_repro import environment, prompts, records
from magicoder_repro.benchmarks import minibench
from magicoder_repro.benchmarks.base import (
    FENCE,
    Ask,
    Benchmark,
    Dataset,
    File,
    JudgeSpec,
    Judging,
    Protocol,
    Style,
    Work,
    data_folder,
)
from magicoder_repro.benchmarks.evalplus import human_eval, purity, sanitize
from magicoder_repro.benchmarks.evalplus.worker import ground_truth
from magicoder_repro.progress import say

VERSIONS = {"paper": "0.2.0", "current": "0.3.1"}
"""The evalplus version of each protocol."""
_FRAMES = {
    "paper": 26,
    "current": 29,
}  # measured under `evalplus.evaluate` of each: 973 and 970 levels of recursion are left
# Calls have limits in seconds of their own, which a busy neighbour makes up to this many times longer: little where a core is one
# thread's own (measured: 1.1), more where two threads share one. What needs more has failed; what lies between is run again alone.
_SLACK, _SLACK_SHARED_CORE, _SLACK_ALONE = 1.2, 1.6, 1.0
_SIBLINGS = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
SLOW = frozenset({
    *(f"HumanEval/{number}" for number in (139, 15, 130, 59, 36, 94)),
    *(f"Mbpp/{number}" for number in (599, 255, 392, 271, 603, 123, 592, 389)),
})  # fmt: skip
"""Tasks whose canonical solution takes seconds: they go first, in pieces, so that no core waits at the end."""
_END_OF_TEXT = ("<|endoftext|>", "<|endofmask|>", "</s>")
_FORMAT = 4  # of the ground truth on disk
_OF_JUDGE = ("undecided", "budget_used", "ground_truth")  # of an answer; not of a verdict
_WHOLE = (0, 1)
_PIECES = 4  # of a slow task; a number that hung on the workers would make the work of a killed run another's


class EvalPlus(Benchmark):
    """One of the two sets, or minibench in its format. `family` is evalplus' name of the set."""

    options = frozenset({"memory_mb", "call_seconds", "program_seconds"})
    sample_fields = ("solution", "completion")

    def __init__(
        self,
        name: str,
        family: str,
        protocols: Mapping[str, Protocol],
        instruction: Callable[[str], tuple[str, str]],
        columns: tuple[str, str] | None = None,
    ) -> None:
        self.name, self.family, self.protocols, self._instruction = name, family, protocols, instruction
        if columns:
            self.reference = {
                (None, metric): column for metric, column in zip(("pass@1", "pass@1+"), columns, strict=True)
            }

    def find(self, protocol: str = "paper", subset: str | None = None, data: Path | None = None) -> Dataset:
        """Without its file HumanEval is what the package `human-eval` brings."""
        self.check_subset(subset)
        file = data_folder() / self.protocol(protocol).files[None].path
        if self.name == "humaneval" and data is None and not file.is_file():
            return human_eval.found()
        return super().find(protocol, subset, data)

    def ask(self, task: records.Record, style: Style) -> Ask:
        """Base models as EvalPlus' `codegen` at 1895d2f asked them: the prompt as it is, no stop but texts of EOS. Tabs become spaces
        as in its vLLM decoder, which ran CodeLlama (its transformers decoder, which ran DeepSeek-Coder, left them)."""
        if style == "completion":
            return Ask(task["task_id"], task["prompt"], _END_OF_TEXT, together=True, four_spaces=True)
        return Ask(task["task_id"], prompts.magicoder(*self._instruction(task["prompt"])), (FENCE,))

    def reads(self, protocol: str) -> frozenset[str]:
        """evalplus 0.2.0 has no limit of all calls together but the sum of theirs."""
        found = super().reads(protocol)
        return found if protocol == "current" else found - {"program_seconds"}

    def sanitized(self, protocol: str, prompt: str) -> bool:
        """Nothing stops a base model: its answers to either set went through the sanitizer."""
        return prompt == "completion" or super().sanitized(protocol, prompt)

    def generation(self, task: records.Record, text: str) -> records.Record:
        return {"solution": text}

    def assemble(self, task: records.Record, name: str, text: str, sanitized: bool) -> str:
        """The `solution`, or the task's prompt and the `completion`; cleaned up by EvalPlus' sanitizer or not."""
        if sanitized:
            whole = text if name == "solution" else f"{task['prompt']}\n{text}"
            return sanitize.sanitize(whole, task["entry_point"], task["prompt"] if self.family == "humaneval" else None)
        return text if name == "solution" else str(task["prompt"]) + text

    def scorer(self, judging: Judging) -> str:
        return evaluator(judging.datasets[None], judging.protocol)

    def environment(self, protocol: str) -> str:
        return environment_of(protocol)

    def facts(self, protocol: str) -> dict[str, Any]:
        home = environment_of(protocol)
        return {home: environment.lock_sha256(home) if environment.ready(home) else None}  # a gap is made again

    def missing(self, protocol: str) -> Sequence[str]:
        home = environment_of(protocol)
        return () if environment.ready(home) else (f"the environment {home} is not built: make .envs/{home}/.ready",)

    def early(self, protocol: str) -> JudgeSpec | None:
        home = environment_of(protocol) if protocol in VERSIONS else None
        return JudgeSpec(home, _JUDGE, {}) if home and environment.ready(home) else None

    def judge(self, job: str, judging: Judging) -> JudgeSpec:
        dataset, scoring, current = judging.datasets[None], judging.scoring, judging.protocol == "current"
        known = GroundTruth(dataset, judging.protocol)
        known.check()
        settings = {
            "family": self.family,
            "frames": _FRAMES[judging.protocol],
            "one_stream": not current,
            "tasks": str(dataset.path),
            "ground_truth": str(known.path),
            "backend": judging.backend,
            "call_seconds": scoring.call_seconds,
            "program_seconds": scoring.program_seconds if current else None,  # 0.2.0: what all calls may take
            "memory_mb": scoring.memory_mb,
        }
        return JudgeSpec(environment_of(judging.protocol), _JUDGE, settings)

    def first(self, task: records.Record) -> bool:
        return task["task_id"] in SLOW

    def requests(
        self, subset: str | None, task: records.Record, programs: Sequence[str], judging: Judging
    ) -> list[Work]:
        """A program of a slow task whose calls cannot know of each other: in pieces."""
        task_id, slack = task["task_id"], _slack()
        slow = task_id in SLOW
        found = []
        for text in programs:
            apart = slow and "base_input" in task and purity.calls(text)
            for piece in [(number, _PIECES) for number in range(_PIECES)] if apart else [_WHOLE]:
                request = {"task_id": task_id, "program": text, "slack": slack, "piece": piece, "slow": slow}
                found.append(Work(request, subset, task_id, text))
        return found

    def join(self, work: Sequence[Work], answers: Sequence[records.Record]) -> records.Record | Work:
        """A program that came near a time limit runs again alone: how busy the machine was decides nothing."""
        whole = answers[0]
        for other in answers[1:]:
            whole = _joined(whole, other)
        if whole["undecided"] and work[0].request["slack"] != _SLACK_ALONE:
            request = {**work[0].request, "slack": _SLACK_ALONE, "piece": _WHOLE, "slow": False}
            return Work(request, work[0].subset, work[0].task_id, work[0].program)
        verdict = {key: value for key, value in whole.items() if key not in _OF_JUDGE}
        return {**verdict, "ran_again_alone": True} if work[0].request["slack"] == _SLACK_ALONE else verdict

    def learn(self, judging: Judging, work: Sequence[Work], answers: Sequence[records.Record]) -> None:
        """The ground truth."""
        fresh = [
            (one.task_id, answer["ground_truth"], one.request["piece"])
            for one, answer in zip(work, answers, strict=True)
            if answer["ground_truth"]
        ]
        GroundTruth(judging.datasets[None], judging.protocol).add(fresh)


def environment_of(protocol: str) -> str:
    """The environment of the protocol's evalplus."""
    return f"evalplus-{VERSIONS[protocol]}"


def evaluator(dataset: Dataset, protocol: str) -> str:
    """Whose rules decide."""
    if dataset.tasks and "base_input" not in dataset.tasks[0]:
        return human_eval.SCORER
    return f"evalplus {VERSIONS[protocol]}"


def _slack() -> float:
    own_core = _SIBLINGS.is_file() and _SIBLINGS.read_text().strip().isdigit()
    return _SLACK if own_core else _SLACK_SHARED_CORE


def _joined(one: records.Record, other: records.Record) -> records.Record:
    """The verdict of two pieces together: what failed first in the order of evalplus, base before plus, decides the status."""
    worse = min(one, other, key=lambda row: (row["passed"], row["passed_plus"] is not False))
    used = one["budget_used"] + other["budget_used"]
    return {
        "passed": one["passed"] and other["passed"],
        "passed_plus": worse["passed_plus"],
        "status": worse["status"],
        "seconds": round(one["seconds"] + other["seconds"], 3),
        "undecided": one["undecided"]
        or other["undecided"]
        or used > 1,  # in one piece the limit of all calls may decide
        "budget_used": used,
    }


class GroundTruth:
    """The ground truth on disk: what the canonical solutions give, as digests, and how long they take; null for what no program
    has needed yet. A damaged file is left out and made again; a folder that cannot be written to costs time only."""

    def __init__(self, dataset: Dataset, protocol: str) -> None:
        folder = environment.cache() / "ground-truth"
        lock = environment.lock_sha256(environment_of(protocol))
        self.path = folder / f"{dataset.sha256[:16]}-{lock[:8]}-{_FORMAT}.json"

    def check(self) -> None:
        """Says when the file is damaged."""
        with suppress(OSError):
            if ground_truth.from_bytes(self.path.read_bytes()) is None:
                say(f"score: {self.path} is damaged: the ground truth is computed again")

    def add(self, fresh: Sequence[tuple[str, dict[str, dict[str, list[Any]]], tuple[int, int]]]) -> None:
        """Adds what is new to the file: task, its parts, and every n-th call from the k-th on that they are of."""
        if not fresh:
            return
        known = ground_truth.read(str(self.path))
        for task_id, parts, (first, step) in fresh:
            for part, found in parts.items():
                for name, values in found.items():
                    there = known.setdefault(task_id, {}).setdefault(part, {}).setdefault(name, [])
                    there += [None] * (first + step * (len(values) - 1) + 1 - len(there))
                    there[first : first + step * len(values) : step] = values
        try:
            records.write_bytes(self.path, ground_truth.to_bytes(known))
        except OSError as error:
            say(f"score: the ground truth is not kept for next time: {error} (MAGICODER_CACHE names another folder)")


_JUDGE = "magicoder_repro.benchmarks.evalplus.worker.judge:Judge"
_FIRST_RELEASES = "https://github.com/ganler/release/releases/download/humanevalplus"
_RELEASES = "https://github.com/evalplus/{}/releases/download/{}"


def _minibench(family: str, sanitized: bool = False) -> dict[str, Protocol]:
    protocol = Protocol({None: minibench.file(family)}, sanitized)
    return dict.fromkeys(VERSIONS, protocol)


_HUMANEVAL = {
    "paper": Protocol(
        {
            None: File(
                "HumanEval+",
                "v0.1.9",
                "evalplus/HumanEvalPlus-v0.1.9.jsonl.gz",
                "e62f4130146963d969da64553f407a66e52d095adbfed4ee6733b4d59e14a3ed",
                f"{_FIRST_RELEASES}/HumanEvalPlus-v0.1.9.jsonl.gz",
            )
        }
    ),
    "current": Protocol(
        {
            None: File(
                "HumanEval+",
                "v0.1.10",
                "evalplus/HumanEvalPlus-v0.1.10.jsonl.gz",
                "272720b90ac375502c8ed23cd791c2a93dfb22a911641a494da74a426c09f101",
                f"{_RELEASES.format('humanevalplus_release', 'v0.1.10')}/HumanEvalPlus.jsonl.gz",
            )
        }
    ),
}
_MBPP = {
    "paper": Protocol(
        {
            None: File(
                "MBPP+",
                "v0.1.0",
                "evalplus/MbppPlus-v0.1.0.jsonl.gz",
                "34dd9f63b498dbdd8ef7974a6a2dd4ad3684eae46399b1e2de5b32f7e756f12d",
                f"{_FIRST_RELEASES}/MbppPlus-v0.1.0.jsonl.gz",
            )
        },
        sanitized=True,
    ),
    "current": Protocol(
        {
            None: File(
                "MBPP+",
                "v0.2.0",
                "evalplus/MbppPlus-v0.2.0.jsonl.gz",
                "af43697e8791c4c149bdfd6b489d8b5412507551ac20e28a439f650b8225db63",
                f"{_RELEASES.format('mbppplus_release', 'v0.2.0')}/MbppPlus.jsonl.gz",
            )
        }
    ),
}
HUMANEVAL = EvalPlus("humaneval", "humaneval", _HUMANEVAL, prompts.humaneval, ("humaneval", "humaneval_plus"))
MBPP = EvalPlus("mbpp", "mbpp", _MBPP, prompts.mbpp, ("mbpp", "mbpp_plus"))
MINIBENCH_HUMANEVAL = EvalPlus("minibench-humaneval", "humaneval", _minibench("humaneval"), prompts.humaneval)
MINIBENCH_MBPP = EvalPlus("minibench-mbpp", "mbpp", _minibench("mbpp", sanitized=True), prompts.mbpp)
