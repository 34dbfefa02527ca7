"""Interpreters of the libraries' environment in sandboxes: warm ones where the back end can keep them, else a fresh one each time."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from magicoder_repro import sandbox
from magicoder_repro.benchmarks.ds1000.environment import Home, closed, fewest, packages
from magicoder_repro.errors import UsageError

_GUEST = Path(__file__).with_name("guest")
_SHARED = ("process", "values", "libraries", "frames", "restore")
PARTS = {
    "main": (*_SHARED, "program", "tester", "main"),
    "original": (*_SHARED, "original"),
}
"""The files of `guest/` that an entry point consists of; each imports those before it."""
_DRAWING = "matplotlib.pyplot"  # takes longer than all the rest of its package
_START_SECONDS = 120.0  # of an interpreter that imports TensorFlow from a cold disk


@functools.cache
def guest(entry: str) -> bytes:
    """The files of `guest/` as the source of one program, which is what a sandbox takes."""
    sources = {name: (_GUEST / f"{name}.py").read_text() for name in PARTS[entry]}
    return f"""
import sys, types
for name, source in {sources!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, f"<{{name}}>", "exec"), vars(module))
main, WARM = module.main, module.WARM
if __name__ == "__main__":
    main()
""".encode()


class Interpreters:
    """Those of one environment and back end, for `main` of one entry point. At most `kept` warm ones; the one that was used longest
    ago goes first."""

    def __init__(self, home: Home, backend: str, entry: str, kept: int) -> None:
        self.home, self.backend = home, backend
        self._guest, self._most = guest(entry), kept
        self._warm: dict[tuple[str, ...], sandbox.warm.Interpreter] = {}

    def run(
        self,
        modules: Sequence[str],
        files: Mapping[str, bytes],
        limits: sandbox.Limits,
        more: bool = False,
        own: bool = True,
    ) -> sandbox.Outcome:
        """Runs `main` with `files` in its folder, where at most these modules are imported already; `more`: at least their
        packages. Without `own` one that has the packages will do, and the program imports the rest."""
        chosen = tuple(modules)
        if more:
            wanted = set(packages(chosen))
            chosen = next((one for one in reversed(self._warm) if closed(one) >= wanted), chosen)
        elif not own and chosen not in self._warm:
            chosen = self._instead(chosen)
        outcome = self._once(chosen, files, limits)
        if outcome.status == "sandbox":  # once more: every warm interpreter has shown that it works before it is used
            outcome = self._once(chosen, files, limits)
        if outcome.status == "sandbox":
            words = outcome.stderr.decode(errors="replace")[-200:]
            raise UsageError(f"the sandbox {self.backend} did not start: {words}")
        return outcome

    def _instead(self, modules: tuple[str, ...]) -> tuple[str, ...]:
        """Of the warm ones that have nothing but what is asked for, and every package of it, the one that has most; else what the
        packages alone bring."""
        whole, wanted = closed(modules), set(packages(modules))
        fitting = [one for one in self._warm if closed(one) <= whole and closed(one) >= wanted]
        if fitting:
            return max(fitting, key=lambda one: len(closed(one)))
        return fewest(_DRAWING if _DRAWING in whole and name == "matplotlib" else name for name in wanted)

    def _once(self, modules: tuple[str, ...], files: Mapping[str, bytes], limits: sandbox.Limits) -> sandbox.Outcome:
        home = self.home
        if self.backend not in sandbox.KEEPERS:
            argv = ["/usr/bin/env", *(f"{name}={value}" for name, value in home.variables().items())]
            argv += [str(home.python), "-s", "-S", "ds1000_guest.py"]
            there = {**files, "ds1000_guest.py": self._guest}
            return sandbox.run(sandbox.Program(tuple(argv), there, limits=limits, readonly=home.readonly), self.backend)
        interpreter = self._warm.pop(modules, None) or self._start(modules)
        self._warm[modules] = interpreter  # the last one
        outcome = interpreter.run(files, limits)
        if interpreter.broken:
            self._warm.pop(modules).close()
        return outcome

    def _start(self, modules: tuple[str, ...]) -> sandbox.warm.Interpreter:
        while len(self._warm) >= self._most:
            self._warm.pop(next(iter(self._warm))).close()
        home = self.home
        try:
            return sandbox.warm.Interpreter(
                home.python, self._guest, home.readonly, self.backend, home.variables(modules), _START_SECONDS
            )
        except UsageError as error:  # a traceback of an import
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise UsageError(f"the environment {home.name}: {lines[-1]}") from error

    def close(self) -> None:
        """Ends the warm ones."""
        for interpreter in self._warm.values():
            interpreter.close()
        self._warm.clear()


def told(outcome: sandbox.Outcome, token: bytes) -> str:
    """`passed`; `wrong` (a test failed), `forbidden` (`test_string` did), an exception's name, or what the sandbox stopped it for."""
    if outcome.status not in ("ok", "error", "signal"):
        return outcome.status
    if outcome.stdout == b"P" + token and outcome.status == "ok":
        return "passed"
    found = re.fullmatch(rb"E(\w+)", outcome.stdout)
    if found is None:
        return "ended early" if outcome.status == "ok" else outcome.status
    name = found[1].decode()
    return {"test_execution": "wrong", "test_string": "forbidden", "passed": "an exception named passed"}.get(
        name, name
    )
