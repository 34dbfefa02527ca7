"""Verdicts of DS-1000's own tests. The judge's logic runs on minibench in the core environment; with DS-1000's libraries
(`make check-ds1000`) every reference solution, wrong ones and hostile neighbours run on the real set."""

from __future__ import annotations

import functools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import benchmarks, environment, records, sandbox
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks.base import Dataset, File
from magicoder_repro.benchmarks.ds1000.benchmark import LibraryProblems
from magicoder_repro.benchmarks.ds1000.environment import ENVIRONMENT, closed, fewest, modules
from magicoder_repro.benchmarks.ds1000.judge import Judge, task_id
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Executor, Scoring
from magicoder_repro.report import rows
from magicoder_repro.score import bulk, run, stage

pytestmark = pytest.mark.sandbox

CONFIG = Scoring(workers=2)
MINI = benchmarks.get("minibench-ds1000").load()
IDS = {task["metadata"]["library"]: task_id(task) for task in MINI.tasks}
REFERENCE = {task_id(task): task["reference_code"] for task in MINI.tasks}
CHANGES = json.loads(Path(__file__).with_name("ds1000_wrong.json").read_text())
Ask = Callable[[str, str], str]


def _settings(library: str, **changes: Any) -> dict[str, Any]:
    found = {"tasks": str(MINI.path), "library": library, "environment": "core", "backend": sandbox.choose("auto")}
    return {**found, "seconds": 20.0, "memory_mb": 4096, **changes}


@contextmanager
def _judges(**changes: Any) -> Iterator[Ask]:
    """The status of one program of minibench, by library; a judge of each library serves all tests of a kind."""
    with ExitStack() as stack:

        @functools.cache
        def judge(library: str) -> Judge:
            return stack.enter_context(Judge(_settings(library, **changes)))

        yield lambda library, code: str(judge(library)({"task_id": IDS[library], "program": code})["status"])


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Judges with generous limits."""
    with _judges() as found:
        yield found


@pytest.fixture(scope="module")
def ask_strictly() -> Iterator[Ask]:
    """Judges with tight limits: importing matplotlib for the first time takes two seconds and more."""
    with _judges(seconds=4.0, memory_mb=2048) as found:
        yield found


@pytest.mark.parametrize("library", IDS)
def test_a_reference_passes_and_an_empty_solution_fails(library: str, ask: Ask) -> None:
    assert ask(library, REFERENCE[IDS[library]]) == "passed"
    assert ask(library, "") in ("wrong", "KeyError", "ValueError")


def test_a_forbidden_construct_is_caught_by_test_string(ask: Ask) -> None:
    assert ask("Numpy", REFERENCE[IDS["Numpy"]] + "\nfor _ in []: pass\n") == "forbidden"


LOOKS = """
import os, re, sys
def in_memory(pid):
    wanted = re.compile(rb'def test_executio[n]')
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as memory:
        for line in maps:
            if ' rw' not in line: continue
            begin, end = (int(x, 16) for x in line.split()[0].split('-'))
            try: memory.seek(begin); content = memory.read(end - begin)
            except (OSError, ValueError, OverflowError): continue
            if wanted.search(content): return True
    return False
def frames():
    f = sys._getframe()
    while f: yield f; f = f.f_back
