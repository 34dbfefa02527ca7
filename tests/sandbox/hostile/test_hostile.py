"""Runs every program of `programs/` on every back end that works here, as a command and (the Python ones) in a sandbox that a warm
interpreter forks, as the judges run programs; then checks what must be true whatever it does.

The head of a program names its kind, the ways in which it may end, other limits than the usual ones, and whether it only waits
(`cpu: none`: many of those run beside each other). A program that gets what it wants prints BREACH. Each check has a control that it
has to catch: a suite that cannot see a breach fails.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import queue
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from magicoder_repro import sandbox
from magicoder_repro.sandbox import Limits, Outcome, Program

pytestmark = [pytest.mark.sandbox, pytest.mark.timing]
PROGRAMS = sorted((Path(__file__).parent / "programs").iterdir())
WARM_PROGRAMS = [path for path in PROGRAMS if path.suffix == ".py"]
WALL_SECONDS = 2.0
OVERTIME_SECONDS = 1.0
MEMORY_SLACK_MB = 512  # what two cores can fill between two looks of a loaded supervisor
WORKERS, WAITING_WORKERS = 2, 8
SMALL = Limits(
    WALL_SECONDS, cpu_seconds=WALL_SECONDS * 2, memory_mb=256, scratch_mb=64, file_mb=32, output_bytes=200_000
)
# compilers and virtual machines start slowly and need room; their programs get the same treatment
LARGE = Limits(6.0, cpu_seconds=10.0, memory_mb=1024, scratch_mb=64, file_mb=32, output_bytes=200_000)


GUEST = b"""
WARM = ()

def main():
    import sys
    try:
        with open("main.py") as file:
            exec(compile(file.read(), "main.py", "exec"), {"__name__": "__main__"})
    finally:
        for stream in (sys.stdout, sys.stderr):  # the interpreter ends without doing so
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
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
class Head:
    """What the first lines of a program say of it."""

    kind: str
    ends: frozenset[str]
    limits: dict[str, float]
    waits: bool


@dataclass(frozen=True)
class Attack:
    """One program and how it ended (None: not run, `reason`)."""

    path: Path
    head: Head
    outcome: Outcome | None = None
    seconds: float = 0.0
    limits: Limits = SMALL
    reason: str = ""


def read(path: Path) -> Head:
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        row = re.fullmatch(r"(?:#|//|<\?php //) (kind|ends|limits|cpu): (.+)", line)
        if row is None:
            break
        found[row[1]] = row[2]
    limits = (pair.split("=") for pair in found.get("limits", "").split(", ") if pair)
    ends = frozenset(found["ends"].split(", "))
    return Head(found["kind"], ends, {name: float(value) for name, value in limits}, found.get("cpu") == "none")


@dataclass(frozen=True)
class World:
    """What the programs are after: files with a canary, folders, sockets that count visitors, the environment."""

    canary: str
    targets: bytes
    servers: tuple[socket.socket, ...]
    writable: tuple[Path, ...]
    secret_files: tuple[Path, ...]
    visits: list[str] = field(default_factory=list)

    def unchanged(self) -> bool:
        return all(file.read_text() == self.canary for file in self.secret_files) and not any(
            (folder / "hostile").exists() for folder in self.writable
        )

    def visitors(self) -> list[str]:
        """Whom anybody has reached since the last time that this was asked."""
        found = []
        for server in self.servers:
            with contextlib.suppress(BlockingIOError):
                while True:
                    server.accept()[0].close()
                    found.append(str(server.getsockname()))
        return found


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
        lock = stack.enter_context(Path("/usr/bin/env").open("rb"))
        fcntl.flock(lock, fcntl.LOCK_EX)
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
        for server in (tcp, *unix):
            server.setblocking(False)
        yield World(canary, json.dumps(targets).encode(), (tcp, *unix), folders, files)


def attack(path: Path, world: World, backend: str) -> Attack:
    """Runs one program as a command."""
    head = read(path)
    language = LANGUAGES[path.suffix]
    command = language.command()
    if command is None:
        return Attack(path, head, reason=f"{language.tool} is not installed")
    argv, shown = command
    files = {language.name: path.read_bytes(), "targets.json": world.targets}
    limits = dataclasses.replace(language.limits, **head.limits)
    begun = time.monotonic()
    outcome = sandbox.run(Program(argv, files, stdin=b"x" * 100_000, limits=limits, readonly=shown), backend)
    return Attack(path, head, outcome, time.monotonic() - begun, limits)


def warm_attack(path: Path, world: World, interpreters: queue.SimpleQueue[sandbox.warm.Interpreter]) -> Attack:
    """The same in a sandbox that a warm interpreter forks.

    There a program's threads are not waited for, and what a child shares with its parent counts twice as memory.
    """
    head = read(path)
    head = dataclasses.replace(head, ends=head.ends | {"ok", "error", "memory"})
    limits = dataclasses.replace(SMALL, **head.limits)
    interpreter = interpreters.get()
    begun = time.monotonic()
    try:
        outcome = interpreter.run({"main.py": path.read_bytes(), "targets.json": world.targets}, limits)
    finally:
        interpreters.put(interpreter)
    return Attack(path, head, outcome, time.monotonic() - begun, limits)


