"""`speed: fast`: other rows, the same steps. A tiny real Llama trained both ways, and the weights of the tokens."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, TrainingArguments, set_seed

from magicoder_repro.train import fast, packing, sft, tokenize

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


def _arguments(folder: Path, **more: Any) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder), learning_rate=5e-3, lr_scheduler_type="linear", warmup_steps=2, optim="adafactor",
        max_grad_norm=-1.0, logging_steps=1, save_strategy="no", train_sampling_strategy="sequential", use_cpu=True,
        dataloader_pin_memory=False, report_to=[], disable_tqdm=True, remove_unused_columns=False,
        num_train_epochs=1, **more,
    )  # fmt: skip


def _trained(trainer: Any) -> tuple[list[float], dict[str, torch.Tensor]]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], trainer.model.state_dict()


def _model(folder: Path, attention: str) -> Any:
    set_seed(42)
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_losses_and_weights_are_those_of_the_papers_micro_batches(
    attention: str, model_folder: Path, tmp_path: Path
) -> None:
    """Two epochs of 3 steps: every step's loss within 1e-4, the weights at the end close."""
    records = _records(24) * 2
    paper, weights = _trained(
        sft.MicroBatchMeanTrainer(
            model=_model(model_folder, attention),
            args=_arguments(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4),
            train_dataset=records,
            data_collator=tokenize.Collator(EOS),
        )
    )
    steps = packing.PackedSteps(records, batch=8, micro_batch=2, processes=1, capacity=120, pad=EOS)
    args = _arguments(tmp_path, per_device_train_batch_size=1)
    packed, ours = _trained(fast.PackedTrainer(model=_model(model_folder, attention), args=args, train_dataset=steps))
    assert len(paper) == len(packed) == 6
    assert paper == pytest.approx(packed, abs=1e-4) and paper[-1] < paper[0] - 0.1
    for name, weight in weights.items():
        assert torch.allclose(weight, ours[name], atol=1e-4), name


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_tokens_weigh_the_same_whatever_the_processes(processes: int) -> None:
    """DDP's mean over the processes gives each response token 1 / (those of its micro-batch x micro-batches of the step)."""
    records = _records(16)
    records = [
        {**record, "input_ids": [number + 300, *record["input_ids"][1:]]} for number, record in enumerate(records)
    ]
    steps = packing.PackedSteps(records, batch=16, micro_batch=2, processes=processes, capacity=150, pad=EOS)
    found: dict[int, list[float]] = {}
    assert len(steps) == processes
    for process in range(processes):
        for row in steps[process]:
            begins = row["cu_seq_lens"].tolist()
            firsts = {start: row["input_ids"][0, start].item() - 300 for start in begins[:-1]}
            for place, weight in zip(row["kept"].tolist(), row["weights"].tolist(), strict=True):
                found.setdefault(firsts[max(start for start in firsts if start <= place)], []).append(
                    weight / processes
                )
    counts = [sum(label != tokenize.IGNORED for label in record["labels"]) for record in records]
    for number, count in enumerate(counts):
        together = count + counts[number ^ 1]
        assert found.get(number, []) == pytest.approx([1 / (together * 8)] * count)


def test_a_row_holds_whole_records_and_at_most_the_capacity() -> None:
    records = _records(64)
    rows = packing.pack([records[place : place + 2] for place in range(0, 64, 2)], 120, EOS)
    assert sum(row["input_ids"].shape[1] for row in rows) == sum(len(record["input_ids"]) for record in records)
    whole = sorted(tuple(record["input_ids"]) for record in records)
    parts = [part for row in rows for part in row["input_ids"][0].split(row["cu_seq_lens"].diff().tolist())]
    assert sorted(tuple(part.tolist()) for part in parts) == whole
    packed = [row for row in rows if "attention_mask" not in row]
    assert len(rows) - len(packed) == 1  # the record with a pad id inside
    sizes = [row["input_ids"].shape[1] for row in packed]
    assert max(sizes) <= 120 and sum(sizes) > 0.9 * 120 * len(packed)
    assert all(row["input_ids"].shape[1] == row["position_ids"].shape[1] == row["cu_seq_lens"][-1] for row in rows)


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
