"""What a training will need, told before it starts: memory of each device by component, and hours once the first steps are measured.

Memory is counted from the model's shape, without its weights. What a token leaves behind in a layer for the backward pass was
measured on the 6.7B Llama architecture in bfloat16 with sdpa: 185 KiB, that is 24.75 bytes for each unit of the hidden size and 8
for each of the feed-forward's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Recipe
from magicoder_repro.progress import say
from magicoder_repro.train import lora

_GIB = 1 << 30
_HIDDEN_BYTES, _FEED_FORWARD_BYTES = 24.75, 8.0  # of a token and layer in bfloat16, by unit of the layer's two sizes
_CUDA_BYTES = _GIB  # context, libraries' workspaces, fragments


@dataclass(frozen=True)
class Shape:
    """Numbers of a model. `parameters`, `trained`: values; `state`: values of Adafactor's state; `largest`: values of the largest
    trained matrix."""

    parameters: int
    trained: int
    state: int
    largest: int
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    vocabulary: int


def shape(model: Path, recipe: Recipe) -> Shape:
    """The shape of a model folder as the recipe trains it; no weight is read."""
    config = AutoConfig.from_pretrained(model)
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, recipe.dtype))  # type: ignore[no-untyped-call]
        empty = lora.adapted(plain, recipe)
    trained = [one for one in empty.parameters() if one.requires_grad]
    text: Any = config.get_text_config()
    return Shape(
        parameters=sum(one.numel() for one in empty.parameters()),
        trained=sum(one.numel() for one in trained),
        state=sum(sum(one.shape[-2:]) * (one.shape[:-2].numel()) if one.dim() > 1 else one.numel() for one in trained),
        largest=max(one.numel() for one in trained),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        feed_forward=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        heads=text.num_attention_heads,
        vocabulary=text.vocab_size,
    )


def memory(shape: Shape, recipe: Recipe, rows: int, length: int, devices: int, cuda: bool) -> dict[str, int]:
    """Bytes that each device needs at the most, by component, for micro-batches of at most `rows` sequences of `length` tokens."""
    bytes_ = 4 if recipe.dtype == "float32" else 2
    tokens = rows * length
    trained_bytes = 4 if recipe.lora else bytes_  # peft keeps adapters in float32
    layer = (_HIDDEN_BYTES * shape.hidden + _FEED_FORWARD_BYTES * shape.feed_forward) * bytes_ / 2
    if recipe.attention == "eager":  # every layer's scores, before and after the softmax, and a float32 copy
        layer += shape.heads * length * (2 * bytes_ + 4)
    found = {
        "weights": (shape.parameters - shape.trained) * bytes_ + shape.trained * trained_bytes,
        "gradients": shape.trained * trained_bytes,
        # Each process has a second copy in the buckets that are exchanged.
        "gradient exchange": shape.trained * trained_bytes if devices > 1 else 0,
        # The state is float32, as are a few copies of the matrix that is being updated.
        "optimizer": 4 * shape.state + 4 * 4 * shape.largest,
        "activations": int(tokens * shape.layers * layer),
        # The output and its float32 copy, the softmax, and the gradients of both.
        "logits": tokens * shape.vocabulary * (12 if bytes_ == 4 else 16),
        "CUDA": _CUDA_BYTES if cuda else 0,
    }
    return {name: amount for name, amount in found.items() if amount}


def capacity(devices: int, cuda: bool) -> int:
    """Bytes that each of so many devices has; processes on a CPU share its memory."""
    if cuda:
        return min(torch.cuda.get_device_properties(number).total_memory for number in range(devices))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // devices


def tell(label: str, needed: dict[str, int], has: int) -> None:
    """Says what each device needs and has; a UsageError when it cannot fit."""
    total = sum(needed.values())
    parts = ", ".join(f"{name} {_amount(amount)}" for name, amount in needed.items())
    say(f"{label}: memory of each device: {parts}: {_amount(total)} of {_amount(has)}")
    if total <= has:
        return
    by_batch = needed["activations"] + needed["logits"]
    mend = (
        "lower micro_batch or max_length in the recipe"
        if total - by_batch < has
        else "train adapters (`lora` in the recipe) or a smaller model"
    )
    raise UsageError(f"{label}: a device needs {_amount(total)} ({parts}) and has {_amount(has)}: {mend}")


def duration(tokens: int, rate: float, price_per_hour: float | None) -> str:
    """How long so many tokens take at `rate` tokens a second, in words, and what that costs."""
    hours = tokens / rate / 3600
    time = f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
    cost = "" if price_per_hour is None else f", {hours * price_per_hour:.2f} at {price_per_hour:g} an hour"
    return f"{rate:,.0f} tokens/s: about {time}{cost}"


def _amount(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB // 10 else f"{count / (1 << 20):.1f} MiB"
