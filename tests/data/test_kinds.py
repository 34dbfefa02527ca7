"""Records are of a kind: checked where they are written and read, their bytes as they were, their version in the manifest."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import artifact
from magicoder_repro.artifact import Work
from magicoder_repro.data import kinds
from magicoder_repro.errors import UsageError

SEED = {"raw_index": 3, "index": 0, "seed": "x = 1\n", "lang": "python"}
MADE = {**SEED, "openai_fingerprint": None, "problem": "p", "solution": "s", "prompt_tokens": 4, "completion_tokens": 5}


def _write(rows: list[dict[str, Any]], work: Work) -> None:
    kinds.write(work, "records.jsonl", kinds.OssInstruct, rows)


def _made(folder: Path, rows: list[dict[str, Any]]) -> Path:
    artifact.build(artifact.Request("oss-instruct", folder, {}, {}, "core"), partial(_write, rows))
    return folder / "records.jsonl"


def test_rows_come_back_byte_by_byte_whatever_else_they_have(tmp_path: Path) -> None:
    rows = [{**MADE, "category": {"a": 1}, "0": "\u2028"}, {key: MADE[key] for key in list(MADE)[:-2]}]
    path = _made(tmp_path / "a", rows)
    assert path.read_text() == "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    found = list(kinds.read(path, kinds.OssInstruct))
    assert [list(one.row().items()) for one in found] == [list(row.items()) for row in rows]
    assert (found[0].index, found[0].problem, found[1].prompt_tokens) == (0, "p", 0)


def test_the_manifest_says_which_kind_and_version_a_file_is_of(tmp_path: Path) -> None:
    path = _made(tmp_path / "a", [MADE])
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["kinds"] == {"records.jsonl": "oss-instruct 1"}
    del manifest["kinds"]  # of the release before
    (tmp_path / "a" / "manifest.json").write_text(json.dumps(manifest))
    assert [one.row() for one in kinds.read(path, kinds.OssInstruct)] == [MADE]
    for told in ("oss-instruct 2", "poems 1", "oss-instruct"):
        (tmp_path / "a" / "manifest.json").write_text(json.dumps({**manifest, "kinds": {"records.jsonl": told}}))
        with pytest.raises(UsageError, match=r"records\.jsonl: '.*' records of version .*: make them again"):
            list(kinds.rows(path))


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        (kinds.Seed, {**SEED, "index": "0"}, r"the field 'index' \(Input should be a valid integer\)"),
        (kinds.Seed, {**SEED, "seed": None}, "the field 'seed' is not text"),
        (kinds.OssInstruct, SEED, "the field 'openai_fingerprint' is missing"),
        (kinds.Evolved, {"source_index": 1, "method": 0, "instruction": "i"}, "the field 'output' is missing"),
        (kinds.Dropped, MADE, "the field 'reason' is missing"),
        (kinds.Pair, {"problem": "a", "output": "b"}, "neither 'problem' and 'solution', nor 'instruction' and 'o"),
        (kinds.Pair, {"instruction": "a", "response": 5}, "the field 'response' is not text"),
    ],
)
def test_a_row_that_is_not_of_its_kind_is_named(
    kind: type[kinds.Kind], row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match=rf"records\.jsonl:1: {message}"):
        list(kinds.read(path, kind))
    with pytest.raises(UsageError, match=rf"records\.jsonl:1: {message}"):
        list(kinds.checked(path, kind))
    with pytest.raises(UsageError, match=rf"^out\.jsonl:1: {message}"):
        kinds.write(Work(tmp_path, {}, {}), "out.jsonl", kind, [row])
    assert not (tmp_path / "out.jsonl").exists()
