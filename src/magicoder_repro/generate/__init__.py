"""The models' completions of every benchmark, or the answers that somebody published."""

from magicoder_repro.stage import Stage

GENERATE = Stage(
    "generate", "a model's completions", "generate.complete:build", schedule=frozenset({"label"}), shares="model"
)
PUBLISHED = Stage("published", "published answers", "generate.published:build", schedule=frozenset({"key"}))
