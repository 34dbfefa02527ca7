"""Asks a server again that is busy, out of reach or failing. The threads of a stage share one of these."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import tenacity

from magicoder_repro.errors import UsageError
from magicoder_repro.progress import say

FIRST_WAIT = 30.0  # seconds; doubled each time, with jitter, as in the paper's public code
LONGEST_WAIT = 300.0  # seconds
PATIENCE = 1800.0  # seconds in which no request at all was answered
TRIES = 3  # of a request that the server fails on
SHORT_WAIT = 1.0  # seconds between these, doubled each time
_TELL_EVERY = 60.0  # seconds, at the least

_Answer = TypeVar("_Answer")


class Busy(Exception):
    """The server answers nobody now: too many requests, overloaded, out of reach. `retry_after`: seconds that it asks for."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Failing(Exception):
    """The server is there and fails on this request: `reason` in two words, and what it `said`."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(reason)
        self.reason, self.said = reason, said


class Malformed(Failing):
    """The server says that all is well, and its answer is none, or is cut off."""

    def __init__(self, said: str) -> None:
        super().__init__("unreadable answer", said)


class Over(Exception):
    """The stage ended while a thread waited."""


class Backoff:
    """Calls a server until it answers. `over` ends every wait, by Over; `reached`: it has answered before."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._last_answer = time.monotonic()
        self._quiet_until = 0.0
        self.reached = False
        self.over = threading.Event()

    def call(self, attempt: Callable[[], _Answer]) -> _Answer:
        """What the attempt gives. It may raise Busy, which is waited out as long as PATIENCE lasts (then a UsageError), or Failing,
        which is raised again after a few tries."""
        few_tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Failing),
            wait=tenacity.wait_exponential_jitter(multiplier=SHORT_WAIT, jitter=SHORT_WAIT),
            stop=tenacity.stop_after_attempt(TRIES),
            sleep=self._sleep,
            reraise=True,
        )
        patiently = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Busy),
            wait=_wait,
            stop=self._is_hopeless,
            before_sleep=self._tell,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            answer: _Answer = patiently(few_tries, attempt)
        except Busy as busy:
            raise UsageError(
                f"teacher: {self._server} has answered nothing for {self._silence() / 60:.0f} min ({busy}{_after(busy)}): "
                "start the same command again when it answers, it goes on where it was"
            ) from None
        with self._lock:
            self.reached = True
            self._last_answer = time.monotonic()
            self._quiet_until = min(self._quiet_until, self._last_answer + _TELL_EVERY)
        return answer

    def _sleep(self, seconds: float) -> None:
        if self.over.wait(seconds):
            raise Over

    def _silence(self) -> float:
        return time.monotonic() - self._last_answer

    def _is_hopeless(self, state: tenacity.RetryCallState) -> bool:
        return self._silence() >= PATIENCE or (_busy(state).retry_after or 0) >= PATIENCE

    def _tell(self, state: tenacity.RetryCallState) -> None:
        """One line for all threads until the server answers."""
        with self._lock:
            if time.monotonic() < self._quiet_until:
                return
            self._quiet_until = math.inf
        say(
            f"teacher: {self._server}: {_busy(state)}: asking again in {state.upcoming_sleep:.0f} s, and so on until it has answered "
            f"nothing for {PATIENCE / 60:.0f} min (Ctrl-C stops now; the same command goes on where it was)"
        )


def _busy(state: tenacity.RetryCallState) -> Busy:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, Busy)
    return error


def _wait(state: tenacity.RetryCallState) -> float:
    """What the server asks for, or 30, 60, 120, ... seconds; and a little more, so that the threads do not come back together."""
    asked = _busy(state).retry_after
    if asked is not None:
        return asked + random.uniform(0, min(FIRST_WAIT, 1 + asked) / 4)
    doubled = FIRST_WAIT * (1 << min(state.attempt_number - 1, 10))
    return min(doubled, LONGEST_WAIT) + random.uniform(0, FIRST_WAIT / 4)


def _after(busy: Busy) -> str:
    return "" if busy.retry_after is None else f", asks for {busy.retry_after:.0f} s"


def retry_after(header: str | None) -> float | None:
    """The seconds that a `Retry-After` header asks for, which is a number of seconds or a date; None when it is neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
