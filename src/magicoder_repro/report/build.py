"""Stage `report`: `report.json`, `report.md` and one self-contained `report.html`, and the table at the end of a run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from magicoder_repro import artifact, environment, records
from magicoder_repro.artifact import Work
from magicoder_repro.errors import BadResultError
from magicoder_repro.profile import Profile
from magicoder_repro.progress import say, tell
from magicoder_repro.report import compare, page
from magicoder_repro.report.page import number
from magicoder_repro.report.rows import MODELS, Row, collect
from magicoder_repro.terminal import shown

_SECTIONS = {
    "data": "The training data",
    "training": "Fine-tuning",
    "scores": "Scores",
    "analysis": "Analyses",
}
_BASE, _ONE, _TWO = "#5b6770", "#2c7fb8", "#d95f0e"


def build(work: Work) -> None:
    """All stages' folders -> the report."""
    profile = Profile.model_validate(work.config["profile"])
    inputs = dict(work.inputs)
    recorded = compare.recorded_folder(profile.report)
    rows = compare.with_recorded(collect(inputs), recorded)
    manifests = {name: artifact.read_manifest(folder) for name, folder in inputs.items()}
    summary = list(records.read_jsonl(inputs["score"] / "summary.jsonl"))
    unjudged = {row["benchmark"] for row in summary if row["gap"]}
    missing = compare.missing(rows, recorded)
    lost = [key for key in missing if not _is_gap(key.split(".")[0], unjudged)]
    gaps = _gaps(summary, manifests)
    if len(missing) > len(lost):
        gaps.append(f"{len(missing) - len(lost)} numbers of the recorded run, of benchmarks that were not judged here")
    report = {
        "description": profile.description,
        "comparable": profile.report.comparable,
        "rows": [row.to_json() for row in rows],
        "gaps": gaps,
        "lost": lost,
        "stages": [
            {
                "name": name,
                "seconds": manifest["seconds"],
                "counts": manifest["counts"],
                "dropped": manifest["dropped"],
                "notes": manifest["notes"],
            }
            for name, manifest in manifests.items()
        ],
        "lists_applied": manifests["decontaminate"]["counts"]["lists_applied"],
        "lists_missing": manifests["decontaminate"]["counts"]["lists_missing"],
        "sandbox": manifests["score"]["counts"]["sandbox"],
        "scorers": manifests["score"]["counts"]["scorers"],
        "versions": environment.versions(),
        "device": manifests["sft-magicoder"]["device"],
        "lock_sha256": environment.lock_sha256("core"),
        "commit": environment.git_commit(),
    }
    records.write_json(work.out / "report.json", report)
    context = {
        **report,
        "sections": [(title, [row for row in rows if row.section == key]) for key, title in _SECTIONS.items()],
        "figures": _figures(inputs, rows),
        "examples": _examples(inputs),
        "regressions": [row for row in rows if row.verdict == "OUT OF TOLERANCE"],
    }
    for name in ("report.md", "report.html"):
        records.write_text(work.out / name, page.template(f"{name}.jinja").render(context))
    work.counts.update(numbers=len(rows), gaps=len(gaps))


