"""`speed: fast`: other rows, the same steps. A tiny real Llama trained both ways, and the weights of the tokens."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, TrainingArguments

from magicoder_repro import profile
from magicoder_repro.errors import BadResultError
from magicoder_repro.pipeline import plan
from magicoder_repro.train import checkpoints, fast, launch, packing, rank, tokenize

EOS = 2


def _records(count: int, longest: int = 60) -> list[dict[str, list[int]]]:
    """Of random lengths; the fourth has the pad id inside, the seventh no response token."""
    draw = random.Random(0)
    records = []
    for number in range(count):
        length = draw.randint(8, longest)
        ids = [1, *(draw.randrange(3, 250) for _ in range(length - 2)), EOS]
        if number == 3:
            ids[length // 2] = EOS
        prompt = length if number == 6 else draw.randint(2, length - 2)
        records.append({"input_ids": ids, "labels": [tokenize.IGNORED] * prompt + ids[prompt:]})
    return records


def _train(
    model: Path, folder: Path, processes: int = 1, resume: Path | None = None, **recipe: Any
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses of 24 records' two epochs of 3 steps, and the weights at the end."""
    rows = [{**row, rank.LINE: line} for line, row in enumerate(_records(24), 1)]
    Dataset.from_list(rows).save_to_disk(folder / "data")
    job = {
        "label": "t", "model": model, "data": folder / "data", "out": folder, "checkpoints": folder / "checkpoints",
        "logs": folder / "logs", "resume": resume, "saved_dtype": "float32", "bos_token_id": 1, "eos_token_id": EOS,
        "pad_token_id": EOS, "tokens": 1000, "price_per_hour": None,
        "recipe": {
            "max_length": 64, "epochs": 2, "batch": 8, "micro_batch": 2, "learning_rate": 5e-3, "warmup_steps": 2,
            "optimizer": "adafactor", "dtype": "float32", "attention": "sdpa", "seed": 42, "checkpoint_steps": 0, **recipe,
        },
    }  # fmt: skip
    launch.run(rank.Job.model_validate(job), processes)
    log = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    return log, load_file(folder / "model.safetensors")


def _same(
    paper: tuple[list[float], dict[str, torch.Tensor]], ours: tuple[list[float], dict[str, torch.Tensor]]
) -> None:
    assert len(paper[0]) == 6 and paper[0][-1] < paper[0][0]
    assert ours[0] == pytest.approx(paper[0], abs=1e-4)
    for name, weight in paper[1].items():
        assert torch.allclose(weight, ours[1][name], atol=1e-4), name


@pytest.mark.parametrize("more", [{}, {"attention": "eager"}, {"lora": {"rank": 4, "alpha": 64.0}}], ids=str)
def test_losses_and_weights_are_those_of_the_papers_micro_batches(
    more: dict[str, Any], model_folder: Path, tmp_path: Path
) -> None:
    paper = _train(model_folder, tmp_path / "paper", **more)
    _same(paper, _train(model_folder, tmp_path / "fast", speed="fast", **more))
    saved = [json.loads((tmp_path / speed / "config.json").read_text()) for speed in ("paper", "fast")]
    assert saved[0] == saved[1]


