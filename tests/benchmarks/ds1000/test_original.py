"""DS-1000's original release: its data, however it is packed, and its judge. The judge's logic runs on a few problems of the same
layout in the core environment; with that release's libraries (`make check-ds1000`) every reference solution and wrong ones run on
the real set."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import serving

from magicoder_repro import benchmarks, environment, records, sandbox
from magicoder_repro.benchmarks import base
from magicoder_repro.benchmarks.ds1000 import original
from magicoder_repro.benchmarks.ds1000.environment import ORIGINAL_ENVIRONMENT
from magicoder_repro.benchmarks.ds1000.judge import task_id
from magicoder_repro.benchmarks.ds1000.original_judge import Judge, assertions, draws, program, without_ends
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Scoring
from magicoder_repro.score import run

DS1000 = benchmarks.get("ds1000")
CHANGES = json.loads(Path(__file__).with_name("ds1000_wrong.json").read_text())


@pytest.fixture(scope="session")
def archive(data: Path) -> Path:
    """The data as they lie on this machine, packed."""
    found = data / original.FOLDER / "completion.tar.xz"
    if not found.is_file():
        pytest.skip(f"{found} is not here")
    return found


@pytest.fixture(scope="session")
def folder(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, unpacked by this package."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MAGICODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        return original.find(archive.parents[1])[0]


# the data


def _zip(folder: Path, packed: Path) -> None:
    packed.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(packed, "w") as opened:
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file():
                opened.write(path, f"ds1000_data/{path.relative_to(folder)}")
        opened.writestr("ds1000_data/Pandas/Insertion/q0/prompt.txt", "left out")
        opened.writestr("../outside.txt", "left out")


def test_the_data_are_the_pinned_ones_however_they_are_packed(archive: Path, folder: Path, tmp_path: Path) -> None:
    packed = tmp_path / "ds1000_data.zip"
    _zip(folder, packed)
    found = [original.tree_sha256(folder), original.archive_sha256(archive), original.archive_sha256(packed)]
    assert found == [original.SHA256] * 3


def test_an_archive_is_unpacked_once_and_again_when_damaged(
    archive: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGICODER_CACHE", str(tmp_path))
    kept = tmp_path / original.FOLDER / environment.file_sha256(archive)[:16]
    shutil.copytree(folder, kept)
    damaged = kept / "Numpy" / "Completion" / "q0" / "ans" / "ans1.pkl"
    damaged.write_bytes(b"other")
    original._found_whole.discard(kept)
    assert original.find(archive.parents[1]) == (kept, original.SHA256)
    stamp = damaged.stat().st_mtime_ns
    original._found_whole.discard(kept)
    assert original.find(archive.parents[1])[0] == kept and damaged.stat().st_mtime_ns == stamp
    assert damaged.read_bytes() == (folder / damaged.relative_to(kept)).read_bytes()
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, f"{kept.name}.lock"}  # nothing half unpacked


def test_a_folder_is_taken_as_it_is_and_another_one_refused(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / original.FOLDER
    shutil.copytree(folder, home / "ds1000_data")
    problem = home / "ds1000_data" / "Numpy" / "Completion" / "q0"
    (problem.parent / ".DS_Store").touch()
    for name in ("result", "ans.bak", "__pycache__"):  # what stands there by chance is nobody's
        (problem / name).mkdir()
        (problem / name / "ans1.pkl").touch()
    tasks = original.tasks(home / "ds1000_data", ["Numpy"])
    assert len(tasks) == 220
    shown = {name.partition("/")[0] for name in original.files(home / "ds1000_data", tasks[0])[0]}
    assert shown == {".cfg", "code_context.txt", "prompt.txt", "input"}
    assert original.find(tmp_path) == (home / "ds1000_data", original.SHA256)
    (home / "ds1000_data" / "Numpy" / "Completion" / "q0" / "prompt.txt").write_text("another")
    with pytest.raises(UsageError, match="not the original release of DS-1000: the hash over its files is"):
        original.find(tmp_path)


def _tar(path: Path, *members: tuple[str, bytes, str | None]) -> None:
    """Members: name, content, and where a link leads."""
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:xz") as opened:
        for name, content, link in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if link is not None:
                member.type, member.linkname, member.size = tarfile.SYMTYPE, link, 0
            opened.addfile(member, io.BytesIO(content))


CFG = "ds1000_data/Numpy/Completion/q0/.cfg"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(CFG, b"", "/etc/passwd")], "is a link or too large"),
        ([(CFG, b"x", None)], "not the original release of DS-1000: the hash over its files"),
        ([("../../x", b"x", None), ("/etc/x", b"x", None)], "not the original release of DS-1000: the hash over its files"),
        (None, "damaged, or not an archive"),
    ],
)  # fmt: skip
def test_an_archive_of_something_else_is_one_line(
    members: list[tuple[str, bytes, str | None]] | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGICODER_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "data" / original.FOLDER / "completion.tar.xz"
    if members is None:
        place.parent.mkdir(parents=True)
        place.write_bytes(b"\xfd7zXZ\0\0\0")
    else:
        _tar(place, *members)
    with pytest.raises(UsageError, match=message) as caught:
        original.find(tmp_path / "data")
    assert "\n" not in str(caught.value) and str(place) in str(caught.value)
    assert [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]
    assert not (tmp_path / "x").exists()


def test_the_data_are_fetched_once_and_checked(
    archive: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGICODER_CACHE", str(tmp_path / "cache"))
    served = tmp_path / "served"
    _zip(folder, served / "right.zip")
    (served / "wrong.zip").write_bytes((served / "right.zip").read_bytes()[:-100])
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(served))
    with serving(handler) as home:
        for name in ("wrong", "right"):
            url = f"{home}/{name}.zip"
            moved = dataclasses.replace(DS1000.protocol("paper").files[None], url=url)
            monkeypatch.setitem(DS1000.protocols, "paper", base.Protocol({None: moved}))  # type: ignore[arg-type]
            if name == "wrong":
                with pytest.raises(UsageError, match="damaged, or not an archive"):
                    base.fetch(DS1000, "paper", tmp_path / "data")
                assert not (tmp_path / "data").exists()
        fetched = base.fetch(DS1000, "paper", tmp_path / "data")
    assert fetched == tmp_path / "data" / original.FOLDER / "ds1000_data.zip"
    assert base.fetch(DS1000, "paper", tmp_path / "data") == original.find(tmp_path / "data")[0]
    assert len(DS1000.load(data=tmp_path / "data").tasks) == 1000


def test_where_the_data_are_missing_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="or run `magicoder fetch ds1000`"):
        DS1000.load(data=tmp_path)


def test_the_problems_are_those_of_the_simplified_release_in_its_order(folder: Path, data: Path) -> None:
    tasks, others = original.tasks(folder), DS1000.load("current", data=data).tasks
    for key in ("problem_id", "library", "library_problem_id"):
        assert [task["metadata"][key] for task in tasks] == [task["metadata"][key] for task in others]
    differ = [task_id(task) for task, other in zip(tasks, others, strict=True) if task["prompt"] != other["prompt"]]
    assert differ == ["547", "629", "660", "716", "819", "897", "898"]


def test_prompts_are_those_of_the_public_code(folder: Path) -> None:
    """The hash is of what its function makes of the 1,000 prompts, run side by side."""
    asked = [DS1000.ask(task, "magicoder").prompt for task in original.tasks(folder)]
    assert (
        hashlib.sha256("\0".join(asked).encode()).hexdigest()
        == "03d2f05a6e9751e7999b9c073bffb9cf0850aff359f51549102fba789829f345"
    )


def test_the_parts_of_a_program_that_draws(folder: Path) -> None:
    drawing = [task for task in original.tasks(folder) if task["metadata"]["library"] == "Matplotlib"]
    assert len(drawing) == 155
    tails = {task["code_context"].partition("#Image Testing")[2].partition("# Testing")[0] for task in drawing}
    assert len(tails) == 1  # what is done by `guest/original.py` in its place
    names = {task_id(task): asked[1] for task in drawing if (asked := assertions(task)) and asked[1]}
    assert names == {
        "524": ["x", "y"],
        "525": ["x", "y"],
        "540": ["myTitle"],
        "574": ["xlabels", "ylabels"],
        "578": ["c"],
        "589": ["points"],
        "592": ["c", "lines"],
        "618": ["l"],
        "646": ["c"],
    }
    assert program(drawing[0], "ANSWER").endswith(
        "ANSWER\n# SOLUTION END\nplt.savefig('result/plot.png', bbox_inches ='tight')\n\n"
    )
    assert without_ends("a\nplt.show()\nplt.savefig('x')\n  plt.close() # x\nb") == "a\nb"


def test_which_problems_are_judged_with_several_draws(folder: Path) -> None:
    names = [
        task_id(task) for task in original.tasks(folder) if draws(task) and task["metadata"]["library"] != "Matplotlib"
    ]
    assert names == ["376", "491", "492", "728", "729", "730"]


# the judge, on a few problems of the same layout


ARITHMETIC = """import pickle
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--test_case", type=int, default=1)
args = parser.parse_args()
import numpy as np
a = pickle.load(open(f"input/input{args.test_case}.pkl", "rb"))
[insert]
with open('result/result_{}.pkl'.format(args.test_case), 'wb') as f:
    pickle.dump(result, f)
