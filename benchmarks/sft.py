"""How fast a training step is: `speed: fast` of a recipe against `speed: paper`, same steps, same machine, one run.

    .envs/core/bin/python benchmarks/sft.py [--shape small|1.3b|6.7b] [--records FILE.jsonl --tokenizer FOLDER]

`paper` is what the official code does: micro-batches of 2 records, padded to the longer one. Both train the same random model of
CodeLlama's architecture with the recipe's optimizer, in turns. Counted are useful tokens, without padding, a second: on a CPU of one
thread's processor time, so that a busy machine decides nothing; on CUDA of the clock, without the first step.

--records takes records of a data set (Magicoder-OSS-Instruct-75K, say) and --tokenizer a model's folder; without them lengths are
drawn, see SOURCE. CUDA is bfloat16 with flash_attention_2 where flash-attn is installed, and also tells the peak memory and
MFU = 6 x (parameters - embedding) x useful tokens a second / peak FLOP/s (--peak-tflops; attention is not counted).
Writes sft.json beside this file.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import math
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from magicoder_repro import environment, records
from magicoder_repro.profile import Recipe
from magicoder_repro.train import rank, tokenize

MICRO_BATCH, MAX_LENGTH = 2, 1216
# hidden, intermediate, layers, heads, vocabulary, records a step
SHAPES = {
    "small": (512, 1376, 4, 4, 32000, 8),
    "small, head of a 7B's share": (512, 1376, 4, 4, 512, 8),
    "1.3b": (2048, 5504, 24, 16, 32256, 128),
    "6.7b": (4096, 11008, 32, 32, 32256, 128),
}
DEFAULT = list(SHAPES)[:2]
SOURCE = (
    "drawn: log-normal, mean 600 tokens, sigma 0.4, cut at 1216; about half of each a response. An estimate from the size of the "
    "released file (203 MB, 75,197 records, seeds included) and from max_length, which the authors chose to hold nearly all; the "
    "released records themselves were not at hand"
)


def drawn(count: int) -> list[dict[str, list[int]]]:
    """Records of random tokens whose lengths are distributed as SOURCE says."""
    draw = random.Random(0)
    mean, sigma = 600, 0.4
    made = []
    for _ in range(count):
        length = min(MAX_LENGTH, round(draw.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)))
        ids = [draw.randrange(3, 500) for _ in range(length)]
        prompt = round(length * draw.uniform(0.35, 0.65))
        made.append({"input_ids": ids, "labels": [tokenize.IGNORED] * prompt + ids[prompt:]})
    return made


def encoded(path: Path, folder: Path, count: int) -> list[dict[str, list[int]]]:
    """The first records of a data set."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [row for row, _ in zip(records.read_jsonl(path), range(count), strict=False)]
    if len(rows) < count:
        raise SystemExit(f"{path}: {len(rows)} records, {count} are needed: fewer --steps")
    return [tokenize.encode(tokenizer, *tokenize.pair(row), MAX_LENGTH) for row in rows]


class Clock(TrainerCallback):
    """Seconds of each step, its data included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Called before the first step's data is made."""
        self._last = self._now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called after the optimizer's step."""
        now = self._now()
        self.seconds.append(now - self._last)
        self._last = now

    def _now(self) -> float:
        if not torch.cuda.is_available():
            return time.process_time()
        torch.cuda.synchronize()
        return time.monotonic()


def trainer(speed: str, model: Any, rows: list[dict[str, Any]], batch: int, folder: str, clock: Clock) -> Trainer:
    """The Trainer of a recipe's speed, fed as the stage `sft` feeds it."""
    cuda = torch.cuda.is_available()
    recipe = Recipe.model_construct(batch=batch, micro_batch=MICRO_BATCH, max_length=MAX_LENGTH, speed=speed)
    fed = rank.feed(rank.Job.model_construct(recipe=recipe, pad_token_id=2), devices=1)
    arguments = TrainingArguments(
        output_dir=folder, num_train_epochs=1, optim="adafactor", learning_rate=5e-5, max_grad_norm=-1.0, bf16=cuda,
        per_device_train_batch_size=fed.rows, gradient_accumulation_steps=fed.times, logging_strategy="no",
        save_strategy="no", report_to=[], disable_tqdm=True, remove_unused_columns=False, use_cpu=not cuda,
        dataloader_pin_memory=cuda,
    )  # fmt: skip
    rank.one_gpu(arguments)
    made = fed.trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=lambda some: {**fed.collate(some), rank.LINE: [row[rank.LINE] for row in some]},
        callbacks=[clock],
    )
    made.remove_callback(PrinterCallback)
    return made


