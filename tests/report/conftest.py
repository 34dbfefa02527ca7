"""Made-up runs in the files that the stages leave, and a browser to look at their page."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import artifact, benchmarks, records
from magicoder_repro.artifact import Manifest, Work
from magicoder_repro.report import build, drill
from magicoder_repro.report.drill import TaskSet

PAPER = {"base": "CodeLlama-Python-7B", "magicoder": "Magicoder-CL-7B", "magicoder-s": "MagicoderS-CL-7B"}
EVIL = "</script><img src=x onerror=\"document.title='owned'\"> \u202eevil\u2066 <b>&amp;"
Marks = Mapping[str, Sequence[str]]
"""Of each task the marks of its samples: `P` all tests, `b` base tests only, `.` failed."""


@dataclass
class MadeUp:
    """A run on disk: the nodes' folders and what the report knows of the profile."""

    folder: Path
    comparable: bool = True
    models: dict[str, str | None] = field(default_factory=lambda: dict(PAPER))
    inputs: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def node(self, name: str, counts: dict[str, Any], config: dict[str, Any] | None = None, **more: Any) -> Path:
        """A folder with its manifest."""
        path = self.inputs[name] = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        one = Manifest(
            stage=name.split("/")[0], stage_version=1, fingerprint=hashlib.sha256(name.encode()).hexdigest(), config=config or {},
            inputs={}, outputs={}, counts=counts, dropped={}, notes=more.get("notes", []),
            environment={"name": "core", "lock_sha256": "1" * 64}, versions={"python": "3.11.9", "torch": "2.9.1"},
            device={"cpu": "a made-up CPU", "cores": 8, "gpu": ["H200"] * 2}, seconds=12.5, commit="c0ffee" * 6,
        )  # fmt: skip
        records.write_json(path / artifact.MANIFEST, one.model_dump())
        return path

    def judged(
        self, model: str, family: str, subset: str | None, marks: Marks, text: Callable[[str, int], str], plus: bool = False,
        libraries: Mapping[str, str] | None = None, identity: Mapping[str, str] | None = None, gap: str | None = None,
        protocol: str = "paper",
    ) -> None:  # fmt: skip
        """A model's samples and verdicts of one set, added to its nodes."""
        name = f"{family}-{subset}" if subset else family
        suffix = "" if protocol == "paper" else f"-{protocol}"
        benchmark, node = benchmarks.get(family), f"{model}/{family}{suffix}"
        scored, said = f"score/{node}", f"generate/{node}"
        if scored not in self.inputs:
            self.node(scored, {"sandbox": "bubblewrap", "scorers": ["a made-up scorer"], "results": 1, "gaps": 0})
            self.node(said, {name: len(marks)})
            (self.inputs[scored] / "summary.jsonl").write_text("")
            records.write_json(self.inputs[said] / "benchmarks.json", {})
        row = {"benchmark": name + suffix, "family": family, "subset": subset, "protocol": protocol, "tasks": len(marks),
               "of": len(marks), "prompt": "completion" if model == "base" else "magicoder", "metrics": {}, "gap": gap}  # fmt: skip
        if gap is None:
            tasks = [self._task(task, one, plus, subset, libraries) for task, one in marks.items()]
            rates = [sum(mark != "." for mark in one) / len(one) for one in marks.values()]
            row["metrics"] = {"pass@1": round(100 * sum(rates) / len(rates), 4)}
            if plus:
                rates = [sum(mark == "P" for mark in one) / len(one) for one in marks.values()]
                row["metrics"]["pass@1+"] = round(100 * sum(rates) / len(rates), 4)
            row["scorer"] = "a made-up scorer"
            result = {"version": 1, "benchmark": family, "protocol": protocol, "scorer": "a made-up scorer", "sandbox": "bubblewrap",
                      "dataset": dict(identity or {"name": name, "version": "0", "sha256": "2" * 64}), "metrics": row["metrics"],
                      "programs": {}, "statuses": {}, "tasks": tasks}  # fmt: skip
            (self.inputs[scored] / f"{name}{suffix}.json").write_text(json.dumps(result))
            with (self.inputs[said] / f"{name}.jsonl").open("w") as file:
                for task, one in marks.items():
                    for place in range(len(one)):
                        file.write(json.dumps({benchmark.id_field: task, "completion": text(task, place)}) + "\n")
        asked = {"benchmark": family, "protocol": protocol, "language": subset, "dataset": None, "tasks": len(marks), "of": len(marks),
                 "prompt": row["prompt"], "gap": gap, "decoding": _DECODING}  # fmt: skip
        told = self.inputs[said] / "benchmarks.json"
        records.write_json(told, {**records.read_json(told), name: asked})
        with (self.inputs[scored] / "summary.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    @staticmethod
    def _task(
        name: str, marks: Sequence[str], plus: bool, subset: str | None, libraries: Mapping[str, str] | None
    ) -> Any:
        samples = [
            {
                "passed": mark != ".",
                "passed_plus": mark == "P" if plus else None,
                "status": "passed" if mark == "P" else "wrong value",
            }
            for mark in marks
        ]
        of = {"language": subset} if subset else {"library": libraries[name]} if libraries else {}
        return {"task_id": name, **of, "samples": samples}

    @property
    def config(self) -> dict[str, Any]:
        models = {
            name: {"label": self.labels.get(name, name), "paper": paper, "style": "completion" if name == "base" else "magicoder",
                   "trained": name != "base", "same_answers": []}
            for name, paper in self.models.items()
        }  # fmt: skip
        report = {"recorded": None, "comparable": self.comparable, "margin": 5.0}
        return {"name": "made-up", "description": "A made-up run", "report": report, "data": {}, "models": models}

    def report(self, out: Path) -> Path:
        """The report's folder."""
        out.mkdir(parents=True, exist_ok=True)
        build.build(Work(out, self.inputs, self.config))
        return out


def verdicts(names: Sequence[str], passed: int, plus: int, seed: int) -> dict[str, str]:
    """`plus` tasks pass everything, `passed` the base tests; models of other seeds differ on some tasks."""
    order = random.Random(1)
    hardness = {name: order.random() for name in names}
    own = random.Random(seed)
    ranked = sorted(names, key=lambda name: hardness[name] + 0.15 * own.random())
    marks = {name: "P" if place < plus else "b" if place < passed else "." for place, name in enumerate(ranked)}
    return {name: marks[name] for name in names}


def program(name: str, seed: int) -> str:
    """A text like a program."""
    own = random.Random(f"{name} {seed}")
    words = [f"{own.choice(_NOUNS)}_{own.choice(_NOUNS)}" for _ in range(12)]
    lines = [
        f"    {own.choice(words)} = {own.choice(words)}({own.choice(words)}, {own.randrange(100)})"
        for _ in range(own.randrange(3, 14))
    ]
    return "\n".join([f"def {words[0]}({words[1]}, {words[2]}):", *lines, f"    return {own.choice(words)}"])


_NOUNS = [
    "".join(random.Random(number).choice(("ba", "te", "ri", "sol", "mun", "ka", "der", "in")) for _ in range(3))
    for number in range(400)
]


@pytest.fixture(scope="session")
def made_up() -> type[MadeUp]:
    return MadeUp


@pytest.fixture(scope="session")
def no_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with nothing in it: HumanEval's prompts come from its package."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("MAGICODER_DATA", str(folder))
        yield folder


@pytest.fixture(scope="session")
def small(no_data: Path, tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """HumanEval of three models near the paper's numbers, MBPP that was not judged, one language with several samples."""
    run = MadeUp(tmp_path_factory.mktemp("small") / "run")
    dataset = benchmarks.get("humaneval").load()
    names = [task["task_id"] for task in dataset.tasks]
    counts = {"base": (61, 56), "magicoder": (99, 91), "magicoder-s": (116, 96)}
    for seed, (model, (passed, plus)) in enumerate(counts.items()):
        lora = {"rank": 16, "alpha": 32.0} if model == "magicoder-s" else None
        run.node(
            f"sft/{model}",
            {"records": 4, "steps": 3, "devices": 2, "loss_first_third": 1.0, "loss_last_third": 0.8},
            {"recipe": {**_RECIPE, "lora": lora}},
        ) if seed else None
        if seed:
            log = [{"step": step, "epoch": 1.0, "loss": 1.2 / step, "learning_rate": 1e-5} for step in range(1, 9)]
            records.write_jsonl(run.inputs[f"sft/{model}"] / "log.jsonl", log)
        marks = verdicts(names, passed, plus, seed)
        run.judged(
            model,
            "humaneval",
            None,
            marks,
            lambda task, place, own=seed: program(task, own),
            True,
            identity=dataset.identity,
        )
        run.judged(
            model,
            "mbpp",
            None,
            {},
            lambda *_: "",
            gap="MbppPlus-v0.1.0.jsonl.gz: no such file: run `magicoder fetch mbpp`",
        )
        java = {f"HumanEval_{number}_java": _several(number, seed, 20) for number in range(158)}
        run.judged(model, "multipl-e", "java", java, lambda task, place, own=seed: program(task, own + place))
    return run


def _several(task: int, seed: int, samples: int) -> str:
    own = random.Random(f"{task} {seed}")
    rate = min(1.0, own.betavariate(0.4, 0.6) * (0.9 + 0.15 * seed))
    return "".join("P" if own.random() < rate else "." for _ in range(samples))


_DECODING = {
    "max_new_tokens": 512, "batch": 16, "dtype": "bfloat16",
    "engine": {"kind": "transformers", "attention": "eager", "order": "paper"},
}  # fmt: skip
_RECIPE = {
    "max_length": 1216, "epochs": 2, "batch": 512, "micro_batch": 2, "learning_rate": 5e-5, "warmup_steps": 15,
    "optimizer": "adafactor", "dtype": "bfloat16", "attention": "sdpa", "seed": 42, "checkpoint_steps": 0,
}  # fmt: skip


@pytest.fixture(scope="session")
def small_report(small: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.report(tmp_path_factory.mktemp("small") / "report")


@pytest.fixture(scope="session")
def hostile_report(no_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every text that comes from outside tries to be more than text."""
    run = MadeUp(
        tmp_path_factory.mktemp("hostile") / "run", comparable=False, labels={name: EVIL + name for name in PAPER}
    )
    names = [f"{EVIL}/{number}#%2f" for number in range(3)]
    for place, model in enumerate(PAPER):
        marks = {name: "P" if number < place else "." for number, name in enumerate(names)}
        run.judged(model, "minibench-humaneval", None, marks, lambda task, at: EVIL + "\n" + task, True)
    run.node("corpus", {EVIL: EVIL}, notes=[EVIL])
    return run.report(tmp_path_factory.mktemp("hostile") / "report")


@pytest.fixture(scope="session")
def full_report(no_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full run of the paper: three models, 50 samples of six languages, 40 of DS-1000; prompts are made up."""
    run = MadeUp(tmp_path_factory.mktemp("full") / "run")
    libraries = dict(
        zip(
            ("Matplotlib", "Numpy", "Pandas", "Pytorch", "Scipy", "Sklearn", "Tensorflow"),
            (155, 220, 291, 68, 106, 115, 45),
            strict=True,
        )
    )
    library_of = {
        str(number): name for number, name in enumerate(name for name, count in libraries.items() for _ in range(count))
    }
    for seed, model in enumerate(PAPER):

        def text(task: str, place: int, own: int = seed) -> str:
            return program(task, own) if place < 3 else "pass"

        for name, count, passed in (("humaneval", 164, 60 + 25 * seed), ("mbpp", 399, 230 + 20 * seed)):
            marks = verdicts([f"{name}/{number}" for number in range(count)], passed, passed - 12, seed)
            run.judged(model, name, None, marks, text, True)
        for language, count in (("cpp", 161), ("java", 158), ("js", 161), ("php", 161), ("rs", 156), ("swift", 158)):
            several = {f"HumanEval_{number}_{language}": _several(number, seed, 50) for number in range(count)}
            run.judged(model, "multipl-e", language, several, text)
        several = {name: _several(int(name), seed, 40) for name in library_of}
        run.judged(model, "ds1000", None, several, text, libraries=library_of)

    def prompts(one: TaskSet) -> None:
        for name, task in one.tasks.items():
            task.prompt = "\n".join(
                program(f"prompt {name}", part) for part in range(2 if one.benchmark != "ds1000" else 4)
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drill, "_add_prompts", prompts)
        return run.report(tmp_path_factory.mktemp("full") / "report")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium of this machine; none is ever downloaded."""
    api = pytest.importorskip("playwright.sync_api")
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()
