"""The engine `vllm`: vLLM servers in an environment of their own (docker/serve, docker/serve-cpu), one a GPU, on loopback."""

from __future__ import annotations

import http.client
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from magicoder_repro import environment
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import engines
from magicoder_repro.generate.server import Server
from magicoder_repro.profile import VllmEngine
from magicoder_repro.progress import say

_START_SECONDS = 1200.0  # weights of tens of gigabytes are read, and code is compiled
_POLL_SECONDS = 0.5
_END_SECONDS = 10.0
_LONGEST = 400  # characters of the log in a message
_REASON = re.compile(r"\b\w*(?:Error|Exception): .+")
_NO_REASON = "Engine core initialization failed"  # of one process of vLLM's about another


@dataclass(frozen=True)
class _Started:
    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]


class Vllm(Server):
    """Servers of one model folder. They end with this object, with `close` or with the process, whichever comes first."""

    def __init__(self, folder: Path, dtype: str, settings: VllmEngine) -> None:
        for gap in engines.missing(settings):
            raise UsageError(gap)
        name = f"model-{secrets.token_hex(4)}"  # no other server on this machine has it
        gpus = _gpus() if settings.environment == "serve" else [None]
        self._started = [_start(folder, dtype, settings, name, gpu) for gpu in gpus]
        self._end = weakref.finalize(self, _stop, self._started)
        say(f"generate: waiting for {len(gpus)} vLLM server{'' if len(gpus) == 1 else 's'} ({settings.environment})")
        try:
            for one in self._started:
                self._wait(one, name)
        except BaseException:
            self.close()
            raise
        urls = [f"http://127.0.0.1:{one.port}/v1" for one in self._started]
        super().__init__(folder, urls, name, "none", settings.concurrency, self._check)

    def close(self) -> None:
        """Ends the servers and waits until they have ended."""
        self._end()

    def _wait(self, one: _Started, name: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self._check()
            if name in _models(one.port):
                return
            time.sleep(_POLL_SECONDS)
        raise UsageError(f"generation.engine: vLLM did not start in {_START_SECONDS:.0f} s ({_last_word(one.log)})")

    def _check(self) -> None:
        for one in self._started:
            if one.process.poll() is not None:
                raise UsageError(f"generation.engine: the vLLM server has ended ({_last_word(one.log)})")


def _start(folder: Path, dtype: str, settings: VllmEngine, name: str, gpu: str | None) -> _Started:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "magicoder_repro.generate.attend"]
    command += [str(environment.interpreter(settings.environment)), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(folder.resolve()), "--served-model-name", name, "--dtype", dtype]
    command += [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--generation-config",
        "vllm",
    ]  # not what the model's folder says
    if settings.context is not None:
        command += ["--max-model-len", str(settings.context)]
    cache = environment.cache() / "vllm"
    variables = {"VLLM_CACHE_ROOT": str(cache), "VLLM_CONFIG_ROOT": str(cache), "VLLM_NO_USAGE_STATS": "1"}
    variables["HF_HUB_OFFLINE"] = "1"
    if gpu is None:
        command.append("--enforce-eager")
        variables["VLLM_CPU_KVCACHE_SPACE"] = str(settings.cache_gb)
    else:
        variables["CUDA_VISIBLE_DEVICES"] = gpu
    log = tempfile.TemporaryFile()  # noqa: SIM115 (it is read when the server has ended)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env={**os.environ, **variables},
        start_new_session=True,
    )
    return _Started(process, port, log)


def _stop(started: Sequence[_Started]) -> None:
    for one in started:
        assert one.process.stdin is not None
        one.process.stdin.close()
    for one in started:
        with suppress(subprocess.TimeoutExpired):
            one.process.wait(_END_SECONDS)
        one.log.close()


def _gpus() -> list[str | None]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = named.split(",") if named else list(map(str, range(torch.cuda.device_count())))
    if not torch.cuda.is_available():
        raise UsageError("generation.engine.environment: serve needs a GPU, and there is none: set serve-cpu")
    return [*found]


def _models(port: int) -> str:
    """What the server there says of its models; nothing where none answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def _last_word(log: IO[bytes]) -> str:
    """The reason in a log, or its last line."""
    log.seek(0)
    text = log.read().decode(errors="replace")
    reasons = [found for found in _REASON.findall(text) if _NO_REASON not in found]
    lines = [*text.strip().splitlines()[-1:], "no message"]
    return (reasons[0] if reasons else lines[0])[:_LONGEST]
