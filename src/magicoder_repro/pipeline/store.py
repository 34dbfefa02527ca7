"""Where results lie: one folder for each fingerprint, so that equal nodes of two profiles are made once and a value that is changed
back costs nothing. `runs/PROFILE/NODE` is a link to it.

A result that is made again (`--refresh`, or because a file of it is damaged) takes the old one's place for every profile. Where it
came out otherwise, as a teacher's replies may, all that was made of the old one is stale, by its inputs' content.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from magicoder_repro import artifact
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline.plan import Node
from magicoder_repro.progress import say
from magicoder_repro.terminal import public

NAME = ".store"
_SHOWN = 60  # characters of a value
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Run:
    """The folder of one profile's run, and the store that its results lie in."""

    folder: Path
    store: Path

    @staticmethod
    def of(profile_name: str, runs: Path, folder: Path | None) -> Run:
        """`runs/PROFILE` with the store of all profiles beside it; a folder of the user's own holds its own."""
        if folder is not None:
            return Run(folder, folder / NAME)
        name = Path(profile_name).stem
        if not _PLAIN.fullmatch(name):
            raise UsageError(f"{profile_name}: a run cannot be named {name!r}: rename the file, or give --runs FOLDER")
        return Run(runs / name, runs / NAME)

    def link(self, name: str) -> Path:
        """The node's place in the run."""
        return self.folder / name

    def request(self, node: Node, made: Mapping[str, Path] | None = None) -> artifact.Request:
        """What the node is asked for; its inputs must be made. `made`: where they are, when not where the run's links lead."""
        known = made or {}
        inputs = {name: known.get(source) or self.link(source).resolve() for name, source in node.inputs.items()}
        config = {**node.config, **node.facts()}
        stage = node.stage
        where = node.place.environment
        asked = artifact.Request(stage.name, self.store, config, inputs, where, stage.version, stage.schedule)
        return replace(asked, out=self.store / f"{stage.name}-{asked.fingerprint()[:20]}")

    def put(self, node: Node, made: Path) -> None:
        """Lets the node's place lead to its result."""
        link = self.link(node.name)
        self.check(node)
        link.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(made.resolve(), link.parent.resolve())
        if link.is_symlink() and link.readlink() == Path(target):
            return
        aside = link.with_name(f".{link.name}.{os.getpid()}")
        aside.unlink(missing_ok=True)
        aside.symlink_to(target)
        aside.replace(link)

    def check(self, node: Node) -> None:
        """A UsageError when something of the user's, or of an earlier version, lies in the node's place."""
        link = self.link(node.name)
        if link.exists() and not link.is_symlink():
            earlier = (link / artifact.MANIFEST).is_file()
            what = "is a result of an earlier version" if earlier else "exists and is no result of ours"
            raise UsageError(f"{link} {what}: move it, or name another folder with --runs")


@dataclass(frozen=True)
class State:
    """Of a node: what is asked for, None where an input is still to be made; why it must be made, None when it is there."""

    request: artifact.Request | None
    reason: str | None


def states(run: Run, nodes: Sequence[Node], verify: bool) -> dict[str, State]:
    """The state of each node, as it would be if nothing were made before it."""
    found: dict[str, State] = {}
    made: dict[str, Path] = {}
    for node in nodes:
        waits = [source for source in node.inputs.values() if source not in made]
        if waits:
            more = f" and {len(waits) - 1} more" if len(waits) > 1 else ""
            found[node.name] = State(None, f"waits for {waits[0]}{more}")
            continue
        request = run.request(node, made)
        found[node.name] = State(request, why_stale(run, node, request, verify))
        if found[node.name].reason is None:
            made[node.name] = request.out
    return found


def why_stale(run: Run, node: Node, request: artifact.Request, verify: bool) -> str | None:
    """Why a node must be made; None when its result is in the store, undamaged."""
    reason = artifact.why_stale(request, verify)
    if reason != artifact.NOT_MADE or not run.link(node.name).is_dir():
        return reason
    return _difference(run.link(node.name).resolve(), request) or reason


def _difference(before: Path, request: artifact.Request) -> str | None:
    """What differs from the result that the run has now."""
    try:
        manifest = artifact.read_manifest(before)
    except UsageError:
        return None
    inputs = request.input_hashes()
    for name, sha256 in inputs.items():
        if manifest.inputs.get(name) != sha256:
            return f"its input {name} changed"
    config = public(artifact.without(request.config, request.schedule))
    then = artifact.without(manifest.config, request.schedule)
    for key, old, new in _changes(then, config):
        return f"{key} changed: {str(old)[:_SHOWN]} -> {str(new)[:_SHOWN]}"
    return "its stage changed"


def _changes(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, list) and isinstance(new, list):
        old, new = dict(enumerate(old)), dict(enumerate(new))
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            yield from _changes(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif old != new:
        yield key, old, new


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """The right to make one result: another run that needs it too waits here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    handle = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run makes {path.name} right now: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def runs_of(run: Run) -> list[Path]:
    """The folders of the runs whose results lie in the store: those beside it, and this one."""
    beside = list(run.store.parent.iterdir()) if run.store.parent.is_dir() else []
    return list(dict.fromkeys(path for path in (run.folder, *beside) if path.is_dir() and path.name != NAME))


def garbage(run: Run, interrupted: bool) -> list[tuple[Path, int]]:
    """Folders of the store that no run leads to, and their sizes in bytes. `interrupted`: also those that a killed run would go on
    with."""
    used: set[Path] = set()
    for folder in runs_of(run):
        for parent, folders, files in os.walk(folder):
            here = Path(parent)
            used |= {(here / name).resolve() for name in (*folders, *files) if (here / name).is_symlink()}
            folders[:] = [name for name in folders if name != NAME]
    if not run.store.is_dir():
        return []
    kept = {path.name for path in used}
    unused = sorted(path for path in run.store.iterdir() if path.is_dir() and path.name not in kept)
    unused = [path for path in unused if interrupted or not path.name.endswith(".partial")]
    return [(path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file())) for path in unused]


def remove(paths: list[Path]) -> None:
    """Deletes folders of the store, with their locks and lists of files."""
    for path in paths:
        shutil.rmtree(path)
        for beside in (f".{path.name}.lock", f".{path.name}.files"):
            path.with_name(beside).unlink(missing_ok=True)
