"""Decoding with a real, tiny Llama."""

from __future__ import annotations

from pathlib import Path

from magicoder_repro.benchmarks.base import Ask
from magicoder_repro.generate import complete
from magicoder_repro.generate.decode import Decoding, Model
from magicoder_repro.profile import Sampled

_SAMPLED = {"samples": 1, "temperature": 5.0, "top_p": 1.0, "max_tokens": 60, "batch": 1, "seed": 0}


def test_top_k_of_the_setting_bounds_what_is_drawn(model_folder: Path) -> None:
    model, asks = Model(model_folder, "float32"), [Ask("t", "def f(x):", ())]
    greedy = model.complete(asks, Decoding(max_tokens=60))

    def sampled(top_k: int) -> list[str]:
        setting = Sampled.model_validate({**_SAMPLED, "top_k": top_k})
        return model.complete(asks, complete.decoding(setting), seed=1)

    assert sampled(1) == greedy
    assert len({tuple(found) for found in (greedy, sampled(50), sampled(0))}) == 3
