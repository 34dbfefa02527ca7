"""A run's numbers beside the recorded ones: what moved, and whether it left its tolerance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from magicoder_repro import artifact, records
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.profile import Report
from magicoder_repro.report.rows import Row, Verdict

RESULTS = ROOT / "results"
RECORDED = "recorded.json"
_LARGEST = 1e300


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
    """The rows with the recorded value and tolerance of each, and the verdict."""
    recorded = _numbers(folder)
    found = []
    for row in rows:
        number = recorded.get(row.key)
        if number is None:
            found.append(row)
            continue
        value, tolerance = (_finite(number, name) for name in ("value", "tolerance"))
        if value is None or tolerance is None or tolerance < 0:
            raise UsageError(
                f"{folder}/{RECORDED}: {row.key}: 'value' and 'tolerance' must be numbers, the latter not below 0"
            )
        distance = abs(row.value - value)
        verdict: Verdict = "same" if distance < 1e-9 else "within tolerance"
        if distance > tolerance + 1e-9:
            verdict = "OUT OF TOLERANCE"
        found.append(replace(row, recorded=value, allowed=tolerance, verdict=verdict))
    return found


def _finite(number: Any, name: str) -> float | None:
    """A field that is a finite number; None for anything else."""
    value = number.get(name) if isinstance(number, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not -_LARGEST < value < _LARGEST:
        return None
    return float(value)


def missing(rows: list[Row], folder: Path | None) -> list[str]:
    """Recorded numbers that this run did not produce."""
    return sorted(set(_numbers(folder)) - {row.key for row in rows})


def _numbers(folder: Path | None) -> dict[str, Any]:
    """`value` and `tolerance` of each recorded number."""
    found = records.read_json(folder / RECORDED) if folder else {"numbers": {}}
    if not isinstance(found, dict) or not isinstance(found.get("numbers"), dict):
        raise UsageError(f"{folder}/{RECORDED}: 'numbers' is missing: write the file with `magicoder record`")
    numbers: dict[str, Any] = found["numbers"]
    return numbers


def record(report: Path, folder: Path) -> Path:
    """Writes the numbers of a finished report as the recorded ones; returns the file."""
    found = records.read_json(report / "report.json")
    rows = found.get("rows") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not all(_is_number(row) for row in rows):
        raise UsageError(
            f"{report / 'report.json'}: not a report: 'rows' with 'key', 'value' and 'tolerance' are missing"
        )
    manifest = artifact.read_manifest(report)
    path = folder / RECORDED
    records.write_json(
        path,
        {
            "about": "Numbers of one run of this profile, with the tolerance that later runs are held to (`magicoder record`).",
            "commit": manifest.commit,
            "device": manifest.device,
            "versions": manifest.versions,
            "numbers": {row["key"]: {"value": row["value"], "tolerance": row["tolerance"]} for row in rows},
        },
    )
    return path


def _is_number(row: Any) -> bool:
    named = isinstance(row, dict) and isinstance(row.get("key"), str)
    return named and all(_finite(row, name) is not None for name in ("value", "tolerance"))
