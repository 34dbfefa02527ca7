"""Small things in the place of large ones, in the same formats: a random model of a family's shape, a data set in the hub's layout."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magicoder_repro import records

_VOCABULARY = 800
_RECORDS = 24
_DOCUMENTS = 40
_SIZE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 16384,
}
_BYTES = [f"<0x{number:02X}>" for number in range(256)]


def model(source: str, folder: Path) -> None:
    """A Llama with random weights in bfloat16, of the tokenizer class, special tokens and positions of CodeLlama, or of DeepSeek-Coder
    where the source's name says so."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    deepseek = "deepseek" in source.lower() or "-ds" in source.lower()
    tokenizer = _of_deepseek() if deepseek else _of_code_llama()
    positions: dict[str, Any] = {"rope_type": "linear", "factor": 4.0} if deepseek else {"rope_type": "default"}
    torch.manual_seed(0)
    config = LlamaConfig(
        **_SIZE,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        rope_parameters={"rope_theta": 1e5 if deepseek else 1e6, **positions},
    )
    small: Any = LlamaForCausalLM(config)
    small.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _of_code_llama() -> Any:
    """SentencePiece's ways: a space before the text, bytes for what is unknown, the tokens of filling in, no token for padding."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CodeLlamaTokenizer

    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # pairs are counted in words, not in files
    special = ["<unk>", "<s>", "</s>", *_BYTES]
    raw.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=_VOCABULARY, special_tokens=special, show_progress=False)
    )
    trained = json.loads(raw.to_str())["model"]
    return CodeLlamaTokenizer(vocab=trained["vocab"], merges=[tuple(pair) for pair in trained["merges"]])  # type: ignore[misc]


def _of_deepseek() -> Any:
    """Bytes as in GPT-2, and DeepSeek's names of the special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=_VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    )
    end = "<｜end▁of▁sentence｜>"
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=raw,
        bos_token="<｜begin▁of▁sentence｜>",
        eos_token=end,
        pad_token=end,
        additional_special_tokens=["<|EOT|>"],
    )


def data_set(source: str, folder: Path) -> None:
    """Records with the columns of the released OSS-Instruct set, or of the Evol-Instruct one where the source's name says so."""
    columns = ("instruction", "response") if "evol" in source.lower() else ("problem", "solution")
    rows = [dict(zip(columns, pair, strict=True)) for pair in _pairs()]
    records.write_jsonl(folder / "data-00000-of-00001.jsonl", rows)


def corpus(folder: Path, data_dir: str) -> None:
    """Documents of source code under the column that the corpus has."""
    texts = list(_texts())[:_DOCUMENTS]
    records.write_jsonl(folder / data_dir / "data-00000-of-00001.jsonl", [{"content": text} for text in texts])


def _pairs() -> Iterator[tuple[str, str]]:
    """Questions and answers of unlike lengths, none like another and none of a benchmark."""
    for number in range(_RECORDS):
        steps = range(2 + number * 7 % 11)
        words = " ".join(f"Then step {step} adds {step * number + 3} to it." for step in steps)
        code = "\n".join(f"    value += {step * number + 3}" for step in steps)
        question = f"A counter of the kind {number} starts at {number * 13}. {words} Write `counter_{number}` that gives the end."
        yield question, f"```python\ndef counter_{number}():\n    value = {number * 13}\n{code}\n    return value\n```"


def _texts() -> Iterator[str]:
    """Source files of this Python."""
    for path in sorted(Path(sysconfig.get_path("stdlib"), "json").glob("*.py")):
        yield path.read_text(encoding="utf-8")
    for path in sorted(Path(sysconfig.get_path("stdlib"), "email").glob("*.py")):
        yield path.read_text(encoding="utf-8")
