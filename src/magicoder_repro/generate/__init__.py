"""The models' completions of every benchmark, or the answers that somebody published, one by one or in an archive."""

from magicoder_repro.stage import Stage

GENERATE = Stage(
    "generate",
    "a model's completions",
    "generate.complete:build",
    version=2,
    schedule=frozenset({"label"}),
    shares="model",
)
PUBLISHED = Stage("published", "published answers", "generate.published:build", schedule=frozenset({"key"}))
ANSWERS = Stage(
    "answers", "an archive of published answers", "generate.answers:build", schedule=frozenset({"file", "url", "about"})
)
