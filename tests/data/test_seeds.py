"""PROTOCOL section 1: which lines become a seed, and in which order."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from magicoder_repro.data import seeds


def _paper(documents: list[str]) -> list[str]:
    """The paper's procedure, written out with the global generator as its code uses it."""
    found = []
    for first in range(0, len(documents), 1000):
        random.seed(976 + first)
        for document in documents[first : first + 1000]:
            lines = document.splitlines(keepends=True)
            start = random.choice(range(len(lines)))
            length = random.randint(1, 15)
            found.append("".join(lines[start : start + length]))
    return found


def _documents(count: int) -> list[str]:
    generator = random.Random(1)
    return ["".join(f"line {i} of {n}\n" for i in range(generator.randint(1, 60))) for n in range(count)]


def test_seeds_equal_the_papers_over_several_batches() -> None:
    documents = _documents(2300)
    assert seeds.extract(documents, 976) == _paper(documents)


def test_an_empty_document_draws_nothing() -> None:
    documents = _documents(20)
    with_gap = [*documents[:7], "", *documents[7:]]
    found = seeds.extract(with_gap, 976)
    assert found[7] is None
    assert found[:7] + found[8:] == _paper(documents)


def test_line_ends_other_than_newline_are_kept() -> None:
    (found,) = seeds.extract(["a\r\nb\x0cc\u2028d"], 976)
    assert found is not None and found in "a\r\nb\x0cc\u2028d"


@pytest.mark.process
def test_the_command_writes_index_after_and_raw_index_before_the_shuffle(tmp_path: Path) -> None:
    documents = _documents(50)
    documents[3] = ""
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"content": text}) + "\n" for text in documents))
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.cli",
        "seeds",
        str(source),
        "--language",
        "java",
        "-o",
        str(out),
    ]
    subprocess.run(command, check=True, capture_output=True)
    rows = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(49))
    assert sorted(row["raw_index"] for row in rows) == [i for i in range(50) if i != 3]
    assert {row["lang"] for row in rows} == {"java"}
    kept = [i for i in range(50) if i != 3]
    order = np.random.default_rng(976).permutation(49)  # what `datasets` shuffles with
    assert [row["raw_index"] for row in rows] == [kept[i] for i in order]
    assert json.loads((out / "manifest.json").read_text())["dropped"] == {"documents without a line": 1}
