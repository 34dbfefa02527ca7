"""A tokenizer that is not there is named with the profile's key before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from magicoder_repro.analyze import data
from magicoder_repro.artifact import Work
from magicoder_repro.errors import UsageError


def test_the_analysis_names_its_key(tmp_path: Path) -> None:
    for name in ("oss-instruct", "evol-instruct"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.jsonl").write_text(json.dumps({"problem": "sum a list", "solution": "sum"}) + "\n")
    config = {"similarity_bins": 3, "length_bin": 20, "length_max": 700, "tokenizer": "cl100k_bse"}
    inputs = {name: tmp_path / name for name in ("oss-instruct", "evol-instruct")}
    work = Work(tmp_path / "out", inputs, {"analysis": config, "names": {name: name for name in inputs}})
    with pytest.raises(UsageError, match=r"analysis.tokenizer: 'cl100k_bse' .*did you mean 'cl100k_base'\?"):
        data.build(work)
