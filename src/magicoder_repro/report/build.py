"""Stage `report`: `report.json`, `report.md` and one self-contained `report.html`, and the table at the end of a run."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from magicoder_repro import artifact, environment, records
from magicoder_repro.artifact import Work
from magicoder_repro.data import pairs
from magicoder_repro.errors import BadResultError, UsageError, listed, nearest
from magicoder_repro.profile import Profile, Report, TrainedModel
from magicoder_repro.progress import say, tell
from magicoder_repro.report import compare, page
from magicoder_repro.report.judged import collect as verdicts
from magicoder_repro.report.page import number
from magicoder_repro.report.rows import REFERENCE, Row, collect, rows_of_paper
from magicoder_repro.terminal import shown

_SECTIONS = {
    "data": "The training data",
    "training": "Fine-tuning",
    "scores": "Scores",
    "analysis": "Analyses",
}
_COLOURS = ("#5b6770", "#2c7fb8", "#d95f0e", "#31a354", "#756bb1", "#a6611a", "#c51b8a", "#636363")
_TOLD = (
    "corpus",
    "seeds",
    "released",
    "base-model",
    "decontaminate",
    "analyze",
)  # stages whose notes a reader must know


def config(profile: Profile) -> dict[str, Any]:
    """What the report knows of a profile."""
    data = {
        name: {"kind": one.kind, "label": one.paper or name, "paper": one.paper} for name, one in profile.data.items()
    }
    models = {
        name: {"label": one.label or name, "paper": one.paper, "trained": isinstance(one, TrainedModel)}
        for name, one in profile.models.items()
    }
    report = profile.report.model_dump(mode="json")
    return {"description": profile.description, "report": report, "data": data, "models": models}


def check_names(profile: Profile) -> None:
    """A UsageError for a `paper` that no table has."""
    for name, model in profile.models.items():
        if model.paper is not None and model.paper not in (known := rows_of_paper()):
            hint = nearest(model.paper, known)
            raise UsageError(
                f"models.{name}.paper: no table has {model.paper!r}: {hint}results/reference/ has {listed(known)}"
            )


def facts(profile: Profile) -> Callable[[], Mapping[str, Any]]:
    """The hashes of the recorded numbers that this run is compared with, and of the paper's tables."""

    def found() -> dict[str, Any]:
        recorded = compare.recorded_folder(profile.report)
        tables = {path.name: environment.file_sha256(path) for path in sorted(REFERENCE.glob("*.csv"))}
        return {
            "recorded": environment.file_sha256(recorded / compare.RECORDED) if recorded else None,
            "tables": tables,
        }

    return found


