"""Figures of the generated data."""
