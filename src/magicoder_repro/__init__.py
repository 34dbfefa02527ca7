"""Reproduction package of the Magicoder paper (Wei et al., arXiv 2312.02120)."""

__version__ = "0.1.0"
