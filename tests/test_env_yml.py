"""env.yml has what the host must have beside the distribution's own: the package's Python and the tools that the appendix asks for."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from magicoder_repro.sandbox import view

ROOT = Path(__file__).resolve().parents[1]
WANTED: dict[str, Any] = yaml.safe_load((ROOT / "env.yml").read_text())
PACKAGES = dict((one + "=").split("=")[:2] for one in WANTED["dependencies"])
OF_THE_SYSTEM = {"bubblewrap", "util-linux"}
"""The sandbox looks for its tools in the system's folders only (`sandbox/view.py`)."""


def test_its_python_is_the_packages_and_the_images() -> None:
    version = PACKAGES["python"]
    major, minor = version.split(".")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == f">={version},<{major}.{int(minor) + 1}"
    assert project["tool"]["mypy"]["python_version"] == version
    dockerfile = (ROOT / "docker" / "core" / "Dockerfile").read_text()
    assert re.search(rf"^ARG BASE=\S*python:{re.escape(version)}[.-]", dockerfile, re.MULTILINE)
    assert re.search(rf"^PYTHON +\?= python{re.escape(version)}$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_its_tools_are_those_that_the_appendix_asks_for() -> None:
    (said,) = re.findall(r"^ +apt-get install ([a-z0-9 -]+?) +#", (ROOT / "REPRODUCE.md").read_text(), re.MULTILINE)
    tools = {re.sub(r"^(lib[a-z]+)\d+$", r"\1", name) for name in said.split()}
    assert tools > OF_THE_SYSTEM
    assert set(PACKAGES) == {"python", *(tools - OF_THE_SYSTEM)}


def test_the_sandbox_would_not_find_condas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-tool-of-condas").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert shutil.which("a-tool-of-condas") and view.tool("a-tool-of-condas") is None
