"""minibench: real schemas; right solutions pass, wrong ones fail; nothing is copied from the real data."""

from __future__ import annotations

import copy
import doctest
import gzip
import json
import math
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro.benchmarks import minibench

Task = dict[str, Any]

HUMANEVAL_KEYS = {
    "task_id": str,
    "prompt": str,
    "entry_point": str,
    "canonical_solution": str,
    "test": str,
    "contract": str,
    "base_input": list,
    "atol": (int, float),
    "plus_input": list,
}
MBPP_KEYS = {
    "task_id": str,
    "prompt": str,
    "entry_point": str,
    "canonical_solution": str,
    "base_input": list,
    "atol": (int, float),
    "plus_input": list,
    "contract": str,
    "assertion": str,
}
MULTIPL_E_KEYS = {
    "name": str,
    "language": str,
    "prompt": str,
    "doctests": str,
    "original": str,
    "prompt_terminology": str,
    "tests": str,
    "stop_tokens": list,
    "task_id": str,
    "test": str,
}
DS1000_KEYS = {"prompt": str, "reference_code": str, "metadata": dict, "code_context": str}
DS1000_METADATA_KEYS = {
    "problem_id": int,
    "library_problem_id": int,
    "library": str,
    "test_case_cnt": int,
    "perturbation_type": str,
    "perturbation_origin_id": int,
}
LANGUAGES = ("cpp", "java", "js", "php", "rs", "swift")
COUNTS = {"humaneval": 30, "mbpp": 6, "ds1000": 6} | {f"multipl-e/{language}": 3 for language in LANGUAGES}
REAL_FILES = {
    "humaneval": "evalplus/HumanEvalPlus-v0.1.9.jsonl.gz",
    "mbpp": "evalplus/MbppPlus-v0.1.0.jsonl.gz",
    "ds1000": "ds1000/ds1000.jsonl",
} | {f"multipl-e/{language}": f"multipl-e/humaneval-{language}.jsonl" for language in LANGUAGES}
SOLUTIONS = minibench.solutions()
PYTHON_TASKS = [*minibench.load("humaneval"), *minibench.load("mbpp")]


def schema(name: str) -> dict[str, Any]:
    if name.startswith("multipl-e/"):
        return MULTIPL_E_KEYS
    return {"humaneval": HUMANEVAL_KEYS, "mbpp": MBPP_KEYS, "ds1000": DS1000_KEYS}[name]


def assert_schema(record: Task, keys: dict[str, Any]) -> None:
    assert list(record) == list(keys)
    for key, kind in keys.items():
        assert isinstance(record[key], kind), key


def task_name(task: Task) -> str:
    return str(task.get("task_id") or task["metadata"]["library"])


# ---------------------------------------------------------------------------------------- loading and schemas


def test_load_refuses_unknown_names() -> None:
    assert set(minibench.NAMES) == set(COUNTS)
    for name in ("", "apps", "multipl-e", "multipl-e/go", "../humaneval"):
        with pytest.raises(ValueError, match=r"ds1000.*humaneval.*multipl-e/cpp"):
            minibench.load(name)


@pytest.mark.parametrize("name", COUNTS)
def test_schema(name: str) -> None:
    tasks = minibench.load(name)
    assert len(tasks) == COUNTS[name]
    for task in tasks:
        assert_schema(task, schema(name))
    if name == "ds1000":
        for task in tasks:
            assert_schema(task["metadata"], DS1000_METADATA_KEYS)
        assert [task["metadata"]["problem_id"] for task in tasks] == list(range(6))
        libraries = ["Pandas", "Numpy", "Scipy", "Sklearn", "Matplotlib", "Pytorch"]
        assert [task["metadata"]["library"] for task in tasks] == libraries
        return
    if name in ("humaneval", "mbpp"):
        prefix = {"humaneval": "MiniHumanEval", "mbpp": "MiniMbpp"}[name]
        assert [task["task_id"] for task in tasks] == [f"{prefix}/{number}" for number in range(len(tasks))]
    else:
        for task in tasks:
            assert task["language"] == name.removeprefix("multipl-e/")
            assert (task["task_id"], task["test"]) == (task["name"], task["tests"])


