"""What goes into the sandbox and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from magicoder_repro.errors import UsageError

Status = Literal["ok", "error", "timeout", "memory", "output", "signal", "stopped", "sandbox"]


@dataclass(frozen=True)
class Limits:
    """Bounds of one run. All but `open_files` and `file_mb` hold for the whole process tree."""

    wall_seconds: float = 10.0
    cpu_seconds: float = 10.0
    memory_mb: int = 4096  # resident memory, private folder and kernel buffers together
    processes: int = 64  # threads count (a JVM starts about 30)
    open_files: int = 256  # of one process
    file_mb: int = 64  # the largest file
    scratch_mb: int = 128  # the whole private folder: /box, /tmp and /dev/shm
    output_bytes: int = 1_000_000  # of stdout and of stderr


@dataclass(frozen=True)
class Program:
    """A command, the files in its working folder /box, its stdin, and host folders to show read-only."""

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)  # relative path -> content
    stdin: bytes = b""
    limits: Limits = Limits()
    readonly: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not self.argv or any("\0" in word for word in self.argv):
            raise UsageError("sandbox: argv is empty or holds a NUL: give a command")
        for name in self.files:
            path = PurePosixPath(name)
            if str(path) != name or path.is_absolute() or ".." in path.parts or name in {".", ".tmp"} or "\0" in name:
                raise UsageError(f"sandbox: file {name!r}: give a plain relative path")
        for folder in self.readonly:
            if not folder.is_absolute() or not folder.exists():
                raise UsageError(f"sandbox: readonly {folder}: give an absolute path that exists")
            if folder.resolve() in {Path.home().resolve(), *Path.home().resolve().parents}:
                raise UsageError(f"sandbox: readonly {folder} holds the home folder: give the exact prefix")


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `signal`: of one (ours when it had too many processes); `stopped`: the caller had seen enough; `sandbox`: it
    never started."""

    status: Status
    exit_code: int | None  # 128 + number after a signal; None when the sandbox killed it
    stdout: bytes  # at most output_bytes
    stderr: bytes
    wall_seconds: float
    cpu_seconds: float  # of the tree
    peak_memory_mb: float  # of the tree, sampled
    backend: str


@dataclass(frozen=True)
class Spent:
    """What a program has used so far: CPU seconds of its whole tree (at the last look), and the wall seconds in which its first
    process was not waiting for a processor, so that a busy machine decides nothing and a sleep counts."""

    cpu_seconds: float
    present_seconds: float


Watch = Callable[[bytearray, Spent], Status | None]
"""Sees the standard output as it grows, and what has been used, now and then and at the end; a status ends the job with it."""
Put = Callable[[bytes], int]
"""Gives a descriptor from which the started command reads this content."""


class Backend(Protocol):
    """One way to isolate a program."""

    name: str

    def run(self, program: Program, seen: Watch) -> Outcome:
        """Runs the program to its end. A UsageError says what is missing here."""


class Keeper(Backend, Protocol):
    """A back end that can also keep a program that answers questions (`session.py`, `warm.py`)."""

    def command(self, program: Program, put: Put, report: int, gate: int) -> list[str]:
        """The command line that runs the program in isolation once there is a byte at the descriptor `gate`, and tells at `report`
        how it goes."""

    def outer_command(self, program: Program, files: Mapping[str, bytes], put: Put) -> list[str]:
        """The command line of a program of ours that makes sandboxes itself: with `files` at absolute paths, the privileges for that,
        no limits, and no descriptor of `put` left open."""
