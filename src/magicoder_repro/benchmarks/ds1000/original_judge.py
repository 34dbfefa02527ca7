"""Judges programs of DS-1000 as its original release does, in the environment of that release.

The answer takes its place in the problem's program; that runs once for each test case, in a folder with the problem's files, and
leaves a pickle; the problem's test then looks at what the pickles hold, and for some problems at the answer's text first. A case and
the test have a fresh sandbox each. What the release does in one process, and is done elsewhere here: no pickle, of the data or of a
program, is read outside a sandbox; what a program left reaches the test as plain data; a figure is compared where its program never
was.
"""

from __future__ import annotations

import ast
import builtins
import json
import marshal
import re
import secrets
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from magicoder_repro import records, sandbox
from magicoder_repro.benchmarks.ds1000 import original
from magicoder_repro.benchmarks.ds1000.environment import Home, fewest, modules, packages
from magicoder_repro.benchmarks.ds1000.interpreters import Interpreters, told
from magicoder_repro.benchmarks.ds1000.judge import DRAWS, NO_TABLE, drawing, task_id
from magicoder_repro.errors import UsageError

_KEPT = 6  # warm interpreters
_WORTH = 12  # runs of a library's programs for which starting an interpreter costs less than importing in each
_DRAWS_OF_FIGURES = 3  # drawing takes long
_PLACE = "[insert]"
_NOT_FOR_FIGURES = ("plt.show()", "plt.clf()", "plt.close()", "savefig")
_FIGURE, _ASSERTIONS = "#Image Testing", "# Testing"
_GIVEN = {"plt", "np", "pickle"}
_BY_TEXT = 3  # the type of a test that looks at the answer's text as well
_WANTED_PICTURE = "ans/oracle_plot.png"
_MOST_BYTES = 1 << 28  # of what a program leaves
_SCRATCH_MB = 128
_TEST_SECONDS = 60.0
_PROBE = """
[imports]
import os, sys
for module in list(sys.modules.values()):
    if os.path.isabs(getattr(module, "__file__", None) or ""):
        open(module.__file__, "rb").close()
        os.listdir(os.path.dirname(module.__file__))
import pickle
pickle.dump([1, 2], open("result/result_1.pkl", "wb"))
"""
_PROBE_TEST = "def test(result, ans=None): return int(result == [1, 2])"


def program(task: records.Record, answer: str) -> str:
    """The text of the program: the answer in its place, up to where a figure is looked at."""
    context: str = task["code_context"]
    if task["metadata"]["library"] == "Matplotlib":
        context = context[: context.index(_FIGURE)]
    return context.replace(_PLACE, answer)


def without_ends(answer: str) -> str:
    """An answer that draws, without the lines that would end or save the figure."""
    return "\n".join(line for line in answer.split("\n") if not any(phrase in line for phrase in _NOT_FOR_FIGURES))


