"""Stage `base-model`: the model that is fine-tuned, as an ordinary Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

from magicoder_repro.artifact import Work
from magicoder_repro.data import embedded_model, hub
from magicoder_repro.progress import bar, say

EMBEDDED = "embedded"


def build(work: Work) -> None:
    """Writes weights and tokenizer. The embedded GGUF is de-quantized once; a hub name or a folder is loaded and saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, revision, key = (work.config[name] for name in ("source", "revision", "key"))
    dtype = getattr(torch, work.config["dtype"])
    with bar("base-model", 3, "steps") as progress:  # tokenizer read, weights read, both written
        if source == EMBEDDED:
            path = embedded_model.gguf()
            say(f"base-model: reading {embedded_model.NAME} from {path.name}")
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            progress.advance()
            quantized = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
            # A fresh model of the same shape: the loaded one is marked as quantized and refuses to be saved.
            shape = quantized.config
            del shape.quantization_config
            model = type(quantized)(shape)
            model.load_state_dict(quantized.state_dict())
            model.generation_config = quantized.generation_config
        else:
            with hub.access(key, source):
                tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
                progress.advance()
                model = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=dtype)
        progress.advance()
        model.to(dtype).save_pretrained(work.out)
        tokenizer.save_pretrained(work.out)
        progress.advance()
    if source != EMBEDDED and revision is None and not Path(source).exists():
        work.notes.append(f"{source} is unpinned: the profile names no revision")
    work.counts["parameters"] = sum(parameter.numel() for parameter in model.parameters())
