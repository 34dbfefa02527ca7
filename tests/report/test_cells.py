"""What a run's number says beside the paper's: outcomes, reasons, and how often they are wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from magicoder_repro.report import cells, claims, noise, reference, scored, statistics, tables
from magicoder_repro.report.cells import Cell, Measured

MODEL = {"paper": "MagicoderS-CL-7B", "style": "magicoder", "same_answers": []}
CONFIG: dict[str, Any] = {
    "name": "mine",
    "data": {},
    "models": {"s": MODEL},
    "report": {"comparable": True, "margin": 5.0},
}
RUNS = 2_000
CHANCE = noise.collect(())


def greedy(metric: str, passed: int | Sequence[float], tasks: int = 164, model: str = "s") -> Measured:
    rates = tuple([1.0] * passed + [0.0] * (tasks - passed)) if isinstance(passed, int) else tuple(passed)
    names = tuple(f"t{number}" for number in range(tasks))
    return Measured(
        metric, model, "paper", f"score/{model}/x", 100 * sum(rates) / tasks, names, rates, names, prompt="magicoder"
    )


def sampled(metric: str, rates: Any, samples: int, model: str = "s") -> Measured:
    names = tuple(f"t{number}" for number in range(len(rates)))
    value = 100 * float(numpy.mean(rates))
    return Measured(metric, model, "paper", f"score/{model}/x", value, names, tuple(map(float, rates)), names, samples)


def of(measured: Sequence[Measured], config: dict[str, Any] = CONFIG, table: str = "1") -> list[Cell]:
    return [cell for cell in cells.compare(measured, config, CHANCE) if cell.table == table and cell.node is not None]


def one(measured: Measured, config: dict[str, Any] = CONFIG, table: str = "1") -> Cell:
    (cell,) = of([measured], config, table)
    return cell


@pytest.mark.parametrize(
    ("passed", "outcome", "said"),
    [
        (116, "reproduced", "as many tasks"),
        (115, "reproduced", "1 task apart"),
        (117, "reproduced", "1 task apart"),
        (
            113,
            "insufficient evidence",
            r"-1.8 points \(-3 tasks\); this cell alone could show no difference below 9.8 points",
        ),
        (90, "deviates", r"-15.8 points \(-26 tasks\), adjusted p"),
        (150, "deviates", r"\+20.8 points \(\+34 tasks\)"),
    ],
)
def test_a_greedy_cell(passed: int, outcome: str, said: str) -> None:
    cell = one(greedy("humaneval", passed))
    assert cell.outcome == outcome
    assert cell.theirs_passed == 116 and cell.passed == passed
    assert cell.command == "magicoder run score/s/x --profile mine"
    import re

    assert re.search(said, cell.reason), cell.reason


def test_the_same_answers_may_move_by_the_scorer_s_noise_only() -> None:
    config = {**CONFIG, "models": {"s": {**MODEL, "same_answers": ["1"]}}}
    assert [one(greedy("humaneval", passed), config).outcome for passed in (116, 115)] == ["reproduced", "deviates"]
    found = [one(greedy("mbpp", passed, 399), config).outcome for passed in (273, 279, 280)]
    assert found == ["reproduced", "reproduced", "deviates"]


def test_where_nothing_can_be_compared_the_reason_is_said() -> None:
    measured = greedy("humaneval", 116)
    other = {**CONFIG, "report": {"comparable": False, "margin": 5.0}}
    assert one(measured, other).outcome == "not comparable"
    assert one(replace(measured, doubt="8 of 164 tasks")).reason == "8 of 164 tasks"
    assert one(replace(measured, prompt="completion")).reason.startswith("asked with the bare code")
    assert one(greedy("humaneval", 100, 150)).reason == "150 tasks here, 164 there"
    gap = one(replace(measured, gap="no compiler"))
    assert (gap.outcome, gap.reason, gap.ours) == ("missing", "no compiler", None)
    missing = {cell.reason for cell in cells.compare([measured], CONFIG, CHANCE) if cell.ours is None}
    assert missing == {"no model of this run stands for this row", "this run has no such number"}


def test_a_cell_of_part_of_the_tasks_is_counted_by_its_own_tasks() -> None:
    cell = one(replace(greedy("humaneval", 4, 8), doubt="8 of 164 tasks"))
    entry = tables.entry(cell)
    assert (cell.of, cell.tasks, entry.ours_of, entry.theirs_of) == (8, 164, "4/8", "116/164")
    assert "task" not in entry.difference


def test_samples_are_not_compared_with_a_greedy_number_nor_other_decoding() -> None:
    rates = numpy.full(164, 0.671)
    cell = one(sampled("humaneval", rates, 10))
    assert (cell.outcome, cell.reason) == ("not comparable", "10 samples a task here, 1 there")
    assert one(greedy("multipl_e_java", 70, 158), table="2").reason == "1 samples a task here, 50 there"
    java = sampled("multipl_e_java", numpy.full(158, 0.43), 20)
    paper = {"temperature": 0.2, "top_p": 0.95, "top_k": 0}
    assert one(replace(java, decoding=paper), table="2").outcome == "reproduced"
    warm = one(replace(java, decoding={**paper, "temperature": 0.8}), table="2")
    assert warm.outcome == "not comparable" and "0.8" in warm.reason


def test_another_source_s_answers_are_compared_with_its_own_count_only() -> None:
    config = {**CONFIG, "models": {"s": {**MODEL, "same_answers": ["evoeval"]}}}
    measured = greedy("humaneval", 115)
    assert one(measured, config, "evoeval").reason == "the same answers, as many tasks"
    assert one(greedy("humaneval", 114), config, "evoeval").outcome == "deviates"
    cell = one(measured, config)
    assert cell.outcome == "not comparable" and "own prompt" in cell.reason


def test_figures_of_other_data_are_not_compared(tmp_path: Path) -> None:
    (tmp_path / "similarity.json").write_text(json.dumps({"oss": {"mean": 0.105}}))
    (tmp_path / "manifest.json").write_text(json.dumps({"counts": {"read": 7, "kept": 7}}))
    config = {**CONFIG, "data": {"oss": {"paper": "OSS-Instruct", "kind": "released"}}}
    measured = cells.of_data({"analyze": tmp_path, "decontaminate/oss": tmp_path}, config)
    found = {cell.metric: cell for cell in cells.compare(measured, config, CHANCE) if cell.ours is not None}
    assert {cell.outcome for cell in found.values()} == {"not comparable"}
    assert "Code Alpaca" in found["mean_max_tfidf_cosine"].reason
    assert "after the paper's decontamination" in found["decontamination_removed"].reason
    decided = {claim.id: claim.run for claim in claims.decide(list(found.values()), measured)}
    assert decided["few-contaminated"] == decided["least-similar"] == "not measured"


def test_protocol_current_stands_beside_the_leaderboard_only() -> None:
    measured = replace(greedy("humaneval_plus", 111), protocol="current")
    assert of([measured]) == []
    assert one(measured, table="leaderboard").outcome == "reproduced"


def test_a_small_interval_around_the_paper_s_number_is_consistent() -> None:
    generator = numpy.random.default_rng(0)
    rates = generator.permutation(numpy.linspace(0, 0.77, 1000))
    cell = one(sampled("ds1000_overall", rates, 40), table="3")
    assert cell.outcome == "consistent" and "lies within 5 points" in cell.reason
    narrow = {**CONFIG, "report": {"comparable": True, "margin": 1.0}}
    assert one(sampled("ds1000_overall", rates, 40), narrow, "3").outcome == "insufficient evidence"


def test_figures_of_the_data_are_compared_as_printed() -> None:
    config = {**CONFIG, "data": {"oss": {"paper": "OSS-Instruct"}}}
    measured = Measured("mean_max_tfidf_cosine", "data oss", "paper", "analyze", 0.1049)
    assert one(measured, config, "fig3").outcome == "reproduced"
    assert one(replace(measured, value=0.11), config, "fig3").outcome == "deviates"
    assert one(Measured("decontamination_removed", "data oss", "paper", "n", 9), config, "B.2").outcome == "reproduced"


def test_false_alarms_of_greedy_cells_stay_at_the_stated_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Re-runs of the paper's model whose verdicts differ on a tenth of the tasks by chance: a table of four cells, alarms in all."""
    generator = numpy.random.default_rng(6)
    alarms = reproduced = 0
    shape = {"humaneval": (116, 164), "humaneval_plus": (109, 164), "mbpp": (273, 399), "mbpp_plus": (226, 399)}
    some = [number for number in reference.numbers() if number.table == "1" and number.model == MODEL["paper"]]
    monkeypatch.setattr(reference, "numbers", lambda: some)
    for _ in range(RUNS):
        measured = []
        for metric, (passed, tasks) in shape.items():
            lost, gained = (
                generator.binomial(passed, 0.05 * tasks / passed),
                generator.binomial(tasks - passed, 0.05 * tasks / (tasks - passed)),
            )
            measured.append(greedy(metric, int(passed - lost + gained), tasks))
        found = [cell.outcome for cell in of(measured)]
        alarms += "deviates" in found
        reproduced += "reproduced" in found
    assert alarms / RUNS <= statistics.ALPHA
    assert reproduced / RUNS > 0.3  # the words do not depend on luck alone


