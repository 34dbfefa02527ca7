"""A run's numbers beside the recorded ones: what moved, and whether it left its tolerance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from magicoder_repro import artifact, records
from magicoder_repro.errors import UsageError
from magicoder_repro.report.rows import Row, Verdict

RECORDED = "recorded.json"


def with_recorded(rows: list[Row], folder: Path | None) -> list[Row]:
    """The rows with the recorded value and tolerance of each, and the verdict."""
    recorded: dict[str, Any] = {}
    if folder is not None and (folder / RECORDED).is_file():
        recorded = records.read_json(folder / RECORDED)["numbers"]
    found = []
    for row in rows:
        number = recorded.get(row.key)
        if number is None:
            found.append(row)
            continue
        try:
            value, tolerance = float(number["value"]), float(number["tolerance"])
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"{folder}/{RECORDED}: {row.key}: 'value' and 'tolerance' must be numbers") from None
        distance = abs(row.value - value)
        verdict: Verdict = "same" if distance < 1e-9 else "within tolerance"
        if distance > tolerance + 1e-9:
            verdict = "OUT OF TOLERANCE"
        found.append(replace(row, recorded=value, allowed=tolerance, verdict=verdict))
    return found


def missing(rows: list[Row], folder: Path | None) -> list[str]:
    """Recorded numbers that this run did not produce."""
    if folder is None or not (folder / RECORDED).is_file():
        return []
    return sorted(set(records.read_json(folder / RECORDED)["numbers"]) - {row.key for row in rows})


def record(report: Path, folder: Path) -> Path:
    """Writes the numbers of a finished report as the recorded ones; returns the file."""
    found = records.read_json(report / "report.json")
    manifest = artifact.read_manifest(report)
    path = folder / RECORDED
    records.write_json(
        path,
        {
            "about": "Numbers of one run of this profile, with the tolerance that later runs are held to (`magicoder record`).",
            "commit": manifest["commit"],
            "device": manifest["device"],
            "versions": manifest["versions"],
            "numbers": {row["key"]: {"value": row["value"], "tolerance": row["tolerance"]} for row in found["rows"]},
        },
    )
    return path