def build(work: Work) -> None:
    """All nodes' folders -> the report."""
    settings, inputs = Report.model_validate(work.config["report"]), dict(work.inputs)
    recorded = compare.recorded_folder(settings)
    rows = compare.with_recorded(collect(inputs, work.config), recorded)
    manifests = {name: artifact.read_manifest(folder) for name, folder in inputs.items()}
    summaries = {
        name: list(records.read_jsonl(folder / "summary.jsonl"))
        for name, folder in inputs.items()
        if name.startswith("score/")
    }
    summary = [row for found in summaries.values() for row in found]
    unjudged = {row["benchmark"] for row in summary if row["gap"]}
    missing = compare.missing(rows, recorded)
    lost = [key for key in missing if not _is_gap(key.split(".")[0], unjudged)]
    gaps = _gaps(summary, manifests)
    if len(missing) > len(lost):
        gaps.append(f"{len(missing) - len(lost)} numbers of the recorded run, of benchmarks that were not judged here")
    clean = [manifest.counts for name, manifest in manifests.items() if name.startswith("decontaminate/")]
    trained = [manifest for name, manifest in manifests.items() if name.startswith("sft/")]
    judged = [manifests[name].counts for name in summaries]
    report = {
        "version": 2,
        "description": work.config["description"],
        "comparable": settings.comparable,
        "rows": [row.to_json() for row in rows],
        "judged": [one.model_dump() for one in verdicts(inputs)],
        "gaps": gaps,
        "lost": lost,
        "stages": [
            {
                "name": name,
                "seconds": manifest.seconds,
                "counts": manifest.counts,
                "dropped": manifest.dropped,
                "notes": manifest.notes,
            }
            for name, manifest in manifests.items()
        ],
        "lists_applied": clean[0]["lists_applied"] if clean else {},
        "lists_missing": clean[0]["lists_missing"] if clean else [],
        "sandbox": ", ".join(sorted({counts["sandbox"] for counts in judged})),
        "scorers": sorted({scorer for counts in judged for scorer in counts["scorers"]}),
        "versions": environment.versions(),
        "device": trained[0].device if trained else environment.device(),
        "lock_sha256": environment.lock_sha256("core"),
        "commit": environment.git_commit(),
    }
    records.write_json(work.out / "report.json", report)
    context = {
        **report,
        "sections": [(title, [row for row in rows if row.section == key]) for key, title in _SECTIONS.items()],
        "figures": _figures(inputs, rows, work.config["models"]),
        "examples": _examples(inputs, work.config["data"]),
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
        if name.startswith(_TOLD):
            gaps += [f"{name}: {note}" for note in manifest.notes]
    return gaps


def _examples(inputs: Mapping[str, Path], data: Mapping[str, Any]) -> list[dict[str, str]]:
    """The first record of each set that the teacher has made, with the seed that it is of."""
    found = []
    for name, about in data.items():
        path = inputs.get(f"decontaminate/{name}", Path()) / "records.jsonl"
        row = next(records.read_jsonl(path), None) if path.is_file() else None
        if row is None:
            continue
        if "seed" in row:
            found.append({"title": f"Seed ({row['lang']})", "text": row["seed"]})
        question, answer = pairs.pair(row, str(path))
        found += [
            {"title": f"{about['label']}: problem", "text": question},
            {"title": f"{about['label']}: solution", "text": answer},
        ]
    return found


def _figures(inputs: Mapping[str, Path], rows: list[Row], models: Mapping[str, Any]) -> list[dict[str, str]]:
    """Titles and SVG texts of the page's figures."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "magicoder", "font.size": 9, "svg.fonttype": "path"})
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(models)}
    found = []
    scores = [row for row in rows if row.section == "scores" and row.key.endswith("pass@1")]
    if scores:
        found.append({"title": "pass@1 of the models", "svg": _draw_scores(scores, models, colours)})
    logs = {name: inputs[f"sft/{name}"] / "log.jsonl" for name in models if f"sft/{name}" in inputs}
    if logs:
        found.append({"title": "Training loss", "svg": _draw_losses(logs, models, colours)})
    if "analyze" in inputs:
        for title, name in (
            ("Similarity to HumanEval", "similarity"),
            ("Lengths of problems and solutions", "lengths"),
        ):
            svg = (inputs["analyze"] / f"{name}.svg").read_text(encoding="utf-8")
            found.append({"title": title, "svg": _trimmed(svg)})
    return found


def _draw_losses(logs: Mapping[str, Path], models: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    for name, path in logs.items():
        log = list(records.read_jsonl(path))
        steps, losses = [row["step"] for row in log], [row["loss"] for row in log]
        axes.plot(steps, losses, marker=".", label=models[name]["label"], color=colours[name])
    axes.set(xlabel="optimizer step", ylabel="loss (nats per response token)")
    axes.legend(frameon=False)
    return _svg(figure)


def _draw_scores(scores: list[Row], models: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    from matplotlib import pyplot

    names = list(dict.fromkeys(row.key.split(".")[0] for row in scores))
    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    width = 0.78 / len(models)
    for place, model in enumerate(models):
        found = {row.key.split(".")[0]: row for row in scores if row.key.split(".", 1)[1] == f"{model}.pass@1"}
        shift = (place - (len(models) - 1) / 2) * width
        at = [index + shift for index, name in enumerate(names) if name in found]
        chosen = [found[name] for name in names if name in found]
        errors = [
            [row.value - (row.low or 0.0) for row in chosen],
            [(row.high if row.high is not None else row.value) - row.value for row in chosen],
        ]
        axes.bar(
            at,
            [row.value for row in chosen],
            0.92 * width,
            yerr=errors,
            capsize=2,
            color=colours[model],
            label=models[model]["label"],
            error_kw={"lw": 0.8},
        )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylabel="pass@1, % (95% interval)")
    axes.legend(frameon=False)
    return _svg(figure)


def _svg(figure: Any) -> str:
    from matplotlib import pyplot

    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return _trimmed(text.getvalue())


def _trimmed(svg: str) -> str:
    """The `<svg>` element alone, as HTML embeds it."""
    return svg[svg.index("<svg") :]