"""
FIGURE = """import pickle
import numpy as np
import matplotlib.pyplot as plt
x = np.arange(3)
# SOLUTION START
[insert]
# SOLUTION END
plt.savefig('result/plot.png', bbox_inches ='tight')

#Image Testing
left out

# Testing
ax = plt.gca()
assert ax.get_title() == "three" and len(ax.lines[0].get_xdata()) == len(x)
"""
TEST = "import numpy as np\ndef test(result, ans=None):\n    np.testing.assert_array_equal(result, ans)\n    return 1\n"
BY_TEXT = TEST + "def stringTest(code):\n    return 'while' not in code\n"
WRITTEN = {"ARITHMETIC": 0, "BY_TEXT": 1, "FIGURE": 2}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three problems: two cases of arithmetic, one whose test looks at the text, a figure."""
    folder = tmp_path_factory.mktemp("small")
    from PIL import Image

    def put(library: str, number: int, context: str, test: str, kind: int, cases: list[tuple[Any, Any]]) -> None:
        place = folder / library / "Completion" / f"q{number}"
        (place / "input").mkdir(parents=True)
        (place / "ans").mkdir()
        (place / ".cfg").write_text(f"[test]\ntest_type = {kind}\ntest_case_cnt = {len(cases)}\n")
        texts = {"prompt.txt": "", "code_context.txt": context, "reference_code.txt": "SECRET", "test_code.py": test}
        for name, text in texts.items():
            (place / name).write_text(text)
        for case, (given, wanted) in enumerate(cases, 1):
            (place / "input" / f"input{case}.pkl").write_bytes(pickle.dumps(given, 3))
            (place / "ans" / f"ans{case}.pkl").write_bytes(pickle.dumps(wanted, 3))

    cases = [(np.arange(3), np.arange(3) * 2), (np.arange(4), np.arange(4) * 2)]
    put("Numpy", 0, ARITHMETIC, TEST, 1, cases)
    put("Numpy", 1, ARITHMETIC, BY_TEXT, 3, cases)
    put("Matplotlib", 0, FIGURE, "def test(result, ans=None):\n    return 1\n", 0, [(None, None)])
    Image.new("RGBA", (4, 4)).save(folder / "Matplotlib" / "Completion" / "q0" / "ans" / "oracle_plot.png")
    for library in original.LIBRARIES:
        (folder / library / "Completion").mkdir(parents=True, exist_ok=True)
    return folder


