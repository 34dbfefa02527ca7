"""A hub that cannot be reached, lets nobody in or does not know the name, over real HTTP on loopback: one line with the mend."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Quiet, serving

from magicoder_repro.artifact import Work
from magicoder_repro.data import hub
from magicoder_repro.errors import UsageError
from magicoder_repro.train import base_model

_ANSWERS = {
    "gated": (401, {"X-Error-Code": "GatedRepo"}),
    "missing": (404, {"X-Error-Code": "RepoNotFound"}),
    "token": (401, {"X-Error-Message": "Invalid username or password."}),
}


class _Hub(Quiet):
    def do_GET(self) -> None:
        status, headers = _ANSWERS[self.path.split("/")[1]]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    do_HEAD = do_GET


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(_Hub) as url:
        yield url


@pytest.mark.process
@pytest.mark.parametrize(
    ("stage", "key", "answer", "mend"),
    [
        ("corpus", "corpus.sources: 'bigcode/starcoderdata'", "gated", "accept it"),
        ("corpus", "corpus.sources: 'bigcode/starcoderdata'", "token", "refuses the token"),
        ("corpus", "corpus.sources: 'bigcode/starcoderdata'", "offline", "no way to the hub"),
        (
            "released/evol-instruct",
            "data.evol-instruct.dataset: 'ise-uiuc/Magicoder-Evol-Instruct-110K'",
            "missing",
            "mend the name",
        ),
        ("base-model/base", "models.base.source: 'codellama/CodeLlama-7b-Python-hf'", "missing", "mend the name"),
    ],
)
def test_a_stage_that_cannot_have_what_it_needs(
    tmp_path: Path, address: str, stage: str, key: str, answer: str, mend: str
) -> None:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**keep, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": f"{address}/{answer}"}
    if answer == "offline":
        environment["HF_HUB_OFFLINE"] = "1"
    command = [sys.executable, "-m", "magicoder_repro.cli", "stage", stage, "--profile", "oss-instruct-open"]
    done = subprocess.run(
        [*command, "--runs", str(tmp_path), "--store", str(tmp_path / "store")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {key}") and mend in line
    assert not list(tmp_path.glob("store/*.partial"))


def test_a_dataset_without_the_column(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(UsageError, match=r"k: 'json' has no column 'content': it has text"):
        list(hub.rows("k", "json", ("content",), data_files=str(tmp_path / "rows.jsonl"), streaming=True))


def test_a_dataset_with_a_loading_script(tmp_path: Path) -> None:
    folder = tmp_path / "scripted"
    folder.mkdir()
    (folder / "scripted.py").write_text("raise SystemExit('run')")
    with pytest.raises(UsageError, match=r"k: '.*scripted': it would run code of its own.*Parquet"):
        list(hub.rows("k", str(folder), ("content",)))


@pytest.mark.parametrize(
    "content", ['{"content": null}', '{"content": [1]}', '{"content": "a"}\n{"content": ', "[" * 5000, "\0", "\ufeff[]"]
)
def test_a_dataset_of_other_values(content: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(UsageError, match=r"^k: 'json': "):
        list(hub.rows("k", "json", ("content",), data_files=str(tmp_path / "rows.jsonl"), streaming=True))


_CONFIG = '{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": %s}'


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"config.json": ""},
        {"config.json": "[" * 5000},
        {"config.json": "[]"},
        {"config.json": '{"model_type": "x\x1b"}'},
        {
            "config.json": '{"model_type": "x", "auto_map": {"AutoConfig": "m.C", "AutoModelForCausalLM": "m.M"}}',
            "m.py": "1 / 0",
        },
        {"config.json": _CONFIG % 8, "tokenizer.json": "{}", "model.safetensors": "x"},
        {"config.json": _CONFIG % '"a"', "tokenizer.json": "[]"},
        {"config.json": _CONFIG % 8, "tokenizer_config.json": '{"tokenizer_class": 5}'},
    ],
)
def test_a_model_folder_that_is_none(files: dict[str, str], tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    config = {"source": str(tmp_path), "revision": None, "dtype": "float32", "key": "models.base.source"}
    with pytest.raises(UsageError, match=r"^models\.base\.source: "):
        base_model.build(Work(tmp_path / "out", {}, config))


@pytest.mark.process
@pytest.mark.parametrize(("variable", "stage"), [("HF_HOME", "evol-instruct"), ("HF_HUB_CACHE", "base-model")])
def test_a_cache_that_is_a_file(variable: str, stage: str, address: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    keep = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {
        **keep,
        "HF_HOME": str(tmp_path / "home"),
        "HF_ENDPOINT": f"{address}/missing",
        variable: str(tmp_path / "file"),
    }
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.cli",
        "stage",
        stage,
        "--profile",
        "paper",
        "--runs",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("error: ") == 1
