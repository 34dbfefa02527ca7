"""PROTOCOL section 4 with a real, tiny Llama: masking, the mean over micro-batches, and an exact restart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainingArguments

from magicoder_repro import artifact, prompts
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Recipe
from magicoder_repro.train import checkpoints, order, rank, sft, tokenize

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


def _records(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"instruction": "i" * (n % 3 + 1), "output": f"return {n}" * (n % 4 + 1)} for n in range(10)]
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _build(model_folder: Path, records: Path, out: Path, config: dict[str, Any]) -> artifact.Manifest:
    inputs = {"model": model_folder, "records": records}
    artifact.build(artifact.Request("sft", out, config, inputs, "core"), sft.build)
    return artifact.read_manifest(out)


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


def test_a_process_never_splits_its_micro_batches_among_gpus(tmp_path: Path) -> None:
    """Of three GPUs the Trainer would have given each a micro-batch (DataParallel), and made a step three times as large."""
    arguments = TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=2, report_to=[])
    arguments._n_gpu = 3
    assert arguments.train_batch_size == 6
    rank.one_gpu(arguments)
    assert arguments.train_batch_size == 2 and arguments.n_gpu == 1


def test_a_training_that_is_started_by_torchrun_is_refused(
    model_folder: Path, tmp_path: Path, config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(UsageError, match="without torchrun"):
        _build(model_folder, _records(tmp_path / "records"), tmp_path / "out", config(RECIPE))
    assert not (tmp_path / "out").exists()


def test_a_record_without_a_response_token_stays_and_adds_no_loss(
    model_folder: Path, tmp_path: Path, config: Any
) -> None:
    recipe = {**RECIPE, "epochs": 1, "batch": 11, "micro_batch": 1, "checkpoint_steps": 0}
    source = _records(tmp_path / "records") / "records.jsonl"
    source.write_text(source.read_text() + json.dumps({"instruction": "i" * 400, "output": "never reached"}) + "\n")
    manifest = _build(model_folder, source.parent, tmp_path / "out", config(recipe))
    assert manifest.counts["records"] == 11 and manifest.counts["truncated"] == 1 and manifest.dropped == {}
    assert manifest.notes == ["1 records have no response token within max_length=320: they add no loss"]

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    rows = [json.loads(line) for line in source.read_text().splitlines()][:10]
    encoded = [tokenize.encode(tokenizer, *tokenize.pair(row), 320) for row in rows]
    with torch.no_grad():
        means = [model(**tokenize.Collator(2)([row])).loss.item() for row in encoded]
    logged = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[0])["loss"]
    assert abs(logged - sum(means) / 11) < 1e-4
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert all(parameter.isfinite().all() for parameter in trained.parameters())


def test_a_step_averages_micro_batch_means(model_folder: Path, tmp_path: Path, config: Any) -> None:
    """The logged loss of the first step is the plain mean of the means inside each micro-batch of 2."""
    recipe = {**RECIPE, "epochs": 1, "batch": 10, "checkpoint_steps": 0}
    records = _records(tmp_path / "records")
    _build(model_folder, records, tmp_path / "out", config(recipe))
    logged = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[0])["loss"]

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    rows = [json.loads(line) for line in (records / "records.jsonl").read_text().splitlines()]
    encoded = [tokenize.encode(tokenizer, *tokenize.pair(row), 320) for row in rows]
    seen = order.of(len(rows), Recipe.model_validate(recipe)).records
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    collate = tokenize.Collator(2)
    means, tokens = [], []
    for first in range(0, 10, 2):
        batch = collate([encoded[i] for i in seen[first : first + 2]])
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
from magicoder_repro.train import rank, sft
model, records, out, config, kill = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]), int(sys.argv[5])
if kill:
    real = rank._Progress.on_step_end
    def end(self, args, state, control, **more):
        if state.global_step == kill:
            os.kill(os.getpid(), 9)
        return real(self, args, state, control, **more)
    rank._Progress.on_step_end = end
artifact.build(artifact.Request("sft", out, config, {"model": model, "records": records}, "core"), sft.build)
"""