Ask = Callable[[str, str], str]


@pytest.fixture(scope="module", params=["warm", "cold"])
def ask(small: Path, request: pytest.FixtureRequest) -> Iterator[Ask]:
    """The status of one answer."""
    settings = {"tasks": str(small), "environment": "core", "backend": sandbox.choose("auto"), "seconds": 20.0}
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "cold":
            patched.setattr(sandbox, "KEEPERS", ())
        judges = {
            library: Judge({**settings, "library": library, "memory_mb": 4096}) for library in ("Numpy", "Matplotlib")
        }
        ids = {"ARITHMETIC": ("Numpy", "0"), "BY_TEXT": ("Numpy", "1"), "FIGURE": ("Matplotlib", "2")}
        yield lambda name, code: str(judges[ids[name][0]]({"task_id": ids[name][1], "program": code})["status"])
        for judge in judges.values():
            judge.close()


RIGHT = "result = a * 2"
VERDICTS = {
    "right": ("ARITHMETIC", RIGHT, "passed"),
    "wrong": ("ARITHMETIC", "result = a * 3", "wrong"),
    "right in the first case only": ("ARITHMETIC", "result = np.arange(3) * 2", "wrong"),
    "nothing": ("ARITHMETIC", "", "NameError"),
    "no Python": ("ARITHMETIC", "result = (", "SyntaxError"),
    "an exit": ("ARITHMETIC", "import sys\nsys.exit(0)", "SystemExit"),
    "an exit when all is done": ("ARITHMETIC", f"{RIGHT}\nimport atexit, os\natexit.register(os._exit, 3)", "passed"),
    "a result, then an exit": (
        "ARITHMETIC",
        f"{RIGHT}\nwith open(f'result/result_{{args.test_case}}.pkl', 'wb') as f: pickle.dump(result, f)\nimport os\nos._exit(1)",
        "passed",
    ),
    "what cannot be pickled": ("ARITHMETIC", "result = lambda: a", "PicklingError"),
    "a class of its own": ("ARITHMETIC", "class A(np.ndarray): pass\nresult = (a * 2).view(A)", "AttributeError"),
    "a function at rest": ("ARITHMETIC", "import builtins\nresult = builtins.print", "wrong"),
    "no UTF-8": ("ARITHMETIC", f"{RIGHT} # \ud800", "UnicodeEncodeError"),
    "its name and arguments": (
        "ARITHMETIC",
        f"import sys\nassert __name__ == '__main__' and __file__ == 'program.py' and sys.argv[1] == '--test_case'\n{RIGHT}",
        "passed",
    ),
    "as deep as a program": (
        "ARITHMETIC",
        f"def f(n): return f(n - 1) if n else 0\nf(980)\ntry: f(1010)\nexcept RecursionError: {RIGHT}",
        "passed",
    ),
    "text that is forbidden": ("BY_TEXT", f"while False: pass\n{RIGHT}", "forbidden"),
    "text in a line that prints": ("BY_TEXT", f"{RIGHT}\nprint('while')", "passed"),
    "text in the line after one that prints": ("BY_TEXT", f"{RIGHT}\nprint()\nprint('while')", "forbidden"),
    "asserted of a figure": ("FIGURE", "plt.plot(x)\nplt.title('three')\nplt.show()\nplt.savefig('x.png')", "passed"),
    "another figure": ("FIGURE", "plt.plot(x)\nplt.title('two')", "wrong"),
    "a figure after an error": ("FIGURE", "plt.plot(x)\nplt.title('three')\n1 / 0", "ZeroDivisionError"),
}


