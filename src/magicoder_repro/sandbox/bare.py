"""Back end `none`: limits by prlimit(1) and no isolation at all. Never chosen unless it is named."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from magicoder_repro.sandbox import supervise, view
from magicoder_repro.sandbox.model import Outcome, Program, Watch

# outlives us: when our end of its stdin closes, by whatever end we come to, the program's group and the folder go
_AFTER_US = (
    'read -r group; while read -r ended; do group=; done; [ -z "$group" ] || kill -s KILL -- "-$group"; rm -rf -- "$0"'
)


class Bare:
    """No isolation."""

    name = "none"

    def run(self, program: Program, seen: Watch = supervise.unwatched) -> Outcome:
        """Runs the program as ourselves, in a temporary folder; processes that leave its process group stay alive."""
        with contextlib.ExitStack() as stack:
            folder, tell = stack.enter_context(_folder())
            for name, content in program.files.items():
                file = folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                file.chmod(0o777)
            prlimit = view.tool("prlimit")
            limits = [prlimit, *view.limit_options(program.limits), "--"] if prlimit else []

            def start() -> supervise.Command:
                command = supervise.Command(
                    argv=[*limits, *program.argv],
                    stdin=view.memory_file(stack, program.stdin),
                    environment=view.environment() | {"HOME": str(folder), "TMPDIR": str(folder)},
                    folder=folder,
                )
                os.write(tell, b"%d\n" % command.pid)
                return command

            outcome = supervise.watch(supervise.Job(backend="none", start=start), program.limits, seen)
            os.write(tell, b"ended\n")
            return outcome


@contextlib.contextmanager
def _folder() -> Iterator[tuple[Path, int]]:
    """A folder that goes even if we are killed, and the descriptor on which its keeper is told the program's process group."""
    folder = Path(tempfile.mkdtemp(prefix="magicoder-"))
    told, tell = os.pipe()
    try:
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", f"trap '' HUP INT TERM; {_AFTER_US}", str(folder)],
            stdin=told,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    except OSError:
        os.close(tell)
        folder.rmdir()
        raise
    finally:
        os.close(told)
    try:
        yield folder, tell
    finally:
        os.close(tell)
        keeper.wait()
