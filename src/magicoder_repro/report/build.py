"""Stage `report`: one self-contained `report.html`, the same as `report.md`, `report.json` (schema.py) and LaTeX tables, every
verdict for Eval Arena, and the table at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from magicoder_repro import artifact, environment, records
from magicoder_repro.artifact import Work
from magicoder_repro.data import kinds
from magicoder_repro.errors import BadResultError, UsageError, listed, nearest
from magicoder_repro.generate import complete
from magicoder_repro.profile import Model, Profile, PublishedAnswers, Report, TrainedModel
from magicoder_repro.progress import say, tell
from magicoder_repro.report import (
    arena,
    cells,
    claims,
    compare,
    drill,
    figures,
    judged,
    noise,
    page,
    provenance,
    reference,
    schema,
    scored,
    statistics,
    tables,
)
from magicoder_repro.report.page import number
from magicoder_repro.report.reference import REFERENCE
from magicoder_repro.report.rows import Row, collect
from magicoder_repro.terminal import shown

_SECTIONS = {
    "data": "The training data",
    "training": "Fine-tuning",
    "scores": "Scores",
    "analysis": "Analyses",
}
_TOLD = (
    "corpus",
    "seeds",
    "released",
    "answers",
    "base-model",
    "decontaminate",
    "analyze",
)  # stages whose notes a reader must know


def config(profile: Profile) -> dict[str, Any]:
    """What the report knows of a profile."""
    data = {
        name: {"kind": one.kind, "label": one.paper or name, "paper": one.paper} for name, one in profile.data.items()
    }
    models: dict[str, dict[str, Any]] = {
        name: {
            "label": one.label or name,
            "paper": one.paper,
            "style": one.style,
            "trained": isinstance(one, TrainedModel),
            "same_answers": _same_answers(profile, one),
        }
        for name, one in profile.models.items()
    }
    report = profile.report.model_dump(mode="json")
    about = {"name": profile.name, "description": profile.description}
    return {**about, "report": report, "data": data, "models": models}


def _same_answers(profile: Profile, model: Model) -> list[str]:
    """The tables whose numbers were computed from the very answers that are judged here."""
    if not isinstance(model, PublishedAnswers) or model.archive is None:
        return []
    archive = profile.archives[model.archive]
    if archive.answers == "authors":
        return [table for table in reference.LAYOUT if table not in reference.LATER]
    return [archive.counts] if archive.counts else []


def check_names(profile: Profile) -> None:
    """A UsageError for a `paper` that no table has, `counts` that is no table of others' numbers, or noise that cannot be read."""
    noise.collect(profile.report.noise)
    for name, archive in profile.archives.items():
        if archive.counts is not None and archive.counts not in reference.LATER:
            raise UsageError(f"archives.{name}.counts: {archive.counts!r}: one of {', '.join(reference.LATER)}")
    for name, model in profile.models.items():
        if model.paper is not None and model.paper not in (known := reference.models()):
            hint = nearest(model.paper, known)
            raise UsageError(
                f"models.{name}.paper: no table has {model.paper!r}: {hint}results/reference/ has {listed(known)}"
            )


def facts(profile: Profile) -> Callable[[], Mapping[str, Any]]:
    """The hashes of what the report reads beside the nodes: the recorded numbers, the paper's tables, the measured noise, the authors'
    trainer states, the data files that prompts are shown from."""

    def found() -> dict[str, Any]:
        recorded = compare.recorded_folder(profile.report)
        trained = [one.paper for one in profile.models.values() if isinstance(one, TrainedModel)]
        states = {path.name: path for paper in trained if (path := figures.states_of_authors(paper)) is not None}
        return {
            "recorded": environment.file_sha256(recorded / compare.RECORDED) if recorded else None,
            "tables": {path.name: environment.file_sha256(path) for path in sorted(REFERENCE.iterdir())},
            "noise": [environment.file_sha256(path) for path in noise.files(profile.report.noise) if path.is_file()],
            "states": {name: environment.file_sha256(path) for name, path in sorted(states.items())},
            "prompts": {
                f"{name} {protocol}": complete.facts(name, protocol)()
                for name, one in profile.evaluate.items()
                for protocol in one.protocols
            },
        }

    return found


