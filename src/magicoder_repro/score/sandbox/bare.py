"""Back end `none`: limits by prlimit(1) and no isolation at all. Never chosen unless it is named."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from magicoder_repro.score.sandbox import supervise, view
from magicoder_repro.score.sandbox.model import Outcome, Program


def run(program: Program, seen: supervise.Watch = supervise.unwatched) -> Outcome:
    """Runs the program as ourselves, in a temporary folder; processes that leave its process group stay alive."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        for name, content in program.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o777)
        prlimit = view.tool("prlimit")
        limits = [prlimit, *view.limit_options(program.limits), "--"] if prlimit else []
        job = supervise.Job(
            backend="none",
            start=lambda: supervise.Command(
                argv=[*limits, *program.argv],
                stdin=view.memory_file(stack, program.stdin),
                environment=view.environment() | {"HOME": str(folder), "TMPDIR": str(folder)},
                folder=folder,
            ),
        )
        return supervise.watch(job, program.limits, seen)
