"""The authors' logs are read, and what is none is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro.errors import UsageError
from magicoder_repro.train import states

ENTRY = {"epoch": 0.1, "learning_rate": 5e-05, "loss": 0.75, "step": 1}


def _written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_losses_of_a_trainers_log_are_read_in_order(tmp_path: Path) -> None:
    history = [ENTRY, {"eval_loss": 1.0, "step": 1}, {**ENTRY, "loss": 1, "step": 5}, {"train_loss": 0.5, "step": 5}]
    path = _written(tmp_path / "state.json", {"best_metric": None, "log_history": history, "max_steps": 5})
    assert states.read_losses(path) == [(1, 0.75), (5, 1.0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "'log_history', a list, is missing"),
        ({"log_history": {}}, "'log_history', a list, is missing"),
        ({"log_history": []}, "no entry with 'loss'"),
        ({"log_history": [{"step": 1}]}, "no entry with 'loss'"),
        ({"log_history": ["x"]}, r"log_history\.0\.step: a whole number"),
        ({"log_history": [ENTRY, {**ENTRY, "step": "2"}]}, r"log_history\.1\.step: .*'2'"),
        ({"log_history": [{**ENTRY, "step": True}]}, r"log_history\.0\.step"),
        ({"log_history": [{**ENTRY, "loss": "nan"}]}, r"log_history\.0\.loss: a finite number is wanted, got 'nan'"),
        ('{"log_history": [{"step": 1, "loss": NaN}]}', r"log_history\.0\.loss"),
        ({"log_history": [{**ENTRY, "step": 2}, ENTRY]}, "step 1 comes after step 2"),
    ],
)
def test_what_is_no_log_of_a_training_is_one_line(content: Any, message: str, tmp_path: Path) -> None:
    path = _written(tmp_path / "state.json", content)
    with pytest.raises(UsageError, match=message) as caught:
        states.read_losses(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        states.read_losses(tmp_path / "state.json")
