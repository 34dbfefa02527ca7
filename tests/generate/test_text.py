"""How a question becomes ids and the ids of an answer a text, with a tokenizer made as CodeLlama's is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from magicoder_repro import benchmarks
from magicoder_repro.benchmarks.base import Ask
from magicoder_repro.generate.text import completion_text, prompt_ids, served_text

PAD = 2


@pytest.fixture(scope="module")
def sentencepiece() -> PreTrainedTokenizerFast:
    """Spaces are `▁`, one before every text; the decoder drops the first one. BOS 1 by the tokenizer itself, EOS 2."""
    words = ["<unk>", "<s>", "</s>", "▁", "▁x", "x", ":", "\n", "<", "/", "s", ">"]
    core = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, [("▁", "x")], unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _ask(prompt: str = "x:", stops: tuple[str, ...] = (), **ways: bool) -> Ask:
    return Ask("t", prompt, stops, **ways)


def _completion(tokenizer: PreTrainedTokenizerFast, ask: Ask, answer: list[int]) -> str:
    return ask.cut(completion_text(tokenizer, ask, prompt_ids(tokenizer, ask), answer, PAD))


def _ids(tokenizer: PreTrainedTokenizerFast, *words: str) -> list[int]:
    ids = tokenizer.convert_tokens_to_ids(list(words))
    assert 0 not in ids
    return ids


def test_the_space_before_an_answer_is_kept_where_the_harness_keeps_it(sentencepiece: PreTrainedTokenizerFast) -> None:
    indented = _ids(sentencepiece, "▁", "▁", "x")
    assert _completion(sentencepiece, _ask(), indented) == " x"
    assert _completion(sentencepiece, _ask(together=True), indented) == "  x"
    answer = _ids(sentencepiece, "▁x", ":", "▁x", "</s>", "</s>")
    assert _completion(sentencepiece, _ask(), answer) == "x: x"
    assert _completion(sentencepiece, _ask(together=True), answer) == " x: x"
    assert _completion(sentencepiece, _ask(together=True, special_tokens=True), answer) == " x: x"
    assert _completion(sentencepiece, _ask(" x:", together=True), answer) == " x: x"  # begins with two `▁`


@pytest.mark.parametrize(
    "words",
    [
        ("▁", "▁", "x"),
        ("▁x", ":", "▁x", "</s>"),
        ("x", ":"),
        ("▁",),
        ("\n", "▁x"),
        ("x", "<s>", "x", "</s>", "x"),
        ("</s>",),
    ],
)
@pytest.mark.parametrize("ways", [{}, {"together": True}, {"together": True, "special_tokens": True}])
def test_an_answer_that_a_server_sends_as_text_alone_is_the_same(
    words: tuple[str, ...], ways: dict[str, bool], sentencepiece: PreTrainedTokenizerFast
) -> None:
    """A server decodes an answer after its prompt, and knows `skip_special_tokens`."""
    ask, answer = _ask(**ways), _ids(sentencepiece, *words)
    skip = not ask.special_tokens
    before, whole = ([3, 5, 6], [3, 5, 6, *answer])
    prompt = sentencepiece.decode(before, skip_special_tokens=skip)
    sent = sentencepiece.decode(whole, skip_special_tokens=skip).removeprefix(prompt)
    ours = completion_text(sentencepiece, ask, prompt_ids(sentencepiece, ask), answer, PAD)
    assert served_text(sentencepiece, ask, sent) == ours


def test_where_no_space_is_dropped_none_is_taken(tokenizer: PreTrainedTokenizerFast) -> None:
    assert served_text(tokenizer, _ask(), " x") == " x"


def test_an_indented_answer_loses_a_space_where_the_papers_script_decodes(data: Path) -> None:
    """DS-1000's 71 problems whose solution is a function's body: kept as it was."""
    one = benchmarks.get("ds1000")
    tasks = [task for task in one.load("current", data=data).tasks if "    ### BEGIN SOLUTION" in task["prompt"]]
    asks = [one.ask(task, "magicoder") for task in tasks]
    assert len(asks) == 71 and all(ask.prompt.endswith("\n    # Solution\n") and not ask.together for ask in asks)
    assert all(one.ask(task, "completion").together for task in tasks)


def test_special_tokens_stay_in_the_text_only_where_the_harness_leaves_them(
    sentencepiece: PreTrainedTokenizerFast,
) -> None:
    answer = [*_ids(sentencepiece, "x", "<s>", "x"), PAD, *_ids(sentencepiece, "x")]
    assert _completion(sentencepiece, _ask(together=True), answer) == "xxx"
    assert _completion(sentencepiece, _ask(together=True, special_tokens=True), answer) == "x<s>x"
    spelt = _ids(sentencepiece, "x", "<", "/", "s", ">", "x")
    assert _completion(sentencepiece, _ask(together=True, special_tokens=True), spelt) == "x"
    assert _completion(sentencepiece, _ask(together=True), spelt) == "x</s>x"


def test_stops_are_looked_for_in_the_answer_alone(sentencepiece: PreTrainedTokenizerFast) -> None:
    ask = _ask("x:\nx", ("\n",), together=True)
    assert _completion(sentencepiece, ask, _ids(sentencepiece, "x", "\n", "x")) == "x"
    assert _completion(sentencepiece, ask, [PAD, PAD]) == ""
    ask = _ask(together=True, special_tokens=True)
    assert completion_text(sentencepiece, ask, prompt_ids(sentencepiece, ask), [5, 0, 5, 0, 0], pad=0) == "x<unk>x"


def test_bos_comes_from_the_script_or_from_the_tokenizer(
    sentencepiece: PreTrainedTokenizerFast, tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = prompt_ids(sentencepiece, _ask())
    assert ids[0] == 1 and ids.count(1) == 1 and prompt_ids(sentencepiece, _ask(together=True)) == ids
    without = tokenizer("x:", add_special_tokens=False).input_ids
    assert prompt_ids(tokenizer, _ask()) == [1, *without]
    assert prompt_ids(tokenizer, _ask(together=True)) == without  # has a BOS, and does not put it there itself
