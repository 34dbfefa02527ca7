"""What is fetched from a real server on loopback: whole or not at all, and held to the sha256 that was seen first."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Quiet, serving

from magicoder_repro import downloads, profile
from magicoder_repro.errors import UsageError


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            self.send_response(404 if self.path == "/gone" else 200)
            self.send_header("Content-Length", "100" if self.path == "/cut" else "10")
            self.end_headers()
            self.wfile.write(b"0123456789")

    with serving(Handler) as url:
        yield url


def test_a_file_comes_whole_or_not_at_all(address: str) -> None:
    assert downloads.get(f"{address}/file", 10) == b"0123456789"
    for name, most, message in (("cut", 1000, "cut off"), ("file", 9, "more than 0 MB"), ("gone", 10, "404")):
        with pytest.raises(OSError, match=message):
            downloads.get(f"{address}/{name}", most)
    with pytest.raises(OSError, match="no proper answer"):
        downloads.get("http://[half", 10)


def test_a_silent_server_and_none_at_all_are_told_from_one_that_says_no(address: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(downloads.UnreachableError, match="download it elsewhere and put it at"):
            downloads.reach(url, tmp_path / "file", 0.3)
        assert time.monotonic() - start < 3
    with pytest.raises(downloads.UnreachableError):
        downloads.reach(url, tmp_path / "file", 5)
    with pytest.raises(UsageError, match="404") as caught:
        downloads.reach(f"{address}/gone", tmp_path / "file", 5)
    assert not isinstance(caught.value, downloads.UnreachableError)
    downloads.reach(f"{address}/file", tmp_path / "file", 5)


def test_the_look_up_of_a_name_takes_no_longer_than_a_server_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5))
    start = time.monotonic()
    with pytest.raises(downloads.UnreachableError, match="no answer in 0 seconds"):
        downloads.reach("http://example.org/file", tmp_path / "file", 0.2)
    assert time.monotonic() - start < 3


def test_a_file_is_held_to_the_sha256_that_was_seen_first(tmp_path: Path) -> None:
    path = tmp_path / "file"
    downloads.check(path, "a" * 64)
    downloads.hold(path, "a" * 64)
    assert (tmp_path / "file.sha256").read_text() == f"{'a' * 64}  file\n"
    downloads.hold(path, "a" * 64)
    with pytest.raises(
        UsageError, match=r"file.sha256 holds a+ from its first fetch or use: put that file back, or remove"
    ):
        downloads.hold(path, "b" * 64)
    (tmp_path / "file.sha256").write_text("none")
    with pytest.raises(UsageError, match="no sha256 in it: remove it"):
        downloads.held(path)


@pytest.mark.process
def test_a_server_on_this_machine_is_asked_without_the_proxy(address: str, tmp_path: Path) -> None:
    text = (profile.PROFILES / "rescore.yaml").read_text()
    home = "https://github.com/ise-uiuc/magicoder/files/13746794/magicoder-evalplus-results.tar.gz"
    assert home in text
    (tmp_path / "mine.yaml").write_text(text.replace(home, f"{address}/file"))
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.cli",
        "fetch",
        "author-samples",
        "--profile",
        "mine.yaml",
        "--data",
        ".",
    ]
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")  # where nobody listens
    kept = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    given = {"NO_PROXY": "somewhere.invalid"}
    done = subprocess.run(
        command, cwd=tmp_path, env={**kept, **proxies, **given}, capture_output=True, text=True, timeout=120
    )
    assert "not an archive" in done.stderr  # it was asked, and gave what it has