@pytest.mark.long
def test_two_processes_make_the_same_steps(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own number of rows."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    paper = _train(model_folder, tmp_path / "paper")
    _same(paper, _train(model_folder, tmp_path / "fast", processes=2, speed="fast"))


def test_a_training_goes_on_from_a_checkpoint(model_folder: Path, tmp_path: Path) -> None:
    _, whole = _train(model_folder, tmp_path / "whole", speed="fast", checkpoint_steps=2)
    fourth = checkpoints.of(tmp_path / "whole" / "checkpoints", 4)
    _, resumed = _train(model_folder, tmp_path / "resumed", resume=fourth, speed="fast")
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_tokens_weigh_the_same_whatever_the_processes(processes: int) -> None:
    """DDP's mean over the processes gives each response token 1 / (those of its micro-batch x micro-batches of the step)."""
    records, share = _records(16), 16 // processes
    found: dict[int, list[float]] = {}
    for process in range(processes):
        mine = records[process * share : (process + 1) * share]
        for row in packing.Collator(2, EOS)(mine)["rows"]:
            begins = row["cu_seq_lens"].tolist()
            for place, weight in zip(row["kept"].tolist(), row["weights"].tolist(), strict=True):
                number = row["records"][sum(begin <= place for begin in begins) - 1]
                found.setdefault(process * share + number, []).append(weight / processes)
    counts = [sum(label != tokenize.IGNORED for label in record["labels"]) for record in records]
    for number, count in enumerate(counts):
        together = count + counts[number ^ 1]
        assert found.get(number, []) == pytest.approx([1 / (together * 8)] * count)


def test_a_row_holds_whole_records_and_at_most_the_capacity() -> None:
    records = _records(64)
    rows = packing.Collator(2, EOS)(records)["rows"]
    assert sorted(number for row in rows for number in row["records"]) == list(range(64))
    for row in rows:
        parts = row["input_ids"][0].split(row["cu_seq_lens"].diff().tolist())
        assert [part.tolist() for part in parts] == [records[number]["input_ids"] for number in row["records"]]
        assert row["position_ids"][0].tolist() == [place for part in parts for place in range(len(part))]
    assert [row["records"] for row in rows if "attention_mask" in row] == [[3]]  # it has a pad id inside
    sizes = [row["input_ids"].shape[1] for row in rows if "attention_mask" not in row]
    capacity = 2 * max(len(record["input_ids"]) for record in records)
    assert max(sizes) <= capacity and sum(sizes) > 0.9 * capacity * len(sizes)


def test_a_loss_that_is_no_number_names_the_lines_of_its_row(model_folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    trainer = fast.PackedTrainer(model=model, args=_arguments(tmp_path))
    batch = {**packing.Collator(2, EOS)(_records(4)), rank.LINE: [11, 12, 13, 14]}
    with pytest.raises(BadResultError, match=r"step 1: the loss is nan on the records of lines 11, 12:"):
        trainer.training_step(trainer.model, batch)


def test_only_the_fast_way_is_in_a_trainings_config() -> None:
    tiny = profile.load("tiny")
    for speed in ("paper", "fast"):
        recipes = {name: recipe.model_copy(update={"speed": speed}) for name, recipe in tiny.recipes.items()}
        nodes = plan.expand(tiny.model_copy(update={"recipes": recipes}))
        found = {node.config["recipe"].get("speed") for node in nodes if node.stage.name == "sft"}
        assert found == ({"fast"} if speed == "fast" else {None})


def _arguments(folder: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(folder), use_cpu=True, dataloader_pin_memory=False, report_to=[])


def _model(folder: Path, attention: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_records_of_a_row_do_not_see_each_other(attention: str, model_folder: Path, tmp_path: Path) -> None:
    """The logits of a record are the same in a row of three as alone."""
    records = [record for record in _records(24) if EOS not in record["input_ids"][:-1]][:3]
    trainer = fast.PackedTrainer(model=_model(model_folder, attention), args=_arguments(tmp_path))
    losses = [
        trainer.compute_loss(trainer.model, row).item() for row in packing.pack([[one] for one in records], 1, EOS)
    ]
    (row,) = packing.pack([[one] for one in records], 1000, EOS)
    assert trainer.compute_loss(trainer.model, row).item() == pytest.approx(sum(losses), abs=1e-5)
    with torch.no_grad():
        means = [trainer.model(**tokenize.Collator(EOS)([one]), use_cache=False).loss.item() for one in records]
    assert sum(losses) == pytest.approx(sum(means) / 3, abs=1e-5)


def test_the_head_within_the_loss_gives_the_same(model_folder: Path, tmp_path: Path) -> None:
    """As with liger-kernel's loss on CUDA: the model ends before its head, which is whole again afterwards."""
    trainer = fast.PackedTrainer(model=_model(model_folder, "sdpa"), args=_arguments(tmp_path))
    (row, *_) = packing.Collator(2, EOS)(_records(4))["rows"]
    found = []
    for fused in (
        None,
        lambda weight, states, targets, bias: cross_entropy(states @ weight.T, targets, reduction="none"),
    ):
        trainer._fused = fused
        loss = trainer.compute_loss(trainer.model, row)
        loss.backward()
        found.append((loss.item(), trainer.model.lm_head.weight.grad.clone()))
        trainer.model.zero_grad()
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)
    assert trainer.model(row["input_ids"]).logits.shape[-1] == trainer.model.config.vocab_size


def test_a_row_without_response_tokens_adds_no_gradient(model_folder: Path, tmp_path: Path) -> None:
    trainer = fast.PackedTrainer(model=_model(model_folder, "sdpa"), args=_arguments(tmp_path))
    (row,) = packing.pack([[_records(7)[6]]], 100, EOS)
    loss = trainer.compute_loss(trainer.model, row)
    loss.backward()
    assert loss.item() == 0.0 and not any(one.grad.any() for one in trainer.model.parameters())
