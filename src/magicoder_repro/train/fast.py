"""`speed: fast` of a recipe: the paper's optimizer steps on packed rows (`train/packing.py`), with logits of response tokens only."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from magicoder_repro.errors import UsageError
from magicoder_repro.train.packing import Row
from magicoder_repro.train.rank import LINE, MicroBatchMeanTrainer

SDPA = "sdpa_by_record"
_LIGER = (0, 8, 5)
"""The first liger-kernel known to weight the gradient of each token (its `reduction="none"`)."""


class PackedTrainer(MicroBatchMeanTrainer):
    """A batch of its data loader is what this process sees in one optimizer step, in rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model: Any = self.model
        if model.config._attn_implementation == "sdpa" and getattr(model.config, "sliding_window", None) is None:
            model.set_attn_implementation(SDPA)
        self._fused = _fused_loss()

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """This process's loss of the step. The rows' gradients are added up; processes exchange them at the last row only."""
        model.train()
        lines, rows = inputs[LINE], self._prepare_inputs(inputs)["rows"]
        total = torch.zeros((), device=self.args.device)
        for number, row in enumerate(rows, 1):
            with contextlib.nullcontext() if number == len(rows) else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, row)
                self.check(loss, sorted(lines[place] for place in row["records"]))
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def compute_loss(
        self, model: Any, inputs: Row, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The weighted sum over the response tokens of a row: its part of the step's loss."""
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        fused = self._fused if type(head) is torch.nn.Linear and len(inputs["kept"]) else None
        with _left_out(head) if fused else contextlib.nullcontext():
            scores = model(
                input_ids=inputs["input_ids"],
                position_ids=inputs["position_ids"],
                attention_mask=inputs.get("attention_mask"),
                cu_seq_lens_q=inputs["cu_seq_lens"],
                cu_seq_lens_k=inputs["cu_seq_lens"],
                max_length_q=inputs["max_length"],
                max_length_k=inputs["max_length"],
                logits_to_keep=inputs["kept"],
                use_cache=False,
            ).logits[0]
        if fused:
            losses = fused(head.weight, scores.to(head.weight.dtype), inputs["targets"], head.bias)
        else:
            losses = torch.nn.functional.cross_entropy(scores.float(), inputs["targets"], reduction="none")
        return (losses * inputs["weights"]).sum()


def _sdpa(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """transformers' sdpa, record by record: with a mask the whole row would cost its length squared. States: (1, heads, T, size)."""
    if attention_mask is not None or "cu_seq_lens_q" not in kwargs:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    lengths = kwargs["cu_seq_lens_q"].diff().tolist()
    parts = zip(*(torch.split(states, lengths, dim=2) for states in (query, key, value)), strict=True)
    return torch.cat([sdpa_attention_forward(module, *part, None, **kwargs)[0] for part in parts], dim=1), None  # type: ignore[call-arg]


def _mask(*, attention_mask: torch.Tensor | None, **kwargs: Any) -> torch.Tensor | None:
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **kwargs)


AttentionInterface.register(SDPA, _sdpa)
AttentionMaskInterface.register(SDPA, _mask)


@contextlib.contextmanager
def _left_out(head: torch.nn.Module) -> Iterator[None]:
    """The model ends before its head: what it calls logits are the head's inputs."""
    head.forward = lambda states: states
    try:
        yield
    finally:
        del head.forward


def _fused_loss() -> Any | None:
    """Liger's head and cross-entropy in one, which never holds all logits; None without CUDA or without liger-kernel."""
    if not torch.cuda.is_available() or importlib.util.find_spec("liger_kernel") is None:
        return None
    version = importlib.metadata.version("liger-kernel")
    if tuple(int(part) for part in version.split(".")[:3] if part.isdecimal()) < _LIGER:
        wanted = ".".join(map(str, _LIGER))
        raise UsageError(f"liger-kernel {version}: `speed: fast` needs {wanted} or later: upgrade it, or uninstall it")
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss  # type: ignore[import-not-found]

    return LigerFusedLinearCrossEntropyLoss(reduction="none", accum_dtype=torch.float32)
