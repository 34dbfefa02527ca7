"""The figures of the training data: what similarity is fitted on, and what the lengths' figure shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from magicoder_repro import artifact, profile
from magicoder_repro.analyze import data as analyze
from magicoder_repro.data import code_alpaca
from magicoder_repro.errors import UsageError

_ALPACA = [{"instruction": "Sort a list of numbers.", "input": "", "output": "sorted(numbers)"}]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MAGICODER_DATA."""
    folder = tmp_path / "data"
    (folder / "code-alpaca").mkdir(parents=True)
    monkeypatch.setenv("MAGICODER_DATA", str(folder))
    return folder


def _analyzed(out: Path, model_folder: Path) -> artifact.Manifest:
    """Two sets of one record each, analyzed; the manifest. The solution of the first has 701 tokens, the problem 700."""
    rows = {
        "oss-instruct": {"problem": "p" * 700, "solution": "s" * 701},
        "evol-instruct": {"instruction": "Sort a list of numbers in place.", "output": "numbers.sort()"},
    }
    for name, row in rows.items():
        (out.parent / name).mkdir(exist_ok=True)
        (out.parent / name / "records.jsonl").write_text(json.dumps(row) + "\n")
    inputs = {**{name: out.parent / name for name in rows}, "tokenizer": model_folder}
    analysis = profile.load("smoke").analysis
    assert analysis
    config = {"analysis": analysis.model_dump(mode="json"), "names": {name: name for name in rows}}
    artifact.build(artifact.Request("analyze", out, config, inputs, "core"), analyze.build)
    return artifact.read_manifest(out)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_similarity_is_fitted_on_code_alpaca_where_it_is_at_hand(
    suffix: str, home: Path, model_folder: Path, tmp_path: Path
) -> None:
    without = _analyzed(tmp_path / "without", model_folder)
    similarity, kinds = without.notes
    assert "without Code Alpaca: put code-alpaca/code_alpaca_20k.json" in similarity
    assert "categories are not counted: put an encoder" in kinds
    text = json.dumps(_ALPACA) if suffix == "json" else "".join(json.dumps(row) + "\n" for row in _ALPACA)
    (home / "code-alpaca" / f"code_alpaca_20k.{suffix}").write_text(text)
    assert _analyzed(tmp_path / "with", model_folder).notes == [kinds]
    before, after = (json.loads((tmp_path / name / "similarity.json").read_text()) for name in ("without", "with"))
    assert set(after) - set(before) == {"self-instruct"} and 0 < after["self-instruct"]["mean"] < 1
    assert after["evol-instruct"]["mean"] != before["evol-instruct"]["mean"]  # its words are not as rare any more


def test_code_alpaca_is_formed_as_by_the_public_code(home: Path) -> None:
    """What `form_codealpaca_instruction` of its preprocess_data.py gives."""
    rows = [
        *_ALPACA,
        {"instruction": "Add them.", "input": " 1, 2\n", "output": "3"},
        {"instruction": "Do nothing.", "input": " \n", "output": ""},
        {"instruction": "Say it.", "output": "it"},
    ]
    path = home / "code-alpaca" / "code_alpaca_20k.json"
    path.write_text(json.dumps(rows))
    assert code_alpaca.pairs(path) == [
        ("Sort a list of numbers.", "sorted(numbers)"),
        ("Add them.\nInput:  1, 2\n", "3"),
        ("Do nothing.", ""),
        ("Say it.", "it"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "not a list"),
        ("[]", "not a list"),
        ('[{"instruction": "a"}]', "record 1 has no text"),
        ('[{"instruction": "a", "output": "b", "input": 1}]', "record 1: the field 'input' is not text"),
        ("[", "not JSON"),
    ],
)
def test_a_code_alpaca_that_is_none_is_refused(
    text: str, expected: str, home: Path, model_folder: Path, tmp_path: Path
) -> None:
    path = home / "code-alpaca" / "code_alpaca_20k.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=expected) as error:
        _analyzed(tmp_path / "out", model_folder)
    assert str(path) in str(error.value)


def test_longer_records_than_the_figure_shows_are_left_out_and_counted(
    home: Path, model_folder: Path, tmp_path: Path
) -> None:
    counts = _analyzed(tmp_path / "out", model_folder).counts
    beyond = {name: count for name, count in counts.items() if "beyond the figure's 700 tokens" in name}
    assert [count for name, count in beyond.items() if "oss-instruct solutions" in name] == [1]
    assert sum(beyond.values()) == 1
