"""The order of the records is that of the paper's runs, whatever the number of devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Recipe
from magicoder_repro.train import order

PAPER: dict[str, Any] = {
    "max_length": 1216,
    "epochs": 2,
    "batch": 512,
    "micro_batch": 2,
    "learning_rate": 5e-5,
    "warmup_steps": 15,
    "optimizer": "adafactor",
    "dtype": "bfloat16",
    "attention": "sdpa",
    "seed": 42,
    "checkpoint_steps": 0,
}


def _recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({**PAPER, **changes})


def test_both_processes_see_what_they_saw_in_the_official_run(golden: Path) -> None:
    found = order.of(75, _recipe(batch=16))
    assert (found.steps, found.epoch) == (8, 76)
    micro_batches = found.records.reshape(-1, 2)
    for process in (0, 1):
        seen = json.loads((golden / "official" / f"seen{process}.json").read_text())
        assert micro_batches[process::2].tolist() == seen[: 8 * 4]  # the loader had fetched one more


@pytest.mark.parametrize(("count", "steps"), [(75_197, 292), (111_183, 434), (512, 2), (1023, 4), (511, 2)])
def test_the_papers_steps(count: int, steps: int) -> None:
    found = order.of(count, _recipe())
    assert found.steps == steps and found.records.shape == (steps * 512,)
    assert set(found.records) <= set(range(count))


def test_the_shuffle_is_that_of_datasets() -> None:
    numbers = Dataset.from_dict({"number": list(range(1000))}).shuffle(seed=42)["number"]
    assert np.random.default_rng(42).permutation(1000).tolist() == list(numbers)


def test_an_epoch_goes_on_in_the_step_that_another_began() -> None:
    found = order.of(10, _recipe(batch=6))  # epochs of 12: 10 and the first two again
    assert found.epoch == 12 and found.steps == 4
    assert found.records[:12].tolist() == found.records[12:].tolist()
    assert found.records[10:12].tolist() == found.records[:2].tolist()
    assert sorted(found.records[:10]) == list(range(10))
    carried = order.of(10, _recipe(batch=8))
    assert (
        carried.steps == 2
        and carried.records[8:].tolist() == carried.records.tolist()[8:12] + carried.records.tolist()[:4]
    )


def test_fewer_records_than_a_step_are_refused() -> None:
    with pytest.raises(UsageError, match="500 records are less than a step of batch=512: lower `batch`"):
        order.of(500, _recipe())


@pytest.mark.parametrize(("devices", "steps"), [(1, 256), (2, 128), (8, 32), (256, 1)])
def test_a_step_has_the_papers_batch_on_any_number_of_devices(devices: int, steps: int) -> None:
    assert order.accumulation(_recipe(), devices) == steps
    assert steps * devices * 2 == 512


@pytest.mark.parametrize("devices", [3, 512])
def test_a_batch_that_devices_cannot_share_is_refused(devices: int) -> None:
    with pytest.raises(UsageError, match=f"batch 512 is no multiple of micro_batch 2 x {devices} devices"):
        order.accumulation(_recipe(), devices)
