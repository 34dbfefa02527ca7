"""Stage `sft`: the paper's fine-tuning recipe (PROTOCOL section 4). Data and estimates are prepared here; `rank` trains."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Features, List, Value, concatenate_datasets
from transformers import AutoTokenizer

from magicoder_repro import artifact, records
from magicoder_repro.artifact import Work
from magicoder_repro.data import kinds
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Recipe, Training
from magicoder_repro.progress import each, say
from magicoder_repro.terminal import public
from magicoder_repro.train import card, checkpoints, estimate, launch, nodes, order, rank, tokenize

_FEATURES = Features(
    {"input_ids": List(Value("int32")), "labels": List(Value("int32")), rank.LINE: Value("int32")},
)
_PART = 1000  # records that are Python lists at a time


def build(work: Work) -> None:
    """`model` folder + `records` folder -> a model folder, `log.jsonl` (`step, epoch, loss, learning_rate`) and TensorBoard's logs."""
    if "LOCAL_RANK" in os.environ:
        raise UsageError("LOCAL_RANK is set: start this once, without torchrun: it starts its processes itself")
    label, recipe = str(work.config["label"]), Recipe.model_validate(work.config["recipe"])
    training = Training.model_validate(work.config["training"])
    devices = launch.devices(training.processes)
    accumulation = order.accumulation(recipe, devices)
    tokenizer = AutoTokenizer.from_pretrained(work.inputs["model"])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    data = _tokenised(work, tokenizer, recipe, label)
    ordered = order.of(len(data.rows), recipe)
    seen = np.array(data.lengths)[ordered.records]
    tokens = int(seen.sum())
    say(
        f"{label}: {len(data.rows):,} examples, {data.truncated:,} of them truncated; {ordered.steps} steps of {recipe.batch}, "
        f"{tokens:,} tokens; {devices} devices x {accumulation} micro-batches of {recipe.micro_batch}"
    )
    cuda = torch.cuda.is_available()
    shape = estimate.shape(work.inputs["model"], recipe)
    needed = estimate.memory(shape, recipe, recipe.micro_batch, int(seen.max()), devices, cuda)
    estimate.tell(label, needed, estimate.capacity(devices // nodes.here().count, cuda))

    folder = work.private / "checkpoints"
    last = checkpoints.last(folder)
    if last is not None and checkpoints.processes(last) != devices:
        work.notes.append(f"up to step {checkpoints.step(last)} on {checkpoints.processes(last)} devices")
    tokenised = work.private / "tokenised"
    shutil.rmtree(tokenised, ignore_errors=True)
    data.rows.save_to_disk(tokenised)
    job = rank.Job(
        label=label,
        recipe=recipe,
        model=work.inputs["model"].resolve(),
        data=tokenised.resolve(),
        out=work.out.resolve(),
        checkpoints=folder.resolve(),
        logs=work.logs.resolve(),
        resume=last and last.resolve(),
        saved_dtype=str(work.config["saved_dtype"]),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tokens=tokens,
        price_per_hour=training.price_per_hour,
    )
    launch.run(job, devices)
    if recipe.speed == "fast":
        work.notes.append("speed: fast: the records of a step are packed; its loss is the paper's")

    losses = [row["loss"] for row in records.read_jsonl(work.out / "log.jsonl")]
    third = max(1, len(losses) // 3)
    work.counts.update(
        records=len(data.rows),
        truncated=data.truncated,
        steps=ordered.steps,
        tokens=tokens,
        devices=devices,
        accumulation=accumulation,
        loss_first_third=round(sum(losses[:third]) / third, 4),
        loss_last_third=round(sum(losses[-third:]) / third, 4),
    )
    tokenizer.chat_template = card.chat_template()
    tokenizer.save_pretrained(work.out)
    inputs = {name: artifact.content_sha256(path) for name, path in work.inputs.items()}
    about = public(dict(work.config["about"]))
    records.write_text(work.out / "README.md", card.model_card(about, recipe, work.counts, inputs))


@dataclass(frozen=True)
class _Data:
    """The records as token ids and labels, in the order of their lines; `lengths`: of each, tokens."""

    rows: Dataset
    lengths: list[int]
    truncated: int


def _tokenised(work: Work, tokenizer: Any, recipe: Recipe, label: str) -> _Data:
    path = work.inputs["records"] / "records.jsonl"
    parts: list[Dataset] = []
    part: list[dict[str, Any]] = []
    lengths: list[int] = []
    truncated = empty = 0
    lines = each(kinds.rows(path), records.count_lines(path), f"{label}: tokens", "records")
    for line, record in enumerate(lines, 1):
        row = tokenize.encode(tokenizer, *tokenize.pair(record), recipe.max_length)
        # A record whose prompt fills the whole length stays, as in the paper: without it the shuffle would be another one.
        empty += all(one == tokenize.IGNORED for one in row["labels"])
        truncated += row["input_ids"][-1] != tokenizer.eos_token_id
        lengths.append(len(row["input_ids"]))
        part.append({**row, rank.LINE: line})
        if len(part) == _PART:
            parts.append(Dataset.from_list(part, _FEATURES))
            part = []
    if part:
        parts.append(Dataset.from_list(part, _FEATURES))
    if not lengths:
        raise UsageError(f"{path}: no record to train on")
    if empty == len(lengths):
        raise UsageError(
            f"no record has a response token within max_length={recipe.max_length}: raise it in the profile"
        )
    if empty:
        work.notes.append(
            f"{empty} records have no response token within max_length={recipe.max_length}: they add no loss"
        )
    return _Data(concatenate_datasets(parts), lengths, truncated)
