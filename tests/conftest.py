"""Where the tests find what they need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The real benchmark files: MAGICODER_DATA, by default ../shared/datasets beside the checkout."""
    folder = Path(os.environ.get("MAGICODER_DATA") or ROOT.parent / "shared" / "datasets")
    if not folder.is_dir():
        pytest.skip(f"no benchmark data: set MAGICODER_DATA ({folder} is not there)")
    return folder