def assertions(task: records.Record) -> tuple[str, list[str]] | None:
    """What is asserted of a figure, and the names of the program that it asks for; None where there is no figure."""
    if task["metadata"]["library"] != "Matplotlib":
        return None
    code = task["code_context"].partition(_FIGURE)[2].partition(_ASSERTIONS)[2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the release's own code
        nodes = list(ast.walk(ast.parse(code)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    own |= {node.asname or node.name.partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    return code, sorted({node.id for node in names} - own - _GIVEN - set(vars(builtins)))


def draws(task: records.Record) -> bool:
    """Whether a verdict may depend on random numbers: the problem's program or test draws some that it does not seed."""
    return drawing(f"{task['code_context']}\n{task['test_code']}")


class Judge:
    """Judges programs of one library, one after the other.

    An interpreter that a program is forked from has imported nothing that the problem's program itself does not import before the
    answer's place: more could be felt. A test's has imported more, as the release's own process has.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._home = Home(settings["environment"])
        self._folder = Path(settings["tasks"])
        self._tasks = {task_id(task): task for task in original.tasks(self._folder, [settings["library"]])}
        self._interpreters = Interpreters(self._home, settings["backend"], "original", _KEPT)
        self._uses: Counter[tuple[str, ...]] = Counter()
        for task in self._tasks.values():
            self._uses[needed(task)] += task["metadata"]["test_case_cnt"]
        self._works = False

    def __call__(self, request: records.Record) -> dict[str, Any]:
        """The verdict on the answer `program` to `task_id`: `passed`, `passed_plus` (None), `status`, `seconds`; where it may hang on
        random numbers the majority's of up to five runs, and `draws` says how many of how many passed."""
        task = self._tasks[request["task_id"]]
        if table := self._home.missing_table(task):
            return {"passed": False, "passed_plus": None, "status": f"{NO_TABLE}{table}", "seconds": 0.0}
        if not self._works:
            self._try(task)
            self._works = True
        runs: list[tuple[str, float]] = []
        of = 1 if not draws(task) else DRAWS if assertions(task) is None else _DRAWS_OF_FIGURES
        while not any(_count(runs, passed) > of // 2 for passed in (True, False)):
            runs.append(self._judged(task, request["program"], seed=len(runs)))
        won = _count(runs, True) > of // 2
        status = next(status for status, _ in runs if (status == "passed") == won)
        seconds = round(sum(seconds for _, seconds in runs), 3)
        verdict = {"passed": won, "passed_plus": None, "status": status, "seconds": seconds}
        return verdict if of == 1 else {**verdict, "draws": {"passed": _count(runs, True), "of": len(runs)}}

    def _judged(self, task: records.Record, answer: str, seed: int) -> tuple[str, float]:
        """The status of one run of all cases and the test, and its seconds."""
        shown, hidden = original.files(self._folder, task)
        about = task["metadata"]
        if about["library"] == "Matplotlib":
            answer = without_ends(answer)
        try:
            text = program(task, answer).encode()
        except UnicodeEncodeError as error:  # no file can hold it
            return type(error).__name__, 0.0
        needs, test_needs = needed(task), _of_test(task)
        own = self._uses[needs] >= _WORTH
        step = {"program": text, "assertions": assertions(task), "seed": seed, "packages": packages(needs)}
        seconds, results, held, raised = 0.0, [], False, None
        for case in range(1, about["test_case_cnt"] + 1):
            files = {**shown, "run": marshal.dumps({**step, "case": case}, 2)}
            outcome = self._interpreters.run(needs, files, self._limits(self._settings["seconds"]), own=own)
            seconds += outcome.wall_seconds
            status, result, held = _left(outcome)
            if result is None:
                return status or "no result", seconds
            results.append(result)
            raised = raised or status
        token = secrets.token_hex(16).encode()
        test = {
            "test_code": task["test_code"],
            "answer": answer if about["test_type"] == _BY_TEXT else None,
            "wanted": [hidden.get(f"ans/ans{case}.pkl", b"") for case in range(1, len(results) + 1)],
            "results": results,
            "picture": hidden.get(_WANTED_PICTURE),
            "held": held,
            "seed": seed,
            "packages": packages(test_needs),
            "token": token,
        }
        files = {**shown, "test": marshal.dumps(test, 2)}
        room = 3 * sum(map(len, results)) >> 20  # of the file, and of what is made of it
        limits = replace(self._limits(_TEST_SECONDS), scratch_mb=_SCRATCH_MB + room)
        outcome = self._interpreters.run(test_needs, files, limits, more=True)
        status = told(outcome, token)
        if raised and status not in (
            "passed",
            "forbidden",
        ):  # a pickle that was not finished, or the test of one that was
            status = raised
        return status, seconds + outcome.wall_seconds

    def _limits(self, seconds: float) -> sandbox.Limits:
        return sandbox.Limits(
            wall_seconds=1.5 * seconds + 5,
            cpu_seconds=seconds,
            memory_mb=self._settings["memory_mb"],
            output_bytes=_MOST_BYTES,
            file_mb=_MOST_BYTES >> 20,
            scratch_mb=_SCRATCH_MB + (_MOST_BYTES >> 20),
        )

    def _try(self, task: records.Record) -> None:
        """A program that is right, before any that is judged: a judge that cannot work is an error and no verdict."""
        needs = needed(task)
        text = _PROBE.replace("[imports]", "".join(f"import {name}\n" for name in packages(needs)))
        step: dict[str, Any] = {"program": text.encode(), "assertions": None, "seed": 0, "packages": [], "case": 1}
        limits = self._limits(self._settings["seconds"])
        outcome = self._interpreters.run(needs, {"run": marshal.dumps(step, 2)}, limits)
        status, result, _ = _left(outcome)
        if result is not None and status is None:
            token = secrets.token_hex(16).encode()
            test = {
                "test_code": _PROBE_TEST,
                "answer": None,
                "wanted": [b""],
                "results": [result],
                "picture": None,
                "held": False,
                "seed": 0,
                "packages": [],
                "token": token,
            }
            status = told(self._interpreters.run(needs, {"test": marshal.dumps(test, 2)}, limits, more=True), token)
        if status != "passed":
            raise UsageError(
                f"the environment {self._settings['environment']} does not work inside the sandbox "
                f"{self._settings['backend']} ({status}): every user must be able to read it: "
                f"chmod -R go+rX {self._home.prefix}, or build it again under umask 022"
            )

    def close(self) -> None:
        """Ends the warm interpreters."""
        self._interpreters.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _imported(task: records.Record) -> list[str]:
    """What a problem's program imports before the answer."""
    return modules([task["code_context"].partition(_PLACE)[0]])


def needed(task: records.Record) -> tuple[str, ...]:
    """What an interpreter has imported that a problem's program is forked from."""
    return fewest(_imported(task))


def _of_test(task: records.Record) -> tuple[str, ...]:
    """What the test of a problem and the pickles that it looks at import."""
    if assertions(task) is not None:
        return ("PIL.Image", "numpy")
    return fewest([*packages(_imported(task)), *modules([task["test_code"]])])


def _count(runs: list[tuple[str, float]], passed: bool) -> int:
    return sum((status == "passed") is passed for status, _ in runs)


def _left(outcome: sandbox.Outcome) -> tuple[str | None, bytes | None, bool]:
    """What stopped a case (None: nothing), what it left (a pickle or a picture), and whether the assertions on a figure held."""
    head, _, content = outcome.stdout.partition(b"\n")
    try:
        about = json.loads(head)
        raised, held, size = about["raised"], about["held"] is True, about["bytes"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return (outcome.status if outcome.status not in ("ok", "error") else "ended early"), None, False
    if outcome.status not in ("ok", "error", "signal"):
        return outcome.status, None, False
    name = None if raised is None else re.sub(r"\W", "", str(raised))[:80]
    if name == "passed":
        name = "an exception named passed"
    return name, (content if size == len(content) else None), held
