"""Judges programs of DS-1000 by the tests that each problem carries, in the environment of the benchmark's libraries.

A problem's `code_context` defines `test_execution` and, for some, `test_string`; a solution passes when both end well. A program
gets a fresh sandbox, forked from an interpreter that has imported what the problems of its library import; in it one process for
the program and one for its test (`guest/`).
"""

from __future__ import annotations

import marshal
import re
import secrets
from pathlib import Path
from typing import Any

from magicoder_repro import records, sandbox
from magicoder_repro.benchmarks.ds1000.environment import Home, modules, packages
from magicoder_repro.benchmarks.ds1000.interpreters import Interpreters, told
from magicoder_repro.errors import UsageError

_DRAW = re.compile(r"random\.(?!seed|RandomState|set_seed)\w|\.rvs\(|[\"']random[\"']|\.sample\(")
_SEED = re.compile(r"seed\(|RandomState|random_state|default_rng\(\d")
_FIGURES = "ans.png"  # what a test of Matplotlib compares with
_HEAVY = ("tensorflow", "torch")
_KEPT = 4  # warm interpreters: with each heavy package, with both, with none

_PROBE = '''
[imports]
import sys

def generate_test_case(number):
    return number, number + 1

def exec_test(result, ans):
    return result == ans

exec_context = r"""
[imports]
import os, sys
for module in list(sys.modules.values()):
    if os.path.isabs(getattr(module, "__file__", None) or ""):
        open(module.__file__, "rb").close()
        os.listdir(os.path.dirname(module.__file__))
result = test_input + 1
[insert]
"""

def test_execution(solution):
    code = exec_context.replace("[insert]", solution)
    for i in range(1):
        test_input, expected_result = generate_test_case(i + 1)
        test_env = {"test_input": test_input}
        exec(code, test_env)
        assert exec_test(test_env["result"], expected_result)
'''
NO_TABLE = "no table "
"""The beginning of the status of a problem whose test loads an example table that is not there."""
DRAWS = 5  # runs with other random numbers, of a problem whose verdict depends on them


def draws(task: records.Record) -> bool:
    """Whether the verdict on a right answer may depend on random numbers: the test, or an answer to it, draws some and never says
    from which seed. Where figures are compared the data of both are drawn, and the test then looks at what does not depend on them.
    """
    context = task["code_context"]
    return _FIGURES not in context and drawing(context)


def drawing(text: str) -> bool:
    """Whether code draws random numbers and never says from which seed."""
    return bool(_DRAW.search(text)) and not _SEED.search(text)


def task_id(task: records.Record) -> str:
    """A problem's number in the whole set, as text."""
    return str(task["metadata"]["problem_id"])


def heavy(context: str) -> str:
    """The large packages that a context names: an interpreter that has them takes longer to fork, so they have one of their own."""
    return " ".join(name for name in _HEAVY if name in context)


class Judge:
    """Judges programs of one library, one after the other, in warm interpreters where the back end can have them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._home = Home(settings["environment"])
        self._interpreters = Interpreters(self._home, settings["backend"], "main", _KEPT)
        rows = records.read_jsonl(Path(settings["tasks"]))
        self._tasks = {task_id(task): task for task in rows if task["metadata"]["library"] == settings["library"]}
        self._modules: dict[str, list[str]] = {}

    def __call__(self, request: records.Record) -> dict[str, Any]:
        """The verdict on the `program` of `task_id`: `passed`, `passed_plus` (None), `status`, `seconds`; of a problem whose verdict
        depends on random numbers the majority's, and `draws` says how many of how many passed."""
        task = self._tasks[request["task_id"]]
        if table := self._home.missing_table(task):
            return {"passed": False, "passed_plus": None, "status": f"{NO_TABLE}{table}", "seconds": 0.0}
        kind = heavy(task["code_context"])
        if kind not in self._modules:
            self._modules[kind] = modules(self._contexts(kind))
            self._try(kind)
        runs = [self._once(task, request["program"], seed) for seed in range(DRAWS if draws(task) else 1)]
        passed = sum(status == "passed" for status, _ in runs)
        won = 2 * passed > len(runs)
        found = next(status for status, _ in runs if (status == "passed") == won)
        seconds = round(sum(seconds for _, seconds in runs), 3)
        verdict = {"passed": won, "passed_plus": None, "status": found, "seconds": seconds}
        return verdict if len(runs) == 1 else {**verdict, "draws": {"passed": passed, "of": len(runs)}}

    def _try(self, kind: str) -> None:
        """One program that is right, before any that is judged: a judge that cannot work is an error and no verdict."""
        imports = "".join(f"import {name}\n" for name in packages(self._modules[kind]))
        task = {"code_context": _PROBE.replace("[imports]", imports), "metadata": {"test_case_cnt": 1}}
        status, _ = self._once(task, "", 0, kind)
        if status != "passed":
            raise UsageError(
                f"the environment {self._settings['environment']} does not work inside the sandbox "
                f"{self._settings['backend']} ({status}): every user must be able to read it: "
                f"chmod -R go+rX {self._home.prefix}, or build it again under umask 022"
            )

    def _contexts(self, kind: str) -> list[str]:
        texts = [task["code_context"] for task in self._tasks.values()]
        return [text for text in texts if heavy(text) == kind]

    def _once(self, task: records.Record, code: str, seed: int, kind: str | None = None) -> tuple[str, float]:
        """The status of one run and its seconds."""
        token = secrets.token_hex(16).encode()
        context = task["code_context"]
        content = {
            "context": context,
            "code": code,
            "cases": task["metadata"]["test_case_cnt"],
            "seed": seed,
            "packages": packages(self._modules[heavy(context) if kind is None else kind]),
            "token": token,
        }
        seconds = self._settings["seconds"]
        limits = sandbox.Limits(
            wall_seconds=1.5 * seconds + 5,
            cpu_seconds=seconds,
            memory_mb=self._settings["memory_mb"],
            output_bytes=1000,
        )
        files = {"task": marshal.dumps(content, 2)}
        kind = heavy(context) if kind is None else kind
        outcome = self._interpreters.run(self._modules[kind], files, limits)
        return told(outcome, token), outcome.wall_seconds

    def close(self) -> None:
        """Ends the warm interpreters."""
        self._interpreters.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
