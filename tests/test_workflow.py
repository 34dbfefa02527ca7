"""The workflow for GitHub Actions: every target of Make that it names exists, and nothing in it is of one machine or may write."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
COMMANDS = "\n".join(step["run"] for step in STEPS if "run" in step)


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"^([a-z0-9-]+):(?!=)", makefile, re.MULTILINE)
    return {*named, *re.findall(r"\.envs/[a-z0-9.-]+/\.ready", makefile)}


def test_every_target_of_make_exists() -> None:
    asked = [word for line in re.findall(r"\bmake ([^\n#;&|]+)", COMMANDS) for word in line.split()]
    assert {"lint", "check", "all", "regress"} <= set(asked)
    assert set(asked) <= _targets()


def test_nothing_of_this_machine_is_in_it() -> None:
    own = {str(ROOT), str(Path.home()), "/work", "/root", socket.gethostname(), os.environ.get("PIP_INDEX_URL", "")}
    assert not [name for name in own if len(name) > 4 and name in TEXT]
    hosts = set(re.findall(r"https?://([^/\s]+)", TEXT))
    assert hosts == {"download.pytorch.org"}
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", TEXT)
    assert {job["runs-on"] for job in WORKFLOW["jobs"].values()} == {"ubuntu-24.04"}


def test_it_may_read_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    assert "secrets" not in TEXT and "pull_request_target" not in TEXT
    checkouts = [step for step in STEPS if "checkout" in step.get("uses", "")]
    assert len(checkouts) == len(WORKFLOW["jobs"])
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("step", [step for step in STEPS if "uses" in step], ids=lambda step: step["uses"])
def test_actions_are_pinned_and_githubs_own(step: dict[str, Any]) -> None:
    assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"])


def test_text_of_an_event_never_enters_a_command() -> None:
    assert "${{" not in COMMANDS


def test_the_cache_hangs_on_the_locks_and_python_is_the_packages() -> None:
    (key,) = {step["with"]["key"] for step in STEPS if "cache" in step.get("uses", "")}
    (patterns,) = re.findall(r"hashFiles\(([^)]*)\)", key)
    found = {path for pattern in re.findall(r"'([^']+)'", patterns) for path in ROOT.glob(pattern)}
    assert {*ROOT.glob("docker/*/*.lock"), ROOT / "docker" / "uv.txt"} == found
    assert {step["with"]["python-version"] for step in STEPS if "setup-python" in step.get("uses", "")} == {"3.11"}
