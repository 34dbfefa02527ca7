"""Programs of DS-1000 that cheat, with the benchmark's own libraries and problems; and the cases with a verdict from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from magicoder_repro import benchmarks, environment, records, sandbox
from magicoder_repro.benchmarks.ds1000.environment import ENVIRONMENT
from magicoder_repro.benchmarks.ds1000.judge import Judge, draws, task_id

pytestmark = pytest.mark.sandbox

CASES = list(records.read_jsonl(Path(__file__).with_name("ds1000_cases.jsonl")))
Ask = Callable[[int, str], str]


@pytest.fixture(scope="module")
def tasks(data: Path) -> dict[str, records.Record]:
    """The 1,000 problems, where their environment is built."""
    if environment.built(ENVIRONMENT) is None:
        pytest.skip("the environment ds1000 is not built: make check-ds1000")
    return {task_id(task): task for task in benchmarks.get("ds1000").load("current", data=data).tasks}


@pytest.fixture(scope="module")
def ask(tasks: dict[str, records.Record], data: Path) -> Iterator[Ask]:
    """The status of one program of a problem."""
    with ExitStack() as stack:

        @functools.cache
        def judge(library: str) -> Judge:
            place = benchmarks.get("ds1000").load("current", data=data).path
            settings = {"tasks": str(place), "library": library, "environment": ENVIRONMENT}
            found = {**settings, "backend": sandbox.choose("auto"), "seconds": 60.0, "memory_mb": 4096}
            return stack.enter_context(Judge(found))

        def status(problem: int, code: str) -> str:
            library = tasks[str(problem)]["metadata"]["library"]
            return str(judge(library)({"task_id": str(problem), "program": code})["status"])

        yield status


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['problem_id']} {case['name']}")
def test_the_verdict_of_a_fresh_interpreter(case: records.Record, ask: Ask) -> None:
    assert (ask(case["problem_id"], case["completion"]) == "passed") is case["passed"]


YES = "ns = {{}}\nexec('def yes(self, *a, **k): return True', ns)\nyes = ns['yes']\nimport numpy as np\n"
# What a result of the program's own class may do to a test that asks it. `{name}`: what the test looks at.
ANSWERS = {
    "equal by code that is nobody's": "class A:\n    __eq__ = yes\n{name} = A()",
    "equal by an object that is called": (
        "class Yes:\n    def __call__(self, *_): return True\nclass A:\n    __eq__ = Yes()\n{name} = A()"
    ),
    "a number that answers": (
        "class A(float):\n    def no(self, *_): return 0.0\n    __array_ufunc__ = None\n    __sub__ = __rsub__ = no\n{name} = A(5)"
    ),
    "an array that answers": (
        "class A(np.ndarray):\n    __array_function__ = __array_ufunc__ = __eq__ = yes\n{name} = np.zeros(3).view(A)"
    ),
    "an object array that answers": (
        "class A:\n    __eq__ = __bool__ = yes\n    __sub__ = __rsub__ = lambda self, other: 0.0\n"
        "{name} = np.array([A()], dtype=object)"
    ),
    "a class that is another": "class A:\n    __class__ = property(lambda self: int)\n    __eq__ = yes\n{name} = A()",
}
# problem, and the name that its test looks at
ASKED = {350: "p_value", 441: "is_contained", 291: "result", 15: "result", 980: "cnt_equal"}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("problem", ASKED)
def test_a_result_does_not_judge_itself(problem: int, answer: str, ask: Ask) -> None:
    assert ask(problem, (YES + ANSWERS[answer]).format(name=ASKED[problem])) != "passed"


# What runs when the program has ended: it makes every comparison pass, if it comes into the process of the test.
PATCH = """
import numpy as np, sys, builtins
def patch(*_, **__):
    np.testing.assert_array_equal = lambda *a, **k: None