@pytest.mark.long
def test_killed_trainings_end_in_the_same_weights(model_folder: Path, tmp_path: Path, config: Any) -> None:
    records = _records(tmp_path / "records")

    def run(out: Path, kill: int) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            _RUN,
            str(model_folder),
            str(records),
            str(out),
            json.dumps(config(RECIPE)),
            str(kill),
        ]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"})

    assert run(tmp_path / "whole", 0).returncode == 0
    assert run(tmp_path / "killed", 1).returncode == -9  # before the first checkpoint
    assert run(tmp_path / "killed", 5).returncode == -9  # after the second
    assert list((tmp_path / "killed.partial").rglob("checkpoint-4"))
    resumed = run(tmp_path / "killed", 0)
    assert resumed.returncode == 0 and "missing keys" not in resumed.stderr  # tied weights are in a checkpoint once
    whole, killed = (artifact.read_manifest(tmp_path / name) for name in ("whole", "killed"))
    assert whole.outputs == killed.outputs
    assert {"model.safetensors", "log.jsonl"} <= set(whole.outputs)
    assert whole.counts["steps"] == 6
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"]


@pytest.fixture(scope="module")
def interrupted(model_folder: Path, tmp_path_factory: pytest.TempPathFactory, config: Any) -> Path:
    """A folder with `records`, an undisturbed training `whole`, and `out.partial` of one that ended after its second checkpoint."""
    folder = tmp_path_factory.mktemp("interrupted")
    _records(folder / "records")
    _build(model_folder, folder / "records", folder / "whole", config(RECIPE))

    def end(_: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rank._Progress, "on_step_end", end)
        _build(model_folder, folder / "records", folder / "out", config(RECIPE))
    return folder


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


_DAMAGES: dict[str, tuple[dict[str, Callable[[Path], None]], int]] = {
    # what happens to which file of which checkpoint, and the step that training goes on from
    "empty state": ({"checkpoint-4/trainer_state.json": lambda path: path.open("wb").close()}, 2),
    "cut optimizer": ({"checkpoint-4/optimizer.pt": _cut}, 2),
    "changed weights": ({"checkpoint-4/model.safetensors": _flip}, 2),
    "random state gone": ({"checkpoint-4/rng_state.pth": Path.unlink}, 2),
    "no mark": ({"checkpoint-4/whole.json": Path.unlink}, 2),
    "cut mark": ({"checkpoint-4/whole.json": _cut}, 2),
    "both": ({"checkpoint-4/scheduler.pt": _cut, "checkpoint-2/optimizer.pt": _cut}, 0),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_weights_are_the_same(
    damage: str, interrupted: Path, model_folder: Path, tmp_path: Path, config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(interrupted / "out.partial", tmp_path / "out.partial")
    folder = tmp_path / "out.partial" / "work" / "checkpoints"
    changes, step = _DAMAGES[damage]
    for name, change in changes.items():
        change(folder / name)
    if damage in ("empty state", "both"):
        _build(model_folder, interrupted / "records", tmp_path / "out", config(RECIPE))
        whole, mended = (artifact.read_manifest(path).outputs for path in (interrupted / "whole", tmp_path / "out"))
        assert mended == whole
    else:
        assert checkpoints.last(folder) == folder / f"checkpoint-{step}"
        assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-2", "damaged-checkpoint-4"]
    said = capsys.readouterr().err
    assert said.count("set aside") == len(changes) and "checkpoint of step 4 is damaged" in said


def test_whole_checkpoints_stay_and_the_newest_is_taken(interrupted: Path) -> None:
    folder = interrupted / "out.partial" / "work" / "checkpoints"
    assert checkpoints.last(folder) == folder / "checkpoint-4"
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-2", "checkpoint-4"]
