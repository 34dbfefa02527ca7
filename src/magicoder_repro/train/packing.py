"""The records of an optimizer step in rows without padding, each response token with its weight in the paper's loss.

The paper averages over the response tokens of each micro-batch, then over the micro-batches of a step. That sum does not say which
records share a row: with the weight 1 / (response tokens of its micro-batch x micro-batches) a token adds the same from any row. A
row holds whole records one after the other; the positions of each begin at 0, and `train/fast.py` lets it attend to itself only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from magicoder_repro.train.tokenize import IGNORED

Record = Mapping[str, Any]
"""`input_ids` and `labels`, lists of equal length (`tokenize.encode`)."""
Row = dict[str, Any]
"""T tokens of R records, K of which are followed by a response token: `input_ids` and `position_ids` (1, T); `cu_seq_lens` (R + 1),
int32, where each record begins and the last one ends; `max_length`, tokens of the longest; `kept` (K), the places of those K;
`targets` (K), what follows them; `weights` (K), float32. `attention_mask` (1, T) where pad ids are hidden."""


class PackedSteps(Dataset[list[Row]]):
    """Item `step * processes + process`: the rows of one process in one optimizer step.

    `records` are in the order of training, epoch after epoch, `batch` to a step; what does not fill a step is left out. A step's
    micro-batches are dealt out to the processes in turn, as accelerate does. The Trainer must read the items one by one, in order."""

    def __init__(
        self, records: Sequence[Record], batch: int, micro_batch: int, processes: int, capacity: int, pad: int
    ) -> None:
        self._records = records
        self._batch, self._micro_batch, self._processes = batch, micro_batch, processes
        self._capacity, self._pad = capacity, pad

    def __len__(self) -> int:
        return len(self._records) // self._batch * self._processes

    def __getitem__(self, item: int) -> list[Row]:
        step, process = divmod(item, self._processes)
        end = (step + 1) * self._batch
        first = step * self._batch + process * self._micro_batch
        micro_batches = [
            [self._records[place] for place in range(start, start + self._micro_batch)]
            for start in range(first, end, self._micro_batch * self._processes)
        ]
        return pack(micro_batches, self._capacity, self._pad)


def pack(micro_batches: Sequence[Sequence[Record]], capacity: int, pad: int) -> list[Row]:
    """Rows of at most `capacity` tokens whose weighted losses add up to the mean over the micro-batches of the mean over each one's
    response tokens; a micro-batch without any counts as 0.

    The paper's mask hides every pad id, which a text can hold before its end (`</s>` where EOS pads): such a record has a row of
    its own, with that mask."""
    records, weights = [], []
    for micro_batch in micro_batches:
        counted = sum(len(_kept(record)) for record in micro_batch)
        records += micro_batch
        weights += [1 / (counted * len(micro_batches)) if counted else 0.0] * len(micro_batch)
    hidden = [number for number, record in enumerate(records) if pad in record["input_ids"][:-1]]
    lengths = {number: len(record["input_ids"]) for number, record in enumerate(records) if number not in hidden}
    rows = [_row([(records[number], weights[number]) for number in row]) for row in first_fit(lengths, capacity)]
    for number in hidden:
        row = _row([(records[number], weights[number])])
        rows.append({**row, "attention_mask": row["input_ids"].ne(pad)})
    return rows


def first_fit(lengths: Mapping[int, int], capacity: int) -> list[list[int]]:
    """First-fit decreasing: the keys in groups whose lengths add up to `capacity` at most; a longer one is alone."""
    groups: list[list[int]] = []
    room: list[int] = []
    for key in sorted(lengths, key=lambda key: -lengths[key]):
        place = next((place for place, left in enumerate(room) if left >= lengths[key]), len(room))
        if place == len(room):
            groups.append([])
            room.append(capacity)
        groups[place].append(key)
        room[place] -= lengths[key]
    return groups


def _kept(record: Record) -> torch.Tensor:
    """The places in a record whose next token the loss counts."""
    return (torch.tensor(record["labels"][1:]) != IGNORED).nonzero().flatten()


def _row(records: Sequence[tuple[Record, float]]) -> Row:
    """Records, each with the weight of its response tokens."""
    lengths = [len(record["input_ids"]) for record, _ in records]
    kept, targets, weights, start = [], [], [], 0
    for (record, weight), length in zip(records, lengths, strict=True):
        places = _kept(record)
        kept.append(places + start)
        targets.append(torch.tensor(record["labels"])[places + 1])
        weights.append(torch.full((len(places),), weight))
        start += length
    return {
        "input_ids": torch.tensor([[token for record, _ in records for token in record["input_ids"]]]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "cu_seq_lens": torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32),
        "max_length": max(lengths),
        "kept": torch.cat(kept),
        "targets": torch.cat(targets),
        "weights": torch.cat(weights),
    }
