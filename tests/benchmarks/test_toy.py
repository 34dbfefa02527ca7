"""A benchmark is added by one folder and one line of the registry: the toy beside this file, in a copy of the package, by the real
command line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from magicoder_repro import records
from magicoder_repro.environment import ROOT

pytestmark = pytest.mark.process
TOY = Path(__file__).parent / "toy"
RIGHT = {
    "Toy/0": "print(sum(map(int, input().split())))",
    "Toy/1": "print(input().upper())",
    "Toy/2": "import sys; print(len(sys.stdin.readlines()))",
}
STATUSES = {"passed": 3, "wrong output": 1, "error": 1, "timeout": 1}
"""Of `_samples`."""


@dataclass(frozen=True)
class Checkout:
    """A copy of this one with the toy in it."""

    root: Path

    def run(self, *words: str, python: bool = False) -> subprocess.CompletedProcess[str]:
        """`magicoder WORDS`, or a Python program, to its end."""
        command = [sys.executable, *(("-c",) if python else ("-m", "magicoder_repro.cli")), *words]
        return subprocess.run(command, env=self.variables, cwd=self.root, capture_output=True, text=True, timeout=400)

    def score(self, samples: Path, out: Path, *words: str) -> Any:
        """The result of `magicoder score toy`."""
        done = self.run("score", "toy", str(samples), "-o", str(out), *words)
        assert done.returncode == 0, done.stderr
        return records.read_json(out)

    @property
    def variables(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (str(self.root / "src"), os.environ.get("PYTHONPATH"))))
        return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    root = tmp_path_factory.mktemp("checkout")
    package = root / "src" / "magicoder_repro"
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "magicoder_repro", package, ignore=caches)
    for name in ("docker", "profiles", "results", ".envs"):
        if (ROOT / name).exists():
            (root / name).symlink_to(ROOT / name)
    shutil.copytree(TOY, package / "benchmarks" / "toy", ignore=caches)
    registry = package / "benchmarks" / "__init__.py"
    before = registry.read_text()
    after = before.replace("_HOMES = {\n", '_HOMES = {\n    "toy": "toy.benchmark:TOY",\n')
    assert len(after.splitlines()) == len(before.splitlines()) + 1
    registry.write_text(after)
    return Checkout(root)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Two samples a task: the right program, and one that is wrong, ends with an error, or does not end."""
    rows = [{"task_id": name, "completion": text} for name, text in RIGHT.items()]
    wrong = ("print(8)", "1/0", "while True: pass")
    rows += [{"task_id": name, "completion": text} for name, text in zip(RIGHT, wrong, strict=True)]
    records.write_jsonl(tmp_path / "samples.jsonl", rows)
    return tmp_path / "samples.jsonl"


def _untimed(result: Any) -> Any:
    for task in result["tasks"]:
        for sample in task["samples"]:
            assert sample.pop("seconds") >= 0
    return result


def test_the_toy_is_not_in_this_package() -> None:
    assert not (ROOT / "src" / "magicoder_repro" / "benchmarks" / "toy").exists()


def test_the_package_holds_the_tasks_of_a_new_benchmark(checkout: Checkout) -> None:
    """`package-data` of pyproject.toml names kinds of files, not benchmarks."""
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    package = checkout.root / "src" / "magicoder_repro"
    found = {path for pattern in patterns["magicoder_repro"] for path in package.glob(pattern)}
    assert package / "benchmarks" / "toy" / "toy.jsonl" in found


def test_help_and_errors_name_it(checkout: Checkout, tmp_path: Path, samples: Path) -> None:
    for command in ("score", "prompts"):
        assert "One of toy, minibench-humaneval" in " ".join(checkout.run(command, "--help").stdout.split())
    done = checkout.run("score", "tpy", str(samples), "-o", str(tmp_path / "o.json"))
    assert done.returncode == 2 and "did you mean 'toy'?" in done.stderr


