"""What a stage leaves: a folder of files and `manifest.json`, whole or absent.

A stage works in `OUT.partial/`, which carries the fingerprint of the request (stage, its version, config, inputs). A killed run
leaves it behind; the next run with the same fingerprint goes on there, any other throws it away. When the work is done every file
is synced, the manifest is written last and the folder is renamed into place.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from magicoder_repro import environment, records
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import say
from magicoder_repro.terminal import public

MANIFEST = "manifest.json"
# How libraries in Rust (safetensors) and C++ (torch.save) report a failed write; the latter does not say which error it was.
_OS_ERROR = re.compile(r"\(os error (?P<number>\d+)\)|inline_container\.cc:.*(unexpected pos|write failed)")
_PRIVATE = "work"  # journals and checkpoints of a running stage; not part of the result
LOGS = "logs"
"""The folder in a result for what is told of its making with times and host names: kept beside its files, none of them."""


class Manifest(BaseModel):
    """What a result was made of and with. `stage_version`: of the stage; `outputs`: the sha256 of each file; `kinds`: of the files of
    records, what they are of and its version (data/kinds.py)."""

    model_config = ConfigDict(strict=True)

    version: Literal[1] = 1
    stage: str
    stage_version: int
    fingerprint: str
    config: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str]
    kinds: dict[str, str] = {}
    counts: dict[str, Any]
    dropped: dict[str, int]
    notes: list[str]
    environment: dict[str, str]
    versions: dict[str, str]
    device: dict[str, Any]
    seconds: float
    commit: str | None


@dataclass
class Work:
    """What a stage's body is given: where to read, where to write, and what to report."""

    out: Path
    inputs: Mapping[str, Path]
    config: Mapping[str, Any]
    counts: dict[str, Any] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)

    @property
    def private(self) -> Path:
        """A folder for journals and checkpoints: it survives a kill and is gone from the result."""
        path = self.out / _PRIVATE
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def logs(self) -> Path:
        """A folder for logs: they stay with the result, and are no part of what later stages depend on."""
        path = self.out / LOGS
        path.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True)