try: reached = LOOK
except OSError: reached = False
assert reached
"""
REACHED = {
    "the memory": "in_memory('self')",
    "the memory of the test's process": "in_memory(os.getppid())",
    "the frames": "any('test_' + 'execution' in repr(v)[:100000] for f in frames() for v in f.f_locals.values())",
}


@pytest.mark.parametrize("reached", REACHED)
def test_the_test_is_not_within_reach(reached: str, ask: Ask) -> None:
    """Right answers, where something of the test can be reached."""
    code = f"{LOOKS.replace('LOOK', REACHED[reached])}\n{REFERENCE[IDS['Numpy']]}"
    assert ask("Numpy", code) == "wrong"


FDS = "import os\nfor fd in range(1, 64):\n    try: os.write(fd, {content})\n    except OSError: pass\n"
CHEATS = {
    "exit": ("Numpy", "import sys\nsys.exit(0)", "SystemExit"),
    "exit at once": ("Numpy", "import os\nos._exit(0)", "ended early"),
    "exit in the comparison": (
        "Numpy",
        "import os\nclass A:\n    @property\n    def __array_interface__(self): os._exit(0)\nresult = A()",
        "wrong",  # nobody asks it
    ),
    "a printed verdict": ("Numpy", "import os\nprint('P' * 40)\nos.write(1, b'P' * 33)\nos._exit(0)", "ended early"),
    "a forged verdict": ("Numpy", FDS.format(content="b'P' + b'0' * 32") + "os._exit(0)", "ended early"),
    "a forged name": ("Numpy", FDS.format(content="b'Epassed'") + "os._exit(0)", "ended early"),
    "an exception named passed": ("Numpy", "raise type('passed', (Exception,), {})", "an exception named passed"),
    "a program that replaces itself": ("Numpy", "import os\nos.execv('/bin/true', ['true'])", "ended early"),
    "a killed judge": ("Numpy", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "signal"),
    "numpy.testing": ("Numpy", "np.testing.assert_array_equal = lambda *a, **k: None\nresult = 1", "wrong"),
    "a module in the place of numpy.testing": (
        "Numpy",
        "import types\nnp.testing = types.SimpleNamespace(assert_array_equal=lambda *a: None)\nresult = 1",
        "wrong",
    ),
    "numpy.allclose": ("Scipy", "np.allclose = lambda *a, **k: True\nresult = 1", "wrong"),
    "pandas.testing": (
        "Pandas",
        "import pandas.testing\npd.testing.assert_frame_equal = lambda *a, **k: None\ndf = 1",
        "wrong",
    ),
    "torch.testing": ("Pytorch", "torch.testing.assert_close = lambda *a, **k: None\nresult = 1", "wrong"),
    "the test's own function": (
        "Numpy",
        "import sys\nf = sys._getframe()\nwhile f:\n    for n in ('exec_test', 'test_string'):\n"
        "        if n in f.f_globals: f.f_globals[n] = lambda *a: 1\n    f = f.f_back\nresult = 1",
        "wrong",
    ),
    "builtins": ("Scipy", "import builtins\nbuiltins.AssertionError = SystemError\nresult = 1", "wrong"),
    "builtins that mending needs": (
        "Numpy",
        "import builtins\nbuiltins.vars = builtins.list = builtins.any = lambda *a: {}\n"
        "np.testing.assert_array_equal = lambda *a, **k: None\nresult = 1",
        "error",
    ),
    "a result that is equal to all": (
        "Numpy",
        "class A(np.ndarray):\n    def __eq__(self, other): return np.ones(self.shape, bool)\n"
        "result = np.zeros_like(a).view(A)",
        "wrong",
    ),
    "a mock that is equal to all": ("Numpy", "from unittest.mock import ANY\nresult = ANY", "wrong"),
    "an array of what is equal to all": (
        "Numpy",
        "class A:\n    def __eq__(self, other): return True\nresult = np.array([A()] * len(a), dtype=object)",
        "wrong",
    ),
    "another code for numpy.testing": (
        "Numpy",
        "np.testing.assert_array_equal.__code__ = (lambda *a, **k: None).__code__\nresult = 1",
        "wrong",
    ),
    "another code for what numpy.testing wraps": (
        "Numpy",
        "f = np.testing.assert_array_equal\nf = getattr(f, '__wrapped__', f)\n"
        "f.__code__ = (lambda *a, **k: None).__code__\nresult = 1",
        "wrong",
    ),
    "the figure of the test": (
        "Matplotlib",
        "import os, shutil\nplt.gcf().__class__.savefig = plt.__dict__['save' + 'fig'] = "
        "lambda *a, **k: shutil.copy('ans.png', 'output.png')",
        "wrong",
    ),
    "an axes that says what is wanted": (
        "Matplotlib",
        "from unittest import mock\nplt.gca = lambda: mock.MagicMock()",
        "wrong",
    ),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheap_cheat_does_not_pass(cheat: str, ask: Ask) -> None:
    library, code, status = CHEATS[cheat]
    assert ask(library, code) == status


BOTHERSOME = {
    "a loop without end": ("while True: pass", "timeout"),
    "a sleep without end": ("import time\ntime.sleep(10**6)", "timeout"),
    "a gigabyte of output": (
        "text = 'x' * 2**24\nfor _ in range(64): print(text)\n{reference}",
        "forbidden",
    ),
    "much output by a child": ("import os\nos.system('head -c 1000000000 /dev/zero')\n{reference}", "passed"),
    "a window": ("import tkinter\ntkinter.Tk()\n{reference}", None),
    "a shown figure": ("import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\n{reference}", "passed"),
    "a question": ("input()\n{reference}", "EOFError"),
    "memory": ("x = np.ones(10**10)\n{reference}", "MemoryError"),
    "not Python": ("def", "SyntaxError"),
    "half a character": ("result = '\ud800'", "UnicodeEncodeError"),
    "a null character": ("result = '\0'", "SyntaxError"),
    "nesting": ("(" * 5000 + ")" * 5000, "SyntaxError"),
}


@pytest.mark.parametrize("name", BOTHERSOME)
def test_a_bothersome_solution_gets_a_verdict(name: str, ask_strictly: Ask) -> None:
    code, status = BOTHERSOME[name]
    found = ask_strictly("Numpy", code.format(reference=REFERENCE[IDS["Numpy"]]))
    assert found == status or (status is None and found != "passed")
    assert ask_strictly("Numpy", REFERENCE[IDS["Numpy"]]) == "passed"


NEIGHBOUR = """
import builtins, json, os, random, sys
import numpy, pandas
numpy.random.seed(7)
random.seed(7)
numpy.array = numpy.array_equal = numpy.testing.assert_array_equal = numpy.allclose = lambda *a, **k: None
numpy.set_printoptions(precision=1)
numpy.seterr(all="raise")
pandas.set_option("display.max_rows", 1, "mode.chained_assignment", "raise")
pandas.DataFrame.__init__ = pandas.testing.assert_frame_equal = lambda *a, **k: None
if "matplotlib" in sys.modules:
    import matplotlib.pyplot as plt
    matplotlib = sys.modules["matplotlib"]
    matplotlib.rcParams.update({"figure.dpi": 7, "axes.facecolor": "black"})
    plt.figure()