def print_table(folder: Path, quiet: bool) -> None:
    """Prints the numbers of a finished report and its path; raises when one left its tolerance."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cell(text: str) -> Text:  # no markup of rich's
        return Text(shown(text))

    report = records.read_json(folder / "report.json")
    rows = [Row(**row) for row in report["rows"]]
    if not quiet:
        paper = "the paper" if report["comparable"] else "the paper (not comparable: another model)"
        table = Table(title=cell(report["description"]), title_justify="left")
        for heading in ("number", "this run", "95%", "recorded", paper, "verdict"):
            table.add_column(heading, justify="left" if heading in ("number", "verdict") else "right")
        for row in rows:
            interval = "" if row.low is None else f"{number(row.low)}-{number(row.high)}"
            table.add_row(
                cell(row.name),
                cell(f"{number(row.value)} {row.unit}"),
                interval,
                number(row.recorded),
                number(row.paper),
                cell(row.verdict),
            )
        console = Console()
        console.print(table) if console.is_terminal else Console(width=150).print(table)
        for gap in report["gaps"]:
            tell(f"skipped: {gap}")
    say(f"report: {folder / 'report.html'}")
    out = [row for row in rows if row.verdict == "OUT OF TOLERANCE"]
    told = []
    if out:
        told.append(
            f"{len(out)} numbers left their tolerance: "
            + "; ".join(
                f"{row.key} {number(row.value)}, recorded {number(row.recorded)} +- {number(row.allowed)}"
                for row in out
            )
        )
    if report["lost"]:
        told.append(f"{len(report['lost'])} recorded numbers are not in this run: {', '.join(report['lost'])}")
    if told:
        raise BadResultError("; ".join(told))


def _is_gap(benchmark: str, unjudged: set[str]) -> bool:
    """Whether the benchmark was not judged, or a language of it, without which there is no mean."""
    return any(name == benchmark or name.startswith(f"{benchmark}-") for name in unjudged)


def _gaps(summary: list[records.Record], manifests: dict[str, Any]) -> list[str]:
    """What was skipped, each with its reason; the same gap of several models is one line."""
    found: dict[str, list[str]] = {}
    for row in summary:
        if row["gap"]:
            found.setdefault(row["gap"], [])
            if row["benchmark"] not in found[row["gap"]]:
                found[row["gap"]].append(row["benchmark"])
    gaps = [f"{', '.join(names)}: {reason}" for reason, names in found.items()]
    for name, manifest in manifests.items():
        if name.startswith(("generate", "corpus", "seeds", "decontaminate", "evol-decontaminate", "analyze")):
            gaps += [f"{name}: {note}" for note in manifest["notes"]]
    return gaps


def _examples(inputs: dict[str, Path]) -> list[dict[str, str]]:
    """The first kept OSS-Instruct record with its seed, and the first evolved one."""
    oss = next(records.read_jsonl(inputs["decontaminate"] / "records.jsonl"))
    evol = next(records.read_jsonl(inputs["evol-decontaminate"] / "records.jsonl"))
    return [
        {"title": f"Seed ({oss['lang']})", "text": oss["seed"]},
        {"title": "OSS-Instruct problem", "text": oss["problem"]},
        {"title": "OSS-Instruct solution", "text": oss["solution"]},
        {"title": "Evolved instruction", "text": evol["instruction"]},
    ]


def _figures(inputs: dict[str, Path], rows: list[Row]) -> list[dict[str, str]]:
    """Titles and SVG texts of the page's figures."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "magicoder", "font.size": 9, "svg.fonttype": "path"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    for stage, label, colour in (
        ("sft-magicoder", "Magicoder", _ONE),
        ("sft-magicoder-s", "MagicoderS", _TWO),
    ):
        log = list(records.read_jsonl(inputs[stage] / "log.jsonl"))
        axes.plot([row["step"] for row in log], [row["loss"] for row in log], marker=".", label=label, color=colour)
    axes.set(xlabel="optimizer step", ylabel="loss (nats per response token)")
    axes.legend(frameon=False)
    loss = _svg(figure)

    scores = [row for row in rows if row.section == "scores" and row.key.endswith("pass@1")]
    names = list(dict.fromkeys(row.key.split(".")[0] for row in scores))
    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    for offset, (model, colour) in enumerate((("base", _BASE), ("magicoder", _ONE), ("magicoder-s", _TWO))):
        found = {row.key.split(".")[0]: row for row in scores if row.key.split(".")[1] == model}
        at = [index + (offset - 1) * 0.26 for index, name in enumerate(names) if name in found]
        chosen = [found[name] for name in names if name in found]
        errors = [
            [row.value - (row.low or 0.0) for row in chosen],
            [(row.high if row.high is not None else row.value) - row.value for row in chosen],
        ]
        axes.bar(
            at,
            [row.value for row in chosen],
            0.24,
            yerr=errors,
            capsize=2,
            color=colour,
            label=MODELS[model],
            error_kw={"lw": 0.8},
        )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylabel="pass@1, % (95% interval)")
    axes.legend(frameon=False)
    return [
        {"title": "pass@1 of the three models", "svg": _svg(figure)},
        {"title": "Training loss", "svg": loss},
        {
            "title": "Similarity to HumanEval",
            "svg": _trimmed((inputs["analyze"] / "similarity.svg").read_text(encoding="utf-8")),
        },
        {
            "title": "Lengths of problems and solutions",
            "svg": _trimmed((inputs["analyze"] / "lengths.svg").read_text(encoding="utf-8")),
        },
    ]


def _svg(figure: Any) -> str:
    from matplotlib import pyplot

    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return _trimmed(text.getvalue())


def _trimmed(svg: str) -> str:
    """The `<svg>` element alone, as HTML embeds it."""
    return svg[svg.index("<svg") :]
