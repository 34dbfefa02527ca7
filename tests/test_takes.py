"""What the plan says that a run takes: the formulas by hand, what was measured, and nothing that nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import profile
from magicoder_repro.pipeline import estimate, plan
from magicoder_repro.pipeline import run as pipeline
from magicoder_repro.pipeline.store import Run
from magicoder_repro.takes import Takes, total


def _nodes(name: str = "paper-cl", **changes: Any) -> dict[str, Takes | None]:
    loaded = profile.load(name).model_copy(update=changes)
    return {node.name: node.takes for node in plan.expand(loaded)}


def _known(takes: Takes | None) -> Takes:
    assert takes is not None
    return takes


def test_a_training_is_six_flops_a_parameter_and_token() -> None:
    one = _known(_nodes()["sft/magicoder"])
    text = (
        203e6 / 75_197 * 0.9 - 320
    ) / 4 + 45  # bytes of a record without JSON's and the seed's, and the prompt around it
    assert one.tokens == pytest.approx(2 * 75_197 * text)
    assert one.gpu_hours == pytest.approx(6 * 7e9 * one.tokens / (1 - 0.181) / (0.4 * 312e12) / 3600)
    assert one.disk == 3 * 7e9 * 2 and one.dollars is None
    paid = _known(_nodes(training=profile.Training(processes=2, price_per_hour=4.0))["sft/magicoder"])
    assert paid.gpu_hours == one.gpu_hours and paid.dollars == pytest.approx(one.gpu_hours / 2 * 4)


def test_adapters_and_packed_rows_are_less_work() -> None:
    recipes = profile.load("paper-cl").recipes
    whole = _known(_nodes()["sft/magicoder"]).gpu_hours
    lora = recipes["stage-1"].model_copy(update={"lora": profile.Lora(rank=16, alpha=32.0)})
    fast = recipes["stage-1"].model_copy(update={"speed": "fast"})
    for recipe, share in ((lora, 4 / 6), (fast, 1 - 0.181)):
        one = _known(_nodes(recipes={**recipes, "stage-1": recipe})["sft/magicoder"])
        assert one.gpu_hours == pytest.approx(whole * share)


def test_completions_are_tasks_by_samples_by_the_limit() -> None:
    nodes = _nodes()
    for benchmark, tokens, batches, limit in (
        ("humaneval", 164 * 512, 11, 512),
        ("mbpp", 399 * 512, 17, 512),
        ("multipl-e", 955 * 50 * 512, 955, 512),
        ("ds1000", 1000 * 40 * 1024, 4000, 1024),
    ):
        one = _known(nodes[f"generate/base/{benchmark}"])
        assert one.tokens == tokens
        assert one.gpu_hours == pytest.approx(batches * limit * 14e9 / 2.039e12 / 3600)


def test_verdicts_take_what_was_measured() -> None:
    nodes = _nodes()
    assert _known(nodes["score/base/humaneval"]).cpu_hours == pytest.approx(15.0 * 2 / 3600)
    assert _known(nodes["score/base/multipl-e"]).cpu_hours == pytest.approx(67.0 * 2 / 641 * 955 * 50 / 3600)
    one = _known(nodes["score/base/ds1000"])
    assert one.cpu_hours == pytest.approx(240.1 * 2 / 1000 * 40_000 / 3600)
    assert "measured: the reference solutions" in one.sources[0] and "score_ds1000.json" in one.sources[0]
    paid = _known(_nodes(training=profile.Training(price_per_hour=4.0))["score/base/ds1000"])
    assert paid.dollars == pytest.approx(one.cpu_hours / 16 * 4)  # the profile's workers


def test_what_nobody_knows_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = profile.Generation(dtype="bfloat16", engine=profile.VllmEngine(kind="vllm"))
    one = _known(_nodes(generation=engine)["generate/base/humaneval"])
    assert one.gpu_hours is None and one.tokens == 164 * 512
    loaded = profile.load("paper-cl")
    data = {**loaded.data, "oss-instruct": profile.Released(kind="released", dataset="somebody/set-of-theirs")}
    nodes = _nodes(data=data)
    assert _known(nodes["sft/magicoder"]).tokens is None and _known(nodes["sft/magicoder"]).gpu_hours is None
    assert _known(nodes["released/oss-instruct"]).disk is None
    assert not {_nodes("smoke")[name] for name in ("sft/magicoder", "generate/base/humaneval", "analyze")} - {None}
    pipeline.show(profile.load("tiny"), Run(tmp_path, tmp_path / "store"))
    assert "GPU hours are of" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("codellama/CodeLlama-7b-Python-hf", 7e9),
        ("deepseek-ai/deepseek-coder-6.7b-base", 6.7e9),
        ("ise-uiuc/Magicoder-S-DS-6.7B", 6.7e9),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135e6),
        ("embedded", None),
        ("models/mine-2b3c", None),
        ("5m/model", None),
    ],
)
def test_a_models_size_is_in_its_name(source: str, count: float | None) -> None:
    assert estimate.parameters(source) == count


def test_the_plan_ends_with_the_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = profile.load("released-one").model_copy(update={"training": profile.Training(price_per_hour=2.0)})
    loaded = loaded.model_copy(update={"report": loaded.report.model_copy(update={"comparable": False})})
    pipeline.show(loaded, Run(tmp_path, tmp_path / "store"))
    lines = capsys.readouterr().out.splitlines()
    known = [node.takes for node in plan.expand(loaded) if node.takes]
    assert f"in all: {total(known)}" in lines and "$" in total(known)
    assert sum(line.strip().startswith("takes ") for line in lines) == len(known)
    assert any("Nothing of it was measured on a GPU" in line for line in lines)


def test_sums_name_what_is_unknown() -> None:
    parts = [Takes(1.0, 0.0, 2e9, None, 3.0), Takes(0.5, None, None, None, None)]
    assert (
        total(parts)
        == "1.5 GPU hours, CPU hours unknown, 2.0 GB disk (and 1 unknown), tokens unknown, $3.0 (and 1 unknown)"
    )
    assert str(parts[1]) == "0.5 GPU hours, unknown: CPU hours, GB disk, tokens, dollars"
