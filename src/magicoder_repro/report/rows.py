"""The numbers of a run, one row each: value, uncertainty, the recorded run's value and the paper's."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from magicoder_repro import artifact, records
from magicoder_repro.benchmarks import MULTIPL_E_LANGUAGES
from magicoder_repro.environment import ROOT

REFERENCE = ROOT / "results" / "reference"
Verdict = Literal["same", "within tolerance", "OUT OF TOLERANCE", "not recorded"]

MODELS = {"base": "base", "magicoder": "Magicoder", "magicoder-s": "MagicoderS"}
_PAPER_MODELS = {"base": "CodeLlama-Python", "magicoder": "Magicoder-CL", "magicoder-s": "MagicoderS-CL"}
_COMPARED = {
    "oss-instruct": "OSS-Instruct",
    "evol-instruct": "Evol-Instruct",
    "self-instruct": "Self-Instruct (Code Alpaca)",
}
_PLACES = {"B.2": "Appendix B.2", "fig3": "Figure 3"}
_TABLE1, _TABLE2, _TABLE3 = "table1_table4_python.csv", "table2_multipl_e.csv", "table3_ds1000_completion.csv"
_NUMBERS = {_TABLE2: "2", _TABLE3: "3"}  # the first file holds two tables and says in each row which
_TABLE2_COLUMNS = {"js": "javascript", "rs": "rust"}  # the others have the language's own name
_PAPER_COLUMNS = {
    ("humaneval", "pass@1"): (_TABLE1, "humaneval"),
    ("humaneval", "pass@1+"): (_TABLE1, "humaneval_plus"),
    ("mbpp", "pass@1"): (_TABLE1, "mbpp"),
    ("mbpp", "pass@1+"): (_TABLE1, "mbpp_plus"),
    **{
        (f"multipl-e-{language}", "pass@1"): (_TABLE2, _TABLE2_COLUMNS.get(language, language))
        for language in MULTIPL_E_LANGUAGES
    },
    ("ds1000", "pass@1"): (_TABLE3, "overall"),
}


@dataclass(frozen=True)
class Row:
    """One reported number. `key` identifies it across runs; `tolerance` is in the unit of `value`: what a recording of this run
    would hold later ones to; `allowed` is what the recorded run holds this one to."""

    key: str
    section: str
    name: str
    value: float
    unit: str
    tolerance: float
    low: float | None = None
    high: float | None = None
    paper: float | None = None
    paper_source: str = ""
    recorded: float | None = None
    allowed: float | None = None
    verdict: Verdict = "not recorded"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def wilson(passed: float, total: int) -> tuple[float, float]:
    """The 95% Wilson interval of a pass rate over `total` tasks; rates in percent."""
    z, p = 1.96, passed / 100
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def collect(inputs: dict[str, Path]) -> list[Row]:
    """Every number of the run in the paper's order: the data, the trainings, the scores, the analyses."""
    counts = {name: artifact.read_manifest(folder)["counts"] for name, folder in inputs.items()}
    rows = [
        Row(
            "oss-instruct.parse_rate",
            "data",
            "teacher's replies that parse",
            100 * counts["oss-instruct"]["parse_rate"],
            "%",
            20.0,
        ),
        Row(
            "oss-instruct.kept",
            "data",
            "OSS-Instruct records",
            counts["oss-instruct"]["kept"],
            "records",
            12.0,
        ),
        _removed("decontaminate", "OSS-Instruct", counts),
        Row(
            "evol-instruct.kept",
            "data",
            "Evol-Instruct records",
            counts["evol-instruct"]["kept"],
            "records",
            8.0,
        ),
        _removed("evol-decontaminate", "Evol-Instruct", counts),
    ]
    for stage, name in (("sft-magicoder", "Magicoder"), ("sft-magicoder-s", "MagicoderS")):
        for field, words in (
            ("loss_first_third", "loss, first third of the steps"),
            ("loss_last_third", "loss, last third"),
        ):
            rows.append(
                Row(f"{stage}.{field}", "training", f"{name} {words}", counts[stage][field], "nats/token", 0.25)
            )
    rows += _scores(inputs["score"])
    similarity = records.read_json(inputs["analyze"] / "similarity.json")
    for stage, name in _COMPARED.items():
        if stage not in similarity:
            continue
        value = similarity[stage]["mean"]
        paper, source = _ablation("fig3", name)
        rows.append(
            Row(
                f"similarity.{stage}",
                "analysis",
                f"{name}: mean similarity to HumanEval",
                value,
                "cosine",
                0.05,
                paper=paper,
                paper_source=source,
            )
        )
    return rows


def _removed(stage: str, name: str, counts: dict[str, Any]) -> Row:
    removed = counts[stage]["read"] - counts[stage]["kept"]
    paper, source = _ablation("B.2", name)
    return Row(
        f"{stage}.removed",
        "data",
        f"{name} records decontamination removed",
        removed,
        "records",
        2.0,
        paper=paper,
        paper_source=source,
    )


def _scores(folder: Path) -> list[Row]:
    rows = []
    for result in records.read_jsonl(folder / "summary.jsonl"):
        model, benchmark = result["model"], result["benchmark"]
        if benchmark == "ds1000":
            rows += [_library(model, library, found) for library, found in result.get("libraries", {}).items()]
        for metric, value in result["metrics"].items():
            low, high = wilson(value, result["tasks"])
            asked = " (bare code)" if result["prompt"] == "completion" else ""
            subset = "" if result["tasks"] == result["of"] else f", first {result['tasks']} of {result['of']}"
            paper, source = _of_paper(model, *_PAPER_COLUMNS.get((benchmark, metric), (None, "")))
            # Greedy decoding of the base depends on no teacher; a fine-tuned model's data differ a little from CPU to CPU.
            fraction, least = (15, 1) if model == "base" else (5, 2)
            tolerance = 100 * max(least, result["tasks"] // fraction) / result["tasks"]
            rows.append(
                Row(
                    f"{benchmark}.{model}.{metric}",
                    "scores",
                    f"{MODELS[model]}: {benchmark} {metric}{asked}{subset}",
                    value,
                    "%",
                    math.ceil(10 * tolerance) / 10,
                    round(low, 1),
                    round(high, 1),
                    paper,
                    source,
                )
            )
    return rows


def _library(model: str, library: str, found: dict[str, Any]) -> Row:
    """DS-1000's pass@1 of one library."""
    low, high = wilson(found["metrics"]["pass@1"], found["tasks"])
    paper, source = _of_paper(model, _TABLE3, library.lower())
    return Row(
        f"ds1000.{model}.{library}",
        "scores",
        f"{MODELS[model]}: ds1000 {library} pass@1, {found['tasks']} problems",
        found["metrics"]["pass@1"],
        "%",
        math.ceil(1000 * max(2, found["tasks"] // 5) / found["tasks"]) / 10,
        round(low, 1),
        round(high, 1),
        paper,
        source,
    )


def _of_paper(model: str, file_name: str | None, column: str) -> tuple[float | None, str]:
    """The paper's number of a 7B model in one of its tables, and where it stands."""
    if file_name is not None:
        with (REFERENCE / file_name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["model"] == _PAPER_MODELS[model] and row["size"] == "7B" and row[column]:
                    number = _NUMBERS.get(file_name) or row["table"]
                    return float(row[column]), f"Table {number}, {row['model']}-{row['size']} ({row['status']})"
    return None, ""


def _ablation(table: str, setting: str) -> tuple[float | None, str]:
    with (REFERENCE / "ablations.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["table"] == table and row["setting"] == setting:
                return float(row["value"]), f"{_PLACES[table]} ({row['status']})"
    return None, ""
