"""Where the tests find what they need, and what one without a marker may do."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[1]
_data = os.environ.get("MAGICODER_DATA")  # before a test names a folder of its own
STARTS = {"subprocess.Popen", "os.fork", "os.posix_spawn"}
_started: list[str] | None = None  # by the test that runs, where that is noted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path == ROOT / "tests" / "test_pipeline.py":
            item.add_marker(pytest.mark.chain)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _started is not None and event in STARTS:
        command = arguments[1] if event == "subprocess.Popen" else [event]
        if command[0] not in ("git", "uname"):  # a manifest names the commit, the teacher's client its platform
            _started.append(" ".join(map(str, command)))


sys.addaudithook(_note)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job: what it starts ignores Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_process_without_a_marker(request: pytest.FixtureRequest) -> Iterator[None]:
    """What `make check-fast` runs starts no process; pyproject.toml has the markers."""
    global _started
    marks = {mark.name for mark in request.node.iter_markers()}
    if marks & {"process", "sandbox", "timing", "chain", "long"}:
        yield
        return
    _started = []
    yield
    found, _started = _started, None
    assert not found, f"starts processes: mark it `process` or `sandbox` ({found[0][:200]})"


@pytest.fixture(scope="session")
def data() -> Path:
    """The real benchmark files: MAGICODER_DATA, by default ../shared/datasets beside the checkout."""
    folder = Path(_data or ROOT.parent / "shared" / "datasets")
    if not folder.is_dir():
        pytest.skip(f"no benchmark data: set MAGICODER_DATA ({folder} is not there)")
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with BOS 1, EOS 2 and no pad token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="session")
def model_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights, its embeddings tied."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