@pytest.mark.parametrize("name", COUNTS)
def test_schema_is_the_real_one(name: str, data: Path) -> None:
    real = read(data / REAL_FILES[name])
    assert_schema(real[0], schema(name))
    if name == "ds1000":
        assert_schema(real[0]["metadata"], DS1000_METADATA_KEYS)
        assert {task["metadata"]["library"] for task in minibench.load(name)} <= {
            task["metadata"]["library"] for task in real
        }
    if name.startswith("multipl-e/"):
        ours = minibench.load(name)[0]
        for key in ("language", "doctests", "prompt_terminology", "stop_tokens"):
            assert ours[key] == real[0][key]


# ----------------------------------------------------------------------------------------------- Python tasks


def with_contract(task: Task) -> str:
    """The canonical program, whose function asserts its contract first."""
    if "test" in task:
        return str(task["prompt"] + task["contract"] + task["canonical_solution"])
    head, line, body = task["canonical_solution"].partition(f"def {task['entry_point']}(")
    signature, newline, rest = body.partition("\n")
    return str(head + line + signature + newline + task["contract"].lstrip("\n") + rest)


def function(task: Task, program: str) -> Any:
    names: dict[str, Any] = {}
    exec(program, names)
    return names[task["entry_point"]]


def canonical(task: Task) -> str:
    return str(task["prompt"] + task["canonical_solution"] if "test" in task else task["canonical_solution"])


def accepts(task: Task, program: str) -> bool:
    """Whether the task's own tests pass for a program."""
    names: dict[str, Any] = {}
    exec(program, names)
    try:
        if "test" in task:
            exec(task["test"], names)
            names["check"](names[task["entry_point"]])
        else:
            exec(task["assertion"], names)
    except Exception:
        return False
    return True


def signature(task: Task) -> str:
    """The program's text up to the place where a body belongs."""
    if "test" in task:
        return str(task["prompt"])
    head, line, body = task["canonical_solution"].partition(f"def {task['entry_point']}(")
    return str(head + line + body.partition("\n")[0] + "\n")


@pytest.mark.parametrize("task", PYTHON_TASKS, ids=task_name)
def test_canonical_solution(task: Task) -> None:
    assert 5 <= len(task["plus_input"]) <= 20
    assert task["base_input"]
    for arguments in [*task["base_input"], *task["plus_input"]]:
        assert isinstance(arguments, list)
        first = function(task, with_contract(task))(*copy.deepcopy(arguments))
        second = function(task, canonical(task))(*copy.deepcopy(arguments))
        assert first is not None
        assert (first, type(first)) == (second, type(second))
        json.dumps(first)
        if isinstance(first, float):
            assert math.isfinite(first)
            assert task["atol"] > 0
    assert accepts(task, canonical(task))


@pytest.mark.parametrize("task", PYTHON_TASKS, ids=task_name)
def test_wrong_solution_fails(task: Task) -> None:
    assert not accepts(task, signature(task) + "    return None\n")
    assert not accepts(task, signature(task) + "    raise ValueError\n")


@pytest.mark.parametrize("task", PYTHON_TASKS, ids=task_name)
def test_contract_rejects_wrong_types(task: Task) -> None:
    lines = [line for line in task["contract"].split("\n") if line]
    assert all(line.endswith('"invalid inputs" # $_CONTRACT_$') for line in lines)
    solution = function(task, with_contract(task))
    for position in range(len(task["base_input"][0])):
        for wrong in (None, object(), {1: 2}):
            arguments: list[Any] = copy.deepcopy(task["base_input"][0])
            arguments[position] = wrong
            with pytest.raises(AssertionError, match="invalid inputs"):
                solution(*arguments)


@pytest.mark.parametrize("task", minibench.load("humaneval"), ids=task_name)
def test_humaneval_layout(task: Task) -> None:
    assert task["prompt"].startswith(("\n\ndef ", "from typing import List\n\n\ndef "))
    assert task["prompt"].endswith('\n    """\n')
    assert task["prompt"].count(">>>") in (1, 2)
    assert task["test"].startswith("\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert ")
    assert task["test"].count("    assert ") == len(task["base_input"])
    names: dict[str, Any] = {}
    exec(canonical(task), names)
    examples = doctest.DocTestFinder().find(names[task["entry_point"]], task["entry_point"], globs=names)
    assert [doctest.DocTestRunner(verbose=False).run(example).failed for example in examples] == [0]


@pytest.mark.parametrize("task", minibench.load("mbpp"), ids=task_name)
def test_mbpp_layout(task: Task) -> None:
    quote, description, example, end, rest = task["prompt"].split("\n")
    assert (quote, end, rest) == ('"""', '"""', "")
    assert description.startswith("Write a ")
    assert example == next(line for line in task["assertion"].split("\n") if line.startswith("assert "))
    assert task["assertion"].startswith("import math\n\nassert " if task["atol"] else "\nassert ")
    assert task["assertion"].count("assert ") == len(task["base_input"])


