"""Judges programs of DS-1000 by the tests that each problem carries, in the environment of the benchmark's libraries.

A problem's `code_context` defines `test_execution` and, for some, `test_string`; a solution passes when both end well. A program
gets a fresh sandbox, forked from an interpreter that has imported what the problems of its library import; in it one process for
the program and one for its test (`guest/`).
"""

from __future__ import annotations

import functools
import marshal
import re
import secrets
from pathlib import Path
from typing import Any

from magicoder_repro import records, sandbox
from magicoder_repro.benchmarks.ds1000.environment import Home, modules
from magicoder_repro.errors import UsageError

_GUEST = Path(__file__).with_name("guest")
_PARTS = ("values", "libraries", "frames", "restore", "program", "tester", "main")  # each imports those before it
_DRAW = re.compile(r"random\.(?!seed|RandomState|set_seed)\w|\.rvs\(|[\"']random[\"']|\.sample\(")
_SEED = re.compile(r"seed\(|RandomState|random_state|default_rng\(\d")
_FIGURES = "ans.png"  # what a test of Matplotlib compares with
_HEAVY = ("tensorflow", "torch")
_START_SECONDS = 120.0  # of an interpreter that imports TensorFlow from a cold disk

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
    return _FIGURES not in context and bool(_DRAW.search(context)) and not _SEED.search(context)


def task_id(task: records.Record) -> str:
    """A problem's number in the whole set, as text."""
    return str(task["metadata"]["problem_id"])


def heavy(context: str) -> str:
    """The large packages that a context names: an interpreter that has them takes longer to fork, so they have one of their own."""
    return " ".join(name for name in _HEAVY if name in context)


@functools.cache
def guest() -> bytes:
    """The files of `guest/` as the source of one program, which is what a sandbox takes."""
    sources = {name: (_GUEST / f"{name}.py").read_text() for name in _PARTS}
    return f"""
import sys, types
for name, source in {sources!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, f"<{{name}}>", "exec"), vars(module))
main, WARM = module.main, module.WARM
if __name__ == "__main__":
    main()
""".encode()


class Judge:
    """Judges programs of one library, one after the other, in warm interpreters where the back end can have them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._home = Home(settings["environment"])
        rows = records.read_jsonl(Path(settings["tasks"]))
        self._tasks = {task_id(task): task for task in rows if task["metadata"]["library"] == settings["library"]}
        self._warm: dict[str, sandbox.warm.Interpreter] = {}
        self._tried: set[str] = set()

    def __call__(self, request: records.Record) -> dict[str, Any]:
        """The verdict on the `program` of `task_id`: `passed`, `passed_plus` (None), `status`, `seconds`; of a problem whose verdict
        depends on random numbers the majority's, and `draws` says how many of how many passed."""
        task = self._tasks[request["task_id"]]
        if table := self._home.missing_table(task):
            return {"passed": False, "passed_plus": None, "status": f"{NO_TABLE}{table}", "seconds": 0.0}
        kind = heavy(task["code_context"])
        if kind not in self._tried:
            self._try(kind)
            self._tried.add(kind)
        runs = [self._once(task, request["program"], seed) for seed in range(DRAWS if draws(task) else 1)]
        passed = sum(status == "passed" for status, _ in runs)
        won = 2 * passed > len(runs)
        found = next(status for status, _ in runs if (status == "passed") == won)
        seconds = round(sum(seconds for _, seconds in runs), 3)
        verdict = {"passed": won, "passed_plus": None, "status": found, "seconds": seconds}
        return verdict if len(runs) == 1 else {**verdict, "draws": {"passed": passed, "of": len(runs)}}

    def _try(self, kind: str) -> None:
        """One program that is right, before any that is judged: a judge that cannot work is an error and no verdict."""
        contexts = self._contexts(kind)
        packages = dict.fromkeys(name.partition(".")[0] for name in modules(contexts) if name)
        imports = "".join(f"import {name}\n" for name in packages)
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
        outcome = self._sandboxed(kind, files, limits)
        if outcome.status == "sandbox":  # once more: every warm interpreter has shown that it works before it is used
            outcome = self._sandboxed(kind, files, limits)
        if outcome.status == "sandbox":
            told = outcome.stderr.decode(errors="replace")[-200:]
            raise UsageError(f"the sandbox {self._settings['backend']} did not start: {told}")
        return _status(outcome, token), outcome.wall_seconds

    def _sandboxed(self, kind: str, files: dict[str, bytes], limits: sandbox.Limits) -> sandbox.Outcome:
        home, backend = self._home, self._settings["backend"]
        if backend not in sandbox.KEEPERS:
            argv = ["/usr/bin/env", *(f"{name}={value}" for name, value in home.variables().items())]
            argv += [str(home.python), "-s", "-S", "ds1000_guest.py"]
            there = {**files, "ds1000_guest.py": guest()}
            return sandbox.run(sandbox.Program(tuple(argv), there, limits=limits, readonly=home.readonly), backend)
        if kind not in self._warm:
            variables = home.variables(modules(self._contexts(kind)))
            self._warm[kind] = self._interpreter(variables)
        outcome = self._warm[kind].run(files, limits)
        if self._warm[kind].broken:
            self._warm.pop(kind).close()
        return outcome

    def _interpreter(self, variables: dict[str, str]) -> sandbox.warm.Interpreter:
        home, backend = self._home, self._settings["backend"]
        try:
            return sandbox.warm.Interpreter(home.python, guest(), home.readonly, backend, variables, _START_SECONDS)
        except UsageError as error:  # a traceback of an import
            told = [line for line in str(error).splitlines() if line.strip()]
            raise UsageError(f"the environment {self._settings['environment']}: {told[-1]}") from error

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