def test_false_alarms_of_sampled_cells_stay_at_the_stated_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's number and ours drawn from the same model, 50 samples a task each."""
    generator = numpy.random.default_rng(7)
    rates = generator.beta(0.6, 0.8, size=158)
    (java,) = (number for number in reference.numbers() if number.key == ("2", "MagicoderS-CL-7B", "multipl_e_java"))
    draws = statistics.cluster_means
    monkeypatch.setattr(statistics, "cluster_means", lambda rates, clusters: draws(rates, clusters, 1000))
    outcomes = []
    for _ in range(RUNS // 5):
        paper, ours = (generator.binomial(50, rates) / 50 for _ in range(2))
        number = java.model_copy(update={"value": round(100 * float(paper.mean()), 1)})
        monkeypatch.setattr(reference, "numbers", lambda number=number: (number,))
        outcomes.append(one(sampled("multipl_e_java", ours, 50), table="2").outcome)
    assert outcomes.count("deviates") / len(outcomes) <= statistics.ALPHA
    assert abs(outcomes.count("reproduced") / len(outcomes) - 0.95) < 0.04


def test_a_true_drop_is_found_as_often_as_the_cell_says() -> None:
    cell = one(greedy("humaneval", 110))
    assert cell.smallest is not None
    generator = numpy.random.default_rng(8)
    counts = generator.binomial(164, 116 / 164 - cell.smallest / 100, size=300)
    found = [one(greedy("humaneval", int(count))).outcome for count in counts]
    assert found.count("deviates") / 300 > 0.7


def test_holm_is_over_the_cells_of_a_table() -> None:
    alone = one(greedy("humaneval", 102))
    table = of(
        [
            greedy("humaneval", 102),
            greedy("humaneval_plus", 109),
            greedy("mbpp", 273, 399),
            greedy("mbpp_plus", 226, 399),
        ]
    )
    assert alone.outcome == "deviates" and alone.p == alone.adjusted
    assert table[0].p == alone.p and table[0].adjusted == pytest.approx(4 * (alone.p or 0))
    assert table[0].outcome == "insufficient evidence"


def test_the_sentence_counts_what_was_compared() -> None:
    found = cells.compare([greedy("humaneval", 116), greedy("mbpp", 200, 399)], CONFIG, CHANCE)
    said = cells.sentence(found)
    assert said.startswith("2 of the paper's 254 cells compared: 1 reproduced, 1 deviates (252 missing)")
    assert cells.sentence(cells.compare([], CONFIG, CHANCE)).startswith(
        "No cell of the paper's 254 is compared in this run."
    )


def test_a_score_node_is_measured(tmp_path: Path) -> None:
    def task(name: str, passed: str, **more: str) -> dict[str, Any]:
        samples = [{"passed": mark == "P", "passed_plus": None} for mark in passed]
        return {"task_id": name, "samples": samples, **more}

    tasks = [
        task("0", "P.", library="Numpy", cluster="Numpy/0"),
        task("1", "PP", library="Numpy", cluster="Numpy/0"),
        task("2", "..", library="Pandas", cluster="Pandas/2"),
    ]
    result = {"version": 1, "benchmark": "ds1000", "protocol": "paper", "dataset": {}, "scorer": "x", "sandbox": "none",
              "metrics": {}, "programs": {}, "statuses": {}, "tasks": tasks}  # fmt: skip
    (tmp_path / "ds1000.json").write_text(json.dumps(result))
    row = {"benchmark": "ds1000", "family": "ds1000", "subset": None, "protocol": "paper", "tasks": 3, "of": 1000}
    (tmp_path / "summary.jsonl").write_text(
        json.dumps({**row, "prompt": "magicoder", "gap": None, "metrics": {}}) + "\n"
    )
    found = {measured.metric: measured for measured in cells.scores(scored.read("score/s/ds1000", tmp_path))}
    assert set(found) == {"ds1000_overall", "ds1000_numpy", "ds1000_pandas"}
    overall = found["ds1000_overall"]
    assert (overall.value, overall.rates, overall.samples) == (50.0, (0.5, 1.0, 0.0), 2)
    assert overall.clusters == ("Numpy/0", "Numpy/0", "Pandas/2") and overall.doubt == "3 of 1000 tasks"
    assert found["ds1000_numpy"].value == 75.0


def test_all_claims_hold_in_the_paper_s_own_numbers() -> None:
    found = {claim.id: claim for claim in claims.decide(cells.compare([], CONFIG, CHANCE), [])}
    assert {claim.paper for claim in found.values()} == {"holds", "open"}
    assert [claim.id for claim in found.values() if claim.paper == "open"] == ["evol-alone"]
    assert found["chatgpt-humaneval-plus"].paper_by == "109 against 108 of 164 tasks: decided by +1"
    assert "+8.3 points" in found["ds1000-wizardcoder"].paper_by
    assert {claim.run for claim in found.values()} == {"not measured", "open"}


def test_a_claim_is_decided_by_the_run_s_tasks() -> None:
    config = {**CONFIG, "models": {"s": MODEL, "m": {**MODEL, "paper": "Magicoder-CL-7B"}}}
    measured = [
        greedy("humaneval_plus", 108),
        *(greedy(metric, passed, tasks, "m") for metric, passed, tasks in (("humaneval_plus", 91, 164),)),
    ]
    found = {claim.id: claim for claim in claims.decide(cells.compare(measured, config, CHANCE), measured)}
    beaten = found["chatgpt-humaneval-plus"]
    assert (beaten.run, beaten.run_by) == ("does not hold", "108 here against 108 of 164 tasks: decided by +0")
    assert found["evol-on-top"].run == "not measured" and "MagicoderS-CL-7B (humaneval)" in found["evol-on-top"].run_by
    assert found["ds1000-wizardcoder"].run == "not measured"
    all_four = [
        greedy(m, k, n, "s") for m, k, n in (("humaneval", 116, 164), ("mbpp", 273, 399), ("mbpp_plus", 226, 399))
    ]
    both = [*all_four, *measured, *(replace(one, model="m", rates=tuple(reversed(one.rates))) for one in all_four)]
    claim = {claim.id: claim for claim in claims.decide(cells.compare(both, config, CHANCE), both)}["evol-on-top"]
    assert "McNemar p = " in claim.run_by and "here against" in claim.run_by
    assert not math.isnan(cells.compare(both, config, CHANCE)[0].theirs)
