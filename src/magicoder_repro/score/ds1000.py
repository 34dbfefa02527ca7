"""DS-1000 samples -> verdicts, by the tests that each problem carries, in the environment of the benchmark's libraries.

A problem's `code_context` defines `test_execution` and, for some, `test_string`; a solution passes when both end well. The solution
runs in the process of its test (`ds1000_runner.py`), one fresh sandbox a program, forked from an interpreter that has imported what
the problems of its library import.
"""

from __future__ import annotations

import marshal
import re
import secrets
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from magicoder_repro import environment, records
from magicoder_repro.benchmarks import Dataset
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.profile import Scoring
from magicoder_repro.score import bulk, pass_at_k, sandbox

ENVIRONMENT = "ds1000"
_RUNNER = Path(__file__).with_name("ds1000_runner.py").read_bytes()
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+([\w., \t]+)", re.MULTILINE)
_TABLE = re.compile(r"load_dataset\(\s*[\"'](\w+)|(fetch_california_housing)\(")
_HEAVY = ("tensorflow", "torch")
_START_SECONDS = 120.0  # of an interpreter that imports TensorFlow from a cold disk
_QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "Agg",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}


def score(
    benchmark: str,
    dataset: Dataset,
    samples: Sequence[records.Record],
    config: Scoring,
    label: str,
    folder: Path,
    environment_name: str = ENVIRONMENT,
) -> dict[str, Any]:
    """The result of the benchmark (DESIGN's OUT.json). `samples`: `problem_id` or `task_id`, and `completion`, any number a problem.

    `folder` keeps what is done, library by library: a killed run goes on there. Equal programs of a problem are judged once.
    """
    tasks = {task_id(task): task for task in dataset.tasks}
    programs = _programs(tasks, samples)
    home = Home(environment_name)
    backend = sandbox.choose(config.sandbox)
    missing = {name: table for name in programs if (table := home.missing_table(tasks[name]))}
    verdicts: dict[tuple[str, str], dict[str, Any]] = {}
    for library in libraries(dataset):
        requests = [
            {"problem_id": name, "code": code}
            for name, found in programs.items()
            if tasks[name]["metadata"]["library"] == library and name not in missing
            for code in dict.fromkeys(found)
        ]
        settings = {
            "tasks": str(dataset.path),
            "dataset": dataset.sha256,
            "library": library,
            "environment": environment_name,
            "lock": environment.lock_sha256(environment_name),  # verdicts of other versions are not gone on with
            "backend": backend,
            "seconds": config.ds1000_seconds,
            "memory_mb": config.memory_mb,
        }
        about = f"{label} {library}"
        factory = f"{Judge.__module__}:{Judge.__name__}"
        answers = bulk.judge(requests, factory, settings, folder / library, about, config.workers, config.executor)
        verdicts.update(
            {(row["problem_id"], row["code"]): answer for row, answer in zip(requests, answers, strict=True)}
        )
    rows = {
        name: [
            {"passed": False, "passed_plus": None, "status": f"no table {missing[name]}", "seconds": 0.0}
            if name in missing
            else verdicts[name, code]
            for code in found
        ]
        for name, found in programs.items()
    }
    by_library = {
        library: {name: found for name, found in rows.items() if tasks[name]["metadata"]["library"] == library}
        for library in libraries(dataset)
    }
    return {
        "benchmark": benchmark,
        "protocol": "paper",
        "dataset": dataset.identity,
        "scorer": scorer(environment_name),
        "sandbox": backend,
        "metrics": pass_at_k.metrics(rows),
        "libraries": {
            library: {"metrics": pass_at_k.metrics(found), "tasks": len(found)}
            for library, found in by_library.items()
            if found
        },
        "programs": {"samples": len(samples), "distinct": len(verdicts)},
        "missing_tables": missing,
        "statuses": dict(Counter(row["status"] for found in rows.values() for row in found).most_common()),
        "tasks": [
            {"task_id": name, "library": tasks[name]["metadata"]["library"], "samples": rows[name]}
            for name in tasks
            if name in rows
        ],
    }


def scorer(environment_name: str = ENVIRONMENT) -> str:
    """Whose rules decide, with which libraries."""
    return f"DS-1000's own tests, environment {environment_name} ({environment.lock_sha256(environment_name)[:8]})"


def task_id(task: records.Record) -> str:
    """A problem's number in the whole set, as text."""
    return str(task["metadata"]["problem_id"])


def sample_id(sample: records.Record) -> str | None:
    """The number of the problem that a sample is of, as text; None when it has none."""
    name = sample.get("problem_id", sample.get("task_id"))
    return str(name) if isinstance(name, int | str) and not isinstance(name, bool) else None


def libraries(dataset: Dataset) -> list[str]:
    """The libraries of the set, in its order."""
    return list(dict.fromkeys(task["metadata"]["library"] for task in dataset.tasks))


def _programs(tasks: dict[str, records.Record], samples: Sequence[records.Record]) -> dict[str, list[str]]:
    """The completions of each problem that has one, in the order of the samples; UsageErrors name what is wrong."""
    if not samples:
        raise UsageError("no sample of a problem that is in the set")
    found: dict[str, list[str]] = {}
    unknown: dict[str, None] = {}
    for number, sample in enumerate(samples, 1):
        name = sample_id(sample)
        if name is None:
            raise UsageError(f"sample {number} has no 'problem_id': give the problem's number in the whole set")
        code = sample.get("completion")
        if not isinstance(code, str):
            raise UsageError(f"sample {number} (problem {name}): the field 'completion' is missing or not text")
        if name not in tasks:
            unknown[name] = None
        found.setdefault(name, []).append(code)
    if unknown:
        raise UsageError(
            f"{len(unknown)} problem ids are not in the set (0 to {len(tasks) - 1}): {listed(list(unknown))}: "
            "remove them or give --skip-unknown"
        )
    return found


