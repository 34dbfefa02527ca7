"""Back end `bubblewrap`: namespaces and mounts by bwrap(1), limits by prlimit(1), the uid by setpriv(1)."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import cgroups, seccomp, supervise, view
from magicoder_repro.sandbox.model import Outcome, Program, Put, Watch


class Bubblewrap:
    """Namespaces and mounts by bwrap."""

    name = "bubblewrap"

    def run(self, program: Program, seen: Watch = supervise.unwatched) -> Outcome:
        """Runs the program under bwrap."""
        return supervise.hold_and_watch(
            self,
            program,
            seen,
            started=lambda text: "exit-code" in _told(text),
            init=lambda _, text: _told(text).get("child-pid"),
        )

    def command(self, program: Program, put: Put, report: int, gate: int) -> list[str]:
        """As `model.Keeper` says; bwrap itself reads what `put` gives."""
        uid = view.own_uid()
        prlimit, setpriv = view.tool("prlimit"), view.tool("setpriv")
        if not (prlimit and setpriv):
            raise UsageError("sandbox: prlimit or setpriv is missing: install util-linux")
        if view.privileged():
            rights = _capabilities("SETUID", "SETGID", "SETPCAP")  # for setpriv
            become = ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
        else:
            rights = ["--disable-userns"] if _knows("--disable-userns") else []
            become = []
        words = [*_namespaces(uid), "--new-session"]  # a group of its own: a signal to the group reaches nobody outside
        words += ["--json-status-fd", str(report), "--block-fd", str(gate), *rights]
        words += _root(program, view.accounts(uid), put)
        inner = sorted({str(parent) for name in program.files for parent in PurePosixPath(name).parents} - {"."})
        for folder in inner:
            words += ["--perms", "0777", "--dir", f"{view.BOX}/{folder}"]
        for name, content in program.files.items():
            words += ["--perms", "0777", "--file", str(put(content)), f"{view.BOX}/{name}"]
        if not view.privileged():  # pid 1 is bwrap, of the program's uid: nothing of it is to be reached through /proc
            words += ["--perms", "0555", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1"]
        rules = seccomp.program(cgroups.counts_cpu())
        if rules is not None:
            words += ["--seccomp", str(put(rules))]
        words += ["--remount-ro", "/proc", "--remount-ro", "/", "--chdir", view.BOX, "--"]
        words += [prlimit, *view.limit_options(program.limits), "--"]
        words += [setpriv, *become, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]
        return [*words, *program.argv]

    def outer_command(self, program: Program, files: Mapping[str, bytes], put: Put) -> list[str]:
        """As `model.Keeper` says; the program is pid 1."""
        uid = view.own_uid()
        words = [*_namespaces(uid), "--as-pid-1"]
        rights = _capabilities("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP")
        words += rights if view.privileged() else ["--cap-add", "ALL"]
        words += _root(program, {**view.accounts(uid), **files}, put)
        return [*words, "--remount-ro", "/", "--chdir", view.BOX, "--", *program.argv]


def _namespaces(uid: int) -> list[str]:
    bwrap = view.tool("bwrap")
    if not bwrap:
        raise UsageError("sandbox: bwrap is missing: install bubblewrap")
    words = [bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--hostname", "box", "--die-with-parent", "--cap-drop", "ALL"]
    return words if view.privileged() else [*words, "--unshare-user", "--uid", str(uid), "--gid", str(uid)]


def _capabilities(*names: str) -> list[str]:
    return [word for name in names for word in ("--cap-add", f"CAP_{name}")]


def _root(program: Program, files: dict[str, bytes], put: Put) -> list[str]:
    """What is mounted where; `files` at absolute paths, read-only."""
    bound = {path: view.place(path) for path in view.binds(program)}
    words = ["--perms", "0777", "--size", str(program.limits.scratch_mb << 20), "--tmpfs", view.BOX]
    words += ["--perms", "1777", "--dir", view.SCRATCH]
    for folder in view.folders([*bound.values(), *files, *view.LINKS]):  # bwrap itself would make them 0700
        words += ["--perms", "0755", "--dir", folder]
    for path, target in bound.items():
        words += ["--ro-bind", path, target]
    for path, target in view.links().items():
        words += ["--symlink", target, path]
    for name in view.DEVICES:
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for path, content in files.items():
        words += ["--perms", "0444", "--file", str(put(content)), path]
    return [*words, "--proc", "/proc"]


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
