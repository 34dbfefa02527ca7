"""Completions a second: the paper's way, ours and vLLM's, the same HumanEval prompts and model, one run, same machine.

    .envs/core/bin/python benchmarks/generate.py [--model FOLDER] [--tasks 16] [--max-new-tokens 128] [--dtype float32]

The paper's script decodes fixed batches of 16 in order, until the last row of a batch ends by itself or at its limit (512 tokens
there), and cuts the answers at the closing fence afterwards. Ours: each row ends at its fence (`order: paper`), and with `order:
length` leaves its batch then. vLLM: one server of .envs/serve-cpu or .envs/serve, where that is built; its start is not counted.
Greedy; how many texts are those of the paper's way stands beside each. Without --model: SmolLM2-135M-Instruct, asked with the
paper's prompt. Writes generate.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, environment, records
from magicoder_repro.artifact import Work
from magicoder_repro.generate import engines
from magicoder_repro.generate.engines import Completion, Decoding, Request, Tokens
from magicoder_repro.profile import Engine, TransformersEngine, VllmEngine
from magicoder_repro.train import base_model

BATCH = 16


def requests(folder: Path, tasks: int, max_new_tokens: int) -> list[Request]:
    """HumanEval's first tasks with the paper's prompt."""
    tokens, benchmark = Tokens(folder, TransformersEngine()), benchmarks.get("humaneval")
    asks = [benchmark.ask(task, "magicoder") for task in benchmark.load().tasks[:tasks]]
    return [Request(at, ask, tokens.ids(ask), max_new_tokens, at) for at, ask in enumerate(asks)]


def run(folder: Path, dtype: str, settings: Engine, asked: list[Request]) -> tuple[dict[str, Any], list[str]]:
    """Seconds without the start, and the texts. The first request, asked before, warms what there is to warm."""
    found: dict[int, Completion] = {}
    with closing(engines.make(folder, dtype, settings)) as engine:
        engine.complete([replace(asked[0], room=4)], Decoding(), (), lambda *_: None)
        begun = time.monotonic()
        engine.complete(asked, Decoding(batch=BATCH), (), found.__setitem__)
        seconds = time.monotonic() - begun
    return {"seconds": round(seconds, 1), "per_second": round(len(asked) / seconds, 3)}, [
        found[at].text for at in range(len(asked))
    ]


def main() -> None:
    """Times each, and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.model or Path(name)
        if options.model is None:
            base_model.build(Work(folder, {}, {"source": "embedded", "revision": None, "key": "", "dtype": "bfloat16"}))
        asked = requests(folder, options.tasks, options.max_new_tokens)
        endless = [replace(one, ask=replace(one.ask, stops=())) for one in asked]
        ways: list[tuple[str, Engine, list[Request]]] = [
            ("the paper's way", TransformersEngine(), endless),
            ("order: paper", TransformersEngine(), asked),
            ("order: length", TransformersEngine(order="length"), asked),
            ("order: length, sdpa", TransformersEngine(order="length", attention="sdpa"), asked),
        ]
        for served in (VllmEngine(kind="vllm"), VllmEngine(kind="vllm", environment="serve-cpu")):
            if not engines.missing(served):
                ways.append((f"vllm {engines.told(served)['version']}", served, asked))
        rows: list[dict[str, Any]] = []
        papers: list[str] = []
        for way, settings, given in ways:
            row, texts = run(folder, options.dtype, settings, given)
            texts = [one.ask.cut(text) for one, text in zip(asked, texts, strict=True)]
            papers = papers or texts
            same = sum(one == two for one, two in zip(texts, papers, strict=True))
            ratio = round(rows[0]["seconds"] / row["seconds"], 1) if rows else 1.0
            rows.append({"way": way, **row, "ratio": ratio, "identical": same})
            print(json.dumps(rows[-1]), flush=True)
    about = {"device": environment.device(), "commit": environment.git_commit(), "versions": environment.versions()}
    about |= {"model": str(options.model or "SmolLM2-135M-Instruct"), "dtype": options.dtype, "batch": BATCH}
    about |= {"tasks": options.tasks, "max_new_tokens": options.max_new_tokens}
    about["mean_characters"] = round(sum(map(len, papers)) / len(papers), 1)
    records.write_json(Path(__file__).with_suffix(".json"), {**about, "rows": rows})


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the stages
    main()
