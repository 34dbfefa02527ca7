"""The stage `score`: what a model was asked decides whether its answers are cleaned up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from magicoder_repro import benchmarks
from magicoder_repro.artifact import Work
from magicoder_repro.generate.complete import Asked
from magicoder_repro.profile import Scoring
from magicoder_repro.score import stage

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(("prompt", "passed"), [("completion", 100.0), ("magicoder", 0.0)])
def test_what_a_base_model_writes_after_its_answer_is_cut_off(prompt: str, passed: float, tmp_path: Path) -> None:
    one = benchmarks.get("minibench-humaneval")
    dataset = one.load().first(2)
    folder, out = tmp_path / "samples", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    about = {"benchmark": one.name, "protocol": "paper", "language": None, "tasks": 2, "of": 30}
    asked = Asked(**about, dataset=dataset.identity, prompt=prompt, decoding={})  # type: ignore[arg-type]
    (folder / "benchmarks.json").write_text(json.dumps({one.name: asked.model_dump()}))
    ran_on = "\n\nif __name__ == '__main__':\n    print(solve("  # into its limit of tokens
    rows = [{"task_id": task["task_id"], "completion": task["canonical_solution"] + ran_on} for task in dataset.tasks]
    (folder / f"{one.name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scoring = Scoring(workers=1).model_dump(mode="json")
    config = {"benchmark": one.name, "protocol": "paper", "scoring": scoring, "label": "score"}
    stage.build(Work(out, {"samples": folder}, config))
    result = json.loads((out / f"{one.name}.json").read_text())
    assert result["metrics"]["pass@1"] == passed and result["sanitized"] is (prompt == "completion")
