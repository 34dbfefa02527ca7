"""DS-1000: samples -> verdicts, by the tests that each problem carries.

`result` is what `magicoder score` and the stage call; `judge` judges one program; `guest/` is what runs inside the sandbox.
"""

from magicoder_repro.score.ds1000.judge import ENVIRONMENT, Home, Judge, modules, task_id
from magicoder_repro.score.ds1000.result import libraries, sample_id, score, scorer

__all__ = ["ENVIRONMENT", "Home", "Judge", "libraries", "modules", "sample_id", "score", "scorer", "task_id"]
