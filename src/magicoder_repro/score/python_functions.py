"""Runs a Python candidate on a task's inputs in the sandbox, and gives what it returned as inert values."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicoder_repro import environment
from magicoder_repro.score import sandbox, values

_RUNNER = Path(__file__).with_name("runner.py")


@dataclass(frozen=True)
class Returned:
    """What the calls gave: one (value, error name) an input that was reached; `status` says why the rest is missing."""

    status: str
    results: tuple[tuple[Any, str | None], ...]
    seconds: float
    backend: str


def run(
    program: str, entry_point: str, inputs: Sequence[Sequence[Any]], limits: sandbox.Limits, env: str = "core"
) -> Returned:
    """Calls `entry_point` of `program` with each argument list, in one sandboxed process."""
    python = environment.interpreter(env)
    job = sandbox.Program(
        argv=(str(python), "-I", "runner.py"),
        files={
            "runner.py": _RUNNER.read_bytes(),
            "candidate.py": program.encode("utf-8", "surrogatepass"),
            "task.pickle": pickle.dumps((entry_point, [list(arguments) for arguments in inputs])),
        },
        limits=limits,
        readonly=(python.parent.parent, Path(sys.base_prefix)),
    )
    outcome = sandbox.run(job)
    rows: list[dict[str, Any]] = []
    status: str
    for line in outcome.stdout.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict):
            break
        rows.append(row)
    if rows and rows[0].get("loaded") is True:
        results = tuple(_result(row) for row in rows[1 : len(inputs) + 1])
        status = "ok" if len(results) == len(inputs) else ("ended early" if outcome.status == "ok" else outcome.status)
    else:
        results = ()
        status = (
            str(rows[0].get("error", "error"))[:80] if rows else ("error" if outcome.status == "ok" else outcome.status)
        )
    return Returned(status, results, outcome.wall_seconds, outcome.backend)


def _result(row: dict[str, Any]) -> tuple[Any, str | None]:
    if "value" in row:
        return values.decode(row["value"]), None
    return None, str(row.get("error", "malformed"))[:80]