result = 'wrong'
"""
LATER = {
    "a collection": "import gc\ngc.callbacks.append(patch)\ngc.set_threshold(1)",
    "a trace": "def t(f, e, a):\n    patch()\n    return t\nsys.settrace(t)",
    "a trace of the frames": (
        "def t(f, e, a):\n    patch()\n    return t\nf = sys._getframe()\n"
        "while f:\n    f.f_trace = t\n    f = f.f_back\nsys.settrace(t)"
    ),
    "a profile": "sys.setprofile(patch)",
    "an audit hook": "sys.addaudithook(patch)",
    "a timer": "import signal\nsignal.signal(signal.SIGALRM, patch)\nsignal.setitimer(signal.ITIMER_REAL, 1e-5, 1e-5)",
    "a thread": (
        "import threading\nsys.setswitchinterval(1e-6)\ndef run():\n    while True: patch()\n"
        "threading.Thread(target=run, daemon=True).start()"
    ),
    "an end": (
        "class D:\n    def __del__(self): patch()\n    def __call__(self, *a, **k): pass\nnp.testing.assert_array_equal = D()"
    ),
    "a weak reference": (
        "import weakref\nclass D:\n    def __call__(self, *a, **k): pass\nnp.testing.assert_array_equal = D()\n"
        "w = weakref.ref(np.testing.assert_array_equal, patch)"
    ),
    "frames": "f = sys._getframe()\nwhile f:\n    result = f.f_locals.get('expected_result', result)\n    f = f.f_back",
    "the test's own functions": (
        "f = sys._getframe()\nwhile f:\n    make = f.f_globals.get('generate_test_case')\n    for k in (1, 2) if make else ():\n"
        "        i, e = make(k)\n        if np.array_equal(i, test_input): result = e\n    f = f.f_back"
    ),
}


@pytest.mark.parametrize("later", LATER)
def test_code_that_runs_later_does_not_reach_the_test(later: str, ask: Ask) -> None:
    assert ask(291, PATCH + LATER[later]) not in ("passed", "ended early")


REACHES = {
    "the memory of the test's process": "open(f'/proc/{os.getppid()}/mem', 'rb').close()",
    "its mappings": "open(f'/proc/{os.getppid()}/maps', 'rb').read(1)",
    "its descriptors": "os.listdir(f'/proc/{os.getppid()}/fd')",
    "the task": "open('task', 'rb').close()",
}


@pytest.mark.parametrize("reached", REACHES)
def test_nothing_of_the_test_is_within_reach(reached: str, ask: Ask) -> None:
    found = ask(291, f"import os\n{REACHES[reached]}\nresult = a.shape")
    assert found == ("FileNotFoundError" if reached == "the task" else "PermissionError")


def test_a_program_that_forks_answers_once(ask: Ask) -> None:
    assert ask(291, "import os\nos.fork()\nresult = a.shape") == "passed"


def test_a_case_is_made_before_the_program_could_change_its_files(ask: Ask) -> None:
    """Problem 908 reads its second case from a file in the folder of the program."""
    code = "open('test.csv', 'w').write('Sex\\n0\\n')\ntransformed_df = df.copy()\nif len(df) > 1:\n"
    code += "    from sklearn.preprocessing import LabelEncoder\n"
    code += "    transformed_df['Sex'] = LabelEncoder().fit_transform(df['Sex']) if 'Survived' in df else 0"
    assert ask(908, code) == "wrong"


# Solutions of problem 511 that draw nothing of what is wanted: a line with a legend.
FIGURES = {
    "nothing": "",
    "a link": "import os\nos.symlink('ans.png', 'output.png')",
    "a hard link": "import os\nos.link('ans.png', 'output.png')",
    "a folder": "import os\nplt.savefig = lambda *a, **k: 0\nos.mkdir('output.png')",
    "a pipe": "import os\nsetattr(plt, 'save' + 'fig', lambda *a, **k: 0)\nos.mkfifo('output.png')",
    "a copy": (
        "import glob, os, shutil\nfor n in glob.glob('*') + glob.glob('/tmp/*') + glob.glob('/box/.*'):\n"
        "    if os.path.isfile(n): shutil.copy(n, 'output.png')\nsetattr(plt, 'save' + 'fig', lambda *a, **k: 0)"
    ),
    "the wanted figure in memory": (
        "import gc\nfrom matplotlib.figure import Figure\nfor o in gc.get_objects():\n"
        "    if isinstance(o, Figure) and o.axes:\n        f = o\n        plt.gcf = plt.figure = lambda *a, **k: f\n"
        "        setattr(plt, 'save' + 'fig', f.savefig)"
    ),
    "the test in memory": (
        "import gc, types\nfor o in gc.get_objects():\n"
        "    if isinstance(o, types.FunctionType) and o.__name__ == 'generate_test_case':\n        o(1)\n"
        "        setattr(plt, 'save' + 'fig', lambda *a, **k: __import__('os').rename('ans.png', 'output.png'))"
    ),
    "an axes that says so": "from unittest import mock\nplt.gca = lambda: mock.MagicMock()",
    "a method of one axes": "from unittest import mock\nplt.gca().get_legend = lambda: mock.MagicMock()",
    "axes of another class": (
        "class A(type(plt.gca())):\n    def get_legend(self):\n        class L:\n"
        "            def get_texts(self): return [self]\n            def get_text(self): return 'x-y'\n        return L()\n"
        "plt.gca().__class__ = A"
    ),
    "the current figure": (
        "from unittest import mock\nfrom matplotlib import _pylab_helpers\n"
        "_pylab_helpers.Gcf.get_active = classmethod(lambda c: mock.MagicMock())"
    ),
}
SAYS = (
    "from unittest import mock\ndef patch(*_, **__):\n    plt.gca = lambda: LEGEND\nLEGEND = mock.MagicMock()\n"
    "LEGEND.get_legend().get_texts().__getitem__().get_text.return_value = 'x-y'\nimport sys, builtins\n"
)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_that_was_not_drawn_does_not_pass(figure: str, ask: Ask) -> None:
    assert ask(511, FIGURES[figure]) != "passed"


@pytest.mark.parametrize("later", ["a collection", "a trace", "a profile", "an audit hook", "a timer", "a thread"])
def test_code_that_runs_later_does_not_change_what_is_seen_of_a_figure(later: str, ask: Ask) -> None:
    assert ask(511, f"{SAYS}{LATER[later]}") != "passed"


@pytest.mark.parametrize(("luck", "passed"), [(0.6, 4), (0.43, 1)])
def test_an_unlucky_draw_does_not_decide(
    luck: float, passed: int, tasks: dict[str, records.Record], data: Path
) -> None:
    """Answers to problem 376 that are right when the first number after seeds 0 to 4 (0.549, 0.417, 0.436, 0.551, 0.967) is small."""
    settings = {
        "tasks": str(benchmarks.get("ds1000").load("current", data=data).path),
        "library": "Numpy",
        "environment": ENVIRONMENT,
    }
    code = (
        f"lucky = np.random.rand() < {luck} or size == 100\nnums = np.zeros(size)\nnums[:int(size * one_ratio)] = lucky"
    )
    with Judge({**settings, "backend": sandbox.choose("auto"), "seconds": 60.0, "memory_mb": 4096}) as judge:
        verdict = judge({"task_id": "376", "program": code})
        once = judge({"task_id": "291", "program": "result = a.shape"})
    assert verdict["draws"] == {"passed": passed, "of": 5} and verdict["passed"] is (passed >= 3)
    assert (verdict["status"] == "passed") is verdict["passed"] and "draws" not in once


def test_which_problems_are_judged_with_several_draws(tasks: dict[str, records.Record]) -> None:
    assert [name for name, task in tasks.items() if draws(task)] == ["0", "1", "376", "395", "396", "397"]
