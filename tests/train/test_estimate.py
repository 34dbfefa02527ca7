"""What is told before a training starts: memory that is counted from the model's shape, and a refusal of what cannot fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from magicoder_repro import artifact
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Recipe
from magicoder_repro.train import estimate, launch

GIB = 1 << 30
RECIPE: dict[str, Any] = {
    "max_length": 1216, "epochs": 2, "batch": 512, "micro_batch": 2, "learning_rate": 5e-5, "warmup_steps": 15,
    "optimizer": "adafactor", "dtype": "bfloat16", "attention": "sdpa", "seed": 42, "checkpoint_steps": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of CodeLlama-Python-7B; there are no weights."""
    folder = tmp_path_factory.mktemp("llama")
    LlamaConfig(
        vocab_size=32_000, hidden_size=4096, intermediate_size=11_008, num_hidden_layers=32, num_attention_heads=32
    ).save_pretrained(folder)
    return folder


def test_the_papers_training_fits_its_gpus(llama: Path) -> None:
    recipe = Recipe.model_validate(RECIPE)
    shape = estimate.shape(llama, recipe)
    assert shape.parameters == shape.trained == 6_738_415_616
    needed = estimate.memory(shape, recipe, rows=2, length=1216, devices=2, cuda=True)
    assert needed["weights"] == needed["gradients"] == needed["gradient exchange"] == 2 * shape.parameters
    assert needed["optimizer"] < 3 * GIB  # factored: sums of rows and columns
    assert needed["activations"] == 2 * 1216 * 32 * 185 * 1024
    assert 50 * GIB < sum(needed.values()) < 80 * GIB
    estimate.tell("sft m", needed, 80 * GIB)


def test_what_cannot_fit_is_refused_with_the_setting_to_change(llama: Path) -> None:
    recipe = Recipe.model_validate(RECIPE)
    shape = estimate.shape(llama, recipe)
    small = estimate.memory(shape, recipe, rows=2, length=1216, devices=1, cuda=True)
    with pytest.raises(UsageError, match=r"^sft m: a device needs .* and has 24.0 GiB: train adapters \(`lora`"):
        estimate.tell("sft m", small, 24 * GIB)
    long = estimate.memory(shape, recipe, rows=16, length=1216, devices=1, cuda=True)
    with pytest.raises(UsageError, match=r"has 80\.0 GiB: lower micro_batch or max_length"):
        estimate.tell("sft m", long, 80 * GIB)
    adapters = Recipe.model_validate({**RECIPE, "lora": {"rank": 16, "alpha": 32.0}})
    shape = estimate.shape(llama, adapters)
    assert shape.trained == 39_976_960 and shape.parameters == 6_738_415_616 + shape.trained
    needed = estimate.memory(shape, adapters, rows=1, length=1024, devices=1, cuda=True)
    estimate.tell("sft m", needed, 24 * GIB)


def test_activations_are_what_a_layer_keeps_for_the_backward_pass() -> None:
    """Counted by autograd in bfloat16 on a small model; the difference of two and one layers is a layer."""
    hidden, feed_forward, tokens = 256, 688, 64

    def kept(layers: int) -> int:
        config = LlamaConfig(
            vocab_size=64,
            hidden_size=hidden,
            intermediate_size=feed_forward,
            num_hidden_layers=layers,
            num_attention_heads=4,
        )
        model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        found: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                found[storage.data_ptr()] = storage.nbytes()
            return tensor

        held = []
        with torch.autograd.graph.saved_tensors_hooks(lambda one: held.append(one) or note(one), lambda one: one):
            model(input_ids=torch.arange(tokens)[None] % 64).logits.sum()
        return sum(found.values())

    shape = estimate.Shape(1, 1, 1, 1, layers=1, hidden=hidden, feed_forward=feed_forward, heads=4, vocabulary=64)
    said = estimate.memory(shape, Recipe.model_validate(RECIPE), 1, tokens, 1, cuda=False)["activations"]
    assert kept(2) - kept(1) == pytest.approx(said, rel=0.15)


def test_examples_steps_tokens_and_memory_are_told_before_and_time_after_the_first_steps(
    build: Callable[..., artifact.Manifest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {**RECIPE, "max_length": 200, "batch": 4, "dtype": "float32"}
    manifest = build(tmp_path / "out", recipe, price_per_hour=7.5)
    said = capsys.readouterr().err
    tokens = f"{manifest.counts['tokens']:,}"
    assert (
        f"t: 10 examples, {manifest.counts['truncated']} of them truncated; 6 steps of 4, {tokens} tokens; 1 devices x 2"
        in said
    )
    assert "t: memory of each device: weights" in said and "tokens/s: about" in said and "at 7.5 an hour" in said
    assert said.index("memory of each device") < said.index("tokens/s")


def test_a_training_that_cannot_fit_does_not_start(
    build: Callable[..., artifact.Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "capacity", lambda devices, cuda: 1000)
    with pytest.raises(UsageError, match=r"has 0\.0 MiB"):
        build(tmp_path / "out", {**RECIPE, "batch": 4})
    assert not (tmp_path / "out.partial").exists()


def test_hours_and_their_cost() -> None:
    assert estimate.duration(7_200_000, 1000.0, 5.0) == "1,000 tokens/s: about 2.0 hours, 10.00 at 5 an hour"
    assert estimate.duration(60_000, 1000.0, None) == "1,000 tokens/s: about 1.0 minutes"


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert launch.devices(None) == 2 and launch.devices(1) == 1
    with pytest.raises(UsageError, match=r"training\.processes: 3, but 2 GPUs"):
        launch.devices(3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert launch.devices(None) == 1 and launch.devices(2) == 2
