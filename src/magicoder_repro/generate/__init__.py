"""Prompts of every benchmark and the models' completions."""
