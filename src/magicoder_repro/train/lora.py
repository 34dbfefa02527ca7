"""Low-rank adapters in the place of the weights (peft), merged into them at the end: later stages see an ordinary model."""

from __future__ import annotations

from typing import Any

from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Recipe


def adapted(model: Any, recipe: Recipe) -> Any:
    """The model with adapters to train and its weights frozen, where the recipe asks for it; else the model itself."""
    if recipe.lora is None:
        return model
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,  # type: ignore[arg-type]  # any number will do
        lora_dropout=recipe.lora.dropout,
        target_modules=recipe.lora.targets or "all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UsageError(f"recipe: lora.targets: {error}") from None


def merged(model: Any, recipe: Recipe) -> Any:
    """The model with the adapters added to its weights."""
    return model if recipe.lora is None else model.merge_and_unload()