def build(work: Work) -> None:
    """All nodes' folders -> the report."""
    settings, inputs = Report.model_validate(work.config["report"]), dict(work.inputs)
    recorded = compare.recorded_folder(settings)
    rows = compare.with_recorded(collect(inputs, work.config), recorded)
    manifests = {name: artifact.read_manifest(folder) for name, folder in inputs.items()}
    summary: list[records.Record] = []
    measured: list[cells.Measured] = []
    verdicts: list[judged.Verdicts] = []
    sets: list[dict[str, Any]] = []
    answered: dict[str, drill.TaskSet] = {}
    for one in scored.each(inputs):
        summary += one.summary
        measured += cells.scores(one)
        verdicts += judged.of_node(one)
        sets += provenance.sets(one)
        drill.add(answered, one, inputs)
    measured += cells.of_data(inputs, work.config)
    unjudged = {row["benchmark"] for row in summary if row["gap"]}
    missing = compare.missing(rows, recorded)
    lost = [key for key in missing if not _is_gap(key.split(".")[0], unjudged)]
    gaps = _gaps(summary, manifests)
    if len(missing) > len(lost):
        gaps.append(f"{len(missing) - len(lost)} numbers of the recorded run, of benchmarks that were not judged here")
    clean = [manifest.counts for name, manifest in manifests.items() if name.startswith("decontaminate/")]
    trained = [manifest for name, manifest in manifests.items() if name.startswith("sft/")]
    scores = [manifest.counts for name, manifest in manifests.items() if name.startswith("score/")]
    chance = noise.collect(settings.noise)
    compared = cells.compare(measured, work.config, chance)
    shown_rows, versions = [row.to_json() for row in rows], environment.versions()
    report = schema.checked(
        {
            "name": work.config["name"],
            "description": work.config["description"],
            "comparable": settings.comparable,
            "sentence": cells.sentence(compared),
            "outcomes": cells.counts(compared),
            "claims": [one.to_json() for one in claims.decide(compared, measured)],
            "cells": [cell.to_json() for cell in compared],
            "noise": [one.model_dump() for one in chance],
            "power": _power(),
            "rows": shown_rows,
            "gaps": gaps,
            "lost": lost,
            "stages": provenance.stages(manifests, work.config["name"], versions),
            "sets": sets,
            "judged": [one.model_dump() for one in verdicts],
            "trainings": provenance.trainings(manifests),
            "generations": provenance.generations(inputs),
            "teacher": provenance.teacher(manifests),
            "lists_applied": clean[0]["lists_applied"] if clean else {},
            "lists_missing": clean[0]["lists_missing"] if clean else [],
            "sandbox": ", ".join(sorted({counts["sandbox"] for counts in scores})),
            "scorers": sorted({scorer for counts in scores for scorer in counts["scorers"]}),
            "versions": versions,
            "device": trained[0].device if trained else environment.device(),
            "lock_sha256": environment.lock_sha256("core"),
            "commit": environment.git_commit(),
        }
    )
    records.write_json(work.out / "report.json", report)
    task_sets = drill.with_prompts(answered)
    context = {
        **_context(report, compared, task_sets),
        "sections": [(title, [row for row in rows if row.section == key]) for key, title in _SECTIONS.items()],
        "figures": figures.draw(inputs, rows, work.config["models"]),
        "examples": _examples(inputs, work.config["data"]),
        "regressions": [row for row in rows if row.verdict == "OUT OF TOLERANCE"],
    }
    labels = {name: about["label"] for name, about in work.config["models"].items()}
    texts = {
        "report.html": page.html("report.html.jinja", context, drill.pack(task_sets, labels)),
        "report.md": page.template("report.md.jinja").render(context),
        "tables.tex": tables.to_tex([*context["tables"], *context["later"]], report["sentence"]),
        "eval_arena.csv": arena.to_csv(task_sets),
    }
    for name, text in texts.items():
        records.write_text(work.out / name, text)
    records.write_jsonl(work.out / "eval_arena.jsonl", arena.rows(task_sets))
    work.counts.update(numbers=len(rows), gaps=len(gaps))


def _context(
    report: Mapping[str, Any], compared: Sequence[cells.Cell], sets: Sequence[drill.TaskSet]
) -> dict[str, Any]:
    """What the templates are told, beside what `build` alone knows."""
    links = [one.link for one in sets]
    found = tables.layout(compared, links)
    later = tables.layout(compared, links, later=True)
    decided = [one for one in report["claims"] if one["run"] in ("holds", "does not hold")]
    return {
        **report,
        "compared": sum(report["outcomes"][name] for name in tables.COMPARED),
        "tables": found,
        "later": later,
        "told": [entry for table in (*found, *later) for entry in table.entries if entry.is_measured],
        "definitions": tables.definitions(),
        "claims_measured": decided,
        "claims_rest": [one for one in report["claims"] if one not in decided],
    }


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
        _tell_of_paper(report)
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


def _tell_of_paper(report: Mapping[str, Any]) -> None:
    """Says what the run shows of the paper: the sentence, the claims that it decides, the cells that it compares."""
    tell(report["sentence"])
    for claim in report["claims"]:
        if claim["run"] in ("holds", "does not hold"):
            tell(f"claim {claim['run']}: {claim['sentence']} ({claim['run_by']})")
    for content in report["cells"]:
        if content["outcome"] in tables.COMPARED:
            one = tables.entry(cells.Cell(**content))
            tell(f"{one.outcome}: {one.where}: {one.ours}, the paper {one.theirs} ({one.reason})")


def _power() -> list[dict[str, float]]:
    """How often a paired test of two greedy runs on HumanEval finds a drop of 5 points, by how many tasks differ anyway."""
    return [{"discordance": share, "power": statistics.mcnemar_power(164, 0.05, share)} for share in (0.06, 0.1, 0.2)]


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
    unasked = [
        f"{row['benchmark']}: {task}: {why}" for row in summary for task, why in (row.get("unasked") or {}).items()
    ]
    gaps += dict.fromkeys(unasked)
    for name, manifest in manifests.items():
        if name.startswith(_TOLD):
            gaps += [f"{name}: {note}" for note in manifest.notes]
    return gaps


def _examples(inputs: Mapping[str, Path], data: Mapping[str, Any]) -> list[dict[str, str]]:
    """The first record of each set that the teacher has made, with the seed that it is of."""
    found = []
    for name, about in data.items():
        path = inputs.get(f"decontaminate/{name}", Path()) / "records.jsonl"
        row = next(kinds.rows(path), None) if path.is_file() else None
        if row is None:
            continue
        if "seed" in row:
            found.append({"title": f"Seed ({row['lang']})", "text": row["seed"]})
        pair = kinds.Pair.of(row, str(path))
        found += [
            {"title": f"{about['label']}: problem", "text": pair.question},
            {"title": f"{about['label']}: solution", "text": pair.answer},
        ]
    return found
