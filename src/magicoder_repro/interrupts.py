"""SIGINT and SIGTERM end a command in one way, wherever they find it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from magicoder_repro.errors import Stopped

_AGAIN_SECONDS, _EXIT_SECONDS = 0.5, 3.0
_came: int | None = None


def install() -> None:
    """From now on either signal raises `Stopped` in the main thread, unless it was ignored before."""
    # The last thing at exit: afterwards Python's handlers are gone, and an alarm would kill the process.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def came() -> int | None:
    """The first of these signals that came. Native code may make another error of its `Stopped`, or none: pydantic's does both."""
    return _came


@contextmanager
def held() -> Iterator[None]:
    """While the block runs a signal is only noted (`came`): the block looks, saves its work and ends. `Stopped` comes after it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if _came is not None:
        raise Stopped(_came)


def over(code: int) -> None:
    """The command is about to exit with this code. A further signal changes nothing; a thread that waits for what the error kept
    from happening is not waited for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
    signal.setitimer(signal.ITIMER_REAL, _EXIT_SECONDS)


def _note(number: int, _: object) -> None:
    global _came
    if _came is None:
        _came = number


def _stop(number: int, _: object) -> None:
    global _came
    if _came is None:
        _came = number
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
    if not _being_handled():  # what is on its way out, cleaning up, is not disturbed
        raise Stopped(_came)


def _being_handled() -> bool:
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None
