"""The models' completions of every benchmark, or the answers that somebody published, one by one or in an archive."""

from magicoder_repro.stage import Stage

OF_THE_WORK = frozenset({"base_url", "model", "concurrency", "cache_gb"})
"""Settings of an engine that only say where and how the work is done: completions do not depend on them."""
GENERATE = Stage(
    "generate",
    "a model's completions",
    "generate.complete:build",
    version=2,
    schedule=frozenset({"label", *(f"engine.{name}" for name in OF_THE_WORK)}),
    shares="model",
)
PUBLISHED = Stage("published", "published answers", "generate.published:build", schedule=frozenset({"key"}))
ANSWERS = Stage(
    "answers", "an archive of published answers", "generate.answers:build", schedule=frozenset({"file", "url", "about"})
)
