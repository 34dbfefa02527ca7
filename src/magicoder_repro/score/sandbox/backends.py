"""Which back end runs a program."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable

from magicoder_repro.errors import UsageError
from magicoder_repro.score.sandbox import bare, bubblewrap, container, userns, view
from magicoder_repro.score.sandbox.model import Limits, Outcome, Program
from magicoder_repro.score.sandbox.supervise import Watch, unwatched

_RUNS: dict[str, Callable[..., Outcome]] = {
    "container": container.run,
    "bubblewrap": bubblewrap.run,
    "userns": userns.run,
    "none": bare.run,
}
_ORDER = ("container", "bubblewrap", "userns")
_DETECTING = threading.Lock()
_PROBE = Program(("/bin/sh", "-c", "exit 7"), limits=Limits(wall_seconds=10.0, memory_mb=512))


def run(program: Program, backend: str | None = None, seen: Watch = unwatched) -> Outcome:
    """Runs a hostile program. None: what `detect` finds; "none", without any isolation, only when named. `seen`: as for
    `supervise.watch`."""
    name = detect() if backend is None else backend
    if name not in _RUNS:
        raise UsageError(f"sandbox: unknown back end {name!r}: one of {', '.join(_RUNS)}")
    try:
        return _RUNS[name](program, seen)
    except OSError as error:
        view.lacking(error)
        raise


def choose(name: str) -> str:
    """The back end of that name, or what `detect` finds for `auto`; one that does not work here is a UsageError."""
    if name == "auto":
        return detect()
    if not works(name):
        told = view.low_limits()
        raise UsageError(
            f"the sandbox back end {name} does not work here: {told or 'install what it needs, or take `auto`'}"
        )
    return name


def detect() -> str:
    """The first back end that works here."""
    with _DETECTING:  # one probe, however many scorer threads ask at once
        return _detect()


@functools.cache
def _detect() -> str:
    for name in _ORDER:
        if works(name):
            return name
    if told := view.low_limits():
        raise UsageError(f"sandbox: no back end works here: {told}")
    raise UsageError(
        "sandbox: no back end works here: install bubblewrap and allow user namespaces, or run as root; a container needs --privileged"
    )


def works(name: str) -> bool:
    """Whether a back end can run a trivial program here."""
    if name == "container" and not os.environ.get(container.IMAGE):
        return False
    try:
        return run(_PROBE, name).exit_code == 7
    except UsageError:
        return False
