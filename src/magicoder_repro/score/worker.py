"""A process that judges: `python -m magicoder_repro.score.worker MODULE:CLASS`, which `workers.py` starts in the judge's environment.

On standard input one JSON object a line: first the judge's settings, then requests; on standard output one line for each request, its
answer; an `error` in its place says why nothing can be judged. It imports nothing that an environment may not have.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import sys
import threading
import time
from typing import Any

from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import view

_END_SECONDS = 0.5  # after the command is gone


def factory(name: str) -> Any:
    """The class of a judge from its `module:Class`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def in_words(error: Exception) -> str:
    """What a judge's exception says to the user: a UsageError its message, another its name too, and which limit may have done it."""
    if isinstance(error, UsageError):
        return str(error)
    limit = view.low_limits()
    return f"{type(error).__name__}: {error}" + (f" ({limit})" if limit else "")


def _end_with_standard_input() -> None:
    """The command that asks holds the other end: when it is gone, however that happened, so is this process and what it started."""

    def wait() -> None:
        hung_up = select.poll()
        hung_up.register(0, 0)
        hung_up.poll()
        time.sleep(_END_SECONDS)  # an idle one ends by itself
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Answers requests until standard input closes."""
    judge_class: Any = None
    try:
        judge_class = factory(sys.argv[1])
        if hasattr(judge_class, "start"):
            judge_class.start()
    except Exception as error:
        broken = in_words(error)
    if not (first := sys.stdin.readline()):
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a judge prints is no answer
    judge: Any = None
    _end_with_standard_input()
    for line in sys.stdin:
        try:
            if judge_class is None:
                raise UsageError(f"{sys.argv[1]} cannot be used in {sys.prefix}: {broken}")
            judge = judge or judge_class(json.loads(first))
            answer = judge(json.loads(line))
        except Exception as error:
            answer = {"error": in_words(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    with contextlib.suppress(OSError):
        if judge is not None:
            judge.close()


if __name__ == "__main__":
    main()
