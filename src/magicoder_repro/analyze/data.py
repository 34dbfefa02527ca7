"""Stage `analyze`: similarity of the training data to HumanEval, its lengths and categories (PROTOCOL section 6), as numbers and
figures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.analyze import categories
from magicoder_repro.artifact import Work
from magicoder_repro.benchmarks.evalplus import human_eval
from magicoder_repro.data import code_alpaca, kinds, token_counts
from magicoder_repro.environment import file_sha256
from magicoder_repro.profile import Analysis
from magicoder_repro.progress import Bar, bar

_SELF_INSTRUCT = {"self-instruct": "Self-Instruct"}


def build(work: Work) -> None:
    """Decontaminated sets -> `similarity.json`, `lengths.json`, `categories.json` and an SVG figure of each. Code Alpaca, the paper's
    Self-Instruct set, is a part of the similarity where it is at hand; categories are counted where an encoder is."""
    config, names = Analysis.model_validate(work.config["analysis"]), {**work.config["names"], **_SELF_INSTRUCT}
    sets = {name: _pairs(work.inputs[name] / "records.jsonl") for name in work.config["names"]}
    compared = dict(sets)
    if (path := code_alpaca.find()) is not None:
        compared["self-instruct"] = code_alpaca.pairs(path)
    else:
        work.notes.append(
            f"similarity is fitted without Code Alpaca: put {code_alpaca.FILES[0]} under MAGICODER_DATA to add it"
        )
    texts = {name: [f"{a} {b}" for a, b in found] for name, found in compared.items()}
    if "tokenizer" in work.inputs:
        count = token_counts.of_model(work.inputs["tokenizer"])
    else:
        count = token_counts.of_tiktoken(config.tokenizer, "analysis.tokenizer")
    if (folder := categories.find()) is None:
        work.notes.append(
            f"categories are not counted: put an encoder (sentence-transformers/all-MiniLM-L6-v2) under MAGICODER_DATA as "
            f"{categories.FOLDER}/all-MiniLM-L6-v2"
        )
    encoder = None if folder is None else categories.Encoder(folder)
    records_in_all = sum(len(found) for found in sets.values())
    total = 2 * sum(len(group) for group in texts.values()) + records_in_all * (1 if encoder is None else 2)
    with bar("analyze", total, "texts") as progress:  # words are learnt, texts compared, tokens counted
        similarity = similarities(texts, progress)
        lengths = {name: _lengths(found, count, progress) for name, found in sets.items()}
        if encoder is not None and folder is not None:
            counts = {name: categories.count(encoder, [b for _, b in found], progress) for name, found in sets.items()}
            records.write_json(work.out / "categories.json", {"encoder": folder.name, "sets": counts})
    records.write_json(
        work.out / "similarity.json",
        {name: {"mean": round(sum(values) / len(values), 4), "values": values} for name, values in similarity.items()},
    )
    records.write_json(work.out / "lengths.json", lengths)
    for name, values in similarity.items():
        work.counts[f"{name} mean similarity to HumanEval"] = round(sum(values) / len(values), 4)
    work.counts["tokenizer of the lengths"] = config.tokenizer
    for name, parts in lengths.items():
        for part, tokens in parts.items():
            work.counts[f"{name} {part}s beyond the figure's {config.length_max} tokens"] = _beyond(tokens, config)
    _draw(work.out, similarity, lengths, names, config)
    if encoder is not None and folder is not None:
        work.counts["encoder of the categories"] = folder.name
        _save(categories.draw(counts, names, folder.name), work.out / "categories.svg")


def _pairs(path: Path) -> list[tuple[str, str]]:
    return [(pair.question, pair.answer) for pair in kinds.read(path, kinds.Pair)]


def facts() -> Mapping[str, Any]:
    """The hashes of Code Alpaca and of the encoder, where they are at hand."""
    path = code_alpaca.find()
    return {"code_alpaca": None if path is None else file_sha256(path), **categories.facts()}


def _lengths(found: list[tuple[str, str]], count: Callable[[str], int], progress: Bar) -> dict[str, list[int]]:
    """Tokens of each problem and each solution."""
    counted = [(count(a), count(b)) for a, b in progress.over(found)]
    return {"problem": [problem for problem, _ in counted], "solution": [solution for _, solution in counted]}


def _beyond(tokens: list[int], config: Analysis) -> int:
    return sum(value > config.length_max for value in tokens)


def similarities(texts: dict[str, list[str]], progress: Bar) -> dict[str, list[float]]:
    """The highest TF-IDF cosine of each text over HumanEval's 164 problems; one vectorizer is fitted on everything."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    tasks = [f"{task['prompt']} {task['canonical_solution']}" for task in human_eval.read()]
    ours = progress.over(text for group in texts.values() for text in group)
    vectorizer = TfidfVectorizer().fit(itertools.chain(ours, tasks))
    reference = vectorizer.transform(tasks)
    found = {}
    for name, group in texts.items():
        vectors = vectorizer.transform(progress.over(group))
        highest = (vectors @ reference.T).max(axis=1).toarray().ravel()
        found[name] = [round(float(value), 6) for value in highest]
    return found


def _draw(
    out: Path,
    similarity: dict[str, list[float]],
    lengths: dict[str, dict[str, list[int]]],
    names: dict[str, str],
    config: Analysis,
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
            label=f"{names[name]} (mean {mean:.3f})",
        )
    axes.set(xlabel="highest TF-IDF cosine with a HumanEval problem", ylabel="density")
    axes.legend(frameon=False)
    _save(figure, out / "similarity.svg")

    figure, panels = pyplot.subplots(1, len(lengths), figsize=(6.4, 2.8), layout="constrained", squeeze=False)
    bins = range(0, config.length_max + 1, config.length_bin)
    for panel, (name, parts) in zip(panels[0], lengths.items(), strict=True):
        for part, tokens in parts.items():
            panel.hist(tokens, bins=bins, alpha=0.55, label=f"{part} ({_beyond(tokens, config)} longer not shown)")
        panel.set(title=names[name], xlabel="tokens", ylabel="records", xlim=(0, config.length_max))
        panel.legend(frameon=False)
    _save(figure, out / "lengths.svg")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
