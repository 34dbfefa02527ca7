"""Nothing lives on, whoever is killed; the supervisor keeps its hold; neighbours feel nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandboxed import SMALL, answer, children, own_environment, python, sleeping, wait_for

from magicoder_repro import sandbox
from magicoder_repro.sandbox import Limits, Program, supervise, tree

pytestmark = [pytest.mark.sandbox, pytest.mark.timing, pytest.mark.usefixtures("nothing_left")]


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


# killed in the middle


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
