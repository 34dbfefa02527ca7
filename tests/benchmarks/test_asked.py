"""What a model is asked, and where its answer ends, equals what the code asked that ran the paper's evaluation.

The hashes are over all tasks; they, and the texts, are what the public code makes of the same data: magicoder at 3ef43f0
(experiments/text2code.py, ds_1000.py), EvalPlus at 1895d2f (codegen/), bigcode-evaluation-harness at be2a44c (multiple.py, ds1000.py).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from magicoder_repro import benchmarks
from magicoder_repro.benchmarks.base import Ask, Style

_SYSTEM = (
    "You are an exceptionally intelligent coding assistant that consistently delivers accurate and reliable responses to user "
    "instructions."
)
_DOCSTRING = '''
    """ Check if in given list of numbers, are any two numbers closer to each other than
    given threshold.
    >>> has_close_elements([1.0, 2.0, 3.0], 0.5)
    False
    >>> has_close_elements([1.0, 2.8, 3.0, 4.0, 5.0, 2.0], 0.3)
    True
    """'''
_CLOSE = (
    f"from typing import List\n\n\ndef has_close_elements(numbers: List[float], threshold: float) -> bool:{_DOCSTRING}"
)
_SIMILAR = "assert set(similar_elements((3, 4, 5, 6),(5, 7, 4, 10))) == set((4, 5))"
_SHARED = "Write a function to find the shared elements from the given two lists."
FIRST = {
    ("humaneval", "magicoder"): (
        f"{_SYSTEM}\n\n@@ Instruction\nWrite a solution to the following problem:\n```python\n{_CLOSE}\n```\n\n"
        f"@@ Response\n```python\n{_CLOSE}"
    ),
    ("humaneval", "completion"): f"{_CLOSE}\n",
    ("mbpp", "magicoder"): (
        f"{_SYSTEM}\n\n@@ Instruction\n{_SHARED} Your code should satisfy the following assertion:\n```python\n{_SIMILAR}\n```\n\n"
        "@@ Response\n```python"
    ),
    ("mbpp", "completion"): f'"""\n{_SHARED}\n{_SIMILAR}\n"""\n',
}
"""The question of the first task, whole."""
_FENCE, _EOS = ("```",), ("<|endoftext|>", "<|endofmask|>", "</s>")
ASKED = [
    ("humaneval", None, "magicoder", "66f149911a039dc7", _FENCE),
    ("humaneval", None, "completion", "f8cec8f75767caae", _EOS),
    ("mbpp", None, "magicoder", "5bfc8f8a30eacec4", _FENCE),
    ("mbpp", None, "completion", "dd99025685e00e09", _EOS),
    ("ds1000", None, "magicoder", "766ab9361ad0ce03", _FENCE),
    ("ds1000", None, "completion", "66cd63d58db9bccc", ("</code>", "# SOLUTION END")),
    ("multipl-e", "cpp", "completion", "8e4cc47b2158edd8", ("\n}",)),
    ("multipl-e", "java", "completion", "6c8af270ae0c80c6", ("\n    }\n",)),
    ("multipl-e", "js", "completion", "507e6b930cb2c826", ("\nfunction ", "\n/*", "\n//", "\nconsole.log")),
    ("multipl-e", "php", "completion", "36cac0f40ffb5fe0", ("\nfunction", "\n?>", "\n//", "\n#")),
    ("multipl-e", "rs", "completion", "30180142b6d66ab5", ("\n}",)),
    ("multipl-e", "swift", "completion", "17a34d1c8ace2119", ("\n}",)),
]


def _asks(data: Path, name: str, subset: str | None, style: Style) -> list[Ask]:
    one = benchmarks.get(name)
    protocol = "current" if name == "ds1000" else "paper"  # the original release is an archive of 1,000 folders
    return [one.ask(task, style) for task in one.load(protocol, subset, data).tasks]


@pytest.mark.parametrize(("name", "subset", "style", "sha256", "stops"), ASKED)
def test_questions_and_stops_are_those_of_the_code_that_ran(
    data: Path, name: str, subset: str | None, style: Style, sha256: str, stops: tuple[str, ...]
) -> None:
    asks = _asks(data, name, subset, style)
    if (name, style) in FIRST:
        assert asks[0].prompt == FIRST[name, style]
    assert hashlib.sha256("\0".join(ask.prompt for ask in asks).encode()).hexdigest()[:16] == sha256
    assert {ask.stops for ask in asks} == {stops}
    evalplus, base = name in ("humaneval", "mbpp"), style == "completion"
    ways = {(ask.together, ask.special_tokens, ask.four_spaces) for ask in asks}
    assert ways == {(base, base and not evalplus, base and evalplus)}


def test_multipl_e_is_asked_one_way(data: Path) -> None:
    assert _asks(data, "multipl-e", "rs", "magicoder") == _asks(data, "multipl-e", "rs", "completion")


@pytest.mark.parametrize("protocol", ["paper", "current"])
@pytest.mark.parametrize("name", ["humaneval", "mbpp", "minibench-humaneval", "minibench-mbpp"])
def test_the_sanitizer_follows_a_base_model(name: str, protocol: str) -> None:
    one = benchmarks.get(name)
    assert one.sanitized(protocol, "completion")
    papers = name == "minibench-mbpp" or (name, protocol) == ("mbpp", "paper")
    assert one.sanitized(protocol, "magicoder") is one.sanitized(protocol, "published") is papers
    assert not benchmarks.get("ds1000").sanitized(protocol, "completion")


@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_no_published_answer_of_a_base_model_is_cut(data: Path, name: str) -> None:
    """Stops such as a new `def` left of 123 of the answers to MBPP the imports only."""
    path = data.parent / "published" / "qwen2.5-coder-1.5b-base" / name / "generated.jsonl"
    if not path.is_file():
        pytest.skip(f"no published generations: {path} is not there")
    asks = {ask.task_id: ask for ask in _asks(data, name, None, "completion")}
    answers = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(answers) == len(asks)
    for answer in answers:
        ask = asks[answer["task_id"]]
        text = answer["completion"].removeprefix(ask.prompt)
        assert ask.cut(f"{text}</s>def") == text


def test_tabs_of_a_base_models_answer_become_spaces() -> None:
    task = {"task_id": "HumanEval/0", "prompt": "def f():\n"}
    ask = benchmarks.get("humaneval").ask(task, "completion")
    assert ask.cut("\tif x:\n\t\treturn\n<|endoftext|>\t") == "    if x:\n        return\n"
    assert benchmarks.get("humaneval").ask(task, "magicoder").cut("\treturn```") == "\treturn"
