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
    paper = profile.load("paper-cl")
    seeds, teacher = profile.load("oss-instruct-open").seeds, profile.load("oss-instruct-open").teacher
    assert seeds and teacher
    assert sum(seeds.per_language.values()) == 80_000 and seeds.seed == 976
    assert (teacher.temperature, teacher.seed, teacher.max_tokens, teacher.context_tokens) == (0, 976, 2500, 8192)
    one, two = paper.recipes["stage-1"], paper.recipes["stage-2"]
    assert (one.max_length, two.max_length) == (1216, 1024)
    for recipe in (one, two):
        assert (recipe.batch, recipe.micro_batch, recipe.epochs, recipe.warmup_steps) == (512, 2, 2, 15)
        assert (recipe.learning_rate, recipe.seed, recipe.optimizer) == (5e-5, 42, "adafactor")
    other = profile.load("paper-ds").evaluate
    found = paper.evaluate
    assert [getattr(one["humaneval"], "batch") for one in (found, other)] == [16, 28]  # noqa: B009
    assert isinstance(found["humaneval"], profile.Greedy) and found["humaneval"].max_new_tokens == 512
    multipl_e, ds1000 = found["multipl-e"], found["ds1000"]
    assert isinstance(multipl_e, profile.Sampled) and isinstance(ds1000, profile.Sampled)
    assert (multipl_e.samples, multipl_e.top_k) == (50, 0)
    assert (ds1000.samples, ds1000.top_p, ds1000.top_k) == (40, 0.5, 50)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("teachr", {}, r"unknown key 'teachr': did you mean 'teacher'\?"),
        ("teacher.temperatur", 0.0, r"unknown key 'teacher.temperatur': did you mean 'temperature'\?"),
        ("teacher.server.sevrers", 1, r"'teacher.server.*sevrers': did you mean 'servers'\?"),
        ("corpus.sources.0.pattern", ["*"], r"corpus.sources.0.pattern': did you mean 'patterns'\?"),
        ("recipes.stage-1.learning_rat", 1.0, r"did you mean 'learning_rate'\?"),
        ("evaluate.humanevl", {}, r"unknown key 'evaluate.humanevl': did you mean 'humaneval'\?"),
        ("recipes.stage-1.epochs", 0, r"recipes.stage-1.epochs: .*greater than 0, got 0"),
        ("recipes.stage-1.dtype", "float64", r"recipes.stage-1.dtype: .*'float64'"),
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
        ("teacher.limits", {"request_per_minute": 5}, r"'teacher.limits.request_per_minute': did you mean 'requests_"),
        ("teacher.limits", {"tokens_per_minute": 0}, r"teacher.limits.tokens_per_minute: .*greater than 0, got 0"),
        ("teacher.cost", {"ceiling": 5.0}, r"the key 'teacher.cost.prompt_per_million' is missing"),
        ("teacher.server.kind", "embeded", r"teacher.server.kind: .*'embeded': did you mean 'embedded'\?"),
        ("teacher.server", {"servers": 2}, r"the key 'teacher.server.kind' is missing"),
        ("evaluate.humaneval.max_new_token", 3, r"'evaluate.humaneval.max_new_token': did you mean 'max_new_tokens'\?"),
        ("evaluate.minibench-ds1000.top_p", 2.0, r"evaluate.minibench-ds1000.top_p: .*less than or equal to 1"),
        ("models.base.styl", "x", r"'models.base.styl': did you mean 'style'\?"),
        ("models.magicoder.recip", "x", r"'models.magicoder.recip': did you mean 'recipe'\?"),
        (
            "data.part",
            {"kind": "select", "from": "oss-instruct", "without": "("},
            r"data.part.without: no regular expression",
        ),
        ("models.Base", {}, r"models.Base: a name is text of lower-case letters"),
        ("data.evol-instruct.kind", "evol", r"data.evol-instruct.kind: should be .*got 'evol'"),
        ("data.evol-instruct.frm", "x", r"'data.evol-instruct.frm': did you mean 'from'\?"),
        ("data.oss-instruct.qqqq", 1, r"'data.oss-instruct.qqqq': valid keys are deduplicate_seed, kind, paper$"),
        ("models.base", {1: "x"}, r"unknown key 'models.base.1': valid keys are dtype, label, paper, revision, "),
        ("scoring.sandbox", "bublewrap", r"scoring.sandbox: .*did you mean 'bubblewrap'\?"),
        ("recipes.stage-1.learning_rate", "5e-5", r"learning_rate: .*'5e-5': write 5.0e-5$"),
        ("recipes.stage-1.learning_rate", "1E5", r"learning_rate: .*'1E5': write 1.0e\+5$"),
        ("corpus.max_bytes", "1e6", r"corpus.max_bytes: .*'1e6': write 1000000$"),
        ("teacher.seed", "976", r"teacher.seed: .*'976': write 976 without quotes$"),
        ("seeds.per_language", {"python": -1}, r"seeds.per_language.python: .*greater than or equal to 0, got -1"),
        ("seeds.seed", -1, r"seeds.seed: .*greater than or equal to 0"),
        ("recipes.stage-1.seed", 2**32, r"recipes.stage-1.seed: .*less than 4294967296"),
        ("recipes.stage-1.learning_rate", float("inf"), r"learning_rate: .*finite"),
        (
            "recipes.stage-1.attention",
            "flash_attention_2",
            r"recipes.stage-1.attention: .* needs .*flash-attn.*: set sdpa",
        ),
        ("recipes.stage-1.lora", {"rank": 8}, r"recipes.stage-1.lora.*alpha.* is missing"),
        ("training", {"proceses": 2}, r"unknown key 'training.proceses': did you mean 'processes'\?"),
        (
            "models.mine",
            {"samples": {}, "archive": "x", "match": ["*"]},
            r"models.mine: give either samples, or archive",
        ),
        ("models.mine", {"match": ["*"]}, r"models.mine: give either samples, or archive and match"),
        ("models.mine", {"archive": "x"}, r"models.mine: archive and match go together"),
        ("models.mine", {"archive": "x", "match": ["*"]}, r"models.mine.archive: 'x' is not in the profile"),
        ("archives", {"x": {"file": "../x"}}, r"archives.x.file: .*without '..', is wanted, got '../x'"),
        (
            "archives",
            {"x": {"file": "/x", "url": "https://x"}},
            r"archives.x: what has a url lies under the data folder",
        ),
        ("archives", {"x": {"file": "x", "url": "file:///etc/passwd"}}, r"archives.x.url: .*pattern"),
        ("archives", {"x": {"file": "x", "answers": "author"}}, r"archives.x.answers: .*did you mean 'authors'\?"),
        ("evaluate.mbpp", {"protocol": "papr"}, r"evaluate.mbpp.protocol: paper or current, or a list .*'papr'"),
        ("evaluate.mbpp", {"protocol": ["paper", "paper"]}, r"evaluate.mbpp.protocol: paper or current, or a list"),
        ("evaluate.mbpp", {"protocol": []}, r"evaluate.mbpp.protocol: paper or current, or a list"),
        ("evaluate.humaneval.protocol", ["paper"], r"evaluate.humaneval.protocol: .*\['paper'\]"),
    ],
)
def test_a_mistake_is_one_line_with_the_key(tmp_path: Path, path: str, value: Any, expected: str) -> None:
    with pytest.raises(UsageError) as error:
        profile.load(_changed(tmp_path, path, value))
    assert re.search(expected, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    content = yaml.safe_load((profile.PROFILES / "smoke.yaml").read_text())
    del content["scoring"]
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match="the key 'scoring' is missing"):
        profile.load(str(file))


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown profile 'smok': did you mean 'smoke'\?"):
        profile.load("smok")


def test_text_that_is_no_yaml(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("a: [1,\nb: }")
    with pytest.raises(UsageError, match="not YAML"):
        profile.load(str(file))
