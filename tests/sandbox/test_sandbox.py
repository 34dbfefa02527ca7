"""The promises of the sandbox, each on every back end that works here."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import fcntl
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from magicoder_repro import sandbox
from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import (
    Limits,
    Outcome,
    Program,
    backends,
    cgroups,
    seccomp,
    supervise,
    tree,
    view,
)

pytestmark = [pytest.mark.sandbox, pytest.mark.timing]
SMALL = Limits(wall_seconds=5.0, cpu_seconds=5.0, memory_mb=512)
PYTHON = (sys.executable, "-I", "-S", "main.py")
ENVIRONMENT = set(view.environment())


@pytest.fixture(params=["bubblewrap", "userns"], scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if sandbox.gap(name) is not None:
        pytest.skip(f"back end {name} does not work on this machine")
    return name


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test leaves a process or a descriptor behind. Orphans of sandboxes become our children: none can hide."""
    before = children(), len(list(Path("/proc/self/fd").iterdir()))
    yield
    gc.collect()  # an interrupt's traceback holds files that were open, in a circle
    assert (children(), len(list(Path("/proc/self/fd").iterdir()))) == before


def test_orphans_become_ours(backend: str) -> None:
    assert python(backend, "").status == "ok"
    ours = ctypes.c_int()
    ctypes.CDLL(None).prctl(37, ctypes.byref(ours), 0, 0, 0)  # PR_GET_CHILD_SUBREAPER
    assert ours.value == 1


def children() -> list[str]:
    found = []
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            found += file.read_text().split()
    return found


def python(backend: str, code: str, limits: Limits = SMALL, **more: object) -> Outcome:
    files = {"main.py": code.encode(), **more.pop("files", {})}  # type: ignore[dict-item]
    return sandbox.run(Program(PYTHON, files, limits=limits, **more), backend)  # type: ignore[arg-type]


def answer(backend: str, code: str, limits: Limits = SMALL, **more: object) -> object:
    """What the code prints, as JSON; the code must end well."""
    outcome = python(backend, code, limits, **more)
    assert (outcome.status, outcome.stderr) == ("ok", b""), outcome
    return json.loads(outcome.stdout)


# what comes in and out


def test_files_stdin_and_output(backend: str) -> None:
    code = "import os,sys; print(os.getcwd(), open('a/b/c.txt').read(), sys.stdin.read()); print('e', file=sys.stderr)"
    outcome = python(backend, code, stdin=b"in\n" * 100_000, files={"a/b/c.txt": b"content"})
    assert outcome.stdout == b"/box content " + b"in\n" * 100_000 + b"\n"
    assert (outcome.status, outcome.exit_code, outcome.stderr, outcome.backend) == ("ok", 0, b"e\n", backend)
    assert 0 < outcome.cpu_seconds < 5
    assert 0 < outcome.wall_seconds < 5


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("raise SystemExit(3)", "error", 3),
        ("1/0", "error", 1),
        ("import os; os.abort()", "signal", 128 + signal.SIGABRT),
        ("import os; os.kill(os.getpid(), 15)", "signal", 128 + signal.SIGTERM),
        ("import os; os._exit(0)", "ok", 0),
    ],
)
def test_how_a_program_ended(backend: str, code: str, status: str, exit_code: int) -> None:
    outcome = python(backend, code)
    assert (outcome.status, outcome.exit_code) == (status, exit_code)


def test_commands_are_looked_up_inside(backend: str) -> None:
    assert sandbox.run(Program(("true",)), backend).status == "ok"
    assert sandbox.run(Program(("no-such-command",)), backend).exit_code == 127


def test_readonly_folder_is_shown_and_nothing_around_it(backend: str, tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "file").write_text("yes")
    (tmp_path / "secret").write_text("no")
    code = f"import os, json; print(json.dumps([os.listdir({str(tmp_path)!r}), open({str(tmp_path / 'seen/file')!r}).read()]))"
    assert answer(backend, code, readonly=(tmp_path / "seen",)) == [["seen"], "yes"]


WARM_GUEST = b"""
WARM = ()

def main():
    with open("main.py") as file:
        exec(file.read(), {"__name__": "__main__"})
"""


@pytest.fixture
def warm(backend: str, tmp_path: Path) -> Iterator[sandbox.warm.Interpreter]:
    """A warm interpreter that is shown one folder below /tmp."""
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "file").write_text("yes")
    (tmp_path / "secret").write_text("no")
    interpreter = sandbox.warm.Interpreter(Path(sys.executable), WARM_GUEST, (tmp_path / "seen",), backend)
    yield interpreter
    interpreter.close()


