"""A profile's mistakes are named with their key and the mend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from magicoder_repro import profile
from magicoder_repro.errors import UsageError


def _changed(tmp_path: Path, path: str, value: Any) -> str:
    """The smoke profile with one key set, as a file."""
    content = yaml.safe_load((profile.PROFILES / "smoke.yaml").read_text())
    *parents, last = path.split(".")
    node: Any = content
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[int(last) if isinstance(node, list) else last] = value
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump(content))
    return str(file)


@pytest.mark.parametrize("name", profile.known())
def test_every_profile_of_the_package_is_valid(name: str) -> None:
    assert profile.load(name).description


def test_the_papers_profile_holds_the_papers_numbers() -> None:
    paper = profile.load("paper")
    assert sum(paper.seeds.per_language.values()) == 80_000 and paper.seeds.seed == 976
    teacher = paper.teacher
    assert (teacher.model, teacher.max_tokens, teacher.context_tokens) == ("gpt-3.5-turbo-1106", 2500, 8192)
    one, two = paper.training.magicoder, paper.training.magicoder_s
    assert (one.max_length, two.max_length) == (1216, 1024)
    for recipe in (one, two):
        assert (recipe.batch, recipe.micro_batch, recipe.epochs, recipe.warmup_steps) == (512, 2, 2, 15)
        assert (recipe.learning_rate, recipe.seed, recipe.optimizer) == (5e-5, 42, "adafactor")
    generation = paper.generation
    assert generation.humaneval is not None and generation.humaneval.max_new_tokens == 512
    assert generation.multipl_e is not None and generation.multipl_e.samples == 50
    assert generation.ds1000 is not None and (generation.ds1000.samples, generation.ds1000.top_p) == (40, 0.5)
    assert (generation.multipl_e.top_k, generation.ds1000.top_k) == (0, 50)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("teachr", {}, r"unknown key 'teachr': did you mean 'teacher'\?"),
        ("teacher.temperatur", 0.0, r"unknown key 'teacher.temperatur': did you mean 'temperature'\?"),
        ("teacher.server.sevrers", 1, r"'teacher.server.*sevrers': did you mean 'servers'\?"),
        ("corpus.sources.0.pattern", ["*"], r"corpus.sources.0.pattern': did you mean 'patterns'\?"),
        ("training.magicoder.learning_rat", 1.0, r"did you mean 'learning_rate'\?"),
        ("generation.humanevl", {}, r"did you mean 'humaneval'\?"),
        ("training.magicoder.epochs", 0, r"training.magicoder.epochs: .*greater than 0, got 0"),
        ("training.magicoder.dtype", "float64", r"training.magicoder.dtype: .*'float64'"),
        ("seeds.per_language", {"cobol": 3}, r"unknown key 'seeds.per_language.cobol': valid keys are python, cpp"),
        ("seeds.per_language", {"pyton": 3}, r"unknown key 'seeds.per_language.pyton': did you mean 'python'\?"),
        ("scoring", None, r"scoring: should be a mapping of settings, got None"),
        ("corpus.sources.0.files", "ten", r"corpus.sources.0.files: .*integer, got 'ten'$"),
        ("corpus.sources.0.language", "shel", r"corpus.sources.0.language: .*'shel': did you mean 'shell'\?"),
        ("corpus.sources.0", "x", r"corpus.sources.0: should be a mapping of settings, got 'x'"),
        (
            "corpus.sources.0",
            {"language": "python", "datset": "x", "data_dir": "y", "documents": 5},
            r"unknown key 'corpus.sources.0.datset': did you mean 'dataset'\?",
        ),
        ("teacher.server", {"kind": "server", "base_ur": "x"}, r"'teacher.server.base_ur': did you mean 'base_url'\?"),
        ("teacher.server.kind", "embeded", r"teacher.server.kind: .*'embeded': did you mean 'embedded'\?"),
        ("teacher.server", {"servers": 2}, r"the key 'teacher.server.kind' is missing"),
        ("scoring.sandbox", "bublewrap", r"scoring.sandbox: .*did you mean 'bubblewrap'\?"),
        ("training.magicoder.learning_rate", "5e-5", r"learning_rate: .*'5e-5': write 5.0e-5$"),
        ("training.magicoder.learning_rate", "1E5", r"learning_rate: .*'1E5': write 1.0e\+5$"),
        ("corpus.max_bytes", "1e6", r"corpus.max_bytes: .*'1e6': write 1000000$"),
        ("teacher.seed", "976", r"teacher.seed: .*'976': write 976 without quotes$"),
        ("seeds.per_language", {"python": -1}, r"seeds.per_language.python: .*greater than or equal to 0, got -1"),
        ("seeds.seed", -1, r"seeds.seed: .*greater than or equal to 0"),
        ("training.magicoder.seed", 2**32, r"training.magicoder.seed: .*less than 4294967296"),
        ("training.magicoder.learning_rate", float("inf"), r"learning_rate: .*finite"),
    ],
)
def test_a_mistake_is_one_line_with_the_key(tmp_path: Path, path: str, value: Any, expected: str) -> None:
    with pytest.raises(UsageError) as error:
        profile.load(_changed(tmp_path, path, value))
    assert re.search(expected, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    content = yaml.safe_load((profile.PROFILES / "smoke.yaml").read_text())
    del content["clean"]
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match="the key 'clean' is missing"):
        profile.load(str(file))


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown profile 'smok': did you mean 'smoke'\?"):
        profile.load("smok")


def test_text_that_is_no_yaml(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("a: [1,\nb: }")
    with pytest.raises(UsageError, match="not YAML"):
        profile.load(str(file))
