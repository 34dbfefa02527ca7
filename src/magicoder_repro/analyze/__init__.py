"""Figures of the training data."""

from magicoder_repro.stage import Stage

ANALYZE = Stage("analyze", "figures of the training data", "analyze.data:build", version=2)
