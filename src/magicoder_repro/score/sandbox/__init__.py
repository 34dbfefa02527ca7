"""Runs hostile programs: no network, no host files, everything bounded, nothing left of them afterwards.

README.md in this folder is the threat model: what is promised, by which mechanism, on which back end, and what is not.
"""

from magicoder_repro.score.sandbox import warm
from magicoder_repro.score.sandbox.backends import choose, detect, run, works
from magicoder_repro.score.sandbox.model import Limits, Outcome, Program

__all__ = ["Limits", "Outcome", "Program", "choose", "detect", "run", "warm", "works"]
