"""vLLM started by the stage: the same greedy text as transformers, and no server when the stage is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from magicoder_repro import environment
from magicoder_repro.profile import VllmEngine

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not environment.ready("serve-cpu"), reason="vLLM is not built here: make .envs/serve-cpu/.ready (2 GB, minutes)"
    ),
]

_STAGE = """
import json, sys, time
from pathlib import Path
from magicoder_repro.benchmarks.base import Ask
from magicoder_repro.generate.engines import Decoding, Request, Tokens, make
from magicoder_repro.profile import TransformersEngine, VllmEngine

folder, prompts = Path(sys.argv[1]), ["def f(x):", "import", "class Stack:", "x = [1, 2"]
tokens, texts = Tokens(folder, TransformersEngine()), []
asks = [Ask("t", text, ()) for text in prompts]
requests = [Request(at, ask, tokens.ids(ask), 20, at) for at, ask in enumerate(asks)]
for settings in (TransformersEngine(), VllmEngine(kind="vllm", environment="serve-cpu", context=128, cache_gb=1)):
    engine, found = make(folder, "float32", settings), {}
    engine.complete(requests, Decoding(batch=4), (), found.__setitem__)
    texts.append([found[at].text for at in range(len(prompts))])
print(json.dumps(texts), flush=True)
time.sleep(600)
"""


def test_its_greedy_text_is_transformers_and_it_ends_with_a_killed_stage(firm_folder: Path) -> None:
    command = [sys.executable, "-c", _STAGE, str(firm_folder)]
    stage = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert stage.stdout is not None
        ours, served = json.loads(stage.stdout.readline() or "[1, 2]")
        assert ours == served
        processes = psutil.Process(stage.pid).children(recursive=True)
        assert len(processes) > 2  # that which attends, the server and what that has started
    finally:
        stage.kill()
        stage.wait()
        stage.stdout.close()
    gone, left = psutil.wait_procs(processes, timeout=20)
    assert gone and not left


def test_one_that_does_not_start_is_one_line(tmp_path: Path) -> None:
    from magicoder_repro.errors import UsageError
    from magicoder_repro.generate.vllm import Vllm

    (tmp_path / "config.json").write_text('{"model_type": "llama", "architectures": ["Nothing"]}')
    with pytest.raises(UsageError, match=r"^generation.engine: the vLLM server has ended \(.*Error: .+\)") as caught:
        Vllm(tmp_path, "float32", VllmEngine(kind="vllm", environment="serve-cpu"))
    assert "\n" not in str(caught.value)
