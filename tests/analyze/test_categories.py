"""Kinds of problems, by a small encoder with random weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from magicoder_repro.analyze import categories
from magicoder_repro.analyze.categories import CATEGORIES, Encoder
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import Bar
from magicoder_repro.report import figures

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Analyzed = Callable[..., Any]


@pytest.fixture
def encoder(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a BERT, as sentence-transformers writes it, under MAGICODER_DATA."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    folder = tmp_path / "data" / "embeddings" / "tiny-encoder"
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, initializer_range=0.5, **shape)  # type: ignore[arg-type]
    BertModel(config).save_pretrained(folder)
    own = copy.deepcopy(tokenizer)
    own.pad_token = own.eos_token
    own.save_pretrained(folder)
    kinds = ("Transformer", "Pooling", "Normalize")
    (folder / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.models.{one}"} for one in kinds]))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48}))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path / "data"))
    return folder


def test_a_vector_is_the_mean_over_a_text_s_own_tokens(encoder: Path) -> None:
    one = Encoder(encoder)
    together = one.vectors(["def f(x): return x", "x"])
    alone = torch.cat([one.vectors([text]) for text in ("def f(x): return x", "x")])
    assert torch.allclose(together, alone, atol=1e-5)  # padding is no part of it
    assert torch.allclose(together.norm(dim=1), torch.ones(2))
    assert torch.equal(one.vectors(["x" * 48]), one.vectors(["x" * 500]))  # a token a byte: cut off at 48


def test_a_solution_counts_for_the_nearest_query(encoder: Path) -> None:
    found = categories.count(Encoder(encoder), ["Web Problems", *[f"{name} Problems" for name in CATEGORIES]], _bar())
    assert list(found) == list(CATEGORIES)
    assert found == {name: 1 + (name == "Web") for name in CATEGORIES}


def test_the_figure_bears_the_encoder_s_name(encoder: Path, tmp_path: Path) -> None:
    counts = {"oss-instruct": dict.fromkeys(CATEGORIES, 1) | {"Web": 5}}
    figure = categories.draw(counts, {"oss-instruct": "OSS"}, "tiny-encoder")
    assert "tiny-encoder (the paper: INSTRUCTOR)" in figure.axes[0].get_xlabel()
    figure.savefig(tmp_path / "categories.svg", format="svg")
    (tmp_path / "categories.json").write_text(json.dumps({"encoder": "tiny-encoder", "sets": counts}))
    (drawn,) = figures.draw({"analyze": tmp_path}, [], {})
    assert "tiny-encoder, which is not the paper's" in drawn.alt and "Web 5" in drawn.alt


def test_another_encoder_makes_the_analysis_stale(encoder: Path) -> None:
    before = categories.facts()
    (encoder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}))
    assert categories.facts() != before
    (encoder / "modules.json").unlink()
    assert categories.facts() == {}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "modules.json",
            [{"type": "sentence_transformers.models.Dense"}],
            "Dense: give an encoder without further layers",
        ),
        ("modules.json", "x", "nothing: give an encoder"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "pooling_mode_mean_tokens: give an encoder"),
        ("config.json", {"model_type": "nothing"}, "no encoder that transformers loads"),
    ],
)
def test_an_encoder_of_another_form_is_refused(file: str, content: Any, said: str, encoder: Path) -> None:
    (encoder / file).write_text(json.dumps(content))
    with pytest.raises(UsageError, match=said):
        Encoder(encoder)


def test_two_encoders_are_one_too_many(encoder: Path) -> None:
    (encoder.parent / "other").mkdir()
    (encoder.parent / "other" / "modules.json").write_text("[]")
    with pytest.raises(UsageError, match="other, tiny-encoder: leave one encoder there"):
        categories.find()


def _bar() -> Bar:
    return Bar("", 1, "", None)
