"""A run's numbers beside the recorded ones: what moved, and whether it left its tolerance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from magicoder_repro import records
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError, listed, nearest
from magicoder_repro.profile import Report
from magicoder_repro.report import recorded as recordings
from magicoder_repro.report.rows import Row, Verdict

RESULTS = ROOT / "results"
RECORDED = recordings.RECORDED


def results_folder(config: Report) -> Path | None:
    """The folder under results/ that the profile names; None when it names none. It never leads out of results/."""
    if config.recorded is None:
        return None
    folder = RESULTS / config.recorded
    for path in (folder, folder / RECORDED):
        if path.resolve() != RESULTS.resolve() / path.relative_to(RESULTS):
            raise UsageError(
                f"report.recorded: {path} is a link that leads out of {RESULTS}: give the name of a folder in it"
            )
    return folder


def recorded_folder(config: Report) -> Path | None:
    """Where the numbers lie that the profile wants to be compared with; None when it wants none."""
    folder = results_folder(config)
    if folder is None or (folder / RECORDED).is_file():
        return folder
    names = sorted(path.parent.name for path in RESULTS.glob(f"*/{RECORDED}"))
    hint = nearest(config.recorded, names)
    raise UsageError(
        f"report.recorded: {RESULTS} has no {config.recorded}/{RECORDED}: {hint}there are {', '.join(names) or 'none'}; "
        "null until `magicoder record` has written it"
    )


def with_recorded(rows: list[Row], folder: Path | None) -> list[Row]:
    """The rows with the recorded value of each, how far from it a run on another machine may be, and the verdict."""
    recorded = recordings.read(folder) if folder else None
    found = []
    for row in rows:
        if recorded is None or row.key not in recorded.numbers:
            found.append(row)
            continue
        value, allowed = recorded.numbers[row.key].value, recorded.allowed(row.key)
        distance = abs(row.value - value)
        verdict: Verdict = "same" if distance < 1e-9 else "within tolerance"
        if distance > allowed + 1e-9:
            verdict = "OUT OF TOLERANCE"
        found.append(replace(row, recorded=value, allowed=allowed, verdict=verdict))
    return found


def missing(rows: list[Row], folder: Path | None) -> list[str]:
    """Recorded numbers that this run did not produce."""
    return sorted(set(recordings.read(folder).numbers) - {row.key for row in rows}) if folder else []


def _check_moves(path: Path, before: recordings.Recorded | None, now: recordings.Recorded) -> None:
    """A UsageError when numbers moved on a class of machine that has been recorded, by more than chance: later runs would be held to
    both."""
    machines = {run.machine for run in before.runs} if before else set()
    if before is None or not machines & {run.machine for run in now.runs}:
        return
    moved = [
        key
        for key, number in now.numbers.items()
        if key in before.numbers and abs(number.value - before.numbers[key].value) > before.allowed(key) + 1e-9
    ]
    if moved:
        raise UsageError(
            f"{path}: {len(moved)} numbers left their tolerance on a class of machine that is recorded ({listed(moved)}): "
            "where they are meant to, `magicoder record --fresh` forgets the runs before"
        )


def record(report: Path, folder: Path, fresh: bool = False) -> Path:
    """Makes the numbers and verdicts of a finished report the recorded ones, its run one of the recorded runs; returns the file.

    `fresh`: the runs that were recorded before are forgotten."""
    found = recordings.of_report(report / "report.json")
    path = folder / RECORDED
    before = recordings.read(folder) if path.is_file() and not fresh else None
    _check_moves(path, before, found)
    about = (
        "Numbers and verdicts of the last recorded run of this profile, with the tolerance that later runs are held to, and the "
        "numbers of all recorded runs (`magicoder record`)."
    )
    runs = [*(before.runs if before else []), *found.runs][-recordings.MOST_RUNS :]
    records.write_json(path, found.model_copy(update={"about": about, "runs": runs}).model_dump(mode="json"))
    return path
