"""Progress on standard error: a bar with rate and remaining time on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from magicoder_repro.terminal import shown

if TYPE_CHECKING:  # a command that says a line or two does not wait for it
    from rich.console import Console
    from rich.progress import Progress

_Item = TypeVar("_Item")
_LINE_EVERY = 10.0  # seconds between lines when standard error is not a terminal


def say(text: str) -> None:
    """Prints one line to standard error."""
    text = shown(text)
    if sys.stderr.isatty():
        _console().print(text, markup=False)  # above a bar that is there
    else:
        print(text, file=sys.stderr, flush=True)


def tell(text: str) -> None:
    """Prints one line of a command's answer to standard output."""
    print(shown(text))


@cache
def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


class Bar:
    """Counts finished units of one stage's work."""

    def __init__(self, label: str, total: int, unit: str, progress: Progress | None) -> None:
        label = shown(label)
        self._label, self._total, self._unit, self._progress = label, total, unit, progress
        self._done = 0
        self._resumed = 0
        self._start = self._last = time.monotonic()
        self._task = progress.add_task(label, total=total, rate="") if progress else None

    def resume(self, done: int) -> None:
        """Sets how much an earlier, interrupted run had done already; it does not count into the rate."""
        self._done = self._resumed = done
        if done:
            say(f"{self._label}: {done} of {self._total} {self._unit} were done before, going on")
        self.advance(0)

    def advance(self, step: int = 1) -> None:
        """Counts `step` more finished units."""
        self._done += step
        now = time.monotonic()
        rate = (self._done - self._resumed) / max(now - self._start, 1e-9)
        text = f"{rate:.2f} {self._unit}/s"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, rate=text)
        elif now - self._last >= _LINE_EVERY or (self._done == self._total and step and now - self._start > 2):
            self._last = now
            left = f", {(self._total - self._done) / rate:.0f} s left" if rate > 0 else ""
            say(f"  {self._label}: {self._done}/{self._total} {self._unit}, {text}{left}")

    def over(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items, each counted when the next one is asked for."""
        for item in items:
            yield item
            self.advance()


@contextmanager
def bar(label: str, total: int, unit: str) -> Iterator[Bar]:
    """A progress bar over `total` units, removed when the work ends."""
    if not sys.stderr.isatty():
        yield Bar(label, total, unit, None)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console(), transient=True) as progress:
        yield Bar(label, total, unit, progress)


def each(items: Iterable[_Item], total: int, label: str, unit: str) -> Iterator[_Item]:
    """The items, with a bar that counts them."""
    with bar(label, total, unit) as progress:
        yield from progress.over(items)