def measured(shape: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both speeds of one shape."""
    hidden, intermediate, layers, heads, vocabulary, batch = SHAPES[shape]
    config = LlamaConfig(
        hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads,
        vocab_size=vocabulary, max_position_embeddings=4096,
    )  # fmt: skip
    cuda = torch.cuda.is_available()
    first = 1 if cuda else 0  # step that is counted
    count = batch * (first + options.steps)
    taken = encoded(options.records, options.tokenizer, count) if options.records else drawn(count)
    rows = [{**row, rank.LINE: line} for line, row in enumerate(taken, 1)]
    attention = "flash_attention_2" if cuda and importlib.util.find_spec("flash_attn") else "sdpa"
    useful = sum(len(row["input_ids"]) for row in rows[first * batch :])
    padded = sum(
        MICRO_BATCH * max(len(row["input_ids"]) for row in rows[place : place + MICRO_BATCH])
        for place in range(first * batch, count, MICRO_BATCH)
    )
    seconds: dict[str, list[float]] = {"paper": [], "fast": []}
    memory = dict.fromkeys(seconds, 0)
    for _ in range(options.turns):
        for speed, found in seconds.items():
            set_seed(42)
            with torch.device("cuda" if cuda else "cpu"):
                model = LlamaForCausalLM._from_config(
                    config, dtype=torch.bfloat16 if cuda else torch.float32, attn_implementation=attention
                )
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            clock = Clock()
            with tempfile.TemporaryDirectory() as folder:
                trainer(speed, model, rows, batch, folder, clock).train()
            found += clock.seconds[first:]
            memory[speed] = torch.cuda.max_memory_allocated() if cuda else 0
            parameters = sum(one.numel() for one in model.parameters()) - vocabulary * hidden
            del model
            gc.collect()
    row: dict[str, Any] = {
        "shape": shape, "parameters_without_embedding": parameters, "share_of_head": round(vocabulary * hidden / parameters, 3),
        "records_a_step": batch, "useful_tokens_a_step": round(useful / options.steps), "attention": attention,
        "padding_of_paper": round(1 - useful / padded, 3), "padding_of_fast": 0.0,
    }  # fmt: skip
    for speed, found in seconds.items():
        rate = useful * options.turns / sum(found)
        row[speed] = {"useful_tokens_per_second": round(rate), "seconds_of_steps": [round(one, 2) for one in found]}
        if cuda:
            row[speed]["mfu"] = round(6 * parameters * rate / options.peak_tflops / 1e12, 3)
            row[speed]["peak_memory_gb"] = round(memory[speed] / 1e9, 1)
    row["ratio"] = round(row["fast"]["useful_tokens_per_second"] / row["paper"]["useful_tokens_per_second"], 2)
    return row


def main() -> None:
    """Times both and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--records", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--steps", type=int, default=2, help="counted optimizer steps of a turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--peak-tflops", type=float, default=312.0, help="an A100's; 989 for an H100 or H200")
    options = parser.parse_args()
    if (options.records is None) != (options.tokenizer is None):
        parser.error("--records and --tokenizer go together")
    torch.set_num_threads(1)
    rows = []
    print(f"{'shape':30} {'padding':>8} {'paper tok/s':>12} {'fast tok/s':>11} {'ratio':>6}")
    for shape in options.shape or DEFAULT:
        rows.append(row := measured(shape, options))
        cells = (row[speed]["useful_tokens_per_second"] for speed in ("paper", "fast"))
        print("{:30} {:8.1%} {:12} {:11} {:6}".format(shape, row["padding_of_paper"], *cells, row["ratio"]), flush=True)
        for speed in ("paper", "fast"):
            if "mfu" in row[speed]:
                print(f"  {speed}: MFU {row[speed]['mfu']:.1%}, peak memory {row[speed]['peak_memory_gb']} GB")
    lengths = f"of {options.records.name}" if options.records else SOURCE
    about = {"device": environment.device(), "commit": environment.git_commit(), "lengths": lengths, "rows": rows}
    records.write_json(Path(__file__).with_suffix(".json"), about)


if __name__ == "__main__":
    main()