@pytest.mark.sandbox
@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(name: str, ask: Ask) -> None:
    problem, code, expected = VERDICTS[name]
    assert ask(problem, code) == expected


REDUCES = """
class A:
    def __reduce__(self): return {function}, {arguments}
result = A()
"""
SELF_MADE = "import numpy\\nnumpy.testing.assert_array_equal = lambda *a, **k: None"
CHEATS = {
    "code in the pickle": ("ARITHMETIC", REDUCES.format(function="exec", arguments=f'("{SELF_MADE}",)')),
    "an exit in the pickle": ("ARITHMETIC", "import os\n" + REDUCES.format(function="os._exit", arguments="(0,)")),
    "an evaluation in the pickle": (
        "ARITHMETIC",
        REDUCES.format(function="eval", arguments="(\"type('Yes', (), {'__eq__': lambda *_: True})()\",)"),
    ),
    "an array of what is equal to all": (
        "ARITHMETIC",
        "from unittest import mock\nresult = np.array([mock.ANY] * len(a), dtype=object)",
    ),
    "equal to all": ("ARITHMETIC", "from unittest import mock\nresult = mock.ANY"),
    "the answers": ("ARITHMETIC", "result = pickle.load(open(f'ans/ans{args.test_case}.pkl', 'rb'))"),
    "the reference": ("ARITHMETIC", "exec(open('reference_code.txt').read())"),
    "the test": ("ARITHMETIC", "open('test_code.py', 'w').write('def test(*a): return 1')\nresult = 0"),
    "a link for a result": (
        "ARITHMETIC",
        f"{RIGHT}\npickle.dump(result, open('right', 'wb'))\n"
        "import os\nos.symlink('../right', f'result/result_{args.test_case}.pkl')\nos._exit(0)",
    ),
    "a figure of its own": ("FIGURE", "import pickle\npickle.dump(True, open('result/result_1.pkl', 'wb'))"),
    "the wanted figure": ("FIGURE", "import shutil\nshutil.copy('ans/oracle_plot.png', 'result/plot.png')"),
    "no figure": ("FIGURE", "setattr(plt, 'save' + 'fig', lambda *a, **k: None)\nplt.plot(x)\nplt.title('three')"),
    "an axes that says so": (
        "FIGURE",
        "from unittest import mock\nA = mock.MagicMock()\nA.get_title.return_value = 'three'\nplt.gca = lambda: A\nlen = lambda _: 3",
    ),
    "a length of its own": ("FIGURE", "import builtins\nplt.plot([1])\nplt.title('three')\nbuiltins.len = lambda _: 3"),
    "held, said by a child": (
        "FIGURE",
        "import os\nplt.plot([1])\nif os.fork() == 0:\n    for _ in range(200):\n        for fd in range(200, 210):\n"
        "            try: os.set_blocking(fd, False); os.write(fd, b'held ' + os.read(fd - 3, 64) + b'\\n')\n"
        "            except OSError: pass\n        import time; time.sleep(0.01)\n    os._exit(0)",
    ),
}


