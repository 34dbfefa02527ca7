"""Stage `sft`: the paper's fine-tuning recipe with transformers' Trainer (PROTOCOL section 4)."""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Recipe
from magicoder_repro.progress import Bar, bar
from magicoder_repro.train import checkpoints, tokenize


class MicroBatchMeanTrainer(Trainer):
    """Averages the loss as transformers 4.35 did: the mean over response tokens inside each micro-batch, then the plain mean
    over the micro-batches of a step. Today's Trainer divides by all response tokens of the step instead."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The model's own mean over the labels that count; `num_items_in_batch` is not passed on. Without such a label that
        mean is 0/0: the loss is 0 then, with a gradient of 0."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=None)
        if not (inputs["labels"][:, 1:] != tokenize.IGNORED).any():
            loss = loss.nan_to_num(0.0)
        return (loss, outputs) if return_outputs else loss

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A checkpoint holds tied weights once: the other name is not missing."""
        tied: dict[str, str] = getattr(self.model, "all_tied_weights_keys", {})
        load_result.missing_keys[:] = [key for key in load_result.missing_keys if key not in tied]
        super()._issue_warnings_after_load(load_result)


class _Progress(TrainerCallback):
    def __init__(self, progress: Bar) -> None:
        self._progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._progress.advance()


def build(work: Work) -> None:
    """`model` folder + `records` folder -> a model folder and `log.jsonl` (`step, epoch, loss, learning_rate`)."""
    recipe = Recipe.model_validate(work.config["recipe"])
    rows = list(records.read_jsonl(work.inputs["records"] / "records.jsonl"))
    if not rows:
        raise UsageError(f"{work.inputs['records']}/records.jsonl: no record to train on")
    use_cuda = torch.cuda.is_available()
    if not use_cuda:
        torch.use_deterministic_algorithms(True)
    tokenizer = AutoTokenizer.from_pretrained(work.inputs["model"])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    encoded = [tokenize.encode(tokenizer, *tokenize.pair(row), recipe.max_length) for row in rows]
    # A record whose prompt fills the whole length stays, as in the paper: without it the shuffle would be another one.
    empty = sum(all(label == tokenize.IGNORED for label in row["labels"]) for row in encoded)
    if empty == len(encoded):
        raise UsageError(
            f"no record has a response token within max_length={recipe.max_length}: raise it in the profile"
        )
    if empty:
        work.notes.append(
            f"{empty} records have no response token within max_length={recipe.max_length}: they add no loss"
        )
    dataset = Dataset.from_list(encoded).shuffle(seed=recipe.seed)

    set_seed(recipe.seed)
    model = AutoModelForCausalLM.from_pretrained(
        work.inputs["model"], dtype=getattr(torch, recipe.dtype), attn_implementation=recipe.attention
    )
    saved_dtype = getattr(torch, work.config["saved_dtype"])
    folder = work.private / "checkpoints"
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.micro_batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup_steps,
        optim=recipe.optimizer,
        max_grad_norm=-1.0,
        weight_decay=0.0,
        bf16=recipe.dtype == "bfloat16" and use_cuda,
        logging_steps=1,
        save_strategy="steps" if recipe.checkpoint_steps else "no",
        save_steps=recipe.checkpoint_steps or 500,
        save_total_limit=checkpoints.KEPT,
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=not use_cuda,
        dataloader_pin_memory=use_cuda,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    # One process with several GPUs gives each of them a micro-batch, as several processes do.
    devices = max(1, arguments.n_gpu) * arguments.world_size
    arguments.gradient_accumulation_steps = accumulation(recipe, devices)
    steps = -(-len(dataset) // recipe.batch) * recipe.epochs
    last = checkpoints.last(folder)
    with bar(work.config["label"], steps, "steps") as progress:
        progress.resume(last[1] if last else 0)
        trainer = MicroBatchMeanTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            data_collator=tokenize.Collator(tokenizer.pad_token_id),
            callbacks=[_Progress(progress), checkpoints.Marker()],
        )
        trainer.remove_callback(_printer())
        trainer.train(resume_from_checkpoint=str(last[0]) if last else None)
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    fields = ("step", "epoch", "loss", "learning_rate")
    records.write_jsonl(work.out / "log.jsonl", [{key: entry[key] for key in fields} for entry in log])
    model.to(saved_dtype).save_pretrained(work.out)
    tokenizer.save_pretrained(work.out)
    third = max(1, len(log) // 3)
    work.counts.update(
        records=len(encoded),
        steps=trainer.state.global_step,
        tokens=sum(len(row["input_ids"]) for row in encoded) * recipe.epochs,
        loss_first_third=round(sum(entry["loss"] for entry in log[:third]) / third, 4),
        loss_last_third=round(sum(entry["loss"] for entry in log[-third:]) / third, 4),
    )


def accumulation(recipe: Recipe, devices: int) -> int:
    """Micro-batches that each device adds up, so that a step has `recipe.batch` sequences whatever the number of devices."""
    steps, rest = divmod(recipe.batch, recipe.micro_batch * devices)
    if rest or not steps:
        raise UsageError(
            f"training: batch {recipe.batch} is no multiple of micro_batch {recipe.micro_batch} x {devices} devices: "
            "change one of them, or the number of GPUs (CUDA_VISIBLE_DEVICES)"
        )
    return steps


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback
