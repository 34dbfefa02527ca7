"""Errors that a user can mend, and the exit codes of the command line."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Sequence

EXIT_DONE = 0
EXIT_BAD_RESULT = 1
EXIT_USAGE = 2
_LONGEST = 80  # of a name in a message
_FULL = "the disk is full, or `ulimit -f` is reached: free some space and start the same command again, it goes on where it was"
_NO_PERMISSION = "no permission: mend the owner or mode of the folder, or name another"
_IN_THE_WAY = "a file stands where a folder must be: move it or name another place"
_DISK = {
    errno.ENOSPC: _FULL,
    errno.EFBIG: _FULL,
    errno.EDQUOT: "the disk quota is used up: free some space and start again",
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: "the file system is read-only: name another folder",
}
_NAMES = {
    errno.ENAMETOOLONG: "this name is too long: give a shorter one",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "a folder stands where a file must be: move it or name another place",
    errno.ELOOP: "a symbolic link that leads in a circle, or where none may be: name the file itself",
}


class UsageError(Exception):
    """The request was wrong (config, input, missing tool). One line: the file, the field, the mend. Exit code 2."""


class BadResultError(Exception):
    """The work ran and its result is bad (a regression, a failed gate). One line. Exit code 1."""


class Stopped(BaseException):
    """SIGINT or SIGTERM came. The same command goes on where it was. Exit code 128 + the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names for a message: the first ones, each cut when it is long, and how many more there are."""
    first = ", ".join(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..." for name in names[:most])
    return first + (f" and {len(names) - most} more" if len(names) > most else "")


def nearest(given: object, valid: Sequence[str], cutoff: float = 0.6) -> str:
    """ "did you mean 'x'? " for a message that goes on; empty when no valid name is near."""
    near = difflib.get_close_matches(str(given)[:_LONGEST], valid, 1, cutoff)
    return f"did you mean {near[0]!r}? " if near else ""


def of_the_input(error: Exception) -> str | None:
    """The line for an error that the user's files, texts or machine brought about where no reader foresaw it; None for ours."""
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _DISK):
        reason = (
            _DISK.get(error.errno or 0) or _NAMES.get(error.errno or 0) or f"{error.strerror}: mend it or name another"
        )
        name = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
        return f"{'writing' if name is None else name}: {reason}"
    if isinstance(error, UnicodeError):
        return f"an input holds text that is no Unicode ({error}): mend it"
    if isinstance(error, RecursionError):
        return f"an input is nested too deeply ({error}): mend it"
    if isinstance(error, MemoryError):
        return "out of memory: free some, or let fewer work at a time (--workers, scoring.workers)"
    return None
