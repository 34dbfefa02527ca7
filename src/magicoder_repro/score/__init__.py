"""Model-written code runs in a sandbox, its results become verdicts."""

from magicoder_repro.stage import Stage

SCORE = Stage(
    "score",
    "pass@1 by running every completion in the sandbox",
    "score.stage:build",
    version=2,
    schedule=frozenset({"label", "scoring.workers", "scoring.executor"}),
)
