"""Runs inside the sandbox: `python -s -S` with this as its program, or a warm interpreter, puts one solution to its problem's tests.

It stands alone, with the files beside it (`judge.guest` makes one source of them), in the environment of the benchmark's libraries
(Python 3.10). Two processes: one for the program, one for the test, forked from here before either knows the task. Only the test's
process can write the verdict, on the real standard output: `P` and the token, or `E` and why not.
"""

from __future__ import annotations

import marshal
import os
import sys

import process  # type: ignore[import-not-found]
import program  # type: ignore[import-not-found]
import tester  # type: ignore[import-not-found]

WARM = process.WARM


def main() -> None:
    """Reads `task` (marshal): context, code, cases, seed, token."""
    channel = process.high(os.dup(1))
    (orders, give), (answers, answer) = ([process.high(end) for end in os.pipe()] for _ in range(2))
    process.plain()
    before = process.hide()
    child = os.fork()
    if child == 0:
        process.hide(before)
        for descriptor in (channel, give, answers):
            os.close(descriptor)
        sys.path.insert(0, "")
        program.Program(orders, answer).serve()
    for descriptor in (orders, answer):
        os.close(descriptor)
    with open("task", "rb") as file:  # noqa: PTH123
        task = marshal.load(file)
    os.unlink("task")  # noqa: PTH108
    token = task.pop("token")
    found = tester.Tester(task, child, give, answers).judge()
    os.write(channel, b"P" + token if found is None else b"E" + found.encode("utf-8", "replace")[:80])
    os._exit(0)


if __name__ == "__main__":
    main()
