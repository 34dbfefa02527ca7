"""Stage `decontaminate`: drops records that contain a benchmark's text (PROTOCOL section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ahocorasick

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import benchmark_texts, kinds
from magicoder_repro.progress import each, say


class Matcher:
    """Finds, in one pass over a text, the first of the lists in the paper's order that has a string in it."""

    def __init__(self, lists: Iterable[benchmark_texts.TextList]) -> None:
        self._automaton = ahocorasick.Automaton()
        self._always: tuple[int, str, str] | None = None
        order = 0
        for item in lists:
            for text in item.texts:
                lowered = text.lower()
                if not lowered:
                    self._always = self._always or (order, item.name, text)
                elif lowered not in self._automaton:
                    self._automaton.add_word(lowered, (order, item.name, text))
                order += 1
        self._size = len(self._automaton)
        if self._size:
            self._automaton.make_automaton()

    def find(self, problem: str, solution: str) -> tuple[str, str] | None:
        """(list name, benchmark text) of the match that comes first in the lists, None for a clean record."""
        content = f"{problem}\n\n{solution}".lower()
        hits = [value for _, value in self._automaton.iter(content)] if self._size else []
        if self._always is not None:
            hits.append(self._always)
        return min(hits)[1:] if hits else None


def facts() -> Mapping[str, Any]:
    """The lists that are here: they are an input, although no stage makes them."""
    return {"benchmark_texts": benchmark_texts.identity()}


def missing() -> Sequence[str]:
    """The lists that are not here, each with the mend."""
    absent = [item.name for item in benchmark_texts.load() if item.source is None]
    return (
        [f"benchmark texts {', '.join(absent)}: put their files under MAGICODER_DATA (README.md names them)"]
        if absent
        else []
    )


def build(work: Work) -> None:
    """`records.jsonl` -> kept `records.jsonl`, and `dropped.jsonl` with `reason` and `matched`."""
    source = work.inputs["records"]
    path = source / "records.jsonl" if source.is_dir() else source
    lists = benchmark_texts.load()
    matcher = Matcher(lists)
    kept: list[records.Record] = []
    dropped: list[records.Record] = []
    for number, row in enumerate(each(kinds.rows(path), records.count_lines(path), "decontaminate", "records"), 1):
        question, answer = kinds.Pair.names(row, f"{path}:{number}")
        match = matcher.find(row[question], row[answer])
        if match is None:
            kept.append(row)
        else:
            dropped.append({**row, "reason": f"{match[0]}_match", "matched": match[1]})
    kinds.write(work, "records.jsonl", kinds.Pair, kept)
    kinds.write(work, "dropped.jsonl", kinds.Dropped, dropped)
    work.counts.update(read=len(kept) + len(dropped), kept=len(kept))
    work.counts["lists_applied"] = {item.name: len(item.texts) for item in lists if item.source is not None}
    work.counts["lists_missing"] = [item.name for item in lists if item.source is None]
    work.dropped.update(row["reason"] for row in dropped)
    if missing := ", ".join(work.counts["lists_missing"]):
        work.notes.append(f"lists missing: {missing}: put their files under MAGICODER_DATA to apply them")
        say(f"decontaminate: {work.notes[-1]}")
