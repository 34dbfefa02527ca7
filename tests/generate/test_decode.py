"""Decoding with a real, tiny Llama."""

from __future__ import annotations

from pathlib import Path

from magicoder_repro.benchmarks.base import Ask
from magicoder_repro.generate import complete
from magicoder_repro.generate.decode import Transformers
from magicoder_repro.generate.engines import Completion, Decoding, Request
from magicoder_repro.profile import Sampled, TransformersEngine

_SAMPLED = {"samples": 1, "temperature": 5.0, "top_p": 1.0, "max_tokens": 60, "batch": 1, "seed": 1}


def test_top_k_of_the_setting_bounds_what_is_drawn(model_folder: Path) -> None:
    for settings in (TransformersEngine(), TransformersEngine(order="length")):
        model = Transformers(model_folder, "float32", settings)
        request = Request(0, Ask("t", "def f(x):", ()), [1, 40, 50, 60], 50, 0)

        def completed(decoding: Decoding, model: Transformers = model, request: Request = request) -> str:
            found: dict[int, Completion] = {}
            model.complete([request], decoding, (), found.__setitem__)
            return found[0].text

        def sampled(top_k: int) -> str:
            return completed(complete.decoding(Sampled.model_validate({**_SAMPLED, "top_k": top_k})))

        greedy = completed(Decoding())
        assert sampled(1) == greedy
        assert len({greedy, sampled(50), sampled(0)}) == 3
