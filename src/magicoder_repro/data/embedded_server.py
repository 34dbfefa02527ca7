"""One llama.cpp server process of the embedded teacher: `python -m magicoder_repro.data.embedded_server MODEL CONTEXT`.

It prints its address as the first line and ends when its standard input closes, so that it never outlives the stage that
started it, however that stage ends. One slot, one thread and no prompt cache: a reply depends on its request alone.
"""

from __future__ import annotations

import os
import sys


def main(model: str, context: int) -> None:
    """Serves until standard input closes."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = context
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # the library's own teardown may wait for a request that nobody reads any more


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