@pytest.mark.sandbox
@pytest.mark.parametrize("ask", ["warm"], indirect=True)
@pytest.mark.parametrize("name", CHEATS)
def test_programs_that_cheat_do_not_pass(name: str, ask: Ask) -> None:
    problem, code = CHEATS[name]
    assert ask(problem, code) != "passed"
    assert ask("ARITHMETIC", RIGHT) == "passed"  # nothing of it stays


# Where the test, or what it wants, could be within reach. Each is true when it is.
REACHED = {
    "the frames": "any(KRAM in repr(v)[::-1] for f in frames() for v in [*f.f_locals.values(), *f.f_globals.values()])",
    "the objects": "any(KRAM.encode() in o[::-1] for o in gc.get_objects() + held() if type(o) is bytes)",
    "the memory": "in_memory('self')",
    "the memory of the process above": "in_memory(os.getppid())",
    "its descriptors": "bool(os.listdir(f'/proc/{os.getppid()}/fd'))",
    "the file of the test": "os.path.exists('test')",
    "the answers": "os.path.exists('ans')",
}
LOOKS = """
import gc, os, re, sys
KRAM = 'sna ,tluser(lauqe_yarra_tressa'
def frames():
    f = sys._getframe()
    while f: yield f; f = f.f_back
def held(): return [x for o in gc.get_objects() if type(o) in (dict, list, tuple) for x in gc.get_referents(o)]
def in_memory(pid):
    wanted = re.compile(rb'assert_array_equal\\(resul[t], an[s]\\)')
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as memory:
        for line in maps:
            if ' rw' not in line: continue
            begin, end = (int(x, 16) for x in line.split()[0].split('-'))
            try: memory.seek(begin); content = memory.read(end - begin)
            except (OSError, ValueError, OverflowError): continue
            if wanted.search(content): return True
    return False
def reached():
    try: return bool(LOOK)
    except OSError: return False
"""


def _pickled(source: str) -> str:
    """An answer whose pickle runs `source` where it is read; it is then what `found` gives for the number of the input's items."""
    text = f"(lambda names: (exec({source!r}, names), names['found'](NUMBER))[1])({{}})"
    code = f"TEXT = {text!r}.replace('NUMBER', str(len(a)))\n"
    return code + REDUCES.format(function="eval", arguments="(TEXT,)")


