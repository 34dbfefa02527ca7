"""The corpus of local files: which are taken, and what makes it stale."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import corpus
from magicoder_repro.profile import Corpus


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.py", "a/x.py", "a-b/x.py", "tests/x.py", "a/tests/deep/x.py", "tests.py", "c.txt"):
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return tmp_path / "files"


def _config(folder: Path, **changes: Any) -> Corpus:
    source = {"language": "python", "root": str(folder), "patterns": ["*.py"], "files": 100, **changes}
    return Corpus.model_validate({"sources": [source], "max_bytes": 1000})


def _taken(folder: Path, out: Path, **changes: Any) -> list[str]:
    out.mkdir()
    corpus.build(Work(out, {}, {"corpus": _config(folder, **changes).model_dump()}))
    rows = records.read_jsonl(out / "python.jsonl")
    return [str(Path(row["path"]).relative_to(folder)) for row in rows]


def test_files_are_taken_in_the_order_of_their_paths(folder: Path, tmp_path: Path) -> None:
    everything = ["a/tests/deep/x.py", "a/x.py", "a-b/x.py", "b.py", "tests/x.py", "tests.py"]
    assert _taken(folder, tmp_path / "all") == everything
    assert _taken(folder, tmp_path / "two", files=2) == everything[:2]
    without = _taken(folder, tmp_path / "without", exclude=["tests/*", "*/tests/*"])
    assert without == ["a/x.py", "a-b/x.py", "b.py", "tests.py"]
    assert _taken(folder, tmp_path / "one", exclude=["tests/*"]) == ["a/tests/deep/x.py", *without]


def test_another_content_makes_it_stale(folder: Path) -> None:
    facts = corpus.facts(_config(folder, exclude=["tests/*"]))
    before = facts()
    os.utime(folder / "b.py", (1, 1))
    (folder / "tests" / "x.py").write_text("not taken")
    assert facts() == before
    (folder / "b.py").write_text("# B.py\n")
    changed = facts()
    assert changed != before
    (folder / "b.py").rename(folder / "c.py")
    assert facts() not in (before, changed)


def test_a_corpus_of_the_hub_has_no_local_files() -> None:
    source = {"language": "python", "dataset": "x/y", "data_dir": "python", "documents": 5}
    assert corpus.facts(Corpus.model_validate({"sources": [source], "max_bytes": 1000}))() == {}
