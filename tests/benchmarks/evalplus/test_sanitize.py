"""The clean-up of samples: what is kept, and that it equals EvalPlus' sanitizer at commit 1895d2f."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from magicoder_repro import benchmarks
from magicoder_repro.benchmarks.evalplus.sanitize import sanitize


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("def f(x):\n    return x\n\nprint(f(1))\n", "def f(x):\n    return x"),
        ("import re\n\ndef f(x):\n   return x\n", "import re\n\ndef f(x):\n    return x"),
        ("Sure:\n```python\ndef f(x):\n    return x\n```\nThis works.", "def f(x):\n    return x"),
        ("def g(x):\n    return (\ndef f(x):\n    return x", "def f(x):\n    return x"),
        ("def f(x):\n    return x\ndef g(x):\n    return (\n", "def f(x):\n    return x"),
        (
            "def f(x):\n    return x\ndef g(x):\n    return 2\nx = 1",
            "def f(x):\n    return x\n\ndef g(x):\n    return 2",
        ),
        ("x = 1\n", "x = 1"),
    ],
)
def test_what_is_kept(code: str, kept: str) -> None:
    assert sanitize(code, "f").replace("\n\n", "\n") == kept.replace("\n\n", "\n")


_PROMPT = '\nimport math\n\n\ndef f(x):\n    """Halve x."""\n'


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        (f"{_PROMPT}    return x / 2\n\nprint(f(", 'import math\n\n\ndef f(x):\n    """Halve x."""\n    return x / 2'),
        ("import os\ndef g():\n    pass\ndef f(x):\n    return x / 2", "import math\n\n\ndef f(x):\n    return x / 2"),
        ("Here:\n```python\ndef f(x):\n    return 0\n```\nSo.", "import math\n\n\ndef f(x):\n    return 0"),
        ("    return x / 2\nx = 1", "import math"),
    ],
)
def test_before_humanevals_function_stands_what_its_prompt_has(code: str, kept: str) -> None:
    assert sanitize(code, "f", _PROMPT) == kept


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("humaneval", "3d0d9913269b0ad03adeb0abe1c0e1c4e9980c4c6c97c16041c9797e8079e127"),
        ("mbpp", "cc5e2a97e6a91557d50d8e30753b7a12a497f3f8abcbb82b37e8957807da98ee"),
    ],
)
def test_published_generations_come_out_as_from_evalplus(data: Path, name: str, sha256: str) -> None:
    """The hash is that of what the public tool makes of the same 164 and 399 samples (33 and 25 of them change by more than space)."""
    path = data.parent / "published" / "qwen2.5-coder-1.5b-base" / name / "generated.jsonl"
    if not path.is_file():
        pytest.skip(f"no published generations: {path} is not there")
    one = benchmarks.get(name)
    tasks = {task["task_id"]: task for task in one.load(data=data).tasks}
    found = hashlib.sha256()
    for line in path.read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        found.update(one.program(tasks[sample["task_id"]], sample, sanitized=True).encode() + b"\0")
    assert found.hexdigest() == sha256
