"""What bounds a program: time, memory, processes, files, output; and how it is counted."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import pytest
from sandboxed import SMALL, answer, own_environment, python

from magicoder_repro import sandbox
from magicoder_repro.sandbox import Limits, Program, cgroups, seccomp, tree, view

pytestmark = [pytest.mark.sandbox, pytest.mark.timing, pytest.mark.usefixtures("nothing_left")]


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