def test_some_tasks_return_floats() -> None:
    floats = [task for task in minibench.load("humaneval") if task["atol"]]
    assert len(floats) >= 3
    assert all(task["atol"] == 1e-6 for task in floats)


SLOPPY = {
    "smallest_number": """
    best = 1000
    for value in values:
        best = min(best, value)
    return best
""",
    "count_vowels": """
    return sum(text.count(vowel) for vowel in "aeiou")
""",
    "distance_from_zero": """
    return n if n >= 1 else int(str(n)[1:])
""",
    "number_of_words": """
    return text.count(" ") + 1
""",
    "digit_total": """
    return sum(map(int, str(n)))
""",
    "leap_year": """
    return year % 4 == 0
""",
    "runner_up": """
    return sorted(scores)[-2]
""",
    "initials": """
    return "".join(part[0].upper() for part in name.split(" "))
""",
    "pack_runs": """
    packed, last, count = "", text[0], 0
    for letter in text + " ":
        if letter != last:
            packed, last, count = packed + last + str(count), letter, 0
        count += 1
    return packed
""",
    "join_ranges": """
    merged = []
    for start, end in ranges:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    return merged
""",
    "longest_climb": """
    best = length = 1
    for left, right in zip(heights, heights[1:]):
        length = length + 1 if right > left else 1
        best = max(best, length)
    return best
""",
}
"""Bodies that pass `check` and must fail on a plus input."""


@pytest.mark.parametrize("name", SLOPPY)
def test_plus_inputs_catch_sloppy_solutions(name: str) -> None:
    task = next(task for task in minibench.load("humaneval") if task["entry_point"] == name)
    program = task["prompt"] + SLOPPY[name]
    assert accepts(task, program)
    right, sloppy = function(task, canonical(task)), function(task, program)

    def agree(arguments: list[Any]) -> bool:
        try:
            return bool(sloppy(*copy.deepcopy(arguments)) == right(*copy.deepcopy(arguments)))
        except Exception:
            return False

    assert not all(agree(arguments) for arguments in task["plus_input"])


# -------------------------------------------------------------------------------------------------- MultiPL-E

TOOLS = {
    "cpp": ("g++",),
    "java": ("javac", "java"),
    "js": ("node",),
    "php": ("php",),
    "rs": ("rustc",),
    "swift": ("swiftc",),
}
FILES = {
    "cpp": "main.cpp",
    "java": "Problem.java",
    "js": "main.js",
    "php": "main.php",
    "rs": "main.rs",
    "swift": "main.swift",
}
COMPILE = {
    "cpp": ["g++", "-std=c++17", "main.cpp", "-o", "main"],
    "java": ["javac", "-encoding", "UTF-8", "-d", ".", "Problem.java"],
    "rs": ["rustc", "main.rs", "-o", "main"],
    "swift": ["swiftc", "main.swift", "-o", "main"],
}
RUN = {"java": ["java", "-ea", "-cp", ".", "Problem"], "js": ["node", "main.js"], "php": ["php", "main.php"]}


def wrong_completion(language: str, task: Task) -> str:
    """A body that compiles and returns a default value."""
    is_list = "only_positive" in task["name"]
    return {
        "cpp": "    return {};",
        "java": f"        return {'new ArrayList<Long>()' if is_list else '0'};",
        "js": "}\n",
        "php": "}\n",
        "rs": "    Default::default()",
        "swift": f"    return {'[]' if is_list else '0'}",
    }[language]


def compile_and_run(language: str, program: str, folder: Path) -> tuple[str, str]:
    """How far a program got: `compile`, `run` or `passed`, and what it wrote."""
    folder.mkdir()
    (folder / FILES[language]).write_text(program, encoding="utf-8")
    for stage, command in (("compile", COMPILE.get(language)), ("run", RUN.get(language, ["./main"]))):
        if command is None:
            continue
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            return stage, done.stdout + done.stderr
    return "passed", ""


