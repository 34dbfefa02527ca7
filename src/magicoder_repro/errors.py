"""Errors that a user can mend, and the exit codes of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

EXIT_DONE = 0
EXIT_BAD_RESULT = 1
EXIT_USAGE = 2
_LONGEST = 80  # of a name in a message


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
