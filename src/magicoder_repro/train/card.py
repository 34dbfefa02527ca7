"""What makes a trained model's folder one to pass on: the chat template of the paper's prompt, and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from magicoder_repro import prompts
from magicoder_repro.data import embedded_model
from magicoder_repro.profile import Recipe
from magicoder_repro.train.base_model import EMBEDDED


def chat_template() -> str:
    """Jinja that renders a user's message as the paper's prompt, after BOS where the tokenizer has one, as in training."""
    before, response = prompts.magicoder("\0").split("\0")
    system, instruction = before.split("\n\n", 1)
    return (
        "{%- if bos_token %}{{ bos_token }}{%- endif %}"
        f"{{{{ {json.dumps(system)} }}}}"
        "{%- for message in messages %}"
        "{%- if message['role'] == 'user' %}"
        f"{{{{ {json.dumps(chr(10) * 2 + instruction)} + message['content'] + {json.dumps(response)} }}}}"
        "{%- elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
        "{%- else %}{{ raise_exception('The prompt has no place for a message of the role ' + message['role']) }}"
        "{%- endif %}{%- endfor %}"
    )


def model_card(about: Mapping[str, Any], recipe: Recipe, counts: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """README.md of a model folder. `about`: its name, the model that the first training began with, the data of all trainings;
    `counts`: the manifest's; `inputs`: the sha256 of what it was made of."""
    base, revision = about["base"], about["revision"]
    published = base != EMBEDDED and not Path(base).exists()
    if base == EMBEDDED:
        base = f"{embedded_model.NAME} (embedded)"
    front = {
        **({"base_model": base} if published else {}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["code", "oss-instruct", "magicoder"],
    }
    if recipe.lora is None:
        how = "all weights"
    else:
        how = f"low-rank adapters (rank {recipe.lora.rank}, alpha {recipe.lora.alpha:g}), merged into the weights"
    rows = {
        "base model": base + (f" at {revision}" if revision else " (no revision was pinned)" if published else ""),
        "data, in the order of the trainings": "; ".join(about["trainings"]),
        "records of the last training": f"{counts['records']:,}, of them {counts['truncated']:,} truncated at "
        f"{recipe.max_length} tokens",
        "trained": how,
        "optimizer steps": f"{counts['steps']} of {recipe.batch} sequences ({recipe.epochs} epochs)",
        "optimizer": f"{recipe.optimizer}, learning rate {recipe.learning_rate:g}, linear, {recipe.warmup_steps} warm-up steps",
        "precision": recipe.dtype,
        "devices": f"{counts['devices']}, each adding up {counts['accumulation']} micro-batches of {recipe.micro_batch}"
        + (", their records packed (`speed: fast`)" if recipe.speed == "fast" else ""),
        "loss": f"{counts['loss_first_third']} (mean of the first third of the steps), "
        f"{counts['loss_last_third']} (of the last)",
        "sha256 of the records": inputs["records"],
        "sha256 of the model before": inputs["model"],
    }
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---
# {about["name"]}

Fine-tuned by the recipe of Magicoder (OSS-Instruct, arXiv 2312.02120) with magicoder-repro.

| | |
|---|---|
{lines}

## Use

The tokenizer's chat template renders the prompt that the model was trained with; decode greedily, as the paper does.

    prompt = tokenizer.apply_chat_template([{{"role": "user", "content": instruction}}], tokenize=False)

## Licence

These weights are derived from {base} and stay under its licence. The training data was written by a teacher model: the terms of
whoever offers that model apply to what is trained on its answers.
"""
