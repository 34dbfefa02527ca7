"""Where a benchmark's file comes from: fetched from a real server on loopback, checked, and whole or absent."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Quiet, serving

from magicoder_repro import benchmarks
from magicoder_repro.benchmarks import base
from magicoder_repro.errors import UsageError

CONTENT = b"the pinned file"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """MBPP+'s public home, moved to a server here; gives the list of what was asked for."""
    asked: list[str] = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = CONTENT if self.path == "/right" else b"an error page"
            self.reply(404 if self.path == "/gone" else 200, content)

    with serving(Handler) as home:
        protocols = benchmarks.get("mbpp").protocols
        pinned = protocols["paper"].files[None]
        for protocol, path in (("paper", "right"), ("current", "wrong")):
            url = f"{home}/{path}"
            moved = dataclasses.replace(pinned, url=url, sha256=hashlib.sha256(CONTENT).hexdigest())
            monkeypatch.setitem(protocols, protocol, base.Protocol({None: moved}))  # type: ignore[arg-type]
        gone = dataclasses.replace(pinned, url=f"{home}/gone")
        monkeypatch.setitem(benchmarks.get("humaneval").protocols, "paper", base.Protocol({None: gone}))  # type: ignore[arg-type]
        yield asked


def test_a_file_is_fetched_once_and_checked(served: list[str], tmp_path: Path) -> None:
    path = base.fetch(benchmarks.get("mbpp"), "paper", tmp_path)
    assert path == tmp_path / "evalplus" / "MbppPlus-v0.1.0.jsonl.gz" and path.read_bytes() == CONTENT
    assert base.fetch(benchmarks.get("mbpp"), "paper", tmp_path) == path and served == ["/right"]
    path.write_bytes(b"damaged")
    base.fetch(benchmarks.get("mbpp"), "paper", tmp_path)
    assert path.read_bytes() == CONTENT and served == ["/right", "/right"]


def test_another_file_is_refused_and_nothing_is_written(served: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"its sha256 is .* nothing was written"):
        base.fetch(benchmarks.get("mbpp"), "current", tmp_path)
    with pytest.raises(UsageError, match="404"):
        base.fetch(benchmarks.get("humaneval"), "paper", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_benchmark_without_a_home_says_where_its_file_belongs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no public home .*ds1000/ds1000\.jsonl"):
        base.fetch(benchmarks.get("ds1000"), "current", tmp_path)
    with pytest.raises(UsageError, match="run `magicoder fetch mbpp --protocol current`"):
        benchmarks.get("mbpp").load("current", data=tmp_path)
