"""The numbers of a run, one row each: value, uncertainty, the recorded run's value and the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from magicoder_repro import artifact, benchmarks, records
from magicoder_repro.report import reference
from magicoder_repro.report.reference import STRICT

Verdict = Literal["same", "within tolerance", "OUT OF TOLERANCE", "not recorded"]


@dataclass(frozen=True)
class Row:
    """One reported number. `key` identifies it across runs; `tolerance` is in the unit of `value`: what a recording of this run
    would hold later ones to; `allowed` is what the recorded run holds this one to."""

    __pydantic_config__ = STRICT

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


def collect(inputs: Mapping[str, Path], config: Mapping[str, Any]) -> list[Row]:
    """Every number of the run in the paper's order: the data, the trainings, the scores, the analyses.

    `inputs`: the folder of each node; `config`: what the report knows of the profile's data sets and models (`build.config`)."""
    counts = {name: artifact.read_manifest(folder).counts for name, folder in inputs.items()}
    rows: list[Row] = []
    for name, data in config["data"].items():
        raw, label = counts[f"{data['kind']}/{name}"], data["label"]
        if "parse_rate" in raw:
            rate = 100 * raw["parse_rate"]
            rows.append(Row(f"{name}.parse_rate", "data", f"{label}: teacher's replies that parse", rate, "%", 20.0))
        if "kept" in raw:
            least = 12.0 if "parse_rate" in raw else 8.0
            rows.append(Row(f"{name}.kept", "data", f"{label} records", raw["kept"], "records", least))
        if f"decontaminate/{name}" in counts:
            rows.append(_removed(name, data, counts[f"decontaminate/{name}"]))
    for name, model in config["models"].items():
        for field, words in (
            ("loss_first_third", "loss, first third of the steps"),
            ("loss_last_third", "loss, last third"),
        ):
            if f"sft/{name}" in counts:
                value = counts[f"sft/{name}"][field]
                rows.append(
                    Row(f"sft-{name}.{field}", "training", f"{model['label']} {words}", value, "nats/token", 0.25)
                )
    for node, folder in inputs.items():
        if node.startswith("score/"):
            name = node.split("/")[1]
            rows += scores(folder, name, config["models"][name])
    if "analyze" in inputs:
        similarity = records.read_json(inputs["analyze"] / "similarity.json")
        labels = {name: (data["label"], data["paper"]) for name, data in config["data"].items()}
        labels["self-instruct"] = ("Self-Instruct (Code Alpaca)", "Self-Instruct (Code Alpaca)")
        for name, (label, setting) in labels.items():
            if name in similarity:
                paper, source = _of_paper(setting, "mean_max_tfidf_cosine")
                row = Row(
                    f"similarity.{name}",
                    "analysis",
                    f"{label}: mean similarity to HumanEval",
                    similarity[name]["mean"],
                    "cosine",
                    0.05,
                    paper=paper,
                    paper_source=source,
                )
                rows.append(row)
    return rows


def _removed(name: str, data: Mapping[str, Any], counts: Mapping[str, Any]) -> Row:
    paper, source = _of_paper(data["paper"], "decontamination_removed")
    return Row(
        f"{name}.removed",
        "data",
        f"{data['label']} records decontamination removed",
        counts["read"] - counts["kept"],
        "records",
        2.0,
        paper=paper,
        paper_source=source,
    )


def scores(folder: Path, name: str, model: Mapping[str, Any]) -> list[Row]:
    """The rows of one model's results of one benchmark. `model`: its `label`, its `paper` row and whether it was `trained` here."""
    rows = []
    for result in records.read_jsonl(folder / "summary.jsonl"):
        benchmark = result["benchmark"]
        wanted = benchmarks.get(result["family"]).reference
        for library, found in result.get("libraries", {}).items():
            if (cell := wanted.get((library, "pass@1"))) and result["protocol"] == "paper":
                rows.append(_library(benchmark, name, model, library, found, cell))
        for metric, value in result["metrics"].items():
            low, high = wilson(value, result["tasks"])
            asked = " (bare code)" if result["prompt"] == "completion" else ""
            whole, which = result["tasks"] == result["of"], "" if result["prompt"] == "published" else "first "
            subset = "" if whole else f", {which}{result['tasks']} of {result['of']}"
            protocol = "" if result["protocol"] == "paper" else f", protocol {result['protocol']}"
            if "libraries" in result:  # of DS-1000 there are two releases, each with libraries of its own
                protocol = f", protocol {result['protocol']}: {result['scorer']}"
            comparable = whole and result["protocol"] == "paper"  # with the paper's number
            cell = wanted.get((result["subset"], metric)) if comparable else None
            paper, source = _of_paper(model["paper"], cell)
            # Greedy decoding of the base depends on no teacher; a fine-tuned model's data differ a little from CPU to CPU.
            fraction, least = (5, 2) if model["trained"] else (15, 1)
            tolerance = 100 * max(least, result["tasks"] // fraction) / result["tasks"]
            rows.append(
                Row(
                    f"{benchmark}.{name}.{metric}",
                    "scores",
                    f"{model['label']}: {benchmark} {metric}{asked}{subset}{protocol}",
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


def _library(
    benchmark: str, name: str, model: Mapping[str, Any], library: str, found: Mapping[str, Any], cell: str
) -> Row:
    """The pass@1 of one library."""
    low, high = wilson(found["metrics"]["pass@1"], found["tasks"])
    paper, source = _of_paper(model["paper"], cell)
    return Row(
        f"{benchmark}.{name}.{library}",
        "scores",
        f"{model['label']}: {benchmark} {library} pass@1, {found['tasks']} problems",
        found["metrics"]["pass@1"],
        "%",
        math.ceil(1000 * max(2, found["tasks"] // 5) / found["tasks"]) / 10,
        round(low, 1),
        round(high, 1),
        paper,
        source,
    )


def _of_paper(model: str | None, metric: str | None) -> tuple[float | None, str]:
    """The number of a row of the paper (`Magicoder-CL-7B`, `OSS-Instruct`), and where it stands."""
    for number in reference.numbers():
        if (number.model, number.metric) == (model, metric) and number.table not in reference.LATER:
            return number.value, number.place
    return None, ""
