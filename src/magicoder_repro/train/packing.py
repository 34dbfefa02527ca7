"""The records of an optimizer step in rows without padding, each response token with its weight in the paper's loss.

The paper averages over the response tokens of each micro-batch, then over the micro-batches of a step. That sum does not say which
records share a row: with the weight 1 / (response tokens of its micro-batch x micro-batches) a token adds the same from any row. A
row holds whole records one after the other; the positions of each begin at 0, and `train/fast.py` lets it attend to itself only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from magicoder_repro.train.tokenize import IGNORED

Record = Mapping[str, Any]
"""`input_ids` and `labels`, lists of equal length (`tokenize.encode`)."""
Row = dict[str, Any]
"""T tokens of R records, K of which are followed by a response token: `input_ids` and `position_ids` (1, T); `cu_seq_lens` (R + 1),
int32, where each record begins and the last one ends; `max_length`, tokens of the longest; `kept` (K), the places of those K;
`targets` (K), what follows them; `weights` (K), float32; `records`, their places in the step, a list. `attention_mask` (1, T)
where pad ids are hidden."""


@dataclass(frozen=True)
class Collator:
    """Packs what one process sees in an optimizer step. A row holds at most the tokens of a micro-batch of the longest record, so
    that it needs no more memory than one. `pad`: the pad token's id."""

    micro_batch: int
    pad: int

    def __call__(self, records: Sequence[Record]) -> dict[str, list[Row]]:
        """The records of the micro-batches, one after the other -> `rows`."""
        starts = range(0, len(records), self.micro_batch)
        micro_batches = [records[start : start + self.micro_batch] for start in starts]
        return {"rows": pack(micro_batches, self.micro_batch * max(len(one["input_ids"]) for one in records), self.pad)}


def pack(micro_batches: Sequence[Sequence[Record]], capacity: int, pad: int) -> list[Row]:
    """Rows of at most `capacity` tokens whose weighted losses add up to the mean over the micro-batches of the mean over each one's
    response tokens; a micro-batch without any counts as 0.

    The paper's mask hides every pad id, which a text can hold before its end (`</s>` where EOS pads): such a record has a row of
    its own, with that mask."""
    records: list[Record] = []
    weights: list[float] = []
    for micro_batch in micro_batches:
        counted = sum(len(_kept(record)) for record in micro_batch)
        records += micro_batch
        weights += [1 / (counted * len(micro_batches)) if counted else 0.0] * len(micro_batch)
    hidden = [number for number, record in enumerate(records) if pad in record["input_ids"][:-1]]
    lengths = {number: len(record["input_ids"]) for number, record in enumerate(records) if number not in hidden}
    rows = [_row(records, weights, numbers) for numbers in first_fit(lengths, capacity)]
    for number in hidden:
        row = _row(records, weights, [number])
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


def _row(records: Sequence[Record], weights: Sequence[float], numbers: Sequence[int]) -> Row:
    """The row of some of the records; `weights`: of a response token of each record."""
    ids = [records[number]["input_ids"] for number in numbers]
    begins = [0, *itertools.accumulate(map(len, ids))]
    kept = [_kept(records[number]) for number in numbers]
    return {
        "input_ids": torch.tensor([[*itertools.chain(*ids)]]),
        "position_ids": torch.cat([torch.arange(len(one)) for one in ids])[None],
        "cu_seq_lens": torch.tensor(begins, dtype=torch.int32),
        "max_length": max(map(len, ids)),
        "kept": torch.cat([places + begin for places, begin in zip(kept, begins[:-1], strict=True)]),
        "targets": torch.cat(
            [torch.tensor(records[number]["labels"])[places + 1] for number, places in zip(numbers, kept, strict=True)]
        ),
        "weights": torch.cat(
            [torch.full((len(places),), weights[number]) for number, places in zip(numbers, kept, strict=True)]
        ),
        "records": list(numbers),
    }
