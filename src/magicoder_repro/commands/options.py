"""Options and words that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magicoder_repro.environment import ROOT

if TYPE_CHECKING:
    from magicoder_repro.pipeline.store import Run

Profile = Annotated[str, typer.Option("--profile", help="A name in profiles/, or the path of a YAML file.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Where the result goes.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the benchmark files (else MAGICODER_DATA).", exists=True),
]
Language = Annotated[str | None, typer.Option("--language", help="Programming language of the documents or tasks.")]
Runs = Annotated[Path | None, typer.Option("--runs", help="Folder of the run; runs/PROFILE without it.")]
Nodes = Annotated[
    list[str] | None,
    typer.Argument(help="Stages (`score`) or nodes (`score/base`, `score/base/mbpp`); all without any."),
]
Runner = Annotated[
    str,
    typer.Option(
        "--runner",
        help="Where the work runs: host (.envs/), docker, podman, apptainer (images of docker/), auto: an engine that has them, else "
        "the host.",
    ),
]


def run_of(profile: str, runs: Path | None) -> Run:
    """The run of a profile, in its folder or the one that was named."""
    from magicoder_repro.pipeline.store import Run

    return Run.of(profile, ROOT / "runs", runs)


def shown(path: Path) -> str:
    """A path for a line of text: from the working directory where it lies under it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
