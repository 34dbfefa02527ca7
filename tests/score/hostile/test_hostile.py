"""Runs every program of `programs/` in the sandbox, two at a time, and checks what must be true whatever it does.

The Python ones run twice: as a command, and in a sandbox that a warm interpreter forks, as the judges run programs.

The head of a program names its kind and the ways in which it may end. A program that gets what it wants prints BREACH.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import secrets
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from magicoder_repro.score import sandbox
from magicoder_repro.score.sandbox import Limits, Outcome, Program

PROGRAMS = sorted((Path(__file__).parent / "programs").iterdir())
WARM_PROGRAMS = [path for path in PROGRAMS if path.suffix == ".py"]
WALL_SECONDS = 2.0
OVERTIME_SECONDS = 1.0
MEMORY_SLACK_MB = 512  # what two cores can fill between two looks of a loaded supervisor
SMALL = Limits(
    WALL_SECONDS, cpu_seconds=WALL_SECONDS * 2, memory_mb=256, scratch_mb=64, file_mb=32, output_bytes=200_000
)
# compilers and virtual machines start slowly and need room; their programs get the same treatment
LARGE = Limits(6.0, cpu_seconds=10.0, memory_mb=1024, scratch_mb=64, file_mb=32, output_bytes=200_000)


GUEST = b"""
WARM = ()

def main():
    with open("main.py") as file:
        exec(compile(file.read(), "main.py", "exec"), {"__name__": "__main__"})
"""


@dataclass(frozen=True)
class Language:
    """How to run a file of one suffix; `home` is the folder of a toolchain outside the runtime."""

    tool: str
    name: str
    argv: tuple[str, ...]
    limits: Limits

    def command(self) -> tuple[tuple[str, ...], tuple[Path, ...]] | None:
        """The command and the folders that it needs, or None where the toolchain is missing."""
        if self.tool == "rustc":
            return _rust(self.argv)
        if self.tool != sys.executable and shutil.which(self.tool, path="/usr/local/bin:/usr/bin:/bin") is None:
            return None
        return self.argv, ()


LANGUAGES = {
    ".py": Language(sys.executable, "main.py", (sys.executable, "-I", "main.py"), SMALL),
    ".js": Language("node", "main.js", ("node", "main.js"), LARGE),
    ".php": Language("php", "main.php", ("php", "main.php"), SMALL),
    ".java": Language("java", "Main.java", ("java", "Main.java"), LARGE),
    ".cpp": Language("g++", "main.cpp", ("sh", "-c", "g++ main.cpp -o main && exec ./main"), LARGE),
    ".rs": Language("rustc", "main.rs", ("sh", "-c", '"$0" main.rs -o main && exec ./main'), LARGE),
}


def _rust(argv: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Path, ...]] | None:
    """rustc of the system, or the one of a rustup toolchain."""
    found = shutil.which("rustc", path="/usr/local/bin:/usr/bin:/bin")
    if found:
        return (*argv, found), ()
    home = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
    toolchains = sorted(home.glob("toolchains/stable*/bin/rustc"))
    return ((*argv, str(toolchains[0])), (toolchains[0].parents[1],)) if toolchains else None


@dataclass(frozen=True)
class Attack:
    """One program: its kind, the statuses it may end with, and how it ended (None: not run, `reason`)."""

    path: Path
    kind: str
    ends: frozenset[str]
    outcome: Outcome | None = None
    seconds: float = 0.0
    limits: Limits = SMALL
    reason: str = ""


def read(path: Path) -> Attack:
    head = path.read_text().split("\n", 2)[:2]
    kind = re.fullmatch(r"(?:#|//|<\?php //) kind: (\w+)", head[0])
    ends = re.fullmatch(r"(?:#|//) ends: ([a-z, ]+)", head[1])
    assert kind, f"{path.name}: no kind"
    assert ends, f"{path.name}: no ends"
    return Attack(path, kind[1], frozenset(ends[1].split(", ")))


@dataclass(frozen=True)
class World:
    """What the programs are after: files with a canary, folders, sockets that count visitors, the environment."""

    canary: str
    targets: bytes
    visits: list[str]
    writable: tuple[Path, ...]
    secret_files: tuple[Path, ...]

    def unchanged(self) -> bool:
        return all(file.read_text() == self.canary for file in self.secret_files) and not any(
            (folder / "hostile").exists() for folder in self.writable
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Plants the canary in the home folder, the repository, a data folder, shared memory and the environment."""
    token = secrets.token_hex(8)
    canary = f"canary-{token}"
    data = tmp_path_factory.mktemp("data")
    repository = Path(__file__).resolve().parents[3]
    folders = (data, repository, Path.home(), Path("/dev/shm"))
    files = tuple(folder / f".magicoder-{canary}" for folder in folders)
    address = f"magicoder-{token}"
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("OPENAI_API_KEY", "HF_TOKEN", "MAGICODER_CANARY"):
            patch.setenv(name, canary)
        for file in files:
            stack.callback(file.unlink, missing_ok=True)
            file.write_text(canary)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for server, place in zip(unix, ("\0" + address, str(data / "socket")), strict=True):
            server.bind(place)
            server.listen()
        targets = {
            "secrets": [str(file) for file in files],
            "writable": [str(folder) for folder in folders if folder != Path("/dev/shm")],  # inside that is its own
            "port": tcp.getsockname()[1],
            "abstract": address,
            "socket": str(data / "socket"),
            "pid": os.getpid(),
        }
        visits: list[str] = []
        yield World(canary, json.dumps(targets).encode(), visits, folders, files)
        for server in (tcp, *unix):
            server.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                server.accept()
                visits.append(str(server.getsockname()))
        assert visits == []


