"""Back end `userns`: namespaces by unshare(1), mounts, Landlock and the system call filter by `pid1.py`, limits by prlimit(1).

Without root a user namespace gives the rights to do so; as root no user namespace is needed and a fresh uid is better.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping
from pathlib import Path

from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import cgroups, seccomp, supervise, view
from magicoder_repro.sandbox.model import Outcome, Program, Put, Watch
from magicoder_repro.sandbox.tree import first_child

_PID1 = Path(__file__).parent / "guest" / "pid1.py"


class Userns:
    """Namespaces by unshare(1), the rest by `pid1.py`."""

    name = "userns"

    def run(self, program: Program, seen: Watch = supervise.unwatched) -> Outcome:
        """Runs the program in namespaces of our own making."""
        return supervise.hold_and_watch(
            self,
            program,
            seen,
            started=lambda text: b"exit " in text,
            init=lambda pid, text: first_child(pid) if text.startswith(b"up") else None,
        )

    def command(self, program: Program, put: Put, report: int, gate: int) -> list[str]:
        """As `model.Keeper` says; `pid1.py` is pid 1."""
        return _command(put(_configuration(program, view.own_uid(), None)), report, gate)

    def outer_command(self, program: Program, files: Mapping[str, bytes], put: Put) -> list[str]:
        """As `model.Keeper` says; `pid1.py` is pid 1 and starts it at once."""
        return _command(put(_configuration(program, view.own_uid(), files)))


def _command(config: int, *supervisor: int) -> list[str]:
    """The command line that starts `pid1.py`; its head says what these descriptors are."""
    unshare, setpriv = view.tool("unshare"), view.tool("setpriv")
    if not (unshare and setpriv and view.tool("prlimit")):
        raise UsageError("sandbox: unshare, setpriv or prlimit is missing: install util-linux")
    words = [setpriv, "--pdeathsig", "KILL", "--"]  # unshare itself would outlive a killed scorer
    words += [unshare, "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child"]
    if not view.privileged():
        words += ["--user", f"--map-user={view.NOBODY}", f"--map-group={view.NOBODY}", "--keep-caps"]
    return [*words, "--", sys.executable, "-I", "-S", str(_PID1), str(config), *map(str, supervisor)]


def _configuration(program: Program, uid: int, own: Mapping[str, bytes] | None) -> bytes:
    """What `pid1.py` needs to know. `own`: the files of a program that makes sandboxes itself."""
    bound = [(str(Path(path).resolve()), view.place(path)) for path in view.binds(program)]  # no link leads out there
    accounts = {**view.accounts(uid), **(own or {})}
    limits = [] if own else [view.tool("prlimit"), *view.limit_options(program.limits), "--"]
    return marshal.dumps(
        {
            "uid": uid,
            "become": view.privileged(),
            "folders": view.folders([*(target for _, target in bound), *accounts, *view.LINKS]),
            "binds": bound,
            "links": view.links(),
            "devices": view.DEVICES,
            "accounts": accounts,
            "files": {name: bytes(content) for name, content in program.files.items()},
            "box_options": view.box_options(program.limits),
            "rules": seccomp.program(cgroups.counts_cpu()),
            "argv": [*limits, *program.argv],
        }
    )
