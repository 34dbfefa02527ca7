"""The Makefile: what is misspelt is told before anything is built, `make -j` is safe, and nothing is deleted unsaid."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[1]
# In the place of what builds an environment: it makes tools that take a moment and write down when they begin and end.
INSTALL = """\
echo "begin $1" >> log; sleep 0.2; mkdir -p "$2/bin"
for tool in magicoder ruff mypy python; do
    printf '#!/bin/sh\\necho "begin %s" >> log; sleep 0.2; echo "end" >> log\\n' $tool > "$2/bin/$tool"
    chmod +x "$2/bin/$tool"
done
touch "$2/.ready"; echo end >> log
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without environments, in a path with a space."""
    folder = tmp_path / "a checkout"
    (folder / "src" / "magicoder_repro").mkdir(parents=True)
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "src" / "magicoder_repro" / name, folder / "src" / "magicoder_repro")
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    shutil.copytree(ROOT / "docker", folder / "docker")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "docker" / "install.sh").write_text(INSTALL)
    return folder


def _make(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MAKELEVEL", "PROFILE", "RESCORE", "RUNNER")
    }
    environment = {**kept, "PYTHON": sys.executable}
    return subprocess.run(["make", *words], cwd=checkout, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["PROFIL=tiny"], "PROFIL: no variable of this Makefile: did you mean 'PROFILE'?"),
        (["PROFILE=tinny"], "PROFILE=tinny: no such profile: did you mean 'tiny'?"),
        (["PROFILE=profiles/tinny.yaml"], "PROFILE=profiles/tinny.yaml: no such profile"),
        (["PROFILE=it's none"], "PROFILE=it's none: no such profile"),
        (["RESCORE=nein"], "RESCORE=nein: yes or no"),
        (["RUNNER=dokcer"], "RUNNER=dokcer: did you mean 'docker'? one of auto host docker podman apptainer"),
        (["HF_HOME=/tmp"], "the environment goes first: HF_HOME=... make"),
    ],
)
def test_what_is_misspelt_is_told_before_anything_is_built(checkout: Path, words: list[str], said: str) -> None:
    done = _make(checkout, "all", *words)
    assert done.returncode == 2 and said in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert not (checkout / ".envs").exists()


def test_a_profile_of_ones_own_may_lie_anywhere(checkout: Path) -> None:
    shutil.copytree(checkout / "profiles", checkout / "it's mine")
    done = _make(checkout, "--dry-run", "plan", "PROFILE=it's mine/tiny.yaml")
    assert done.returncode == 0 and """plan --profile 'it'\\''s mine/tiny.yaml'""" in done.stdout


def test_targets_do_not_work_at_the_same_time(checkout: Path) -> None:
    done = _make(checkout, "-j4", "all", "sft", "check", "lint", "PROFILE=tiny")
    assert done.returncode == 0, done.stderr
    lines = (checkout / "log").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["begin", "end"] * (len(lines) // 2)
    assert lines.count("begin core") == lines.count("begin evalplus-0.3.1") == 1
    assert lines.count("begin magicoder") == 2


def test_what_is_deleted_is_listed_first(checkout: Path) -> None:
    (checkout / "runs" / "tiny").mkdir(parents=True)
    (checkout / ".cache").mkdir()
    done = _make(checkout, "clean")
    assert done.returncode == 0 and "\t.cache\n" in done.stdout and "runs" not in done.stdout
    assert (checkout / "runs").exists() and not (checkout / ".cache").exists()
    assert _make(checkout, "clean").stdout == "nothing to delete\n"
    (checkout / "runs" / "tiny" / "scores").write_bytes(bytes(1 << 20))
    with (checkout / "runs" / "tiny" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _make(checkout, "distclean")
        assert done.returncode == 2 and "runs/tiny/.lock: something works there" in done.stderr
        assert (checkout / "runs" / "tiny" / "scores").exists()
    done = _make(checkout, "distclean")
    assert done.returncode == 0 and re.search(r"^1\.\dM\truns/tiny$", done.stdout, re.MULTILINE)
    assert not (checkout / "runs").exists()


def test_help_names_every_target_and_the_files_are_there(checkout: Path) -> None:
    text = (ROOT / "Makefile").read_text()
    (phony,) = (line.split()[1:] for line in text.splitlines() if line.startswith(".PHONY:"))
    (stages,) = (line.split()[2:] for line in text.splitlines() if line.startswith("STAGES :="))
    said = {line.split()[1] for line in _make(checkout, "help").stdout.splitlines() if line.startswith("  make ")}
    targets = {*phony, *stages} - {"$(STAGES)"}
    assert targets - said == {"lint", "check"}  # together they are `make test`
    assert said <= targets
