"""Commands over results: side by side, recorded, judged by a baseline, packed for a deposit."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from magicoder_repro import errors, outputs
from magicoder_repro.commands.options import Profile, Runs, run_of, shown
from magicoder_repro.progress import tell


def compare(
    one: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="A result, MultiPL-E's folder with .results.json.gz files, or a run (runs/PROFILE)."
        ),
    ],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Of two runs: a page with every task, both completions side by side."),
    ] = None,
) -> None:
    """List the tasks whose verdicts differ between two results, or how many do between two runs. Exit code 1 when any does.

    \b
    magicoder compare result.json other.json
    magicoder compare runs/rescore other/runs/rescore -o two-runs.html
    """
    from magicoder_repro.score import compare as comparison

    with nullcontext() if out is None else outputs.claimed(out, [one, other], file=True):
        code = comparison.compare(one, other, out)
    raise typer.Exit(code)


def record(
    profile: Profile = "smoke",
    runs: Runs = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Forget the runs recorded before: of a change that is meant to move numbers."),
    ] = False,
) -> None:
    """Record a finished run under results/, for later runs to be compared with: its numbers and verdicts, and the run itself beside
    those recorded before, whose spread says what chance and machines do."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.report import compare

    folder = compare.results_folder(profiles.load(profile).report)
    if folder is None:
        raise errors.UsageError(f"profile {profile}: report.recorded names no folder under results/")
    tell(shown(compare.record(run_of(profile, runs).folder / "report", folder, fresh)))


def regress(
    baseline: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BASELINE]",
            help="A run's folder, a report (its folder or report.json), recorded numbers (a folder of results/ or recorded.json), or "
            "a result of `magicoder score`; without it what the profile's `report.recorded` names.",
        ),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="The same, of the run that is judged; without it the profile's."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Whose `report.regress` is the policy; the defaults without it.")
    ] = None,
    runs: Runs = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="exact: every verdict; paired: a test by task, and a margin; tolerance: every number, by the recorded runs."
        ),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="paired: percentage points that a cell may lose in any case.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="paired: the level of all cells' tests together.")] = None,
    missing: Annotated[
        str | None, typer.Option(help="What a cell, number or task that is gone does: fail, warn, ignore.")
    ] = None,
    changed: Annotated[
        str | None, typer.Option(help="What another data set, protocol or scorer does: fail, warn.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="JUnit XML, a case a cell.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Markdown, as for a comment.")] = None,
) -> None:
    """Judge a run by a baseline, cell by cell. Exit code 1 when something moved by more than the policy allows, or is gone.

    Under GitHub Actions it also writes annotations and the job summary.

    \b
    magicoder regress --profile smoke                                # results/smoke, runs/smoke
    magicoder regress old.json new.json --policy exact               # two results of `magicoder score`
    magicoder regress main/report.json runs/paper-cl --policy paired --margin 2 --junit junit.xml --markdown comment.md
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.report import compare, gate, recorded
    from magicoder_repro.report import regress as comparison

    if baseline is None:
        if profile is None:
            raise errors.UsageError("regress: name a baseline and a run, or a --profile")
        baseline = compare.recorded_folder(profiles.load(profile).report)
        if baseline is None:
            raise errors.UsageError(
                f"profile {profile}: report.recorded names no folder under results/: name a baseline"
            )
    if other is None:
        if profile is None:
            raise errors.UsageError("regress: name a run as well, or a --profile")
        other = run_of(profile, runs).folder

    options = {"policy": policy, "margin": margin, "alpha": alpha, "missing": missing, "changed": changed}
    wanted = comparison.policy_of(profile, {name: value for name, value in options.items() if value is not None})
    sides = recorded.side(baseline), recorded.side(other)
    for out in filter(None, (junit, markdown)):
        outputs.refuse_inputs(out, [side.path for side in sides])
    outcome = comparison.regress(*sides, wanted)
    if junit:
        gate.write_junit(outcome, junit)
    if markdown:
        gate.write_markdown(outcome, markdown)
    raise typer.Exit(gate.tell_all(outcome))


def archive(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where it goes; dist/magicoder-repro-VERSION.zip without it.")
    ] = None,
) -> None:
    """Write what a deposit needs: the commit's files, manifests and reports of the runs, RO-Crate metadata. No weights, no data."""
    from magicoder_repro import archive as archives

    tell(shown(archives.build(out)))
