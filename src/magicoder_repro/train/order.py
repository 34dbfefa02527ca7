"""Which records each optimizer step sees, as in the paper's runs (PROTOCOL section 4; transformers 4.35 + accelerate 0.24.1).

Their data loader drew the same permutation in every epoch, gave its micro-batches to the two processes in turn, filled the last ones
up from the epoch's beginning, and carried what was no whole step over into the next epoch. One line of records, cut into steps, says
all of it: with any number of devices a step sees the same records in the same micro-batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Recipe

PAPER_PROCESSES = 2
"""An epoch is filled up to a whole number of micro-batches for each of them."""
_SAMPLER_SEED = 0  # that accelerate 0.24.1 gave the sampler in every epoch


@dataclass(frozen=True)
class Order:
    """`records`: int64 (steps x batch), numbers of records in the order of their lines; `epoch`: how many of them are an epoch."""

    records: np.ndarray
    steps: int
    epoch: int


def of(count: int, recipe: Recipe) -> Order:
    """The order of `count` records. Micro-batch `j` is `records[j * micro_batch:][:micro_batch]` and goes to process `j` modulo their
    number; a UsageError when the records are less than a step."""
    per_round = PAPER_PROCESSES * recipe.micro_batch
    epoch = -(-count // per_round) * per_round
    steps = epoch // recipe.batch
    if not steps:
        raise UsageError(f"{count} records are less than a step of batch={recipe.batch}: lower `batch` in the recipe")
    shuffled = np.random.default_rng(recipe.seed).permutation(count)  # what datasets' shuffle does
    generator = torch.Generator().manual_seed(_SAMPLER_SEED)
    drawn = shuffled[torch.randperm(count, generator=generator).numpy()]
    filled = np.resize(drawn, epoch)  # repeated from its beginning
    steps *= recipe.epochs
    return Order(np.tile(filled, recipe.epochs)[: steps * recipe.batch], steps, epoch)


def accumulation(recipe: Recipe, devices: int) -> int:
    """Micro-batches that each device adds up, so that a step has `recipe.batch` sequences whatever the number of devices."""
    steps, rest = divmod(recipe.batch, recipe.micro_batch * devices)
    if rest or not steps:
        raise UsageError(
            f"training: batch {recipe.batch} is no multiple of micro_batch {recipe.micro_batch} x {devices} devices: "
            "change one of them, or training.processes"
        )
    return steps
