"""Back end `userns`: namespaces by unshare(1), mounts, Landlock and the system call filter by `inside.py`, limits by prlimit(1).

Without root a user namespace gives the rights to do so; as root no user namespace is needed and a fresh uid is better.
"""

from __future__ import annotations

import contextlib
import marshal
import sys
from collections.abc import Mapping
from pathlib import Path

from magicoder_repro.errors import UsageError
from magicoder_repro.score.sandbox import cgroups, seccomp, supervise, view
from magicoder_repro.score.sandbox.model import Outcome, Program
from magicoder_repro.score.sandbox.tree import first_child

_INSIDE = Path(__file__).with_name("inside.py")


def run(program: Program, seen: supervise.Watch = supervise.unwatched) -> Outcome:
    """Runs the program in namespaces of our own making."""
    with contextlib.ExitStack() as stack:
        report, told, gate, go = view.pipes(stack, 2)
        group = stack.enter_context(cgroups.group())
        config = view.memory_file(stack, configuration(program, view.own_uid()))
        job = supervise.Job(
            backend="userns",
            start=lambda: supervise.Command(
                argv=command(config, told, gate),
                stdin=view.memory_file(stack, program.stdin),
                environment=view.environment(),
                passed=(config, told, gate),
                group=group,
            ),
            report=report,
            started=lambda text: b"exit " in text,
            hold=supervise.Hold(
                go,
                lambda pid, text: first_child(pid) if text.startswith(b"up") else None,
                group,
            ),
        )
        return supervise.watch(job, program.limits, seen)


def command(config: int, report: int, gate: int) -> list[str]:
    """The command line that starts `inside.py` as pid 1. The program starts when there is a byte at `gate`."""
    unshare, setpriv = view.tool("unshare"), view.tool("setpriv")
    if not (unshare and setpriv and view.tool("prlimit")):
        raise UsageError("sandbox: unshare, setpriv or prlimit is missing: install util-linux")
    words = [setpriv, "--pdeathsig", "KILL", "--"]  # unshare itself would outlive a killed scorer
    words += [unshare, "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child"]
    if not view.privileged():
        words += ["--user", f"--map-user={view.NOBODY}", f"--map-group={view.NOBODY}", "--keep-caps"]
    return [*words, "--", sys.executable, "-I", "-S", str(_INSIDE), str(config), str(report), str(gate)]


def configuration(program: Program, uid: int, warm: Mapping[str, bytes] | None = None) -> bytes:
    """What `inside.py` needs to know. `warm`: files at absolute paths for a program that keeps its privileges."""
    bound = [(str(Path(path).resolve()), view.place(path)) for path in view.binds(program)]  # no link leads out there
    accounts = {**view.accounts(uid), **(warm or {})}
    limits = [] if warm else [view.tool("prlimit"), *view.limit_options(program.limits), "--"]
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
            "warm": warm is not None,
        }
    )