class Request:
    """One stage's work: what is asked, of which inputs, into which folder."""

    stage: str
    out: Path
    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    environment: str
    version: int = 1
    """Of the stage: another one gives other files."""
    schedule: frozenset[str] = frozenset()
    """Keys of the config (`a.b`) that only say how the work is done: the same files come out whatever their values."""

    def input_hashes(self) -> dict[str, str]:
        return {name: content_sha256(path) for name, path in sorted(self.inputs.items())}

    def fingerprint(self) -> str:
        """The identity of the request; the same fingerprint gives the same files."""
        identity = {
            "stage": self.stage,
            "version": self.version,
            "config": without(self.config, self.schedule),
            "inputs": self.input_hashes(),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def without(config: Mapping[str, Any], keys: frozenset[str], parents: str = "") -> dict[str, Any]:
    found = {}
    for name, value in config.items():
        key = parents + name
        if key not in keys:
            found[name] = without(value, keys, f"{key}.") if isinstance(value, Mapping) else value
    return found


def output_files(folder: Path) -> Iterator[Path]:
    """The files of a result, without its manifest and logs, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST and path.relative_to(folder).parts[0] not in (_PRIVATE, LOGS):
            yield path


def content_sha256(path: Path) -> str:
    """The hash of an input: of a file its bytes, of a stage's folder the names and hashes its manifest lists."""
    if path.is_file():
        return environment.file_sha256(path)
    if not path.is_dir():
        raise UsageError(f"{path}: no such file or folder")
    if (path / MANIFEST).is_file():
        outputs = read_manifest(path).outputs
    else:
        outputs = {str(file.relative_to(path)): environment.file_sha256(file) for file in output_files(path)}
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()


NOT_MADE = "not made yet"


def why_stale(request: Request, verify: bool = True) -> str | None:
    """None when the folder holds this request's undamaged result, else the reason to make it.

    Without `verify` a file whose size and time are those of the last look is not read again: weights are tens of gigabytes.
    """
    manifest = request.out / MANIFEST
    if not manifest.is_file():
        return NOT_MADE
    try:
        recorded = records.loads(manifest.read_bytes())
        outputs = dict(recorded["outputs"])
        if recorded["fingerprint"] != request.fingerprint():
            return "its config, inputs or stage changed"
    except (ValueError, KeyError, TypeError, IsADirectoryError):
        return f"{manifest} is damaged"
    found = {str(path.relative_to(request.out)): path for path in output_files(request.out)}
    looks = {name: _look(path) for name, path in found.items()}
    seen = {} if verify else _seen(request.out)
    for name, sha256 in outputs.items():
        if name not in found:
            return f"{request.out / name} is missing"
        if looks[name] != seen.get(name) and environment.file_sha256(found[name]) != sha256:
            return f"{request.out / name} is damaged (its hash is not the manifest's)"
    extra = sorted(set(found) - set(outputs))
    if extra:
        return f"{request.out / extra[0]} does not belong there"
    if not verify and looks != seen:
        records.write_json(_list(request.out), looks)
    return None


def _look(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _list(folder: Path) -> Path:
    """The sizes and times of a folder's files when their hashes were last compared."""
    return folder.with_name(f".{folder.name}.files")


def _seen(folder: Path) -> dict[str, Any]:
    try:
        return dict(records.read_json(_list(folder)))
    except (UsageError, TypeError, ValueError):
        return {}


def build(request: Request, body: Callable[[Work], None], again: bool = False) -> bool:
    """Makes the request's folder unless it is there and undamaged, or in any case (`again`). Returns whether work was done."""
    tidy(request)
    if not again and why_stale(request) is None:
        return False
    partial = request.out.with_name(request.out.name + ".partial")
    if why_stale(replace(request, out=partial)) is None:  # killed between the manifest and the rename
        _install(partial, request.out)
        return True
    fingerprint = request.fingerprint()
    mark = partial / _PRIVATE / "fingerprint"
    if not is_ours(partial):
        raise UsageError(f"{partial} exists and is no work of ours: move it or name another folder with -o")
    if partial.exists() and (not mark.is_file() or mark.read_text() != fingerprint):
        shutil.rmtree(partial)
    if not partial.exists():
        mark.parent.mkdir(parents=True)
        records.write_text(mark, fingerprint)
    else:
        say(f"{request.stage}: an earlier run was interrupted here, going on with what it left")
        for path in output_files(partial):
            if records.is_torn(path):
                path.unlink()
    start = time.monotonic()
    work = Work(partial, request.inputs, request.config)
    try:
        body(work)
    except BaseException as error:
        if not any(path.stat().st_size for path in partial.rglob("*") if path.is_file() and path != mark):
            shutil.rmtree(partial)  # nothing to go on with
        if (number := failed_write(error)) is not None:
            raise OSError(number, os.strerror(number), str(partial)) from error
        raise
    if not mark.is_file():
        raise UsageError(f"{partial}: somebody took its files away while {request.stage} worked: start again")
    if request.fingerprint() != fingerprint:
        raise UsageError(f"{request.stage}: an input was replaced while it worked: start the same command again")
    outputs: dict[str, str] = {}
    for path in output_files(partial):
        records.sync(path)
        outputs[str(path.relative_to(partial))] = environment.file_sha256(path)
    manifest = Manifest(
        stage=request.stage,
        stage_version=request.version,
        fingerprint=fingerprint,
        config=public(dict(request.config)),
        inputs=request.input_hashes(),
        outputs=outputs,
        kinds=work.kinds,
        counts=work.counts,
        dropped=dict(work.dropped),
        notes=public(work.notes),
        environment=environment.identity(request.environment),
        versions=environment.versions(),
        device=environment.device(),
        seconds=round(time.monotonic() - start, 2),
        commit=environment.git_commit(),
    )
    records.write_json(partial / MANIFEST, manifest.model_dump())
    _install(partial, request.out)
    return True


def private(out: Path) -> Path:
    """Where the stage that makes `out` right now keeps its journals and checkpoints."""
    return out.with_name(out.name + ".partial") / _PRIVATE


def is_ours(folder: Path) -> bool:
    """Whether a folder may be replaced: a result, the work of a killed run, or nothing."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    private = folder / _PRIVATE  # may hold the mark's own torn file
    if (folder / MANIFEST).exists() or (private / "fingerprint").exists():
        return True
    return all(path.is_dir() or path.parent == private for path in folder.rglob("*"))


def failed_write(error: BaseException) -> int | None:
    """The errno that a library wrote into the message of an exception of its own."""
    found = None if isinstance(error, OSError) else _OS_ERROR.search(str(error))
    return None if found is None else int(found["number"] or errno.ENOSPC)


def tidy(request: Request) -> None:
    """Removes the replaced result that a kill in the last step of a run has left beside the new one."""
    old = request.out.with_name(request.out.name + ".old")
    if old.exists() and request.out.exists():
        shutil.rmtree(old)


def _install(partial: Path, out: Path) -> None:
    """Puts a finished folder in the place of the old one."""
    shutil.rmtree(partial / _PRIVATE, ignore_errors=True)
    records.sync(partial)
    old = out.with_name(out.name + ".old")
    if old.exists():
        shutil.rmtree(old)
    if out.exists():
        out.rename(old)
    partial.rename(out)
    records.sync(out.parent)
    if old.exists():
        shutil.rmtree(old)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished stage; a UsageError says why it is none of ours."""
    content = records.read_json(folder / MANIFEST)
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        earlier = isinstance(content, dict) and "fingerprint" in content and "version" not in content
        why = (
            "of an earlier version: make it again" if earlier else f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        )
        raise UsageError(f"{folder / MANIFEST}: not a manifest of ours ({why})") from None