@pytest.mark.sandbox
@pytest.mark.parametrize("language", LANGUAGES)
def test_multipl_e_solutions(language: str, tmp_path: Path) -> None:
    missing = [tool for tool in TOOLS[language] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: the {language} programs cannot run here")
    programs: list[tuple[str, str]] = []
    for task in minibench.load(f"multipl-e/{language}"):
        right, wrong = SOLUTIONS[language][task["task_id"]], wrong_completion(language, task)
        for completion, expected in ((right, "passed"), (wrong, "run")):
            programs.append((expected, task["prompt"] + completion + "\n" + task["tests"]))
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(
            lambda number: compile_and_run(language, programs[number][1], tmp_path / str(number)),
            range(len(programs)),
        )
        for (expected, program), (stage, output) in zip(programs, found, strict=True):
            assert stage == expected, f"{program}\n{output}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_multipl_e_completions_end_before_the_stops(language: str) -> None:
    """A completion is cut at a stop, and the tests then supply what the cut took away."""
    tasks = minibench.load(f"multipl-e/{language}")
    assert {task["task_id"] for task in tasks} == set(SOLUTIONS[language])
    for task in tasks:
        completion = SOLUTIONS[language][task["task_id"]]
        assert not any(stop in completion for stop in task["stop_tokens"])
        closes_itself = completion.endswith("\n}\n")
        assert closes_itself != task["tests"].lstrip().startswith("}")
        assert "javatuples" not in task["prompt"]


# ---------------------------------------------------------------------------------------------------- DS-1000

JUDGE = """
import json, sys
task, codes = json.load(sys.stdin)
verdicts = []
for code in codes:
    names = {}
    exec(task["code_context"], names)
    try:
        names["test_execution"](code)
        if "test_string" in names:
            names["test_string"](code)
        verdicts.append("passed")
    except Exception as error:
        verdicts.append(type(error).__name__)
print(json.dumps(verdicts))
"""
WRONG = {
    "Pandas": ['df["cost"] = df["price"]', "df = None"],
    "Numpy": ["result = a - a.min()", "result = np.array([list(c - min(c)) for c in a.T]).T"],
    "Scipy": ["result = speed.sum()", "result = None"],
    "Sklearn": ["result = y[:2]", "result = None"],
    "Matplotlib": ["plt.plot(days, visitors)", 'plt.bar(days, visitors)\nplt.title("Days")'],
    "Pytorch": ["result = scores.mean(dim=0)", "result = None"],
}


@pytest.mark.sandbox
@pytest.mark.parametrize("task", minibench.load("ds1000"), ids=task_name)
def test_ds1000(task: Task, tmp_path: Path) -> None:
    library = task["metadata"]["library"]
    codes = [task["reference_code"], *WRONG[library]]
    if library == "Matplotlib":
        codes.insert(1, 'axes = plt.gca()\naxes.bar(days, visitors, color="red")\naxes.set_title("Visitors")')
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", JUDGE],
        input=json.dumps([task, codes]),
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)
    right = len(codes) - len(WRONG[library])
    assert verdicts[:right] == ["passed"] * right
    assert "passed" not in verdicts[right:]
    assert "<string>:" not in done.stderr  # a warning about the code of the task


@pytest.mark.parametrize("task", minibench.load("ds1000"), ids=task_name)
def test_ds1000_layout(task: Task) -> None:
    context = task["code_context"]
    for name in (
        "def generate_test_case(",
        "def exec_test(",
        "exec_context = r",
        "def test_execution(solution: str)",
    ):
        assert context.count(name) == 1
    assert f"for i in range({task['metadata']['test_case_cnt']}):" in context
    if task["metadata"]["library"] == "Matplotlib":
        assert task["prompt"].endswith("\n# SOLUTION START\n")
    else:
        assert task["prompt"].startswith("Problem:\n")
        assert "\nA:\n" in task["prompt"]
        assert task["prompt"].endswith(" = ... # put solution in this variable\nBEGIN SOLUTION\n<code>\n")


# ------------------------------------------------------------------------------------------------ originality


def read(path: Path) -> list[Task]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def test_no_prompt_is_in_the_real_data(data: Path) -> None:
    paths = sorted([*data.rglob("*.jsonl"), *data.rglob("*.jsonl.gz")])
    assert paths
    real = "\0".join(
        value for path in paths for task in read(path) for value in task.values() if isinstance(value, str)
    )
    assert "def has_close_elements" in real
    for name in minibench.NAMES:
        for task in minibench.load(name):
            assert task["prompt"].strip() not in real
            for line in task["prompt"].split("\n"):
                prose = line.strip().lstrip('/"# ').strip()
                if len(prose.split()) >= 6 and "# put solution in this variable" not in prose:
                    assert prose not in real, prose
