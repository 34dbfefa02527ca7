"""Stage `seeds`: one snippet of 1 to 15 consecutive lines from each document (PROTOCOL section 1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import kinds
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Seeds
from magicoder_repro.progress import each

_BATCH = 1000  # consecutive documents that share one seeding of the generator
_MAX_LINES = 15


def build(work: Work) -> None:
    """Corpus folder -> `records.jsonl` (`raw_index, index, seed, lang`), the first seeds of each language's shuffle."""
    config = Seeds.model_validate(work.config["seeds"])
    rows: list[records.Record] = []
    for language, wanted in config.per_language.items():
        path = work.inputs["corpus"] / f"{language}.jsonl"
        if not path.is_file():
            work.notes.append(f"{language}: the corpus has no document")
            continue
        found, empty = from_documents(path, language, config.seed)
        rows += found[:wanted]
        work.counts[language] = min(wanted, len(found))
        if empty:
            work.dropped[f"{language}: documents without a line"] += empty
    if not rows:
        raise UsageError("no seed: none of seeds.per_language's languages is in the corpus")
    kinds.write(work, "records.jsonl", kinds.Seed, rows)
    work.counts["seeds"] = len(rows)


def build_one_language(work: Work) -> None:
    """A JSONL of documents with `content` -> `records.jsonl` of all seeds, in the order of `index`."""
    rows, empty = from_documents(work.inputs["documents"], work.config["language"], work.config["seed"])
    if not rows:
        raise UsageError(f"{work.inputs['documents']}: no document with a line, so no seed")
    kinds.write(work, "records.jsonl", kinds.Seed, rows)
    work.counts["seeds"] = len(rows)
    if empty:
        work.dropped["documents without a line"] += empty


def from_documents(path: Path, language: str, seed: int) -> tuple[list[records.Record], int]:
    """All seeds of one language in the order of `index`, and how many documents had no line to give."""
    documents = []
    found = each(
        records.read_jsonl(path, texts=("content",)), records.count_lines(path), f"seeds {language}", "documents"
    )
    documents += [record["content"] for record in found]
    snippets = extract(documents, seed)
    kept = [(raw_index, snippet) for raw_index, snippet in enumerate(snippets) if snippet is not None]
    rows = [
        {"raw_index": kept[position][0], "index": index, "seed": kept[position][1], "lang": language}
        for index, position in enumerate(_shuffled(len(kept), seed))
    ]
    return rows, len(snippets) - len(kept)


def extract(documents: Sequence[str], seed: int) -> list[str | None]:
    """The seed of each document, in order; None, and nothing drawn, for a document without lines."""
    snippets: list[str | None] = []
    for first in range(0, len(documents), _BATCH):
        generator = random.Random(seed + first)
        for document in documents[first : first + _BATCH]:
            lines = document.splitlines(keepends=True)
            if not lines:
                snippets.append(None)
                continue
            start = generator.choice(range(len(lines)))
            length = generator.randint(1, _MAX_LINES)
            snippets.append("".join(lines[start : start + length]))
    return snippets


def _shuffled(count: int, seed: int) -> list[int]:
    """The positions 0..count-1 in the order of `datasets`' shuffle."""
    from datasets import Dataset

    if count == 0:
        return []
    return list(Dataset.from_dict({"position": list(range(count))}).shuffle(seed=seed)["position"])