def attack(path: Path, world: World) -> Attack:
    """Runs one program."""
    found = read(path)
    language = LANGUAGES[path.suffix]
    command = language.command()
    if command is None:
        return Attack(path, found.kind, found.ends, reason=f"{language.tool} is not installed")
    argv, shown = command
    files = {language.name: path.read_bytes(), "targets.json": world.targets}
    begun = time.monotonic()
    outcome = sandbox.run(Program(argv, files, stdin=b"x" * 100_000, limits=language.limits, readonly=shown))
    return Attack(path, found.kind, found.ends, outcome, time.monotonic() - begun, language.limits)


def warm_attack(path: Path, world: World, interpreters: queue.SimpleQueue[sandbox.warm.Interpreter]) -> Attack:
    """The same in a sandbox that a warm interpreter forks.

    There a program's threads are not waited for, and what a child shares with its parent counts twice as memory.
    """
    found = read(path)
    interpreter = interpreters.get()
    begun = time.monotonic()
    try:
        outcome = interpreter.run({"main.py": path.read_bytes(), "targets.json": world.targets}, SMALL)
    finally:
        interpreters.put(interpreter)
    return Attack(path, found.kind, found.ends | {"ok", "error", "memory"}, outcome, time.monotonic() - begun)


def children() -> set[str]:
    """Our children. Orphans of a sandbox become ours, so nothing that lives on can hide."""
    return {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


@pytest.fixture(scope="module")
def attacks(world: World) -> dict[Path, Attack]:
    before = children()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda path: attack(path, world), PROGRAMS))
    assert children() == before, "something lives on"
    return {one.path: one for one in done}


@pytest.fixture(scope="module")
def warm_attacks(world: World) -> dict[Path, Attack]:
    backend = sandbox.detect()
    if backend not in sandbox.warm.BACKENDS:
        pytest.skip(f"the back end {backend} has no warm interpreters")
    before = children()
    interpreters: queue.SimpleQueue[sandbox.warm.Interpreter] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            one = sandbox.warm.Interpreter(Path(sys.executable), GUEST, (), backend)
            stack.callback(one.close)
            interpreters.put(one)
        done = list(pool.map(lambda path: warm_attack(path, world, interpreters), WARM_PROGRAMS))
    assert children() == before, "something lives on"
    return {one.path: one for one in done}


@pytest.mark.parametrize("path", PROGRAMS, ids=[path.name for path in PROGRAMS])
def test_attack(path: Path, attacks: dict[Path, Attack], world: World) -> None:
    check(attacks[path], world)


@pytest.mark.parametrize("path", WARM_PROGRAMS, ids=[path.name for path in WARM_PROGRAMS])
def test_attack_in_a_warm_interpreter(path: Path, warm_attacks: dict[Path, Attack], world: World) -> None:
    check(warm_attacks[path], world)


def check(found: Attack, world: World) -> None:
    if found.outcome is None:
        pytest.skip(found.reason)
    output = found.outcome.stdout + found.outcome.stderr
    assert b"BREACH" not in output
    assert world.canary.encode() not in output.replace(world.targets, b"")
    assert found.outcome.status in found.ends, (found.outcome.status, found.outcome.exit_code, output[-2000:])
    assert found.seconds < found.limits.wall_seconds + OVERTIME_SECONDS
    assert found.outcome.peak_memory_mb < found.limits.memory_mb + MEMORY_SLACK_MB
    assert len(found.outcome.stdout) <= found.limits.output_bytes
    assert len(found.outcome.stderr) <= found.limits.output_bytes


def test_the_host_is_unchanged(attacks: dict[Path, Attack], warm_attacks: dict[Path, Attack], world: World) -> None:
    assert attacks and warm_attacks
    assert world.unchanged()
    assert os.getpid() == json.loads(world.targets)["pid"]
    good = sandbox.run(Program((sys.executable, "-I", "main.py"), {"main.py": b"print('good')"}))
    assert (good.status, good.stdout) == ("ok", b"good\n")


def test_summary(attacks: dict[Path, Attack], capsys: pytest.CaptureFixture[str]) -> None:
    statuses = ("ok", "error", "signal", "timeout", "memory", "output", "sandbox")
    counts = Counter((one.kind, one.outcome.status if one.outcome else "skipped") for one in attacks.values())
    rows = [["kind", *statuses, "skipped", "all"]]
    for kind in sorted({one.kind for one in attacks.values()}):
        numbers = [counts[kind, status] for status in (*statuses, "skipped")]
        rows.append([kind, *(str(number or "") for number in numbers), str(sum(numbers))])
    everything = [sum(counts[kind, status] for kind in {key[0] for key in counts}) for status in (*statuses, "skipped")]
    rows.append(["all", *map(str, everything), str(len(attacks))])
    with capsys.disabled():
        print(f"\n\n{len(attacks)} hostile programs, back end {sandbox.detect()}: how each kind ended")
        for row in rows:
            print("  ".join(word.ljust(10) if n == 0 else word.rjust(7) for n, word in enumerate(row)))
        longest = max(attacks.values(), key=lambda one: one.seconds - one.limits.wall_seconds)
        print(
            f"latest end: {longest.seconds - longest.limits.wall_seconds:+.2f} s of the wall limit ({longest.path.name})"
        )
    assert everything[statuses.index("sandbox")] == 0
    assert len(attacks) >= 60
