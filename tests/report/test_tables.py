"""The paper's tables with a run's numbers, as data, LaTeX, Markdown and JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from magicoder_repro import records
from magicoder_repro.report import build, cells, figures, provenance, reference, schema, tables
from magicoder_repro.report.tables import Table


@pytest.fixture(scope="module")
def report(small_report: Path) -> Any:
    return json.loads((small_report / "report.json").read_text())


@pytest.fixture(scope="module")
def laid_out(report: Any) -> dict[str, Table]:
    found = [cells.Cell(**one) for one in report["cells"]]
    return {table.key: table for table in tables.layout(found, ["humaneval", "multipl-e-java"])}


def test_the_tables_are_the_papers_in_its_order(laid_out: dict[str, Table]) -> None:
    assert list(laid_out) == ["1", "2", "3", "4", "5", "6", "7", "8", "10", "fig3", "B.2"]
    assert (
        laid_out["1"].lines[0].label == "GPT-3.5 Turbo (Nov 2023)"
        and laid_out["1"].lines[-1].label == "MagicoderS-CL-7B"
    )
    shown = [entry for table in laid_out.values() for entry in table.entries]
    assert len(shown) == sum(number.table not in reference.LATER for number in reference.numbers())
    assert len({entry.anchor for entry in shown}) == len(shown) and not any(" " in entry.anchor for entry in shown)


def test_a_cell_has_both_numbers_in_points_and_tasks(laid_out: dict[str, Table]) -> None:
    entry = laid_out["1"].lines[-1].entries[1]
    assert entry is not None and (entry.theirs, entry.theirs_of) == ("66.5", "109/164")
    assert (entry.ours, entry.ours_of, entry.difference) == ("58.5", "96/164", "−8.0 points, −13 tasks")
    assert entry.tasks == "humaneval" and entry.command == "magicoder run score/magicoder-s/humaneval --profile made-up"
    several = next(one for one in laid_out["2"].entries if one.is_measured)
    assert (
        several.tasks == "multipl-e-java"
        and several.interval.endswith(" (20 samples)")
        and "task" not in several.difference
    )


def test_tables_without_a_number_of_this_run_are_folded_and_say_why(laid_out: dict[str, Table]) -> None:
    folded = [key for key, table in laid_out.items() if table.folded]
    assert "1" not in folded and "2" not in folded and {"3", "4", "6"} <= set(folded)
    mbpp = laid_out["1"].lines[-1].entries[2]
    assert mbpp is not None and mbpp.outcome == "missing" and "magicoder fetch mbpp" in mbpp.reason
    assert mbpp in laid_out["1"].told


def test_two_models_of_one_row_have_a_line_and_a_link_each(report: Any) -> None:
    found = [cells.Cell(**one) for one in report["cells"]]
    twice = [one for one in found if one.model == "magicoder" and one.table == "1"]
    other = [cells.Cell(**{**one.to_json(), "model": "again"}) for one in twice]
    (table,) = tables.layout([one for one in found if one.table == "1"] + other)
    labels = [line.label for line in table.lines]
    assert "Magicoder-CL-7B (magicoder)" in labels and "Magicoder-CL-7B (again)" in labels
    anchors = [entry.anchor for entry in table.entries]
    assert len(set(anchors)) == len(anchors)


def test_the_definitions_are_those_of_the_code(small_report: Path) -> None:
    words = dict(tables.definitions())
    assert set(words) - {""} == set(cells.OUTCOMES) - {"missing", "not comparable"} | {"not comparable", "missing"}
    text = " ".join((cells.__doc__ or "").split())
    assert all(meaning in text for meaning in words.values())
    assert words["consistent"] in " ".join((small_report / "report.html").read_text().split())


def test_latex_holds_text_and_no_commands(laid_out: dict[str, Table], small_report: Path) -> None:
    assert tables.tex(r"a_b & 50% \input{x} $1 ~ ^ # \u202e") == (
        r"a\_b \& 50\% \textbackslash{}input\{x\} \$1 \textasciitilde{} \textasciicircum{} \# \textbackslash{}u202e"
    )
    text = (small_report / "tables.tex").read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 13 and r"\toprule" in text
    assert r"\quad this run & 70.7\rlap{\,\checkmark{}}" in text
    assert r"\caption{The paper's Table 1: HumanEval(+) and MBPP(+), greedy pass@1. \checkmark{} reproduced, " in text


@pytest.mark.process
def test_latex_compiles(small_report: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on PATH")
    shutil.copy(small_report / "tables.tex", tmp_path)
    head = r"\documentclass{article}\usepackage{booktabs,amssymb,graphicx}\begin{document}\input{tables}\end{document}"
    (tmp_path / "all.tex").write_text(head)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
    assert "Overfull" not in (tmp_path / "all.log").read_text()


def test_report_json_is_what_the_schema_says(report: Any) -> None:
    schema.ReportFile.model_validate_json(json.dumps(report))
    assert report["version"] == 2 and report["outcomes"]["reproduced"] >= 1
    with pytest.raises(ValidationError):
        schema.ReportFile.model_validate_json(json.dumps({**report, "more": 1}))


def test_the_schema_in_the_repository_is_current() -> None:
    """`python -m magicoder_repro.report.schema` writes it."""
    assert schema.SCHEMA.read_text() == schema.json_schema()


def test_the_text_report_has_claims_and_cells(small_report: Path) -> None:
    text = (small_report / "report.md").read_text()
    assert "cells compared" in text and "## Claims" in text and "decided by" in text
    assert "| Table 1, MagicoderS-CL-7B, HumanEval+ | 66.5 | 58.5 |" in text


def test_the_terminal_says_what_the_run_shows_of_the_paper(
    small_report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build.print_table(small_report, quiet=False)
    said = capsys.readouterr().out
    assert "of the paper's 254 cells compared" in said.replace("\n", " ") and "claim holds: " in said
    assert "Table 1, MagicoderS-CL-7B, HumanEval: 70.7, the paper 70.7" in said


def test_accumulation_is_told_by_the_number_of_devices(report: Any) -> None:
    (one, _) = report["trainings"]
    assert one["devices"] == 2 and one["accumulation"] == {"1": 256, "2": 128, "4": 64, "8": 32}
    assert provenance.device({"gpu": ["H200", "H200"], "cpu": "c", "cores": 8}) == "2 x H200, c (8 cores)"


def test_each_result_is_read_once(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[Path] = Counter()
    read = records.read_json

    def counting(path: Path) -> Any:
        seen[path] += 1
        return read(path)

    monkeypatch.setattr(records, "read_json", counting)
    small.report(tmp_path / "report")
    results = {path: count for path, count in seen.items() if "score" in path.parts and path.name != "manifest.json"}
    assert len(results) == 6 and set(results.values()) == {1}


def test_how_each_model_was_trained_and_ran_is_told(report: Any, small_report: Path) -> None:
    plain, adapted = report["trainings"]
    assert (plain["speed"], plain["dtype"], plain["attention"], plain["lora"]) == ("paper", "bfloat16", "sdpa", None)
    assert adapted["lora"] == {"rank": 16, "alpha": 32.0, "dropout": 0.0, "targets": None}
    ran = {(one["node"], one["set"]): one for one in report["generations"]}
    assert ("generate/base/mbpp", "mbpp") not in ran  # it was not asked
    one = ran["generate/magicoder/humaneval", "humaneval"]
    assert (one["engine"], one["settings"]) == ("transformers", {"attention": "eager", "order": "paper"})
    assert (one["dtype"], one["decoding"]) == ("bfloat16", {"max_new_tokens": 512, "batch": 16})
    page, text = ((small_report / name).read_text() for name in ("report.html", "report.md"))
    assert "LoRA: rank 16, alpha 32.0, dropout 0.0</td>" in page and "attention eager, order paper</td>" in page
    assert "max new tokens 512, batch 16</td>" in page
    assert "| sft/magicoder | paper | all | bfloat16 | sdpa | 2 |" in text


def test_the_authors_losses_stand_beside_ours(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    assert figures.states_of_authors("MagicoderS-CL-7B") is None and figures.states_of_authors(None) is None
    (tmp_path / "author-states").mkdir()
    log = [{"step": step, "loss": 1 - step / 100, "epoch": 0.1} for step in range(1, 11)] + [
        {"step": 10, "train_runtime": 3.0}
    ]
    (tmp_path / "author-states" / "Magicoder-S-CL.json").write_text(json.dumps({"log_history": log}))
    models = small.config["models"]
    (drawn,) = figures.draw({name: path for name, path in small.inputs.items() if name.startswith("sft/")}, [], models)
    assert "magicoder-s, the authors' run: 0.990 at step 1, 0.900 at step 10" in drawn.alt
    assert "magicoder, the authors' run" not in drawn.alt
