"""One process of a training: transformers' Trainer over its share of the micro-batches. `launch` starts several of them."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from pydantic import BaseModel
from torch.utils.data import SequentialSampler
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from magicoder_repro import interrupts, records
from magicoder_repro.errors import BadResultError, Stopped
from magicoder_repro.profile import Recipe
from magicoder_repro.progress import Bar, bar, say
from magicoder_repro.train import CHECKPOINTS_KEPT, checkpoints, estimate, lora, order, packing, tokenize

LINE = "line"
"""The column of the tokenised data that holds a record's line in its file."""
_MEASURED_FROM, _MEASURED_TO = 1, 3  # optimizer steps: the first one warms up


class Job(BaseModel):
    """What every process of a training is told. `data`: the tokenised records, on disk; `tokens`: those of all steps; `resume`: the
    checkpoint that it goes on from."""

    label: str
    recipe: Recipe
    model: Path
    data: Path
    out: Path
    checkpoints: Path
    logs: Path
    resume: Path | None
    saved_dtype: str
    bos_token_id: int | None
    eos_token_id: int
    pad_token_id: int
    tokens: int
    price_per_hour: float | None


@dataclass(frozen=True)
class Feed:
    """How a process goes through its part of an optimizer step: `times` batches of `rows` sequences, each made by `collate` and taken
    by a training step of `trainer`."""

    rows: int
    times: int
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]]
    trainer: type[Trainer]


def feed(job: Job, devices: int) -> Feed:
    """The paper's micro-batches, padded; `speed: fast` takes all of a step at once and packs it."""
    recipe, pad = job.recipe, job.pad_token_id
    times = order.accumulation(recipe, devices)
    if recipe.speed == "fast":
        from magicoder_repro.train import fast  # which builds on this module

        collate = packing.Collator(recipe.micro_batch, pad)
        return Feed(recipe.micro_batch * times, 1, collate, fast.PackedTrainer)
    return Feed(recipe.micro_batch, times, tokenize.Collator(pad), MicroBatchMeanTrainer)


class MicroBatchMeanTrainer(Trainer):
    """Averages the loss as transformers 4.35 did: the mean over response tokens inside each micro-batch, then the plain mean
    over the micro-batches of a step. Today's Trainer divides by all response tokens of the step instead. Data is read as it lies."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The model's own mean over the labels that count; `num_items_in_batch` is not passed on. Without such a label that
        mean is 0/0: the loss is 0 then, with a gradient of 0."""
        lines = inputs.pop(LINE)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=None)
        if not (inputs["labels"][:, 1:] != tokenize.IGNORED).any():
            loss = loss.nan_to_num(0.0)
        self.check(loss, lines)
        return (loss, outputs) if return_outputs else loss

    def check(self, loss: torch.Tensor, lines: Sequence[int]) -> None:
        """A BadResultError when the loss of the records of these lines is no number."""
        if not loss.isfinite():
            raise BadResultError(
                f"{self.args.run_name}: step {self.state.global_step + 1}: the loss is {loss.item()} on the records of lines "
                f"{', '.join(map(str, lines))}: look at them, or lower learning_rate in the recipe"
            )

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(train_dataset)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A checkpoint that could not be written, as on a full disk, leaves nothing; the one before it stays."""
        try:
            super()._save_checkpoint(model, trial)
        except BaseException:
            shutil.rmtree(checkpoints.of(Path(str(self.args.output_dir)), self.state.global_step), ignore_errors=True)
            raise

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A checkpoint holds tied weights once: the other name is not missing."""
        tied: dict[str, str] = getattr(self.model, "all_tied_weights_keys", {})
        load_result.missing_keys[:] = [key for key in load_result.missing_keys if key not in tied]
        super()._issue_warnings_after_load(load_result)


