"""Stage `score`: model-written code runs in a sandbox, its results become verdicts."""
