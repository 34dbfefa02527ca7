"""Which back end runs a program."""

from __future__ import annotations

import functools
import threading

from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import bare, bubblewrap, userns, view
from magicoder_repro.sandbox.model import Backend, Keeper, Limits, Outcome, Program, Watch
from magicoder_repro.sandbox.supervise import unwatched

_KEEPERS: dict[str, Keeper] = {
    one.name: one for one in (bubblewrap.Bubblewrap(), userns.Userns())
}  # the first that works is taken
_ALL: dict[str, Backend] = {**_KEEPERS, bare.Bare.name: bare.Bare()}
KEEPERS = tuple(_KEEPERS)
"""The back ends that can keep a program: see `keeper`."""
_DETECTING = threading.Lock()
_PROBE = Program(("/bin/sh", "-c", "exit 7"), limits=Limits(wall_seconds=10.0, memory_mb=512))


def run(program: Program, backend: str | None = None, seen: Watch = unwatched) -> Outcome:
    """Runs a hostile program. None: what `detect` finds; "none", without any isolation, only when named. `seen`: as for
    `supervise.watch`."""
    name = detect() if backend is None else backend
    if name not in _ALL:
        raise UsageError(f"sandbox: unknown back end {name!r}: one of {', '.join(_ALL)}")
    try:
        return _ALL[name].run(program, seen)
    except OSError as error:
        view.lacking(error)
        raise


def keeper(name: str) -> Keeper:
    """The back end of that name, one of `KEEPERS`."""
    return _KEEPERS[name]


def choose(name: str) -> str:
    """The back end of that name, or what `detect` finds for `auto`; one that does not work here is a UsageError."""
    if name == "auto":
        return detect()
    if (reason := gap(name)) is not None:
        raise UsageError(f"the sandbox back end {name} does not work here: {reason}")
    return name


def detect() -> str:
    """The first back end that works here."""
    with _DETECTING:  # one probe, however many scorer threads ask at once
        return _detect()


@functools.cache
def _detect() -> str:
    for name in _KEEPERS:
        if gap(name) is None:
            return name
    if told := view.low_limits():
        raise UsageError(f"sandbox: no back end works here: {told}")
    raise UsageError(
        "sandbox: no back end works here: install bubblewrap and allow user namespaces, or run as root; what a container needs is in "
        "docker/README.md"
    )


def gap(name: str) -> str | None:
    """Why a back end cannot run a trivial program here, and the mend; None where it can."""
    try:
        outcome = run(_PROBE, name)
    except UsageError as error:
        return str(error).removeprefix("sandbox: ")
    if outcome.exit_code == 7:
        return None
    said = " ".join(outcome.stderr.decode(errors="replace").split())
    return view.low_limits() or f"install what it needs, or take `auto` ({said or outcome.status})"
