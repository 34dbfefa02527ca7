"""One program of the toy -> its verdict."""

from __future__ import annotations

import sys
from typing import Any

from magicoder_repro import sandbox
from magicoder_repro.errors import UsageError

_COMMAND = (sys.executable, "-I", "program.py")
_SECONDS = 2.0


class Judge:
    """Settings: `backend`, `memory_mb`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._backend: str = settings["backend"]
        self._limits = sandbox.Limits(3 * _SECONDS, _SECONDS, settings["memory_mb"])

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """`program`, `stdin`, `stdout` -> `status`, CPU `seconds`."""
        files = {"program.py": request["program"].encode("utf-8", "replace")}
        stdin = request["stdin"].encode()
        outcome = sandbox.run(sandbox.Program(_COMMAND, files, stdin, self._limits), self._backend)
        if outcome.status == "sandbox" and sandbox.gap(self._backend) is not None:  # else it is this program's fault
            raise UsageError(f"the sandbox {self._backend} did not start: {outcome.stderr.decode(errors='replace')}")
        status: str = outcome.status
        if status == "ok":
            status = "passed" if outcome.stdout == request["stdout"].encode() else "wrong output"
        return {"status": status, "seconds": round(outcome.cpu_seconds, 3)}

    def close(self) -> None:
        """Nothing stays alive between programs."""
