"""Fine-tuning: tokenisation, masking and the paper's recipe."""

from magicoder_repro.stage import Stage

CHECKPOINTS_KEPT = 2
"""How many stay while a training works: the newest may be damaged."""
BASE_MODEL = Stage(
    "base-model", "a model's weights as a model folder", "train.base_model:build", schedule=frozenset({"key"})
)
SFT = Stage(
    "sft",
    "a model fine-tuned on a data set",
    "train.sft:build",
    version=2,
    schedule=frozenset({"label", "recipe.checkpoint_steps", "training", "about"}),
    end_seconds=300.0,  # a step is ended, and its checkpoint written
)
