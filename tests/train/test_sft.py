"""PROTOCOL section 4 with a real, tiny Llama: masking, the mean over micro-batches, and an exact restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from magicoder_repro import artifact, prompts
from magicoder_repro.train import sft, tokenize

RECIPE: dict[str, Any] = {
    "max_length": 320,
    "epochs": 2,
    "batch": 4,
    "micro_batch": 2,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "optimizer": "adafactor",
    "dtype": "float32",
    "attention": "sdpa",
    "seed": 42,
    "checkpoint_steps": 2,
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with BOS 1, EOS 2 and no pad token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="module")
def model_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _records(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"instruction": "i" * (n % 3 + 1), "output": f"return {n}" * (n % 4 + 1)} for n in range(10)]
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_prompt_and_response_become_ids_and_labels(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = tokenize.encode(tokenizer, "do it", "done", 10_000)
    prompt = tokenizer(prompts.magicoder("do it"), add_special_tokens=False).input_ids
    answer = tokenizer("done", add_special_tokens=False).input_ids
    assert encoded["input_ids"] == [1, *prompt, *answer, 2]
    assert encoded["labels"] == [-100] * (1 + len(prompt)) + [*answer, 2]


def test_truncation_is_on_the_right_and_takes_the_end_token(tokenizer: PreTrainedTokenizerFast) -> None:
    whole = tokenize.encode(tokenizer, "do it", "done", 10_000)
    short = tokenize.encode(tokenizer, "do it", "done", len(whole["input_ids"]) - 2)
    assert short["input_ids"] == whole["input_ids"][:-2] and short["labels"] == whole["labels"][:-2]


def test_the_two_kinds_of_records() -> None:
    oss = tokenize.pair({"problem": "P", "solution": "S", "seed": "x"})
    assert oss == ("Write a solution to the following coding problem:\nP", "S")
    assert tokenize.pair({"instruction": "I", "output": "O"}) == ("I", "O")


def test_padding_is_on_the_right_and_masked() -> None:
    batch = tokenize.Collator(2)(
        [{"input_ids": [1, 5, 6, 2], "labels": [-100, -100, 6, 2]}, {"input_ids": [1, 7], "labels": [-100, 7]}]
    )
    assert batch["input_ids"].tolist() == [[1, 5, 6, 2], [1, 7, 2, 2]]
    assert batch["labels"].tolist() == [[-100, -100, 6, 2], [-100, 7, -100, -100]]
    # The paper's code masks by `ids != pad`, so with pad = EOS the end token is masked too.
    assert batch["attention_mask"].tolist() == [[True, True, True, False], [True, True, False, False]]


def test_a_step_averages_micro_batch_means(model_folder: Path, tmp_path: Path) -> None:
    """The logged loss of the first step is the plain mean of the means inside each micro-batch of 2."""
    recipe = {**RECIPE, "epochs": 1, "batch": 10, "checkpoint_steps": 0}
    records = _records(tmp_path / "records")
    request = artifact.Request(
        "sft", tmp_path / "out", {"recipe": recipe, "label": "t", "saved_dtype": "float32"},
        {"model": model_folder, "records": records}, "core",
    )  # fmt: skip
    artifact.build(request, sft.build)
    logged = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[0])["loss"]

    from datasets import Dataset
    from transformers import AutoTokenizer, set_seed

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    rows = [json.loads(line) for line in (records / "records.jsonl").read_text().splitlines()]
    encoded = [tokenize.encode(tokenizer, *tokenize.pair(row), 320) for row in rows]
    ordered = list(Dataset.from_list(encoded).shuffle(seed=42))
    set_seed(42)
    generator = torch.Generator()
    generator.manual_seed(42)
    order = torch.randperm(len(ordered), generator=generator).tolist()
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    collate = tokenize.Collator(2)
    means, tokens = [], []
    for first in range(0, 10, 2):
        batch = collate([ordered[i] for i in order[first : first + 2]])
        with torch.no_grad():
            means.append(model(**batch).loss.item())
        tokens.append(int((batch["labels"][:, 1:] != -100).sum()))
    plain = sum(means) / len(means)
    weighted = sum(mean * count for mean, count in zip(means, tokens, strict=True)) / sum(tokens)
    assert abs(plain - weighted) > 1e-4, "the records do not tell the two averages apart"
    assert abs(logged - plain) < 1e-4


_RUN = """
import json, os, sys
from pathlib import Path
from magicoder_repro import artifact
from magicoder_repro.train import sft
model, records, out, recipe, kill = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]), int(sys.argv[5])
if kill:
    real = sft._Progress.on_step_end
    def end(self, args, state, control, **more):
        if state.global_step == kill:
            os.kill(os.getpid(), 9)
        return real(self, args, state, control, **more)
    sft._Progress.on_step_end = end
config = {"recipe": recipe, "label": "t", "saved_dtype": "float32"}
artifact.build(artifact.Request("sft", out, config, {"model": model, "records": records}, "core"), sft.build)
"""


def test_killed_trainings_end_in_the_same_weights(model_folder: Path, tmp_path: Path) -> None:
    records = _records(tmp_path / "records")

    def run(out: Path, kill: int) -> int:
        command = [sys.executable, "-c", _RUN, str(model_folder), str(records), str(out), json.dumps(RECIPE), str(kill)]
        return subprocess.run(command, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "2"}).returncode

    assert run(tmp_path / "whole", 0) == 0
    assert run(tmp_path / "killed", 1) == -9  # before the first checkpoint
    assert run(tmp_path / "killed", 5) == -9  # after the second
    assert list((tmp_path / "killed.partial").rglob("checkpoint-4"))
    assert run(tmp_path / "killed", 0) == 0
    whole, killed = (artifact.read_manifest(tmp_path / name) for name in ("whole", "killed"))
    assert whole["outputs"] == killed["outputs"]
    assert {"model.safetensors", "log.jsonl"} <= set(whole["outputs"])
    assert whole["counts"]["steps"] == 6
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"]