def test_prompts(checkout: Checkout, tmp_path: Path) -> None:
    for style, last in (("magicoder", "```python\n"), ("completion", '."""\n')):
        out = tmp_path / f"{style}.jsonl"
        done = checkout.run("prompts", "toy", "--style", style, "-o", str(out))
        assert done.returncode == 0, done.stderr
        rows = list(records.read_jsonl(out))
        assert [row["task_id"] for row in rows] == list(RIGHT)
        assert all(row["prompt"].endswith(last) for row in rows) and "print their sum" in rows[0]["prompt"]


@pytest.mark.long
def test_a_score_here_and_on_ray_is_the_same(checkout: Checkout, tmp_path: Path, samples: Path) -> None:
    result = _untimed(checkout.score(samples, tmp_path / "here.json", "--k", "1,2"))
    assert result["benchmark"] == "toy" and result["dataset"]["name"] == "toy" and result["scorer"] == "standard output"
    assert result["metrics"] == {"pass@1": 50.0, "pass@2": 100.0} and result["statuses"] == STATUSES
    pytest.importorskip("ray", reason="ray is not installed")
    words = ("--executor", "ray", "--set", "executor.mem_per_cpu_gb=0.2", "--k", "1,2")
    assert _untimed(checkout.score(samples, tmp_path / "ray.json", *words)) == result


def test_a_killed_score_goes_on_where_it_was(checkout: Checkout, tmp_path: Path, samples: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "magicoder_repro.cli", "score", "toy", str(samples), "-o", str(out)]
    process = subprocess.Popen(
        [*command, "--workers", "1"], env=checkout.variables, cwd=checkout.root, stderr=subprocess.DEVNULL
    )
    answers = tmp_path / "out.json.work" / "answers" / "local.jsonl"
    while process.poll() is None and not (answers.is_file() and answers.read_bytes().count(b"\n") >= 2):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists(), "it ended before the kill"
    done = checkout.run(*command[3:])
    assert done.returncode == 0 and "of 6 programs were done before, going on" in done.stderr, done.stderr
    assert records.read_json(out)["statuses"] == STATUSES
    assert not (tmp_path / "out.json.work").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("call_seconds=2", "--set call_seconds=2: toy does not read it: one of executor, memory_mb, sandbox, workers"),
        ("memory=2", "--set memory=2: no such setting: did you mean 'memory_mb'?"),
    ],
)
def test_a_setting_that_it_does_not_read_is_refused(
    word: str, message: str, checkout: Checkout, tmp_path: Path, samples: Path
) -> None:
    done = checkout.run("score", "toy", str(samples), "-o", str(tmp_path / "o.json"), "--set", word)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.long
def test_the_stages_and_the_report_know_it(checkout: Checkout, model_folder: Path, tmp_path: Path) -> None:
    """A profile whose models are random weights, which answer nothing right, and somebody's answers, of which one is."""
    wrong = dict.fromkeys(RIGHT, "print()")
    first = next(iter(RIGHT))
    rows = [{"task_id": name, "completion": text} for name, text in (wrong | {first: RIGHT[first]}).items()]
    records.write_jsonl(tmp_path / "answers.jsonl", rows)
    content = {
        "description": "the toy",
        "models": {
            "random": {"source": str(model_folder), "dtype": "float32", "style": "completion"},
            "answers": {"samples": {"toy": str(tmp_path / "answers.jsonl")}},
        },
        "generation": {"dtype": "float32"},
        "evaluate": {"toy": {"max_new_tokens": 4, "batch": 2}},
        "scoring": {"workers": 1},
        "report": {"recorded": None, "comparable": False},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    done = checkout.run("run", "--profile", str(tmp_path / "toy.yaml"), "--runs", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    report = records.read_json(tmp_path / "run" / "report" / "report.json")
    found = [(row["key"], row["name"], round(row["value"], 1), row["paper"]) for row in report["rows"]]
    assert found == [
        ("toy.random.pass@1", "random: toy pass@1 (bare code)", 0.0, None),
        ("toy.answers.pass@1", "answers: toy pass@1", 33.3, None),
    ]
    result = records.read_json(tmp_path / "run" / "score" / "random" / "toy" / "toy.json")
    assert result["prompt"] == "completion" and result["decoding"]["max_new_tokens"] == 4
    assert done.stderr.count("done in") == 6  # weights, two models' answers and verdicts, the report
