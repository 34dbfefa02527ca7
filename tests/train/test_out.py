"""What a training leaves: a folder that other tools load, the paper's prompt as chat template, a card, adapters merged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from magicoder_repro import artifact, prompts
from magicoder_repro.errors import UsageError
from magicoder_repro.train import card, tokenize

RECIPE: dict[str, Any] = {
    "max_length": 320, "epochs": 2, "batch": 4, "micro_batch": 2, "learning_rate": 1e-3, "warmup_steps": 2,
    "optimizer": "adafactor", "dtype": "float32", "attention": "sdpa", "seed": 42, "checkpoint_steps": 0,
}  # fmt: skip
Build = Callable[..., artifact.Manifest]


def test_the_folder_is_one_that_tools_load(build: Build, tmp_path: Path) -> None:
    manifest = build(tmp_path / "out", RECIPE)
    assert {
        "config.json",
        "model.safetensors",
        "generation_config.json",
        "tokenizer.json",
        "chat_template.jinja",
    } <= set(manifest.outputs)
    assert manifest.counts["devices"] == 1 and manifest.counts["accumulation"] == 2
    decoding = GenerationConfig.from_pretrained(tmp_path / "out")
    assert (decoding.bos_token_id, decoding.eos_token_id, decoding.pad_token_id) == (1, 2, 2)
    assert decoding.do_sample in (None, False)
    assert list((tmp_path / "out" / "logs").iterdir()) and not any("logs" in name for name in manifest.outputs)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "add\n{{ 1 }}"}], return_dict=False)
    trained = tokenize.encode(tokenizer, "add\n{{ 1 }}", "", 1000)
    assert asked == trained["input_ids"][:-1]  # all but EOS

    readme = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(readme.split("---")[1])
    assert front["base_model"] == "someone/base"
    for fact in ("someone/base at abc", "oss-instruct (oss-instruct)", "| 6 of 4 sequences (2 epochs) |",
                 "1, each adding up 2 micro-batches of 2", "| all weights |", manifest.inputs["records"], "licence"):  # fmt: skip
        assert fact in readme, fact


@pytest.mark.parametrize("bos", [True, False])
def test_the_chat_template_is_the_papers_prompt(tokenizer: PreTrainedTokenizerFast, bos: bool) -> None:
    instruction = "Write \"it\" {%- raw %} 'so'\n\n@@ Response\n  indented é\t"
    if not bos:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>")
    tokenizer.chat_template = card.chat_template()
    start = "<s>" if bos else ""
    user = {"role": "user", "content": instruction}
    for add in (True, False):
        rendered = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=add)
        assert rendered == start + prompts.magicoder(instruction)
    answered = tokenizer.apply_chat_template([user, {"role": "assistant", "content": "ok"}], tokenize=False)
    assert answered == start + prompts.magicoder(instruction, "ok") + "</s>"
    with pytest.raises(Exception, match="no place for a message of the role system"):
        tokenizer.apply_chat_template([{"role": "system", "content": "x"}, user], tokenize=False)


def test_adapters_are_merged_into_the_weights(build: Build, model_folder: Path, tmp_path: Path) -> None:
    recipe = {**RECIPE, "learning_rate": 1e-2, "lora": {"rank": 4, "alpha": 8.0, "targets": ["q_proj", "v_proj"]}}
    manifest = build(tmp_path / "out", recipe)
    before, after = (AutoModelForCausalLM.from_pretrained(path) for path in (model_folder, tmp_path / "out"))
    assert type(after) is type(before) and "adapter_config.json" not in manifest.outputs
    changed = {
        name.split(".")[-2]: torch.linalg.matrix_rank(parameter - before.get_parameter(name)).item()
        for name, parameter in after.named_parameters()
        if not torch.equal(parameter, before.get_parameter(name))
    }
    assert changed == {"q_proj": 4, "v_proj": 4}
    assert "low-rank adapters (rank 4, alpha 8)" in (tmp_path / "out" / "README.md").read_text()
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"]


def test_a_layer_for_adapters_that_is_not_there_is_named(build: Build, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lora\.targets: .*nothing_proj"):
        build(tmp_path / "out", {**RECIPE, "lora": {"rank": 4, "alpha": 8.0, "targets": ["nothing_proj"]}})
    assert not (tmp_path / "out.partial").exists()
