"""Runs hostile programs: no network, no host files, everything bounded, nothing left of them afterwards.

README.md in this folder is the threat model: what is promised, by which mechanism, on which back end, and what is not.
"""

from magicoder_repro.sandbox import warm
from magicoder_repro.sandbox.backends import KEEPERS, choose, detect, gap, run
from magicoder_repro.sandbox.model import Limits, Outcome, Program, Spent, Status, Watch

__all__ = [
    "KEEPERS",
    "Limits",
    "Outcome",
    "Program",
    "Spent",
    "Status",
    "Watch",
    "choose",
    "detect",
    "gap",
    "run",
    "warm",
]