class Home:
    """The environment that the programs run in."""

    def __init__(self, name: str) -> None:
        if not environment.ready(name):
            raise UsageError(f"the environment {name!r} is not built from its lock: run `make .envs/{name}/.ready`")
        self.python = environment.interpreter(name)
        ask = "import sys, sysconfig; print(sys.prefix, sys.base_prefix, sysconfig.get_path('purelib'), sep='\\n')"
        told = subprocess.run([self.python, "-c", ask], capture_output=True, text=True, check=True).stdout
        self.prefix, base, self.packages = (Path(line) for line in told.splitlines())
        self.readonly = (self.prefix, base)
        self.tables = self.prefix / "share"

    def missing_table(self, task: records.Record) -> str | None:
        """The name of an example table that this problem's test loads and that is not there, or None."""
        for match in _TABLE.finditer(task["code_context"]):
            name = match[1] or "cal_housing"
            place = f"seaborn-data/{name}.csv" if match[1] else "scikit-learn/cal_housing_py3.pkz"
            if not (self.tables / place).is_file():
                return name
        return None

    def variables(self, modules: Sequence[str] = ()) -> dict[str, str]:
        """The environment variables of an interpreter that has `modules` imported when it starts."""
        return {
            **_QUIET,
            "DS1000_PACKAGES": str(self.packages),
            "DS1000_WARM": " ".join(modules),
            "SEABORN_DATA": str(self.tables / "seaborn-data"),
            "SCIKIT_LEARN_DATA": str(self.tables / "scikit-learn"),
        }


def modules(contexts: Sequence[str]) -> list[str]:
    """What these programs import, in the order of their first import; some names may be of functions, not of modules."""
    found: dict[str, None] = {}
    for context in contexts:
        for package, names in _IMPORT.findall(context):
            plain = [name.split()[0] for name in names.split(",") if name.strip()]
            found |= dict.fromkeys([package, *(f"{package}.{name}" for name in plain)] if package else plain)
    return list(found)


def heavy(context: str) -> str:
    """The large packages that a context names: an interpreter that has them takes longer to fork, so they have one of their own."""
    return " ".join(name for name in _HEAVY if name in context)


class Judge:
    """Judges programs of one library, one after the other, in warm interpreters where the back end can have them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._home = Home(settings["environment"])
        rows = records.read_jsonl(Path(settings["tasks"]))
        self._contexts = {
            task_id(task): task["code_context"] for task in rows if task["metadata"]["library"] == settings["library"]
        }
        self._warm: dict[str, sandbox.warm.Interpreter] = {}

    def __call__(self, request: records.Record) -> dict[str, Any]:
        """The verdict on `problem_id` and `code`: `passed`, `passed_plus` (None), `status`, `seconds`."""
        token = secrets.token_hex(16).encode()
        task = {
            "context": self._contexts[request["problem_id"]],
            "code": request["code"].encode("utf-8", "replace").decode(),
            "token": token,
        }
        seconds = self._settings["seconds"]
        limits = sandbox.Limits(
            wall_seconds=1.5 * seconds + 5,
            cpu_seconds=seconds,
            memory_mb=self._settings["memory_mb"],
            output_bytes=1000,
        )
        files = {"task": marshal.dumps(task, 2)}
        kind = heavy(task["context"])
        outcome = self._sandboxed(kind, files, limits)
        if outcome.status == "sandbox":  # once more: every warm interpreter has shown that it works before it is used
            outcome = self._sandboxed(kind, files, limits)
        if outcome.status == "sandbox":
            told = outcome.stderr.decode(errors="replace")[-200:]
            raise UsageError(f"the sandbox {self._settings['backend']} did not start: {told}")
        status = _status(outcome, token)
        passed = status == "passed"
        return {"passed": passed, "passed_plus": None, "status": status, "seconds": round(outcome.wall_seconds, 3)}

    def _sandboxed(self, kind: str, files: dict[str, bytes], limits: sandbox.Limits) -> sandbox.Outcome:
        home, backend = self._home, self._settings["backend"]
        if backend not in sandbox.warm.BACKENDS:
            argv = ["/usr/bin/env", *(f"{name}={value}" for name, value in home.variables().items())]
            argv += [str(home.python), "-s", "-S", "ds1000_runner.py"]
            there = {**files, "ds1000_runner.py": _RUNNER}
            return sandbox.run(sandbox.Program(tuple(argv), there, limits=limits, readonly=home.readonly), backend)
        if kind not in self._warm:
            variables = home.variables(modules([text for text in self._contexts.values() if heavy(text) == kind]))
            self._warm[kind] = sandbox.warm.Interpreter(
                home.python, _RUNNER, home.readonly, backend, variables, _START_SECONDS
            )
        outcome = self._warm[kind].run(files, limits)
        if self._warm[kind].broken:
            self._warm.pop(kind).close()
        return outcome

    def close(self) -> None:
        """Ends the warm interpreters."""
        for interpreter in self._warm.values():
            interpreter.close()
        self._warm.clear()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _status(outcome: sandbox.Outcome, token: bytes) -> str:
    """`passed`; `wrong` (a test failed), `forbidden` (`test_string` did), an exception's name, or what the sandbox stopped it for."""
    if outcome.status not in ("ok", "error", "signal"):
        return outcome.status
    if outcome.stdout == b"P" + token and outcome.status == "ok":
        return "passed"
    told = re.fullmatch(rb"E(\w+)", outcome.stdout)
    if told is None:
        return "ended early" if outcome.status == "ok" else outcome.status
    name = told[1].decode()
    return {"test_execution": "wrong", "test_string": "forbidden", "passed": "an exception named passed"}.get(
        name, name
    )
