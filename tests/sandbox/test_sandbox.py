"""The promises of the sandbox, each on every back end that works here."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandboxed import SMALL, answer, own_environment, python

from magicoder_repro import sandbox
from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import Limits, Program, backends, seccomp, tree, view

pytestmark = [pytest.mark.sandbox, pytest.mark.timing, pytest.mark.usefixtures("nothing_left")]
ENVIRONMENT = set(view.environment())


def test_orphans_become_ours(backend: str) -> None:
    assert python(backend, "").status == "ok"
    ours = ctypes.c_int()
    ctypes.CDLL(None).prctl(37, ctypes.byref(ours), 0, 0, 0)  # PR_GET_CHILD_SUBREAPER
    assert ours.value == 1


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


# our own limits, and what is left of us


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
