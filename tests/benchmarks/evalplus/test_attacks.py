"""Programs that attack the judge do not pass, values that would deceive it are compared as EvalPlus compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from judged import of_equal_tasks, only, score

from magicoder_repro import benchmarks, sandbox
from magicoder_repro.benchmarks.base import PROTOCOLS, Dataset
from magicoder_repro.profile import Scoring

pytestmark = pytest.mark.sandbox


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
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task = dataset.tasks[0]
    samples = []
    for number, code in enumerate(ATTACKS.values()):
        samples.append({"task_id": task["task_id"], "solution": code})
        honest = task["canonical_solution"] + f"# {number}\n"
        samples.append({"task_id": task["task_id"], "completion": honest})
    config = Scoring(workers=2, call_seconds=0.5, program_seconds=2.0, memory_mb=1024)
    rows = score(dataset, samples, config)["tasks"][0]["samples"]
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
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task_id = dataset.tasks[0]["task_id"]
    samples = [{"task_id": task_id, "solution": ATTACKS["patched marshal"]}]
    samples.append({"task_id": task_id, "completion": dataset.tasks[0]["canonical_solution"]})
    config = Scoring.model_validate({"workers": 1, "sandbox": backend})
    result = score(dataset, samples, config)
    assert [row["passed"] for row in result["tasks"][0]["samples"]] == [False, True]
    assert result["sandbox"] == backend


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
    result = score(dataset, samples, protocol=protocol)
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
    result = score(Dataset("greedy", "1", tmp_path.name, tasks, path), samples, Scoring(workers=1), "current")
    assert [task["samples"][0]["passed_plus"] for task in result["tasks"]] == [False, True]


@pytest.mark.timing
def test_a_program_near_its_limit_is_run_again_alone_and_one_far_over_it_is_not() -> None:
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task_id = dataset.tasks[0]["task_id"]
    burn = (
        "import time\ndef subtract(a, b):\n    end = time.process_time() + {}\n"
        "    while time.process_time() < end: pass\n    return a - b"
    )
    config = Scoring(workers=2, call_seconds=1.0)  # of which a busy machine takes 1.2
    samples = [{"task_id": task_id, "solution": burn.format(seconds)} for seconds in (0.02, 1.06, 9.0)]
    quick, near, far = score(dataset, samples, config)["tasks"][0]["samples"]
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
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task_id = dataset.tasks[0]["task_id"]
    samples = [{"task_id": task_id, "solution": code} for code in OVER_THE_LIMIT.values()]
    samples.append({"task_id": task_id, "solution": OVER_THE_LIMIT["sleeps"].replace("1.2", "0.05")})
    *late, quick = score(dataset, samples, Scoring(workers=2, call_seconds=0.4))["tasks"][0]["samples"]
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
    dataset = of_equal_tasks(tmp_path, "    return x\n", [[number] for number in range(12)], [[1]])
    code = "import time\ndef f(x):\n    end = time.process_time() + 0.3\n    while time.process_time() < end: pass\n    return x\n"
    config = Scoring(workers=1, call_seconds=0.6, program_seconds=1.0)
    (row,) = score(dataset, [{"task_id": "T/0", "solution": code}], config, protocol)["tasks"][0]["samples"]
    assert (row["passed"], row["status"]) == (passed, "passed" if passed else "timeout")


def test_recursion_ends_where_it_ends_in_evalplus() -> None:
    """evalplus 0.2.0 leaves 973 levels of 1,000 to the candidate."""
    dataset = only(benchmarks.get("minibench-humaneval").load(), "subtract")
    task_id = dataset.tasks[0]["task_id"]
    code = "def deep(n): return 0 if n == 1 else deep(n - 1)\ndef subtract(a, b):\n    deep({})\n    return a - b"
    samples = [{"task_id": task_id, "solution": code.format(depth)} for depth in (973, 974)]
    verdicts = score(dataset, samples)["tasks"][0]["samples"]
    assert [row["status"] for row in verdicts] == ["passed", "RecursionError"]
