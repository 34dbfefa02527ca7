"""A job of a cluster in a container: apptainer's, or that of Slurm's plugin pyxis. All paths are the same inside as outside.

One image for all jobs: it must hold every environment that they need, which of docker/'s own no one does. The code is the checkout's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from magicoder_repro import environment
from magicoder_repro.benchmarks.base import data_folder
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline.store import Run
from magicoder_repro.profile import Profile

_IN_IMAGE = "/magicoder-repro/.envs"
_KINDS = "apptainer:FILE.sif, pyxis:IMAGE or none"


@dataclass(frozen=True)
class Container:
    """How a command is started in it: more options of srun, words before the command, Python, and variables."""

    of_srun: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)


def of(word: str, profile: Profile, run: Run, gpu: bool) -> Container:
    """The container that `apptainer:FILE.sif`, `pyxis:IMAGE` or `none` names."""
    if word == "none":
        return Container()
    kind, _, image = word.partition(":")
    if kind not in ("apptainer", "pyxis") or not image:
        raise UsageError(f"--container {word}: give {_KINDS}")
    folders = _folders(profile, run)
    for path in folders:
        if set(str(path)) & set(",:"):
            raise UsageError(f"{path}: {kind} mounts no path with a comma or a colon: move it")
    for path, mode in folders.items():
        if mode == "rw":
            path.mkdir(parents=True, exist_ok=True)
    variables = {
        "MAGICODER_CACHE": str(environment.cache().resolve()),
        "MAGICODER_COMMIT": environment.git_commit() or "",
        "MAGICODER_ENVS": _IN_IMAGE,
        "MAGICODER_IMAGE": image,
        "PYTHONPATH": str(environment.ROOT / "src"),
    }
    python = f"{_IN_IMAGE}/core/bin/python"
    if kind == "pyxis":
        mounts = ",".join(f"{path}:{path}:{mode}" for path, mode in folders.items())
        return Container(
            [f"--container-image={image}", f"--container-mounts={mounts}", f"--container-env={','.join(variables)}"],
            [],
            python,
            variables,
        )
    file = Path(image).resolve()
    if not file.is_file():
        raise UsageError(f"--container {word}: {file}: no such file: build it with `apptainer build`")
    before = ["apptainer", "exec", *(["--nv"] if gpu else [])]
    before += [word for path, mode in folders.items() for word in ("--bind", f"{path}:{path}:{mode}")]
    return Container([], [*before, str(file)], python, variables)


def _folders(profile: Profile, run: Run) -> dict[Path, str]:
    """What is mounted, and whether it may be written to."""
    found = {path.resolve(): "ro" for path in (environment.ROOT, data_folder()) if path.exists()}
    if profile.name.endswith((".yaml", ".yml")):
        found[Path(profile.name).resolve().parent] = "ro"
    if "HF_HOME" in os.environ:
        found[Path(os.environ["HF_HOME"]).resolve()] = "rw"
    return found | dict.fromkeys((run.folder.resolve(), run.store.resolve(), environment.cache().resolve()), "rw")
