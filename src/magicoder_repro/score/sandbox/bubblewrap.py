"""Back end `bubblewrap`: namespaces and mounts by bwrap(1), limits by prlimit(1), the uid by setpriv(1)."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from magicoder_repro.errors import UsageError
from magicoder_repro.score.sandbox import seccomp, supervise, view
from magicoder_repro.score.sandbox.model import Outcome, Program


def run(program: Program) -> Outcome:
    """Runs the program under bwrap."""
    with contextlib.ExitStack() as stack:
        report, told = os.pipe()
        stack.callback(os.close, report)
        stack.callback(os.close, told)
        passed = [told]

        def put(content: bytes) -> int:
            passed.append(view.memory_file(stack, content))
            return passed[-1]

        job = supervise.Job(
            backend="bubblewrap",
            argv=command(program, view.own_uid(), told, put),
            stdin=view.memory_file(stack, program.stdin),
            environment=view.environment(),
            passed=passed,
            report=report,
            started=lambda text: "exit-code" in _told(text),
            init=lambda _, text: _told(text).get("child-pid"),
        )
        return supervise.watch(job, program.limits)


def command(program: Program, uid: int, report: int, put: Callable[[bytes], int]) -> list[str]:
    """The command line; `put` turns content into a descriptor that bwrap reads."""
    bwrap, prlimit, setpriv = (view.tool(name) for name in ("bwrap", "prlimit", "setpriv"))
    if not (bwrap and prlimit and setpriv):
        raise UsageError("sandbox: bwrap, prlimit or setpriv is missing: install bubblewrap and util-linux")
    words = [
        bwrap,
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ]
    words += ["--hostname", "box", "--die-with-parent", "--json-status-fd", str(report), "--cap-drop", "ALL"]
    if view.privileged():
        words += [
            "--cap-add",
            "CAP_SETUID",
            "--cap-add",
            "CAP_SETGID",
            "--cap-add",
            "CAP_SETPCAP",
        ]  # for setpriv
        become = ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    else:
        words += ["--unshare-user", "--uid", str(uid), "--gid", str(uid)]
        words += ["--disable-userns"] if _knows("--disable-userns") else []
        become = []
    bound = {path: view.place(path) for path in view.binds(program)}
    accounts = view.accounts(uid)
    words += ["--perms", "0777", "--size", str(program.limits.scratch_mb << 20), "--tmpfs", view.BOX]
    words += ["--perms", "1777", "--dir", view.SCRATCH]
    for folder in view.folders([*bound.values(), *accounts, *view.LINKS]):  # bwrap itself would make them 0700
        words += ["--perms", "0755", "--dir", folder]
    for path, target in bound.items():
        words += ["--ro-bind", path, target]
    for path, target in view.links().items():
        words += ["--symlink", target, path]
    for name in view.DEVICES:
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for path, content in accounts.items():
        words += ["--perms", "0444", "--file", str(put(content)), path]
    words += ["--proc", "/proc"]
    inner = sorted({str(parent) for name in program.files for parent in PurePosixPath(name).parents} - {"."})
    for folder in inner:
        words += ["--perms", "0777", "--dir", f"{view.BOX}/{folder}"]
    for name, content in program.files.items():
        words += ["--perms", "0777", "--file", str(put(content)), f"{view.BOX}/{name}"]
    rules = seccomp.program()
    if rules is not None:
        words += ["--seccomp", str(put(rules))]
    words += ["--remount-ro", "/proc", "--remount-ro", "/", "--chdir", view.BOX, "--"]
    words += [prlimit, *view.limit_options(program.limits), "--"]
    words += [setpriv, *become, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]
    return [*words, *program.argv]


@functools.cache
def _knows(option: str) -> bool:
    bwrap = view.tool("bwrap")
    return bwrap is not None and option in subprocess.run([bwrap, "--help"], capture_output=True, text=True).stdout


def _told(text: bytes) -> dict[str, Any]:
    """What bwrap wrote on its status pipe: JSON objects, one a line."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            found |= json.loads(line)
    return found