def test_a_warm_interpreter_shows_folders_below_tmp_and_nothing_around_them(
    warm: sandbox.warm.Interpreter, tmp_path: Path
) -> None:
    seen = tmp_path / "seen" / "file"
    code = f"""
import os
assert os.listdir({str(tmp_path)!r}) == ['seen'] and open({str(seen)!r}).read() == 'yes'
for attempt in (lambda: open({str(seen)!r}, 'w'), lambda: open({str(tmp_path / "seen/new")!r}, 'w')):
    try: attempt()
    except OSError as error: assert error.errno in (13, 30), error
    else: raise AssertionError
open('/tmp/mine', 'w').write('x')
"""
    assert warm.run({"main.py": code.encode()}, SMALL).status == "ok"
    again = warm.run({"main.py": b"import os; assert not os.path.exists('/tmp/mine'); raise SystemExit(5)"}, SMALL)
    assert (again.status, again.exit_code) == ("error", 5)
    assert seen.read_text() == "yes"


def test_a_warm_interpreter_that_broke_says_so(warm: sandbox.warm.Interpreter) -> None:
    assert warm.run({"main.py": b"pass"}, SMALL).status == "ok"
    os.kill(warm._chain[-1], signal.SIGKILL)
    assert warm.run({"main.py": b"pass"}, SMALL).status == "sandbox"


def test_after_a_keeper_was_killed_a_warm_interpreter_still_watches(warm: sandbox.warm.Interpreter) -> None:
    """The process that waits for a namespace dies (out of memory, say): the namespace dies too, and no later program escapes."""
    with ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(warm.run, {"main.py": b"import time; time.sleep(30)"}, Limits(wall_seconds=20.0))
        keeper = None
        while keeper is None:
            keeper = tree.first_child(warm._chain[-1])
        time.sleep(0.3)
        os.kill(keeper, signal.SIGKILL)
        assert sleeping.result().status == "signal" and sleeping.result().wall_seconds < 10
    outcome = warm.run(
        {"main.py": b"x = bytearray(1 << 30)\nwhile True: pass"}, Limits(wall_seconds=5.0, memory_mb=256)
    )
    assert outcome.status in ("memory", "error")
    assert warm.run({"main.py": b"while True: pass"}, Limits(wall_seconds=0.5)).status == "timeout"


@pytest.mark.parametrize("name", ["../up", "/abs", "a/../../up", "", ".", "a//b", ".tmp"])
def test_bad_file_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Program(("true",), {name: b""})


@pytest.mark.parametrize("folder", [Path("/"), Path.home(), Path.home().parent, Path("relative"), Path("/no/such")])
def test_bad_readonly_folders_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError):
        Program(("true",), readonly=(folder,))


def test_empty_command_is_refused() -> None:
    with pytest.raises(UsageError):
        Program(())


# no network


def test_no_network(backend: str) -> None:
    code = """
import json, socket
def attempt(family, address):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.settimeout(1); s.connect(address)
        return "connected"
    except OSError:
        return "refused"
port, name = json.load(open("target.json"))
print(json.dumps([
    attempt(socket.AF_INET, ("127.0.0.1", port)), attempt(socket.AF_INET6, ("::1", port)),
    attempt(socket.AF_UNIX, "\\0" + name), open("/proc/net/dev").read().count(":"),
]))
"""
    name = f"magicoder-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0" + name)
        unix.listen()
        target = json.dumps([tcp.getsockname()[1], name]).encode()
        found = answer(backend, code, files={"target.json": target})
    assert found == ["refused", "refused", "refused", 1]  # one interface: a loopback of its own


# host files


