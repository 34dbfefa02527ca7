"""Several ways of one model, with the real judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from magicoder_repro import records
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import agreement
from magicoder_repro.generate.agreement import Prompts, Way
from magicoder_repro.profile import TransformersEngine

EAGER = TransformersEngine()
ASKED = Prompts("minibench-humaneval", tasks=6, max_new_tokens=30, style="completion")


@pytest.mark.sandbox
def test_each_way_is_compared_with_the_first(
    firm_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = [Way("float32", EAGER), Way("float32", EAGER, batch=4), Way("bfloat16", EAGER)]
    found = agreement.measure(firm_folder, "firm", ASKED, ways)
    assert (found.model, found.tasks, found.of, found.judged) == ("firm", 6, 30, True)
    first, batches, halves = found.rows
    assert first.identical == batches.identical == 6 > halves.identical
    assert {(row.passed, row.other_verdicts, row.passed_plus, row.other_verdicts_plus) for row in found.rows} == {
        (0, 0, 0, 0)
    }
    path = tmp_path / "agreement.json"
    records.write_json(path, found.model_dump(mode="json"))
    assert agreement.read(path) == found
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "6 of 6 completions identical (100.0 %), 0 tasks passed, 0 other verdicts" in lines[1]


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--benchmark minibench-multipl-e: it has several sets"):
        agreement.measure(tmp_path, "x", Prompts("minibench-multipl-e"), [Way("float32", EAGER)])
    with pytest.raises(UsageError, match=r"no folder of a model \(config.json is missing\)"):
        agreement.measure(tmp_path, "x", ASKED, [Way("float32", EAGER)])
