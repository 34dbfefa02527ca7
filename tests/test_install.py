"""Environments hold what their locks name, each file checked by its hash, and are ready only when they are whole."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.process

DOCKER = Path(__file__).parents[1] / "docker"
LOCKS = [DOCKER / "uv.txt", *sorted(DOCKER.glob("*/*.lock"))]


def _pins(lock: Path) -> dict[str, str]:
    """The entries of a lock: name -> the text up to the next one."""
    entries = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(), flags=re.MULTILINE)
    return {entry.partition("==")[0]: entry for entry in entries if "==" in entry}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_package_of_a_lock_has_a_version_and_hashes(lock: Path) -> None:
    pins = _pins(lock)
    assert pins
    for name, entry in pins.items():
        assert re.match(rf"{re.escape(name)}==[^\s;]+", entry) and re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in DOCKER.glob("*/torch.txt")), ids=lambda path: path.name
)
def test_what_torch_needs_is_in_the_locks(folder: Path) -> None:
    ours, index = _pins(folder / "requirements.lock"), _pins(folder / "torch.lock")
    assert index["torch"].startswith((folder / "torch.txt").read_text().strip() + " ")
    assert not set(ours) & set(index) and "torch" not in ours
    old = folder.name == "ds1000-original"  # torch 1 has CUDA's libraries in itself and needs one package
    others = {"filelock", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec"}
    assert {"typing-extensions", *(() if old else others)} <= set(ours)
    assert bool({name for name in index if name.startswith(("nvidia-", "triton"))}) is not old
    if folder.name == "core":
        required = [Requirement(line) for line in importlib.metadata.requires("torch") or []]
        names = {one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})}
        assert names <= set(ours) | set(index)


def _wheel(folder: Path, name: str, version: str, *requires: str, script: str = "") -> str:
    """A package without content, or with one command of its own name; its sha256."""
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {one}\n" for one in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if script:
        files[f"{name.replace('-', '_')}-{version}.data/scripts/{name}"] = script
    record = "".join(
        f"{one},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for one, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for one, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            entry = zipfile.ZipInfo(one)
            entry.external_attr = 0o100755 << 16  # a script's mode
            archive.writestr(entry, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but pip."""
    folder = tmp_path_factory.mktemp("fresh") / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder


