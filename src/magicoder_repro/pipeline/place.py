"""Where a node is made: its environment, and what of the machine it is given there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from magicoder_repro import benchmarks
from magicoder_repro.generate.server import KEY
from magicoder_repro.profile import (
    Analysis,
    Corpus,
    Engine,
    HubDataset,
    Profile,
    ServerEngine,
    ServerTeacher,
    Teacher,
    TransformersEngine,
)
from magicoder_repro.train.base_model import EMBEDDED

Network = Literal["none", "outside", "machine"]
"""Of a container: none; its own, with a way out; or this machine's own, where a server on loopback is."""
_OF_THE_TEACHER = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TIKTOKEN_CACHE_DIR")
_OF_THE_HUB = ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE")
_OF_A_PROXY = tuple(name for one in ("http_proxy", "https_proxy", "no_proxy") for name in (one, one.upper()))


@dataclass(frozen=True)
class Place:
    """`environment`: the folder of docker/ whose image it is. `variables`: the names of those that it is given where they are set,
    secrets among them. `gpu`: all of the machine's, where it has any. `sandbox`: model-written programs are run there. `hub`: what
    comes from the Hugging Face hub is kept in its cache."""

    environment: str = "core"
    network: Network = "none"
    variables: tuple[str, ...] = ()
    gpu: bool = False
    sandbox: bool = False
    hub: bool = False


HERE = Place()


def of_corpus(corpus: Corpus) -> Place:
    return _hub(any(isinstance(one, HubDataset) and not Path(one.dataset).is_dir() for one in corpus.sources))


def of_hub(name: str) -> Place:
    """Of a data set or a model, which may be a folder."""
    return _hub(name != EMBEDDED and not Path(name).is_dir())


def of_teacher(teacher: Teacher | None) -> Place:
    """Only a teacher that is a server elsewhere is reached, with the key that is for it."""
    own, server = os.environ.get("OPENAI_BASE_URL"), teacher and teacher.server
    if server is None or not (own or isinstance(server, ServerTeacher)):
        return HERE
    url = own or (server.base_url if isinstance(server, ServerTeacher) else None)
    return Place(network=_network(url), variables=(*_OF_THE_TEACHER, *_OF_A_PROXY))


def of_training() -> Place:
    return _on_gpus()


def of_engine(engine: Engine) -> Place:
    if isinstance(engine, ServerEngine):
        return Place(network=_network(engine.base_url), variables=(KEY, *_OF_A_PROXY))
    if isinstance(engine, TransformersEngine):
        return _on_gpus()
    return Place(engine.environment, gpu=engine.environment == "serve")


def of_judge(benchmark: str, protocol: str) -> Place:
    return Place(benchmarks.get(benchmark).environment(protocol), sandbox=True)


def of_analysis(profile: Profile, analysis: Analysis) -> Place:
    """A tiktoken encoding is fetched from its public home."""
    own = analysis.tokenizer in profile.models
    return HERE if own else Place(network="outside", variables=("TIKTOKEN_CACHE_DIR", *_OF_A_PROXY))


def gpus_here() -> bool:
    """Whether this machine has GPUs that a container can be given."""
    return Path("/dev/nvidiactl").exists()


def _on_gpus() -> Place:
    """Where there are none, `core` has all that it takes."""
    return Place("train" if gpus_here() else "core", gpu=True)


def _hub(asked: bool) -> Place:
    return Place(network="outside", variables=(*_OF_THE_HUB, *_OF_A_PROXY), hub=True) if asked else HERE


def _network(url: str | None) -> Network:
    host = urlsplit(url or "").hostname or ""
    return "machine" if host == "localhost" or host.startswith("127.") or host == "::1" else "outside"
