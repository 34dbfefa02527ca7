"""The figures of the report, as SVG texts."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.benchmarks.base import data_folder
from magicoder_repro.report.rows import Row
from magicoder_repro.terminal import shown
from magicoder_repro.train.states import read_losses

_COLOURS = ("#5b6770", "#2c7fb8", "#d95f0e", "#31a354", "#756bb1", "#a6611a", "#c51b8a", "#636363")


_ANALYSES = {
    "similarity": (
        "Similarity to HumanEval",
        "Histogram of each record's highest TF-IDF cosine with a HumanEval problem",
    ),
    "lengths": ("Lengths of problems and solutions", "Histograms of the tokens of problems and solutions"),
    "categories": (
        "Kinds of problems",
        "Bar chart of the records whose solution is nearest to each of ten kinds of problems",
    ),
}


@dataclass(frozen=True)
class Figure:
    """`svg`: the whole element; `alt`: what it shows, in words and numbers."""

    title: str
    alt: str
    svg: str

    @property
    def uri(self) -> str:
        """For `src` of an image: nothing in it is a part of the page."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"


def draw(inputs: Mapping[str, Path], rows: list[Row], models: Mapping[str, Any]) -> list[Figure]:
    """The page's figures."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "magicoder", "font.size": 9, "svg.fonttype": "path"})
    matplotlib.rcParams["text.parse_math"] = False  # a label is text
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(models)}
    found = []
    scores = [row for row in rows if row.section == "scores" and row.key.endswith("pass@1")]
    if scores:
        alt = "Bar chart. " + "; ".join(f"{row.name} {row.value:.1f} %" for row in scores)
        found.append(Figure("pass@1 of the models", shown(alt), _draw_scores(scores, models, colours)))
    logs = {name: inputs[f"sft/{name}"] / "log.jsonl" for name in models if f"sft/{name}" in inputs}
    if logs:
        found.append(_losses(logs, models, colours))
    for name, (title, alt) in _ANALYSES.items():
        path = inputs.get("analyze", Path()) / f"{name}.svg"
        if "analyze" in inputs and path.is_file():
            found.append(
                Figure(title, alt + _counted(path.with_suffix(".json")), _trimmed(path.read_text(encoding="utf-8")))
            )
    return found


def _counted(path: Path) -> str:
    """The numbers of the categories, in words; nothing of another figure."""
    if path.name != "categories.json":
        return ""
    content = records.read_json(path)
    told = "; ".join(
        f"{name}: {', '.join(f'{category} {count}' for category, count in counts.items())}"
        for name, counts in content["sets"].items()
    )
    return shown(f", by the encoder {content['encoder']}, which is not the paper's. {told}")


def states_of_authors(paper: str | None) -> Path | None:
    """Where the trainer state that the authors published with a model lies; None when it is not at hand."""
    name = re.sub(r"-[\d.]+B$", "", paper or "").replace("MagicoderS", "Magicoder-S")
    path = data_folder() / "author-states" / f"{name}.json"
    return path if name and path.is_file() else None


def _losses(logs: Mapping[str, Path], models: Mapping[str, Any], colours: Mapping[str, str]) -> Figure:
    """The loss of each training; the authors' own in the same colour, dashed, where their trainer state is at hand."""
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    told = []
    for name, path in logs.items():
        label = shown(models[name]["label"])
        curves = [(label, [(row["step"], row["loss"]) for row in records.read_jsonl(path)], "-")]
        state = states_of_authors(models[name]["paper"])
        if state is not None:
            curves.append((f"{label}, the authors' run", read_losses(state), "--"))
        for words, curve, style in curves:
            if curve:
                steps, losses = zip(*curve, strict=True)
                marker = "." if len(steps) < 60 else None
                axes.plot(steps, losses, style, marker=marker, label=words, color=colours[name], lw=1.2)
                told.append(f"{words}: {losses[0]:.3f} at step {steps[0]}, {losses[-1]:.3f} at step {steps[-1]}")
    axes.set(xlabel="optimizer step", ylabel="loss (nats per response token)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return Figure("Training loss", f"Line chart. {'; '.join(told)}", _svg(figure))


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
            label=shown(models[model]["label"]),
            error_kw={"lw": 0.8},
        )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylabel="pass@1, % (95% interval)")
    figure.legend(frameon=False, loc="outside upper center", ncols=4)
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
