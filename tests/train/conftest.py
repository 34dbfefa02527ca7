"""A training's config, and what the paper's own recipe did on a tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro import artifact
from magicoder_repro.train import sft


@pytest.fixture(scope="session")
def config() -> Callable[..., dict[str, Any]]:
    """The config of a node `sft` with a recipe; `training` as in a profile."""

    def made(recipe: dict[str, Any], **training: Any) -> dict[str, Any]:
        about = {"name": "m", "base": "someone/base", "revision": "abc", "trainings": ["oss-instruct (oss-instruct)"]}
        whole = {"processes": None, "price_per_hour": None, **training}
        return {"recipe": recipe, "label": "t", "saved_dtype": "float32", "training": whole, "about": about}

    return made


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A folder with ten evolved records of different lengths."""
    folder = tmp_path / "records"
    folder.mkdir()
    rows = [{"instruction": "i" * (n % 3 + 1), "output": f"return {n}" * (n % 4 + 1)} for n in range(10)]
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def build(model_folder: Path, records: Path, config: Callable[..., dict[str, Any]]) -> Callable[..., artifact.Manifest]:
    """Trains on these records into a folder, by a recipe."""

    def made(out: Path, recipe: dict[str, Any], **training: Any) -> artifact.Manifest:
        inputs = {"model": model_folder, "records": records}
        request = artifact.Request("sft", out, config(recipe, **training), inputs, "core")
        artifact.build(request, sft.build)
        return artifact.read_manifest(out)

    return made


@pytest.fixture(scope="session")
def golden(data: Path) -> Path:
    """What transformers 4.35 and accelerate 0.24.1 made of the official recipe; its README says how."""
    folder = data.parent / "golden" / "sft"
    if not folder.is_dir():
        pytest.skip(f"no golden training: {folder} is not there")
    return folder