@pytest.mark.sandbox
@pytest.mark.parametrize("place", ["the program", "its pickle"])
@pytest.mark.parametrize("reached", REACHED)
def test_nothing_of_the_test_is_within_reach(reached: str, place: str, ask: Ask) -> None:
    """An answer that is right where something can be reached: by the program, or by its pickle where that is read."""
    looks = LOOKS.replace("LOOK", REACHED[reached])
    if place == "the program":
        code = f"{looks}\nresult = a * 2 if reached() else None"
    else:
        code = _pickled(f"{looks}\nimport numpy\nfound = lambda n: numpy.arange(n) * 2 if reached() else None")
    assert ask("ARITHMETIC", code) == "wrong"


@pytest.mark.sandbox
def test_a_pickle_can_say_what_is_right(ask: Ask) -> None:
    """The control of the test above: it is the reach that is missing, nothing else."""
    code = _pickled("import numpy\nfound = lambda n: numpy.arange(n) * 2")
    assert ask("ARITHMETIC", code) == "passed"


@pytest.mark.sandbox
def test_large_results_and_random_numbers(ask: Ask) -> None:
    assert ask("ARITHMETIC", f"{RIGHT}\nresult = [np.zeros(9_000_000)]") == "wrong"  # 72 MB a case
    draw = "import numpy.random\nresult = a * 2 if abs(np.random.rand() - 0.5488135) < 1e-6 else None"
    assert ask("ARITHMETIC", draw) == "passed"  # numpy's first number after seed 0


# with the release's own libraries and the real set


@pytest.fixture(scope="module")
def real(folder: Path) -> list[records.Record]:
    """The 1,000 problems, where their environment is built."""
    if environment.built(ORIGINAL_ENVIRONMENT) is None:
        pytest.skip("the environment ds1000-original is not built: make check-ds1000")
    return original.tasks(folder)


def _statuses(samples: list[records.Record], data: Path, work: Path) -> dict[str, list[str]]:
    datasets = {None: DS1000.load(data=data)}
    result = run.score(DS1000, datasets, {None: samples}, Scoring(workers=2), "paper", "score", work)
    return {task.task_id: [sample.status for sample in task.samples] for task in result.tasks}


@pytest.mark.sandbox
def test_every_reference_solution_passes(real: list[records.Record], data: Path, tmp_path: Path) -> None:
    samples = [{"problem_id": task_id(task), "completion": task["reference_code"]} for task in real]
    found = _statuses(samples, data, tmp_path / "work")
    assert len(found) == 1000 and {name: one for name, one in found.items() if one != ["passed"]} == {}


@pytest.mark.sandbox
@pytest.mark.parametrize("kind", ["wrong", "forbidden"])
def test_changed_reference_solutions_fail(kind: str, real: list[records.Record], data: Path, tmp_path: Path) -> None:
    samples = [
        {"problem_id": number, "completion": real[number]["reference_code"].replace(old, new)}
        for number, old, new in CHANGES[kind]
        if old in real[number]["reference_code"]
    ]
    assert len(samples) >= {"wrong": 60, "forbidden": 12}[kind]
    found = _statuses(samples, data, tmp_path / "work")
    assert [name for name, statuses in found.items() if "passed" in statuses] == []


@pytest.mark.sandbox
def test_order_and_neighbours_change_no_verdict(real: list[records.Record], data: Path, tmp_path: Path) -> None:
    """Every 40th problem, right and wrong; then in the other order, with a hostile program before each."""
    hostile = (
        "import os, sys, shutil\nshutil.rmtree('input', True)\nsys.modules.clear()\n"
        "for n in ('numpy', 'pandas'):\n    try: __import__(n).testing = None\n    except Exception: pass\nos.fork()\n"
    )
    some = real[::40]
    plain = [{"problem_id": task_id(task), "completion": task["reference_code"]} for task in some]
    plain += [{"problem_id": task_id(task), "completion": "x = 1"} for task in some]
    mixed = [row for one in plain[::-1] for row in ({**one, "completion": hostile}, one)]
    before, after = (_statuses(rows, data, tmp_path / name) for rows, name in ((plain, "one"), (mixed, "two")))
    for task in some:
        right, wrong = before[task_id(task)]
        assert right == "passed" != wrong
        theirs = after[task_id(task)]  # hostile, wrong, hostile, right
        assert theirs[1::2] == [wrong, right] and "passed" not in theirs[::2]