def _offline(index: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    return {**kept, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}


def _torch(fresh: Path, spec: Path, index: Path) -> tuple[int, set[str], str]:
    """The exit code of torch_build.py, the packages that it installed and what it recorded."""
    python, site = fresh / "bin" / "python", next(fresh.glob("lib/*/site-packages"))
    for left in (*site.glob("torch*"), *site.glob("nvidia*"), fresh / ".torch", fresh / ".wheels"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    command = [str(python), str(DOCKER / "torch_build.py"), str(spec), str(fresh)]
    done = subprocess.run(command, env=_offline(index), capture_output=True, text=True)
    found = {path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info")}
    record = (fresh / ".torch").read_text() if (fresh / ".torch").is_file() else ""
    return done.returncode, {name for name in found if not name.startswith(("pip-", "setuptools-"))}, record


def test_torch_is_checked_by_its_hash_or_recorded(fresh: Path, tmp_path: Path) -> None:
    spec, index = tmp_path / "spec", tmp_path / "index"
    spec.mkdir()
    index.mkdir()
    marker = 'torch-extra; extra == "all"'
    official = _wheel(index, "torch", "1.0", "sympy", "nvidia-cuda==3", marker)
    cuda = _wheel(index, "nvidia-cuda", "3")
    sympy = _wheel(index, "sympy", "2")
    (spec / "torch.txt").write_text("torch==1.0\n")
    (spec / "requirements.lock").write_text(f"sympy==2 \\\n    --hash=sha256:{sympy}\n")
    lock = f"nvidia-cuda==3 \\\n    --hash=sha256:{cuda}\ntorch==1.0 \\\n    --hash=sha256:{official}\n"
    (spec / "torch.lock").write_text(lock)
    code, installed, record = _torch(fresh, spec, index)
    assert code == 0 and installed == {"torch-1.0", "nvidia_cuda-3"}  # sympy comes with the lock
    assert record.count("checked by its hash") == 2 and official in record and cuda in record

    (spec / "torch.lock").write_text(lock.replace(cuda, official))
    code, installed, record = _torch(fresh, spec, index)
    assert code != 0 and installed == set() and record == ""

    own = _wheel(index, "torch", "1.0+mine", "sympy")
    code, installed, record = _torch(fresh, spec, index)
    assert code == 0 and installed == {"torch-1.0+mine"}
    assert record.count("own build") == 1 and own in record

    _wheel(index, "torch", "1.0+mine", "sympy", "nvidia-cuda")
    code, installed, record = _torch(fresh, spec, index)
    assert code == 0 and installed == {"torch-1.0+mine", "nvidia_cuda-3"}
    assert record.count("own build") == 2


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A copy of what makes an environment, for one called `small`."""
    folder = tmp_path / "docker"
    (folder / "small").mkdir(parents=True)
    for name in ("install.sh", "uv.txt", "torch_build.py"):
        shutil.copy(DOCKER / name, folder)
    (folder / "small" / "requirements.lock").write_text("sympy==2 --hash=sha256:" + "0" * 64 + "\n")
    return folder


def _install(recipe: Path, index: Path, prefix: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {**_offline(index), "PYTHON": sys.executable, **variables}
    command = ["sh", str(recipe / "install.sh"), "small", str(prefix)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_a_file_with_another_hash_is_refused(recipe: Path, tmp_path: Path) -> None:
    version = re.match(r"uv==(\S+)", (recipe / "uv.txt").read_text())
    assert version is not None
    _wheel(tmp_path, "uv", version[1])
    prefix = tmp_path / "an environment"
    prefix.mkdir()
    (prefix / ".ready").write_text("of an earlier one\n")
    process = _install(recipe, tmp_path, prefix)
    words = process.communicate(timeout=120)[1]
    assert process.returncode != 0 and "DO NOT MATCH THE HASHES" in words
    assert not (prefix / ".ready").exists()


def test_one_that_is_killed_is_not_ready(recipe: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "environment"
    prefix.mkdir()
    (prefix / ".ready").write_text("of an earlier one\n")
    process = _install(recipe, tmp_path, prefix)
    while not (prefix / "pyvenv.cfg").exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (prefix / ".ready").exists()


# A Python of the right version that makes no environment: it says that it was asked to. Some have no ensurepip.
PYTHON = """#!/bin/sh
case "$*" in *ensurepip*) exit {without} ;; *"-m venv"*) echo "begins to build" >&2; exit 3 ;; esac
"""


def _python(path: Path, ensurepip: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PYTHON.format(without=int(not ensurepip)))
    path.chmod(0o755)


def test_who_waits_for_the_same_environment_does_not_build_it_again(recipe: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "environments" / "small"
    prefix.mkdir(parents=True)
    _python(tmp_path / "python", ensurepip=True)
    for ready in (True, False):
        with (prefix.parent / ".small.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = _install(recipe, tmp_path, prefix, PYTHON=str(tmp_path / "python"))
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            (prefix / ".ready").unlink(missing_ok=True)  # as the one that builds it does
            if ready:
                (prefix / ".ready").touch()
        words = process.communicate(timeout=60)[1]
        assert (process.returncode, words) == ((0, "") if ready else (3, "begins to build\n"))
        assert prefix.exists() is ready


def test_a_python_that_cannot_make_environments_is_passed_over(recipe: Path, tmp_path: Path) -> None:
    programs, home = tmp_path / "programs", tmp_path / "home"
    _python(programs / "python3.11", ensurepip=False)
    variables = {"PYTHON": "python3.11", "PATH": f"{programs}:{os.environ['PATH']}"} | dict.fromkeys(
        ("HOME", "PYENV_ROOT", "XDG_DATA_HOME"), str(home)
    )
    process = _install(recipe, tmp_path, tmp_path / "one", **variables)
    words = process.communicate(timeout=60)[1]
    assert process.returncode == 2 and words.count("\n") == 1
    assert "apt-get install python3.11-venv" in words and "uv python install 3.11" in words
    _python(home / "uv" / "python" / "cpython-3.11.9-linux-x86_64-gnu" / "bin" / "python", ensurepip=True)
    process = _install(recipe, tmp_path, tmp_path / "one", **variables)
    assert process.communicate(timeout=60)[1] == "begins to build\n" and process.returncode == 3


def test_another_python_than_asked_for_is_refused(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "python3.8").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3.8").chmod(0o755)
    process = _install(recipe, tmp_path, tmp_path / "one", PYTHON=str(tmp_path / "python3.8"))
    words = process.communicate(timeout=60)[1]
    assert process.returncode == 2 and "python3.8 is not Python 3.11: name one" in words and words.count("\n") == 1


UV = """#!/bin/sh
{ echo "$UV_DEFAULT_INDEX"; echo "$HTTPS_PROXY"; echo "$SSL_CERT_FILE"; echo "$UV_CACHE_DIR"; } > "$TOLD"
"""


def test_uv_is_told_what_pip_is_configured_for(recipe: Path, tmp_path: Path) -> None:
    digest = _wheel(tmp_path, "uv", "1.0", script=UV)
    (recipe / "uv.txt").write_text(f"uv==1.0 --hash=sha256:{digest}\n")
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://user:secret@mirror.invalid/simple\nproxy = http://proxy.invalid:3128\ncert = /ours.pem\n"
    )
    home = tmp_path / "home"
    home.write_text("nothing can be written below a file")
    told, prefix = tmp_path / "told", tmp_path / "environments" / "small"
    variables = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "TOLD": str(told), "HOME": str(home)}
    unset = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "XDG_CACHE_HOME"), "")
    process = _install(recipe, tmp_path, prefix, **variables, **unset)
    words = process.communicate(timeout=120)[1]
    assert process.returncode == 0 and "secret" not in words, words
    wanted = ["https://user:secret@mirror.invalid/simple", "http://proxy.invalid:3128", "/ours.pem", f"{prefix}/.uv"]
    assert told.read_text().splitlines() == wanted
    assert (prefix / ".ready").exists() and not (prefix / ".uv").exists()
