"""Every test begins without a ground truth."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No ground truth of an earlier run."""
    monkeypatch.setenv("MAGICODER_CACHE", str(tmp_path / "cache"))
