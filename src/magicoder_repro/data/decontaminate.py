"""Stage `decontaminate`: drops records that contain a benchmark's text (PROTOCOL section 3)."""

from __future__ import annotations

from collections.abc import Iterable

import ahocorasick

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import benchmark_texts
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import each, say

_FIELDS = (("problem", "solution"), ("instruction", "output"))


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


def build(work: Work) -> None:
    """`records.jsonl` -> kept `records.jsonl`, and `dropped.jsonl` with `reason` and `matched`."""
    source = work.inputs["records"]
    path = source / "records.jsonl" if source.is_dir() else source
    lists = benchmark_texts.load()
    matcher = Matcher(lists)
    kept: list[records.Record] = []
    dropped: list[records.Record] = []
    stage = work.out.name.removesuffix(".partial")
    for number, row in enumerate(each(records.read_jsonl(path), records.count_lines(path), stage, "records"), 1):
        fields = next((pair for pair in _FIELDS if pair[0] in row and pair[1] in row), None)
        if fields is None:
            raise UsageError(f"{path}:{number}: neither 'problem' and 'solution' nor 'instruction' and 'output'")
        for field in fields:
            if not isinstance(row[field], str):
                raise UsageError(f"{path}:{number}: the field {field!r} is not text")
        match = matcher.find(row[fields[0]], row[fields[1]])
        if match is None:
            kept.append(row)
        else:
            dropped.append({**row, "reason": f"{match[0]}_match", "matched": match[1]})
    records.write_jsonl(work.out / "records.jsonl", kept)
    records.write_jsonl(work.out / "dropped.jsonl", dropped)
    work.counts.update(read=len(kept) + len(dropped), kept=len(kept))
    work.counts["lists_applied"] = {item.name: len(item.texts) for item in lists if item.source is not None}
    work.counts["lists_missing"] = [item.name for item in lists if item.source is None]
    work.dropped.update(row["reason"] for row in dropped)
    if missing := ", ".join(work.counts["lists_missing"]):
        work.notes.append(f"lists missing: {missing}: put their files under MAGICODER_DATA to apply them")
        say(f"{stage}: {work.notes[-1]}")
