"""The prompts are experiment parameters: their bytes are pinned by hash, their use by the real benchmarks."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from magicoder_repro import prompts


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("text", "sha256"),
    [
        (prompts.OSS_INSTRUCT_SYSTEM, "84f694486045db65"),
        (prompts.oss_instruct("{code}"), "37119e47070be2fd"),
        (prompts.magicoder("{instruction}", "{response}"), "6d1d340931afea7f"),
    ],
)
def test_bytes(text: str, sha256: str) -> None:
    assert _sha256(text) == sha256


def test_a_seed_with_braces_is_put_in_as_it_is() -> None:
    assert "\n```\n{code} {0} {{x}}\n```\n" in prompts.oss_instruct("{code} {0} {{x}}")


def test_humaneval() -> None:
    instruction, response = prompts.humaneval("\n\ndef f(x):\n    pass\n\n")
    assert instruction == "Write a solution to the following problem:\n```python\ndef f(x):\n    pass\n```"
    assert response == "```python\ndef f(x):\n    pass"


def test_mbpp_adds_a_full_stop_and_splits_at_the_first_assert(data: Path) -> None:
    instruction, response = prompts.mbpp(
        '"""\nWrite a function to add\nassert add(1, 2) == 3\nassert add(0, 0) == 0\n"""\n'
    )
    assert instruction == (
        "Write a function to add. Your code should satisfy the following assertion:\n"
        "```python\nassert add(1, 2) == 3\nassert add(0, 0) == 0\n```"
    )
    assert response == "```python"
    with gzip.open(data / "evalplus" / "MbppPlus-v0.1.0.jsonl.gz", "rt") as file:
        tasks = [json.loads(line) for line in file]
    assert len(tasks) == 399
    for task in tasks:
        assert "Your code should satisfy the following assertion:\n```python\nassert" in prompts.mbpp(task["prompt"])[0]


def test_ds1000_has_the_papers_three_shapes(data: Path) -> None:
    tasks = [json.loads(line) for line in (data / "ds1000" / "ds1000.jsonl").read_text().splitlines()]
    text = "".join("\x00".join(prompts.ds1000(task["prompt"])) + "\x01" for task in tasks)
    assert len(tasks) == 1000
    assert "<code>" not in text and "</code>" not in text
    assert all(prompts.ds1000(task["prompt"])[1].rstrip(" ").endswith("# Solution\n") for task in tasks)
    # The hash of what the public code makes of all 1,000 (compared with it once, equal for each).
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "64a6b8bf889ce597"
