"""Stage `analyze`: similarity of the training data to HumanEval, and its lengths (PROTOCOL section 6), as numbers and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, records
from magicoder_repro.artifact import Work
from magicoder_repro.data import token_counts
from magicoder_repro.profile import Analysis

_NAMES = {"oss-instruct": "OSS-Instruct", "evol-instruct": "Evol-Instruct"}


def build(work: Work) -> None:
    """Decontaminated sets -> `similarity.json`, `lengths.json` and an SVG figure of each."""
    config = Analysis.model_validate(work.config["analysis"])
    sets = {name: _pairs(work.inputs[name] / "records.jsonl") for name in _NAMES}
    similarity = similarities({name: [f"{a} {b}" for a, b in pairs] for name, pairs in sets.items()})
    records.write_json(
        work.out / "similarity.json",
        {name: {"mean": round(sum(values) / len(values), 4), "values": values} for name, values in similarity.items()},
    )
    if config.tokenizer == "base":
        count = token_counts.of_model(work.inputs["base-model"])
    else:
        count = token_counts.of_tiktoken(config.tokenizer, "analysis.tokenizer")
    lengths = {
        name: {
            "problem": [count(problem) for problem, _ in pairs],
            "solution": [count(solution) for _, solution in pairs],
        }
        for name, pairs in sets.items()
    }
    records.write_json(work.out / "lengths.json", lengths)
    for name, values in similarity.items():
        work.counts[f"{name} mean similarity to HumanEval"] = round(sum(values) / len(values), 4)
    work.notes.append(f"lengths are counted with the tokenizer {config.tokenizer!r}")
    _draw(work.out, similarity, lengths, config)


def _pairs(path: Path) -> list[tuple[str, str]]:
    return [
        (row["problem"], row["solution"]) if "problem" in row else (row["instruction"], row["output"])
        for row in records.read_jsonl(path)
    ]


def similarities(texts: dict[str, list[str]]) -> dict[str, list[float]]:
    """The highest TF-IDF cosine of each text over HumanEval's 164 problems; one vectorizer is fitted on everything."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    tasks = [f"{task['prompt']} {task['canonical_solution']}" for task in benchmarks.read_human_eval()]
    vectorizer = TfidfVectorizer().fit([*(text for group in texts.values() for text in group), *tasks])
    reference = vectorizer.transform(tasks)
    return {
        name: [
            round(float(value), 6)
            for value in (vectorizer.transform(group) @ reference.T).max(axis=1).toarray().ravel()
        ]
        for name, group in texts.items()
    }


def _draw(
    out: Path, similarity: dict[str, list[float]], lengths: dict[str, dict[str, list[int]]], config: Analysis
) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "magicoder", "font.size": 9, "svg.fonttype": "path"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    top = max(max(values) for values in similarity.values())
    for name, values in similarity.items():
        mean = sum(values) / len(values)
        axes.hist(
            values,
            bins=config.similarity_bins,
            range=(0, top),
            alpha=0.55,
            density=True,
            label=f"{_NAMES[name]} (mean {mean:.3f})",
        )
    axes.set(xlabel="highest TF-IDF cosine with a HumanEval problem", ylabel="density")
    axes.legend(frameon=False)
    _save(figure, out / "similarity.svg")

    figure, panels = pyplot.subplots(1, len(lengths), figsize=(6.4, 2.8), layout="constrained", squeeze=False)
    bins = range(0, config.length_max + 1, config.length_bin)
    for panel, (name, parts) in zip(panels[0], lengths.items(), strict=True):
        for part, tokens in parts.items():
            panel.hist(_clipped(tokens, config.length_max), bins=bins, alpha=0.55, label=part)
        panel.set(title=_NAMES[name], xlabel="tokens", ylabel="records")
        panel.legend(frameon=False)
    _save(figure, out / "lengths.svg")


def _clipped(values: Sequence[int], top: int) -> list[int]:
    return [min(value, top) for value in values]


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