def test_host_files_are_not_there(backend: str, tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("secret")
    shared = Path("/dev/shm") / f"magicoder-canary-{os.getpid()}"
    shared.write_text("secret")
    repo = Path(__file__).resolve().parents[2]
    hidden = [tmp_path / "canary", shared, repo / "pyproject.toml", repo / ".git", Path(__file__), Path.home() / ".ssh"]
    hidden += [
        Path(path)
        for path in ("/etc/shadow", "/etc/hostname", "/etc/ssh", "/var", "/run", "/sys", "/opt", "/mnt", "/srv")
    ]
    code = "import json, os; print(json.dumps([os.listdir('/'), [p for p in json.load(open('p.json')) if os.path.lexists(p)]]))"
    try:
        top, seen = answer(backend, code, files={"p.json": json.dumps([str(path) for path in hidden]).encode()})  # type: ignore[misc]
    finally:
        shared.unlink()
    assert seen == []
    allowed = {"bin", "box", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "tmp", "usr"}
    prefixes = {Path(prefix).parts[1] for prefix in (sys.prefix, sys.base_prefix)}
    assert set(top) <= allowed | prefixes


def test_all_mounts_are_read_only_but_the_private_folder(backend: str) -> None:
    code = "import json; print(json.dumps([line.split() for line in open('/proc/self/mountinfo')]))"
    rows = answer(backend, code)
    options = {row[4]: set(row[5].split(",")) for row in rows}  # type: ignore[attr-defined]
    writable = {path for path, words in options.items() if "ro" not in words and not path.startswith("/dev/")}
    assert writable == {"/box"}
    assert all("nosuid" in words for words in options.values())
    assert {path for path in options if path.startswith("/dev/")} == {f"/dev/{name}" for name in view.DEVICES}


def test_writes_only_in_the_private_folder(backend: str) -> None:
    code = f"""
import json, os
def writable(folder):
    try:
        open(os.path.join(folder, "probe"), "w").close()
        return True
    except OSError:
        return False
folders = ["/", "/usr", "/etc", "/dev", "/proc", "/proc/sys/kernel", {sys.base_prefix!r}, {sys.prefix!r}]
print(json.dumps([[f for f in folders if writable(f)], [f for f in ("/box", "/tmp", "/dev/shm") if writable(f)]]))
"""
    assert answer(backend, code) == [[], ["/box", "/tmp", "/dev/shm"]]


def test_the_private_folder_is_fresh(backend: str) -> None:
    code = "import os; print(sorted(os.listdir('/box')), os.listdir('/tmp')); open('/tmp/x','w'); open('x','w')"
    shown = [Path(sys.prefix).parts[2]] if Path(sys.prefix).is_relative_to("/tmp") else []  # the environment itself
    for _ in range(2):
        assert python(backend, code).stdout == f"['.tmp', 'main.py'] {shown}\n".encode()


# environment and identity


def test_environment_is_small_and_fixed(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    monkeypatch.setenv("HF_TOKEN", "canary-token")
    code = """
import glob, json, os
seen = ""
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/task/*/environ"):
    try:
        seen += open(path).read()
    except OSError:
        pass
print(json.dumps([sorted(os.environ), "canary" in seen]))
"""
    names, leaked = answer(backend, code)  # type: ignore[misc]
    assert set(names) - {"PWD", "LC_CTYPE"} == ENVIRONMENT
    assert not leaked


def test_no_privileges(backend: str) -> None:
    code = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
print(json.dumps([os.getuid(), os.getgid(), os.getgroups(), [int(status[n], 16) for n in names], status["NoNewPrivs"],
    status["Seccomp"], open("/proc/self/oom_score_adj").read().strip()]))
"""
    uid, gid, groups, capabilities, no_new, filtered, sacrifice = answer(backend, code)  # type: ignore[misc]
    assert uid not in {0, os.getuid()}
    assert gid not in {0, os.getgid()}
    assert groups in ([], [gid], [view.NOBODY])
    assert capabilities == [0] * 5
    assert no_new == "1"
    assert filtered == "2"
    assert sacrifice == "1000"  # out of memory: the kernel takes this first


@pytest.mark.skipif(seccomp.program(True) is None, reason="no system call filter for this machine")
def test_refused_system_calls(backend: str) -> None:
    numbers = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    calls = {name: number for name, (number, _) in seccomp.refused().items()}
    code = f"""
import ctypes, errno, json
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    ctypes.set_errno(0)
    return libc.syscall(*words), errno.errorcode.get(ctypes.get_errno(), "")
found = {{name: call(number, 0, 0, 0, 0, 0) for name, number in {calls!r}.items()}}
found["clone"] = call({seccomp._CLONE[numbers]}, 0x10000000 | 17, 0, 0, 0, 0)
found["clone3"] = call({seccomp._CLONE3}, 0, 0)
found["socket"] = call({seccomp._SOCKET[numbers]}, 2, 1, 0)
found["socketpair"] = call({seccomp._SOCKETPAIR[numbers]}, 2, 1, 0, 0)
found["of the future"] = call(470, 0, 0, 0, 0, 0, 0)
print(json.dumps(found))
"""
    outcome = sandbox.run(Program((sys.executable, "-I", "main.py"), {"main.py": code.encode()}, limits=SMALL), backend)
    found = json.loads(outcome.stdout)
    assert found.pop("clone3") == [-1, "ENOSYS"]
    assert found.pop("of the future") == [-1, "ENOSYS"]
    assert found.pop("socket") == found.pop("socketpair") == [-1, "EAFNOSUPPORT"]
    wanted = {
        name: [-1, errno.errorcode[number]] if number else [0, ""] for name, (_, number) in seccomp.refused().items()
    }
    assert found.pop("clone") == [-1, "EPERM"]
    assert {name: result for name, result in found.items() if result != wanted[name]} == {}


def test_no_other_process_in_sight(backend: str) -> None:
    code = f"""
import json, os
def reach(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
print(json.dumps([pids == [1, os.getpid()], reach({os.getpid()}) and {os.getpid()} not in pids]))
"""
    assert answer(backend, code) == [True, False]


def test_signals_do_not_leave(backend: str) -> None:
    code = "import os\nfor pid in (-1, 1, os.getppid()):\n try: os.kill(pid, 9)\n except OSError: pass\nprint('here')"
    outcome = python(backend, code)
    assert outcome.status in {"ok", "signal"}


# limits


def test_wall_limit(backend: str) -> None:
    begun = time.monotonic()
    code = "import signal, time\nfor n in {*range(1, 65)} - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)"
    outcome = python(backend, code, Limits(wall_seconds=0.7))
    assert outcome.status == "timeout"
    assert outcome.exit_code is None
    assert 0.7 <= time.monotonic() - begun < 1.7
    assert outcome.cpu_seconds < 0.7


def test_cpu_limit_of_the_tree(backend: str) -> None:
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    outcome = python(backend, code, Limits(wall_seconds=20.0, cpu_seconds=0.5))
    assert outcome.status == "timeout"
    assert outcome.wall_seconds < 5
    assert 0.5 <= outcome.cpu_seconds < 1.5


MEMORY = {
    "touched": "x = [bytearray(1 << 22) for _ in range(10 ** 4)]",
    "children": "import os, time\nfor _ in range(7): os.fork()\nx = [bytearray(b'x' * (1 << 20)) for _ in range(20)]\ntime.sleep(9)",
    "shared": "import mmap\nm = mmap.mmap(-1, 1 << 32)\nfor i in range(0, 1 << 32, 4096): m[i] = 1",
    "half shared": """
import mmap, time
half = bytearray(150 << 20)
other = mmap.mmap(-1, 150 << 20)
for i in range(0, 150 << 20, 4096): half[i] = other[i] = 1
time.sleep(60)
""",
    "shared, dropped": """
import mmap
kept = []
while True:
    m = mmap.mmap(-1, 1 << 24)
    m.write(b"x" * (1 << 24))
    m.madvise(mmap.MADV_DONTNEED)
    kept.append(m)
""",
    "private folder": "import time\nfor n in range(7):\n open(f'/tmp/{n}', 'wb').write(b'x' * (60 << 20))\ntime.sleep(9)",
    "page tables": """
import mmap
kept = []
while True:
    kept.append(mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
    for i in range(0, 1 << 40, 1 << 21): kept[-1][i]
""",
    "sockets": """
import os, socket, time
for _ in range(4): os.fork()
kept = [s for _ in range(100) for s in socket.socketpair()]
time.sleep(9)
""",
}


@pytest.mark.parametrize("kind", MEMORY)
def test_memory_limit(backend: str, kind: str) -> None:
    scratch = 1024 if kind == "private folder" else 32
    limits = Limits(wall_seconds=8.0, cpu_seconds=20.0, memory_mb=256, processes=200, scratch_mb=scratch)
    outcome = sandbox.run(
        Program((sys.executable, "-I", "main.py"), {"main.py": MEMORY[kind].encode()}, limits=limits), backend
    )
    assert outcome.status in {"memory", "error"} if kind == "touched" else outcome.status == "memory", outcome
    assert outcome.wall_seconds < 8
    if kind not in {"shared", "sockets"}:  # of these the bound is counted, not the use
        assert outcome.peak_memory_mb < 256 + 512


def test_memory_of_one_process_is_bounded_without_polling(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magicoder_repro.sandbox.supervise._POLL_SECONDS", 60.0)
    outcome = python(backend, "x = bytearray(400 << 20)", Limits(wall_seconds=5, memory_mb=256))
    assert outcome.status == "error"
    assert b"MemoryError" in outcome.stderr


def test_virtual_memory_is_not_bounded(backend: str) -> None:
    code = "import mmap; mmap.mmap(-1, 1 << 36, prot=0, flags=mmap.MAP_PRIVATE)"  # as the JVM and V8 do
    assert python(backend, code, Limits(memory_mb=128)).status == "ok"


def test_shared_memory_counts_once(backend: str) -> None:
    code = """
import mmap, os, time
m = mmap.mmap(-1, 100 << 20)
for _ in range(3): os.fork()
for i in range(0, 100 << 20, 4096): m[i] = 1
time.sleep(0.3)
"""
    limits = Limits(memory_mb=256, wall_seconds=20.0)
    outcome = sandbox.run(
        Program((sys.executable, "-I", "main.py"), {"main.py": code.encode()}, limits=limits), backend
    )
    assert outcome.status == "ok", outcome
    assert 100 < outcome.peak_memory_mb < 200


def test_process_limit(backend: str) -> None:
    code = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except BlockingIOError:
    pass
print(made)
"""
    made = int(python(backend, code, Limits(wall_seconds=10.0, processes=20)).stdout)
    assert 15 <= made < 20


def test_process_limit_holds_without_rlimit(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "limit_options", lambda limits: [])
    code = "import os, time\nfor _ in range(7): os.fork()\ntime.sleep(60)"
    outcome = python(backend, code, Limits(wall_seconds=10.0, processes=20))
    assert (outcome.status, outcome.exit_code) == ("signal", None)


def test_open_files_and_file_size(backend: str) -> None:
    code = """
import json, os
files = []
try:
    while True: files.append(os.open("/dev/null", 0))
except OSError: pass
count = len(files)
for f in files: os.close(f)
size = 0
try:
    with open("big", "wb", buffering=0) as f:
        while True: size += f.write(b"x" * 65536)
except OSError: pass
print(json.dumps([count, size]))
"""
    count, size = answer(backend, code, Limits(open_files=40, file_mb=3))  # type: ignore[misc]
    assert 30 < count < 40
    assert size == 3 << 20


def test_private_folder_is_bounded(backend: str) -> None:
    code = """
import json
total = 0
for folder in ("/box", "/tmp", "/dev/shm"):
    try:
        with open(folder + "/big", "wb", buffering=0) as f:
            while True: total += f.write(b"x" * 65536)
    except OSError: pass
print(json.dumps(total))
"""
    total = answer(backend, code, Limits(scratch_mb=8))
    assert 7 << 20 < total <= 8 << 20  # type: ignore[operator]


def test_many_inodes(backend: str) -> None:
    code = "import os, time\nfor n in range(10 ** 6): os.close(os.open(f'/tmp/{n}', os.O_CREAT))\n"
    outcome = python(backend, code, Limits(wall_seconds=9.0))
    assert outcome.status in {"memory", "error"}


@pytest.mark.parametrize("stream", [1, 2])
def test_output_limit(backend: str, stream: int) -> None:
    limits = Limits(wall_seconds=5.0, output_bytes=100_000)
    flood = python(backend, f"import os\nwhile True: os.write({stream}, b'x' * 8192)", limits)
    assert (flood.status, flood.exit_code) == ("output", None)
    assert [flood.stdout, flood.stderr][stream - 1] == b"x" * 100_000
    assert flood.wall_seconds < 2
    exact = f"import os\nleft = 100_000\nwhile left: left -= os.write({stream}, b'x' * left)"
    assert python(backend, exact, limits).status == "ok"
    assert python(backend, exact + f"\nos.write({stream}, b'x')", limits).status == "output"


def test_output_left_in_the_pipe_is_read(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magicoder_repro.sandbox.supervise._CHUNK", 100)  # much slower than the program
    code = "import fcntl, os\nfcntl.fcntl(1, 1031, 1 << 20)\nos.write(1, b'x' * 900_000)\nos._exit(0)"
    assert len(python(backend, code).stdout) == 900_000


# nothing is left, nothing is shared


def test_nothing_lives_on(backend: str) -> None:
    code = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in (0, 2): os.close(fd)  # stdout stays open
            time.sleep(60)
        os._exit(0)
print("done", flush=True)
"""
    before = children()
    begun = time.monotonic()
    outcome = python(backend, code, Limits(wall_seconds=20.0))
    assert (outcome.status, outcome.stdout) == ("ok", b"done\n")
    assert time.monotonic() - begun < 5
    assert children() == before


def test_nothing_lives_on_when_the_scorer_is_killed(backend: str) -> None:
    program = f"""
from magicoder_repro import sandbox
print("ready", flush=True)
sandbox.run(sandbox.Program(("sleep", "61.{os.getpid()}")), {backend!r})
"""
    path = os.pathsep.join([str(Path(sandbox.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    before = children()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    ) as scorer:
        assert scorer.stdout
        assert scorer.stdout.readline() == b"ready\n"
        wait_for(lambda: sleeping() == 1)
        scorer.kill()
    wait_for(lambda: sleeping() == 0)
    for pid in set(children()) - set(before):  # we adopted its orphans
        with contextlib.suppress(ChildProcessError):
            os.waitpid(int(pid), 0)


def sleeping() -> int:
    wanted = f"sleep\0{61}.{os.getpid()}\0".encode()
    found = 0
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += file.read_bytes() == wanted
    return found


def wait_for(condition: object) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    pytest.fail("it did not come to pass within 5 seconds")


def test_one_program_does_not_change_another(backend: str) -> None:
    bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
    with ThreadPoolExecutor(2) as pool:
        hostile = pool.submit(python, backend, bomb, Limits(wall_seconds=2.0, cpu_seconds=60.0))
        good = [
            pool.submit(python, backend, "import os; os.fork() and os.wait(); print('good')").result() for _ in range(5)
        ]
        assert hostile.result().status == "timeout"
    assert [(one.status, one.stdout) for one in good] == [("ok", b"good\ngood\n")] * 5


def test_many_threads_at_once(backend: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: python(backend, f"print({n})", Limits(wall_seconds=30.0)), range(40)))
    assert [(one.status, one.stdout) for one in outcomes] == [("ok", f"{n}\n".encode()) for n in range(40)]


def test_an_interrupted_scorer_cleans_up(backend: str) -> None:
    before = children()
    signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(RuntimeError("stop")))
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(RuntimeError):
            python(backend, "import time; time.sleep(60)")
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert children() == before


@pytest.mark.parametrize(
    ("tool", "argv", "files"),
    [
        ("node", ("node", "main.js"), {"main.js": b"console.log('hello')"}),
        ("php", ("php", "main.php"), {"main.php": b'<?php echo "hello\\n";'}),
        (
            "java",
            ("java", "Main.java"),
            {"Main.java": b'class Main { public static void main(String[] a) { System.out.println("hello"); } }'},
        ),
        (
            "g++",
            ("sh", "-c", "g++ main.cpp -o main && ./main"),
            {"main.cpp": b'#include <cstdio>\nint main() { puts("hello"); }'},
        ),
    ],
)
def test_toolchains_run(backend: str, tool: str, argv: tuple[str, ...], files: dict[str, bytes]) -> None:
    if shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip(f"{tool} is not installed")
    outcome = sandbox.run(Program(argv, files, limits=Limits(wall_seconds=60.0, cpu_seconds=60.0)), backend)
    assert (outcome.status, outcome.stdout) == ("ok", b"hello\n"), outcome


# choosing the back end


def test_detect_finds_an_isolating_back_end() -> None:
    assert sandbox.detect() in {"bubblewrap", "userns"}


def test_detect_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "gap", lambda name: "nothing works")
    backends._detect.cache_clear()
    try:
        with pytest.raises(UsageError, match="install bubblewrap"):
            sandbox.run(Program(("true",)))
    finally:
        backends._detect.cache_clear()


def test_none_runs_only_when_named() -> None:
    assert "none" not in backends._KEEPERS
    assert sandbox.run(Program(("true",)), "none").backend == "none"
    with pytest.raises(UsageError):
        sandbox.run(Program(("true",)), "nonsense")


def test_a_back_end_that_fails_is_no_verdict(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "DEVICES", ("no-such-device",))
    assert python(backend, "print(1)").status == "sandbox"


# the supervisor's hold


def test_the_program_waits_until_it_is_held(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the supervisor cannot take hold there is no run, and no run without limits."""
    monkeypatch.setattr(tree, "_PLACES", ("proc", "nowhere"))
    monkeypatch.setattr(supervise, "_START_SECONDS", 0.5)
    begun = time.monotonic()
    outcome = python(backend, "print('ran')")
    assert (outcome.status, outcome.exit_code, outcome.stdout) == ("sandbox", None, b"")
    assert time.monotonic() - begun < 5


def test_a_warm_program_waits_until_it_is_held(warm: sandbox.warm.Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_PLACES", ("proc", "nowhere"))
    monkeypatch.setattr(supervise, "_START_SECONDS", 0.5)
    outcome = warm.run({"main.py": b"print('ran', flush=True)"}, SMALL)
    assert (outcome.status, outcome.stdout) == ("sandbox", b"")
    assert warm.broken


BLIND = """
import mmap, os, time
os.rename("/box/.tmp", "/box/.gone")
os.symlink("/dev/shm/..", "/box/.tmp")
kept = [mmap.mmap(-1, 1 << 24) for _ in range(50)]
for m in kept: m.write(b"x" * (1 << 24))
time.sleep(0.5)
print("BREACH", flush=True)
"""


def test_nothing_inside_turns_the_supervisor_off(backend: str, warm: sandbox.warm.Interpreter) -> None:
    limits = Limits(memory_mb=256, wall_seconds=10.0)
    files = {"main.py": BLIND.encode()}
    plain = sandbox.run(Program((sys.executable, "-I", "main.py"), files, limits=limits), backend)
    assert [one.status for one in (plain, warm.run(files, limits))] == ["memory"] * 2


def test_what_is_looked_at_is_the_sandbox_s(backend: str) -> None:
    """The descriptors are those of its own mounts, not of what a path of the same name leads to in the host."""
    seen: list[tuple[int, int]] = []
    usage = tree.Tree.usage

    def spy(self: tree.Tree, limit_mb: float) -> tree.Usage:
        seen.append((os.fstat(self._folders[0]).st_dev, os.fstat(self._folders[1]).st_dev))
        return usage(self, limit_mb)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree.Tree, "usage", spy)
        code = (
            "import json, os, time; time.sleep(0.2); print(json.dumps([os.stat(p).st_dev for p in ('/proc', '/box')]))"
        )
        assert answer(backend, code) == list(seen[-1])
    assert seen[-1][0] != Path("/proc").stat().st_dev


# what the kernel counts, or does not


SHORT_CHILDREN = """
import os, signal, time
if HOW == "ignored":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
for _ in range(80):
    while True:
        try: pid = os.fork()
        except OSError: time.sleep(0.002); continue
        break
    if pid == 0:
        if HOW != "orphans" or os.fork() == 0: burn(0.008)
        os._exit(0)
    if HOW != "ignored" or not COUNTED: os.waitpid(pid, 0)
time.sleep(0.3)
"""


@pytest.mark.parametrize("how", ["waited for", "ignored", "orphans"])
def test_cpu_seconds_of_short_children(backend: str, warm: sandbox.warm.Interpreter, how: str) -> None:
    code = f"HOW = {how!r}\nCOUNTED = {cgroups.counts_cpu()}" + SHORT_CHILDREN
    limits = Limits(wall_seconds=60.0, cpu_seconds=30.0)
    for outcome in (python(backend, code, limits), warm.run({"main.py": code.encode()}, limits)):
        assert outcome.status == "ok", outcome
        assert 80 * 0.008 - 0.1 < outcome.cpu_seconds < 80 * 0.008 * 2.5, (how, outcome.cpu_seconds)


@pytest.mark.skipif(seccomp.program(True) is None, reason="no system call filter for this machine")
def test_without_a_group_how_sigchld_is_treated_stays(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no child is reaped unseen; a program learns of its children by waiting for them, whatever it asked for."""
    monkeypatch.setattr(cgroups, "_places", lambda: None)
    code = """
import json, os, signal, subprocess, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = os.fork()
if child == 0: os._exit(3)
found = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]
found.append(subprocess.run(["sh", "-c", "(exit 4) & true; exit 5"]).returncode)
import asyncio
async def main():
    process = await asyncio.create_subprocess_exec("sh", "-c", "exit 6")
    return await process.wait()
found.append(asyncio.run(main()))
signal.signal(signal.SIGUSR1, lambda *_: found.append("USR1"))
os.kill(os.getpid(), signal.SIGUSR1)
print(json.dumps(found))
"""
    outcome = sandbox.run(Program((sys.executable, "-I", "main.py"), {"main.py": code.encode()}, limits=SMALL), backend)
    assert (outcome.status, outcome.stdout) == ("ok", b'[3, 5, 6, "USR1"]\n'), outcome


def test_a_group_bounds_all_memory(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the supervisor does not see is bounded too, where the machine lets us make groups."""
    if cgroups._places() is None or cgroups._places().memory is None:  # type: ignore[union-attr]
        pytest.skip("no memory groups can be made here")
    looks = tree.Tree.usage
    monkeypatch.setattr(
        tree.Tree, "usage", lambda self, limit_mb: dataclasses.replace(looks(self, limit_mb), memory_mb=1.0)
    )
    code = "import time\nfor n in range(9):\n open(f'/tmp/{n}', 'wb').write(b'x' * (60 << 20))\ntime.sleep(9)"
    limits = Limits(wall_seconds=20.0, memory_mb=256, scratch_mb=1024)
    assert python(backend, code, limits).status == "memory"


def test_a_group_of_version_2_counts_cpu(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = cgroups._below(cgroups._hierarchies().get(""), cgroups._own().get(""))
    places = cgroups._Places(None, hierarchy, memory_is_v1=False)
    if hierarchy is None or not cgroups._works(places):
        pytest.skip("no groups of version 2 can be made here")
    monkeypatch.setattr(cgroups, "_places", lambda: places)
    monkeypatch.setattr(cgroups, "_IDLE", [])
    code = "HOW, COUNTED = 'ignored', True" + SHORT_CHILDREN
    outcome = python(backend, code, Limits(wall_seconds=60.0, cpu_seconds=30.0))
    assert outcome.status == "ok", outcome
    assert 80 * 0.008 - 0.1 < outcome.cpu_seconds < 80 * 0.008 * 2.5
    for group in cgroups._IDLE:
        group.remove()


def test_groups_are_removed() -> None:
    if (places := cgroups._places()) is None:
        pytest.skip("no groups can be made here")
    code = "from magicoder_repro import sandbox\nprint(sandbox.run(sandbox.Program(('true',))).status)"
    scorer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=own_environment())
    assert scorer.communicate()[0] == b"ok\n"
    left = [
        folder
        for place in (places.memory, places.cpu)
        if place
        for folder in place.glob(f"magicoder-sandbox-{scorer.pid}-*")
    ]
    assert left == []


def test_many_mappings_are_bounded_soon(backend: str) -> None:
    code = """
import ctypes, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
start = libc.mmap(None, ctypes.c_size_t(65000 * 8192), 1, 0x4022, -1, ctypes.c_long(0))
for n in range(32000): libc.mprotect(ctypes.c_void_p(start + n * 8192), ctypes.c_size_t(4096), 0)
time.sleep(60)
"""
    outcome = sandbox.run(
        Program((sys.executable, "-I", "main.py"), {"main.py": code.encode()}, limits=Limits(wall_seconds=20.0)),
        backend,
    )
    assert outcome.status == "memory"
    assert outcome.wall_seconds < 5


# what others would feel


def test_locks_reach_nobody_else(backend: str) -> None:
    code = """
import fcntl, json, sqlite3, time
shared = open("/usr/bin/env", "rb")
fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
base = sqlite3.connect("base.sqlite")
base.execute("create table t (x)"); base.execute("insert into t values (7)"); base.commit()
print(json.dumps(base.execute("select x from t").fetchall()), flush=True)
time.sleep(1.5)
"""
    with Path("/usr/bin/env").open("rb") as shared, ThreadPoolExecutor(1) as pool:
        program = Program((sys.executable, "-I", "main.py"), {"main.py": code.encode()}, limits=SMALL)
        running = pool.submit(sandbox.run, program, backend)
        while not running.done():
            fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(shared, fcntl.LOCK_UN)
            time.sleep(0.05)
    assert (running.result().status, running.result().stdout) == ("ok", b"[[7]]\n"), running.result()


def test_a_signal_to_the_group_stays_inside(backend: str) -> None:
    """As an ordinary user the processes around the sandbox are of the program's uid: they must not be of its group."""
    code = "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nos.kill(0, 15)\nprint('here')"
    outcome = python(backend, code)
    assert (outcome.status, outcome.stdout) == ("ok", b"here\n")


# what we need ourselves, and what is left of us


def own_environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sandbox.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path}


WARM_SLEEPER = """
import sys
from pathlib import Path
from magicoder_repro import sandbox
guest = b"WARM = ()\\ndef main():\\n    import subprocess; subprocess.run(open('argv').read().split())"
interpreter = sandbox.warm.Interpreter(Path(sys.executable), guest, (), BACKEND)
print("ready", flush=True)
interpreter.run({"argv": b"sleep " + SECONDS.encode()}, sandbox.Limits(wall_seconds=50.0))
"""


def test_nothing_lives_on_in_a_warm_interpreter_when_the_scorer_is_killed(backend: str) -> None:
    code = f"BACKEND = {backend!r}\nSECONDS = '61.{os.getpid()}'" + WARM_SLEEPER
    killed_while_sleeping(code)


def test_without_a_sandbox_nothing_of_ours_lives_on_when_the_scorer_is_killed(tmp_path: Path) -> None:
    code = f"""
from magicoder_repro import sandbox
print("ready", flush=True)
sandbox.run(sandbox.Program(("sh", "-c", "touch a; sleep 61.{os.getpid()} & wait"), {{"b": b"1"}}), "none")
"""
    killed_while_sleeping(code, TMPDIR=str(tmp_path))
    wait_for(lambda: list(tmp_path.iterdir()) == [])


def killed_while_sleeping(code: str, **variables: str) -> None:
    before = children()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=own_environment() | variables
    ) as scorer:
        assert scorer.stdout
        assert scorer.stdout.readline() == b"ready\n"
        wait_for(lambda: sleeping() == 1)
        scorer.kill()
    wait_for(lambda: sleeping() == 0)
    end = time.monotonic() + 5
    while (left := set(children()) - set(before)) and time.monotonic() < end:  # we adopted its orphans
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(pid), os.WNOHANG)
        time.sleep(0.02)


def test_a_folder_of_a_run_without_a_sandbox_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert sandbox.run(Program(("sh", "-c", "touch x; cat y"), {"y": b"1"}), "none").stdout == b"1"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "number"),
    [
        pytest.param("-n", 32, id="open files"),
        pytest.param("-u", 3, id="processes"),
        pytest.param("-f", 1024, id="bytes of a file"),
    ],
)
def test_a_low_limit_of_our_own_is_named(option: str, number: int, tmp_path: Path) -> None:
    """Not "install bubblewrap"."""
    if option in ("-u", "-f") and os.getuid() == 0:
        pytest.skip("the number of root's processes is not limited, and root may raise the other")
    code = """
from magicoder_repro.errors import UsageError
from magicoder_repro import sandbox
for call in (sandbox.detect, lambda: sandbox.choose("auto"), lambda: sandbox.choose("userns")):
    try: print(call())
    except UsageError as error: print(error)
"""
    if os.getuid() == 0:  # root may raise its own limit for a program; it is ours that is reached
        number = 8
    (tmp_path / "main.py").write_text(code)
    name = {"-n": "nofile", "-u": "nproc", "-f": "fsize"}[option]  # prlimit(1), since dash knows no `ulimit -u`
    limit = f"--{name}={number}"
    done = subprocess.run(
        ["prlimit", limit, "--", sys.executable, str(tmp_path / "main.py")],
        capture_output=True,
        text=True,
        env=own_environment(),
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done
    for line in lines:
        said = "1 KiB" if option == "-f" else number
        assert f"`ulimit {option}` is {said}: raise it to" in line, done
        assert "install" not in line