def children() -> set[str]:
    """Our children. Orphans of a sandbox become ours, so nothing that lives on can hide."""
    found = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            found |= set(file.read_text().split())
    return found


def run_all(paths: list[Path], run: Callable[[Path], Attack]) -> list[Attack]:
    """Runs programs as many at a time as they let each other work."""
    waiting = [path for path in paths if read(path).waits]
    working = [path for path in paths if path not in waiting]
    done = []
    for some, workers in ((waiting, WAITING_WORKERS), (working, WORKERS)):
        with ThreadPoolExecutor(workers) as pool:
            done += list(pool.map(run, some))
    return done


@contextlib.contextmanager
def warm_interpreters(backend: str, count: int) -> Iterator[queue.SimpleQueue[sandbox.warm.Interpreter]]:
    interpreters: queue.SimpleQueue[sandbox.warm.Interpreter] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            one = sandbox.warm.Interpreter(Path(sys.executable), GUEST, (), backend)
            stack.callback(one.close)
            interpreters.put(one)
        yield interpreters


def usable(backend: str) -> str:
    if sandbox.gap(backend) is not None:
        pytest.skip(f"back end {backend} does not work on this machine")
    return backend


@pytest.fixture(params=["bubblewrap", "userns"], scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    return usable(str(request.param))


@pytest.fixture(params=["bubblewrap", "userns"], scope="module")
def warm_backend(request: pytest.FixtureRequest) -> str:
    return usable(str(request.param))


@pytest.fixture(scope="module")
def attacks(world: World, backend: str) -> dict[Path, Attack]:
    before = children()
    done = run_all(PROGRAMS, lambda path: attack(path, world, backend))
    world.visits.extend(world.visitors())
    assert_nothing_lives_on(before)
    return {one.path: one for one in done}


@pytest.fixture(scope="module")
def warm_attacks(world: World, warm_backend: str) -> dict[Path, Attack]:
    before = children()
    with warm_interpreters(warm_backend, WAITING_WORKERS) as interpreters:
        done = run_all(WARM_PROGRAMS, lambda path: warm_attack(path, world, interpreters))
    world.visits.extend(world.visitors())
    assert_nothing_lives_on(before)
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
    assert b"BREACH" not in output, output[-2000:]
    assert world.canary.encode() not in output.replace(world.targets, b""), "the canary is out"
    assert found.outcome.status in found.head.ends, (found.outcome.status, found.outcome.exit_code, output[-2000:])
    assert found.seconds < found.limits.wall_seconds + OVERTIME_SECONDS, "it ended late"
    assert found.outcome.peak_memory_mb < found.limits.memory_mb + MEMORY_SLACK_MB, "too much memory"
    assert len(found.outcome.stdout) <= found.limits.output_bytes, "too much output"
    assert len(found.outcome.stderr) <= found.limits.output_bytes, "too much output"


def assert_nothing_lives_on(before: set[str]) -> None:
    assert children() == before, "something lives on"


def assert_host_unchanged(world: World) -> None:
    assert world.unchanged(), "the host's files are changed"
    assert os.getpid() == json.loads(world.targets)["pid"]


def assert_nobody_came(world: World) -> None:
    assert world.visits == [], "somebody came"


def test_the_host_is_unchanged(attacks: dict[Path, Attack], world: World, backend: str) -> None:
    assert attacks
    assert_host_unchanged(world)
    assert_nobody_came(world)
    good = sandbox.run(Program((sys.executable, "-I", "main.py"), {"main.py": b"print('good')"}), backend)
    assert (good.status, good.stdout) == ("ok", b"good\n")


def test_the_host_is_unchanged_by_warm_programs(warm_attacks: dict[Path, Attack], world: World) -> None:
    assert warm_attacks
    assert_host_unchanged(world)
    assert_nobody_came(world)


def test_summary(attacks: dict[Path, Attack], backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        summarize(attacks, f"back end {backend}, uid {os.getuid()}")
    assert_started(attacks)
    assert len(attacks) >= 60


def test_summary_of_warm_programs(
    warm_attacks: dict[Path, Attack], warm_backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        summarize(warm_attacks, f"back end {warm_backend}, warm interpreters, uid {os.getuid()}")
    assert_started(warm_attacks)
    assert len(warm_attacks) >= 60


def assert_started(attacks: dict[Path, Attack]) -> None:
    assert not [path.name for path, one in attacks.items() if one.outcome and one.outcome.status == "sandbox"]


def summarize(attacks: dict[Path, Attack], where: str) -> None:
    statuses = ("ok", "error", "signal", "timeout", "memory", "output", "sandbox")
    counts = Counter((one.head.kind, one.outcome.status if one.outcome else "skipped") for one in attacks.values())
    rows = [["kind", *statuses, "skipped", "all"]]
    for kind in sorted({one.head.kind for one in attacks.values()}):
        numbers = [counts[kind, status] for status in (*statuses, "skipped")]
        rows.append([kind, *(str(number or "") for number in numbers), str(sum(numbers))])
    everything = [sum(counts[kind, status] for kind in {key[0] for key in counts}) for status in (*statuses, "skipped")]
    rows.append(["all", *map(str, everything), str(len(attacks))])
    print(f"\n\n{len(attacks)} hostile programs, {where}: how each kind ended")
    for row in rows:
        print("  ".join(word.ljust(10) if n == 0 else word.rjust(7) for n, word in enumerate(row)))
    longest = max(attacks.values(), key=lambda one: one.seconds - one.limits.wall_seconds)
    print(f"latest end: {longest.seconds - longest.limits.wall_seconds:+.2f} s of the wall limit ({longest.path.name})")


# controls: what each check has to catch


def control(tmp_path: Path, world: World, code: str, ends: str = "ok") -> Path:
    path = tmp_path / "control.py"
    path.write_text(f"# kind: control\n# ends: {ends}\n" + code.replace("CANARY", world.canary))
    return path


CAUGHT = {
    "a breach": ("import sys\nprint('BREACH', end='')", "BREACH"),
    "a breach before an error": ("print('BREACH')\nraise SystemExit(1)", "BREACH"),
    "a breach on stderr": ("import sys\nsys.stderr.write('BREACH')", "BREACH"),
    "a breach of a child": ("import os\nif os.fork() == 0: os.write(1, b'BREACH'); os._exit(0)\nos.wait()", "BREACH"),
    "the canary": ("print('CANARY')", "canary"),
    "a wrong end": ("import time\ntime.sleep(60)", "timeout"),
}


@pytest.mark.parametrize("what", CAUGHT)
def test_control_of_a_command(what: str, world: World, backend: str, tmp_path: Path) -> None:
    code, caught = CAUGHT[what]
    with pytest.raises(AssertionError, match=caught):
        check(attack(control(tmp_path, world, code), world, backend), world)


@pytest.mark.parametrize("what", CAUGHT)
def test_control_of_a_warm_program(what: str, world: World, warm_backend: str, tmp_path: Path) -> None:
    code, caught = CAUGHT[what]
    with warm_interpreters(warm_backend, 1) as interpreters, pytest.raises(AssertionError, match=caught):
        check(warm_attack(control(tmp_path, world, code), world, interpreters), world)


@pytest.mark.parametrize(
    ("changed", "caught"),
    [
        ({"seconds": SMALL.wall_seconds + OVERTIME_SECONDS}, "late"),
        ({"peak_memory_mb": SMALL.memory_mb + MEMORY_SLACK_MB}, "memory"),
        ({"stdout": b"x" * 200_001}, "output"),
        ({"stderr": b"x" * 200_001}, "output"),
    ],
)
def test_control_of_the_bounds(changed: dict[str, float], caught: str, world: World) -> None:
    outcome = Outcome("ok", 0, b"", b"", 1.0, 0.5, 10.0, "control")
    head = Head("control", frozenset({"ok"}), {}, waits=False)
    check(Attack(Path("control"), head, outcome), world)
    seconds = changed.pop("seconds", 0.0)
    with pytest.raises(AssertionError, match=caught):
        check(Attack(Path("control"), head, dataclasses.replace(outcome, **changed), seconds), world)


@pytest.mark.parametrize("name", ["read_secrets.py", "loopback.py", "unix_sockets.py", "locks_on_shared_files.py"])
def test_control_without_a_sandbox(name: str, world: World) -> None:
    """The programs themselves: with nothing around them they get what they want, and say so."""
    path = Path(__file__).parent / "programs" / name
    with pytest.raises(AssertionError, match="BREACH"):
        check(attack(path, world, "none"), world)
    assert world.visitors() or path.stem in ("read_secrets", "locks_on_shared_files")


def test_control_of_the_host(world: World) -> None:
    changed = world.writable[0] / "hostile"
    changed.write_text("x")
    try:
        with pytest.raises(AssertionError, match="changed"):
            assert_host_unchanged(world)
    finally:
        changed.unlink()
    assert_host_unchanged(world)
    with pytest.raises(AssertionError, match="changed"):
        assert_host_unchanged(dataclasses.replace(world, canary="another"))


def test_control_of_the_visitors(world: World) -> None:
    for server in world.servers:
        with socket.socket(server.family) as visitor:
            visitor.connect(server.getsockname())
        came = world.visitors()
        with pytest.raises(AssertionError, match="came"):
            assert_nobody_came(dataclasses.replace(world, visits=came))
    assert world.visitors() == []


def test_control_of_what_lives_on() -> None:
    before = children()
    with subprocess.Popen(["sleep", "60"]) as child:
        with pytest.raises(AssertionError, match="lives on"):
            assert_nothing_lives_on(before)
        child.kill()
    assert_nothing_lives_on(before)


def test_control_of_what_never_started() -> None:
    never = Outcome("sandbox", None, b"", b"", 1.0, 0.5, 10.0, "control")
    path, head = Path("control"), Head("control", frozenset({"sandbox"}), {}, waits=False)
    with pytest.raises(AssertionError, match="control"):
        assert_started({path: Attack(path, head, never)})
