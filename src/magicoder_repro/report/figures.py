"""The figures of the report, as SVG texts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.report.rows import Row

_COLOURS = ("#5b6770", "#2c7fb8", "#d95f0e", "#31a354", "#756bb1", "#a6611a", "#c51b8a", "#636363")


def draw(inputs: Mapping[str, Path], rows: list[Row], models: Mapping[str, Any]) -> list[dict[str, str]]:
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
