"""A tiny model that answers in three ways: by transformers, by llama.cpp's server, and by vLLM's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.generate import complete

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LAYERS, HEADS = 2, 4


@pytest.fixture(scope="session")
def firm_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights so large that rounding seldom changes its mind. It writes ASCII: what becomes of half a character
    differs from server to server. Its head size is one that vLLM takes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=64, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False, initializer_range=0.2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for token, number in tokenizer.get_vocab().items():
            if not (len(token) == 1 and token.isascii()):
                model.lm_head.weight[number] = 0
    folder = tmp_path_factory.mktemp("firm")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama_server(firm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of llama.cpp's server with the same weights."""
    path = tmp_path_factory.mktemp("gguf") / "firm.gguf"
    _write_gguf(firm_folder, path)
    command = [sys.executable, "-m", "magicoder_repro.data.embedded_server", str(path), "512"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield f"{process.stdout.readline().strip()}/v1"
        process.kill()


def _write_gguf(folder: Path, path: Path) -> None:
    """As llama.cpp's converter writes it: float32, the rows of queries and keys in the order of its rotary embedding."""
    import gguf
    from safetensors.numpy import load_file

    config = records.read_json(folder / "config.json")
    vocabulary = records.read_json(folder / "tokenizer.json")["model"]["vocab"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(vocabulary))
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    writer.add_token_types([control if number < 3 else normal for number in vocabulary.values()])
    writer.add_token_merges(["a b"])  # llama.cpp wants one
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    names |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    names |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    weights = load_file(folder / "model.safetensors")
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output.weight", weights["lm_head.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    for layer in range(LAYERS):
        for theirs, ours in names.items():
            one: Any = weights[f"model.layers.{layer}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                one = one.reshape(HEADS, 2, -1, one.shape[1]).swapaxes(1, 2).reshape(one.shape)
            writer.add_tensor(f"blk.{layer}.{ours}.weight", one)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def generate(firm_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Runs the stage's body; gives its folder."""

    def run(name: str, engine: dict[str, Any], style: str = "completion", **decoding: Any) -> Path:
        config = {
            "benchmark": "minibench-humaneval",
            "protocol": "paper",
            "style": style,
            "dtype": "float32",
            "engine": engine,
            "decoding": decoding,
            "label": f"generate {name}",
        }
        work = Work(tmp_path / name, {"model": firm_folder}, config)
        complete.build(work)
        return work.out

    return run