class _Progress(TrainerCallback):
    """Counts the steps, and says once how long the rest will take. `tokens`: of a step."""

    def __init__(self, progress: Bar, job: Job, tokens: float) -> None:
        self._progress, self._job, self._tokens = progress, job, tokens
        self._steps, self._start = 0, 0.0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._progress.advance()
        self._steps += 1
        if self._steps == _MEASURED_FROM:
            self._start = time.monotonic()
        if self._steps == _MEASURED_TO and state.global_step < state.max_steps:
            rate = (_MEASURED_TO - _MEASURED_FROM) * self._tokens / (time.monotonic() - self._start)
            left = round((state.max_steps - state.global_step) * self._tokens)
            say(f"{self._job.label}: {estimate.duration(left, rate, self._job.price_per_hour)}")


class _Stop(TrainerCallback):
    """After a signal the training saves a checkpoint at the end of the step and ends, in all processes alike."""

    def __init__(self) -> None:
        self.stopped = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        came = torch.tensor(int(interrupts.came() is not None), device=args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(came, torch.distributed.ReduceOp.MAX)
        if came:
            self.stopped = control.should_save = control.should_training_stop = True


def train(job: Job) -> None:
    """Trains, and leaves the model and `log.jsonl` (`step, epoch, loss, learning_rate`) in `job.out`: process 0 writes."""
    recipe = job.recipe
    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
    rows = Dataset.load_from_disk(str(job.data))
    ordered = order.of(len(rows), recipe)
    arguments = _arguments(job, ordered.steps)
    fed = feed(job, arguments.world_size)
    arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps = fed.rows, fed.times

    set_seed(recipe.seed)
    model = AutoModelForCausalLM.from_pretrained(
        job.model, dtype=getattr(torch, recipe.dtype), attn_implementation=recipe.attention
    )
    model = lora.adapted(model, recipe)
    first, stop = arguments.process_index == 0, _Stop()
    shown = bar(job.label, ordered.steps, "steps") if first else nullcontext()
    with shown as progress, interrupts.held():
        callbacks: list[TrainerCallback] = [stop, checkpoints.Marker()]
        if progress is not None:
            progress.resume(checkpoints.step(job.resume) if job.resume else 0)
            callbacks += [_Progress(progress, job, job.tokens / ordered.steps), _tensorboard(job.logs)]
        trainer = fed.trainer(
            model=model,
            args=arguments,
            train_dataset=rows.select(ordered.records),
            data_collator=lambda some: {**fed.collate(some), LINE: [row[LINE] for row in some]},
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(job.resume) if job.resume else None)
    if stop.stopped:
        raise Stopped(interrupts.came() or signal.SIGTERM)
    if first:
        log = [entry for entry in trainer.state.log_history if "loss" in entry]
        rest = ("loss", "learning_rate")
        records.write_jsonl(
            job.out / "log.jsonl",
            [
                {"step": entry["step"], "epoch": round(entry["step"] * recipe.batch / ordered.epoch, 4)}
                | {key: entry[key] for key in rest}
                for entry in log
            ],
        )
        trained = lora.merged(model, recipe).to(getattr(torch, job.saved_dtype))
        trained.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            bos_token_id=job.bos_token_id, eos_token_id=job.eos_token_id, pad_token_id=job.pad_token_id
        )
        trained.save_pretrained(job.out)


def _arguments(job: Job, steps: int) -> TrainingArguments:
    recipe, cuda = job.recipe, torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(job.checkpoints),
        run_name=job.label,
        max_steps=steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup_steps,
        optim=recipe.optimizer,
        max_grad_norm=-1.0,
        weight_decay=0.0,
        bf16=recipe.dtype == "bfloat16" and cuda,
        logging_steps=1,
        save_strategy="steps" if recipe.checkpoint_steps else "no",
        save_steps=recipe.checkpoint_steps or 500,
        save_total_limit=CHECKPOINTS_KEPT,
        seed=recipe.seed,
        use_cpu=not cuda,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    one_gpu(arguments)
    return arguments


def one_gpu(arguments: TrainingArguments) -> None:
    """A process works on one GPU: with more of them the Trainer would split every micro-batch among them (DataParallel)."""
    arguments._n_gpu = min(arguments.n_gpu, 1)


def _tensorboard(folder: Path) -> TrainerCallback:
    from tensorboardX import SummaryWriter

    callback: TrainerCallback = TensorBoardCallback(SummaryWriter(str(folder)))  # type: ignore[no-untyped-call]
    return callback