for name in ("ans.png", "output.png", "numpy.py", "task", "/tmp/numpy.py", "sitecustomize.py"):
    open(name, "w").write("raise SystemExit")
os.environ.update(PYTHONPATH="/tmp", SEABORN_DATA="/nowhere")
if "torch" in sys.modules:
    sys.modules["torch"].set_default_dtype(sys.modules["torch"].float64)
builtins.len = lambda *a: 0
"""


@pytest.mark.parametrize("library", IDS)
def test_a_hostile_neighbour_changes_no_verdict(library: str, ask: Ask) -> None:
    wrong = "import numpy\n"
    before = [ask(library, code) for code in (REFERENCE[IDS[library]], wrong)]
    assert ask(library, NEIGHBOUR) != "passed"
    assert [ask(library, code) for code in (REFERENCE[IDS[library]], wrong)] == before == ["passed", before[1]]


def test_random_numbers_are_the_same_each_time(ask: Ask) -> None:
    code = f"if np.random.rand() < 0.5: raise KeyError\n{REFERENCE[IDS['Numpy']]}"
    assert {ask("Numpy", code) for _ in range(4)} == {"passed"}


def test_without_isolation_the_verdicts_are_the_same() -> None:
    with Judge(_settings("Numpy", backend="none")) as judge:
        codes = (REFERENCE[IDS["Numpy"]], "result = a", "import os; os._exit(0)")
        found = [judge({"task_id": IDS["Numpy"], "program": code})["status"] for code in codes]
    assert found == ["passed", "wrong", "ended early"]


def test_half_a_character_is_judged_as_it_is(tmp_path: Path) -> None:
    """As in the benchmark: it is no text that Python compiles, also where it would do nothing."""
    sample = {"problem_id": IDS["Numpy"], "completion": f"{REFERENCE[IDS['Numpy']]}\n# \ud800"}
    result = _score(MINI, [sample], tmp_path / "work")
    assert result["statuses"] == {"UnicodeEncodeError": 1}


PLAIN = {
    "annotations that name nothing": "def f(x: Nothing): pass",
    "its frame's depth": "import sys\nf, n = sys._getframe(), 0\nwhile f: f, n = f.f_back, n + 1\n"
    "assert sys.getrecursionlimit() - n == 997",
    "__name__": "assert __name__ == 'builtins', __name__",
    "the main module": "import __main__\nassert not hasattr(__main__, '__file__') and not hasattr(__main__, 'serve')",
    "our modules": "import sys\nassert not {'guest', 'pid1', 'program', 'tester', 'values', 'frames'} & set(sys.modules)",
    "arguments": "import sys\nassert sys.argv == ['-c']",
    "site's names": "for name in ('exit', 'quit', 'help', 'copyright', 'credits', 'license'): assert callable(eval(name))",
    "variables": "import os\nassert not [name for name in os.environ if name.startswith('DS1000')]",
    "descriptors": "import os\nn = os.dup(0)\nos.close(n)\nassert n == 3, n",
    "folder": "import os\nassert os.listdir('.') == ['.tmp'] or os.environ['HOME'] != '/box', os.listdir('.')",
    "names": "assert set(globals()) <= {'test_input', '__builtins__', 'pd', 'df'}, sorted(globals())",
    "a module of its own": "open('mine.py', 'w').write('x = 1')\nimport mine\nassert mine.x == 1",
    "a fork": "import os\npid = os.fork()\nif pid == 0: os._exit(0)\nassert os.waitpid(pid, 0)[1] == 0",
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_program_feels_a_plain_interpreter(name: str, ask: Ask) -> None:
    found = ask("Pandas", f"{PLAIN[name]}\n{REFERENCE[IDS['Pandas']]}")
    assert found == ("NameError" if name == "annotations that name nothing" else "passed")


PACKAGES = {
    "unreadable": (
        "",
        r"core does not work inside the sandbox \w+ \(PermissionError\): every user .* chmod -R go\+rX ",
    ),
    "broken": ("raise ImportError('libmissing.so: no such file')", "core: ImportError: libmissing.so: no such file"),
}


@pytest.mark.parametrize("package", PACKAGES)
def test_an_environment_that_does_not_work_inside_is_no_verdict(package: str, tmp_path: Path) -> None:
    if package == "unreadable" and not sandbox.warm.view.privileged():
        pytest.skip("an ordinary user's programs have the user's own rights")
    source, message = PACKAGES[package]
    (tmp_path / "packages" / "ours").mkdir(parents=True)
    (tmp_path / "packages" / "ours" / "__init__.py").write_text(source)
    context = "import ours\n" + MINI.tasks[0]["code_context"]
    (tmp_path / "tasks.jsonl").write_text(json.dumps({**MINI.tasks[0], "code_context": context}) + "\n")
    (tmp_path / "packages" / "ours").chmod(0o700 if package == "unreadable" else 0o755)
    with Judge(_settings("Pandas", tasks=str(tmp_path / "tasks.jsonl"))) as judge:
        judge._home.readonly = (*judge._home.readonly, tmp_path / "packages")
        judge._home.packages = f"{judge._home.packages}:{tmp_path / 'packages'}"
        with pytest.raises(UsageError, match=message) as caught:
            judge({"task_id": IDS["Pandas"], "program": REFERENCE[IDS["Pandas"]]})
    assert "\n" not in str(caught.value)


def _score(
    dataset: Dataset, samples: list[dict[str, Any]], folder: Path, home: str = "core", config: Scoring = CONFIG
) -> dict[str, Any]:
    file = File(dataset.name, dataset.version, str(dataset.path))
    benchmark = LibraryProblems("ds1000", {"paper": file}, {"paper": home})
    return run.score(benchmark, {None: dataset}, {None: samples}, config, "paper", "test", folder).to_json()


def test_several_samples_a_problem_and_work_that_goes_on(tmp_path: Path) -> None:
    right = {"problem_id": int(IDS["Numpy"]), "completion": REFERENCE[IDS["Numpy"]]}
    wrong = {"task_id": IDS["Numpy"], "completion": "result = a"}
    other = {"problem_id": IDS["Pandas"], "completion": "x = 1"}
    result = _score(MINI, [right, wrong, other, right, right], tmp_path / "work")
    assert result["metrics"] == {"pass@1": 37.5} and result["libraries"]["Numpy"] == {
        "metrics": {"pass@1": 75.0},
        "tasks": 1,
    }
    assert (result["programs"]["samples"], result["programs"]["distinct"]) == (5, 3)
    assert [row["passed"] for row in result["tasks"][1]["samples"]] == [True, False, True, True]
    assert set(result["tasks"][0]["samples"][0]) == {"passed", "passed_plus", "status", "seconds"}
    (numpy,) = (tmp_path / "work").glob("Numpy/answers/*")
    numpy.write_bytes(numpy.read_bytes()[:-5])  # a kill tore the line
    for path in (tmp_path / "work").glob("Pandas/answers/*"):
        path.unlink()
        with records.Journal(path, bulk._Job.read(path.parents[1]).identity) as journal:
            verdict = {"passed": True, "passed_plus": None, "status": "kept", "seconds": 0.0}
            journal.add({"number": 0, "answer": verdict})
    again = _score(MINI, [right, wrong, other, right, right], tmp_path / "work")
    assert again["tasks"][0]["samples"][0]["status"] == "kept"  # done before: not judged again
    assert [row["passed"] for row in again["tasks"][1]["samples"]] == [True, False, True, True]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([{"problem_id": 6, "completion": ""}], r"1 problem ids are not in the set \(0 to 5\): 6: remove them"),
        ([{"problem_id": -1, "completion": ""}], "not in the set"),
        ([{"problem_id": "abc", "completion": ""}], "not in the set"),
        ([{"problem_id": True, "completion": ""}], "sample 1 has no 'problem_id'"),
        ([{"problem_id": 0, "completion": ""}, {"completion": ""}], "sample 2 has no 'problem_id'"),
        ([{"problem_id": 0}], "a sample of 0 has no 'completion'"),
        ([{"problem_id": 0, "completion": ["x"]}], "a sample of 0: the field 'completion' is not text"),
        ([], "no sample of a task that is in the set"),
    ],
)
def test_wrong_samples_are_one_line(samples: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        _score(MINI, samples, tmp_path / "work")


def test_the_command_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    command = [str(Path(sys.prefix, "bin", "magicoder")), "score", "minibench-ds1000"]
    for content, message in (
        (b'{"problem_id": 0, "completion": "\xff"}\n', "bad.jsonl:1: not JSON"),
        (b'{"problem_id": 1000, "completion": ""}\n', "bad.jsonl: 1 problem ids are not in the set (0 to 5): 1000"),
        (b"", "no sample in it"),
        (b"[1]\n", "not a JSON object"),
    ):
        (tmp_path / "bad.jsonl").write_bytes(content)
        arguments = [*command, str(tmp_path / "bad.jsonl"), "-o", str(tmp_path / "out.json")]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert not (tmp_path / "out.json").exists()


def test_the_stage_has_a_gap_where_the_environment_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "built", lambda _: None)
    about = {
        "benchmark": "minibench-ds1000",
        "protocol": "paper",
        "language": None,
        "dataset": MINI.identity,
        "tasks": 6,
        "of": 6,
        "prompt": "magicoder",
        "decoding": {},
    }
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "benchmarks.json").write_text(json.dumps({"minibench-ds1000": about}))
    config = {"benchmark": "minibench-ds1000", "protocol": "paper", "label": "test", "scoring": {"workers": 1}}
    work = Work(tmp_path / "out", {"samples": tmp_path / "in"}, config)
    stage.build(work)
    (row,) = map(json.loads, (tmp_path / "out" / "summary.jsonl").read_text().splitlines())
    assert row["gap"].startswith("the environment ds1000 is not built: make .envs/ds1000/.ready")
    assert work.counts["gaps"] == 1


def test_the_reports_rows_stand_beside_table_3(tmp_path: Path) -> None:
    found = {"benchmark": "ds1000", "family": "ds1000", "subset": None, "protocol": "paper"}
    found |= {"tasks": 1000, "of": 1000, "prompt": "magicoder", "gap": None}
    libraries = {"Sklearn": {"metrics": {"pass@1": 23.0}, "tasks": 115}}
    found |= {"scorer": "DS-1000's own tests, original release, environment ds1000-original (0123abcd)"}
    line = json.dumps({**found, "metrics": {"pass@1": 30.0}, "libraries": libraries})
    (tmp_path / "summary.jsonl").write_text(line + "\n")
    model = {"label": "Magicoder", "paper": "Magicoder-CL-7B", "trained": True}
    reported = rows.scores(tmp_path, "magicoder", model)
    assert reported[-1].name.endswith(f"pass@1, protocol paper: {found['scorer']}")
    paper = {row.key: row.paper for row in reported}
    assert paper == {"ds1000.magicoder.Sklearn": 22.6, "ds1000.magicoder.pass@1": 29.9}


def test_modules_that_a_context_imports() -> None:
    text = "import numpy as np, pandas as pd\n  from sklearn import svm, tree as t\nfrom x.y import z\nimportant = 1\n"
    expected = ["numpy", "pandas", "sklearn", "sklearn.svm", "sklearn.tree", "x.y", "x.y.z"]
    assert [name for name in modules([text]) if name] == expected


def test_interpreters_that_have_imported_the_same_are_the_same() -> None:
    one = fewest(["pickle", "numpy", "scipy", "scipy.stats", "", "pandas"])
    assert one == fewest(["pandas", "scipy.stats"]) == ("pandas", "scipy.stats")
    assert closed(one) == {"numpy", "pandas", "scipy", "scipy.stats"}
    assert fewest(["seaborn", "matplotlib.pyplot", "pandas", "sys", "parser"]) == ("seaborn",)
    assert fewest(["sklearn.svm", "scipy.sparse"]) == ("sklearn.svm",) != fewest(["sklearn", "scipy.stats"])


# With DS-1000's own libraries and the real set.


@pytest.fixture(scope="module")
def real(data: Path) -> Dataset:
    """The 1,000 problems, where their environment is built."""
    if environment.built(ENVIRONMENT) is None:
        pytest.skip("the environment ds1000 is not built: make check-ds1000")
    return benchmarks.get("ds1000").load("current", data=data)


def _references(dataset: Dataset) -> list[dict[str, Any]]:
    return [{"problem_id": task_id(task), "completion": task["reference_code"]} for task in dataset.tasks]


def _statuses(result: dict[str, Any]) -> dict[str, str]:
    return {task["task_id"]: task["samples"][0]["status"] for task in result["tasks"]}


def test_every_reference_solution_passes(real: Dataset, tmp_path: Path) -> None:
    result = _score(real, _references(real), tmp_path / "work", ENVIRONMENT)
    failed = {name: status for name, status in _statuses(result).items() if status != "passed"}
    missing = {"819": "no table cal_housing"} if "819" in result["missing_tables"] else {}
    assert failed == missing and len(result["tasks"]) == 1000
    counts = {library: found["tasks"] for library, found in result["libraries"].items()}
    assert counts == {
        "Pandas": 291,
        "Numpy": 220,
        "Matplotlib": 155,
        "Tensorflow": 45,
        "Scipy": 106,
        "Sklearn": 115,
        "Pytorch": 68,
    }


@pytest.mark.parametrize("kind", ["wrong", "forbidden"])
def test_changed_reference_solutions_fail(kind: str, real: Dataset, tmp_path: Path) -> None:
    samples, libraries = [], set()
    for number, old, new in CHANGES[kind]:
        task = real.tasks[number]
        assert old in task["reference_code"]
        samples.append({"problem_id": number, "completion": task["reference_code"].replace(old, new)})
        libraries.add(task["metadata"]["library"])
    assert len(samples) >= {"wrong": 60, "forbidden": 20}[kind]
    assert len(libraries) == {"wrong": 7, "forbidden": 6}[kind]  # Matplotlib has no `test_string`
    found = _statuses(_score(real, samples, tmp_path / "work", ENVIRONMENT))
    assert "passed" not in found.values()
    if kind == "forbidden":
        assert set(found.values()) == {"forbidden"}


def test_order_and_neighbours_change_no_verdict(real: Dataset, tmp_path: Path) -> None:
    """Every 20th problem, right and wrong, in order; then shuffled, with a hostile program before each."""
    some = replace(real, tasks=real.tasks[::20])
    plain = [*_references(some), *({"problem_id": task_id(task), "completion": "x = 1"} for task in some.tasks)]
    hostile = [{"problem_id": task_id(task), "completion": NEIGHBOUR} for task in some.tasks]
    before = _score(some, plain, tmp_path / "one", ENVIRONMENT)
    shuffled = random.Random(0).sample(plain, len(plain))
    mixed = [row for pair in zip(hostile * 2, shuffled, strict=True) for row in pair]
    config = Scoring(workers=1, executor=Executor(shard=1000))
    after = _score(some, mixed, tmp_path / "two", ENVIRONMENT, config)
    for task in some.tasks:
        name = task_id(task)
        mine = [row["completion"] for row in mixed if row["problem_id"] == name]
        verdicts = dict(zip(mine, _of(after, name), strict=True))
        assert verdicts.pop(NEIGHBOUR)["passed"] is False
        ours = dict(zip((task["reference_code"], "x = 1"), _of(before, name), strict=True))
        assert {code: row["status"] for code, row in verdicts.items()} == {
            code: row["status"] for code, row in ours.items()
        }


def _of(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(task["samples"] for task in result["tasks"] if task["task_id"] == name)
    return found


def test_problems_with_random_numbers_are_stable_over_three_runs(real: Dataset, tmp_path: Path) -> None:
    tasks = [
        task
        for task in real.tasks
        if "rand" in task["reference_code"] or ("rand" in task["code_context"] and "seed" not in task["code_context"])
    ]
    some = replace(real, tasks=tasks)
    runs = [_score(some, _references(some), tmp_path / str(number), ENVIRONMENT) for number in range(3)]
    assert len(tasks) > 100
    assert [_statuses(result) for result in runs] == [dict.fromkeys(map(task_id, tasks), "passed")] * 3
