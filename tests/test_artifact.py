"""An output folder is whole or absent; the same request does nothing; a damaged file is noticed."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from magicoder_repro import artifact, records
from magicoder_repro.artifact import Request, Work
from magicoder_repro.errors import UsageError


def _request(tmp_path: Path, **config: object) -> Request:
    source = tmp_path / "in.txt"
    if not source.exists():
        source.write_text("input")
    return Request("test", tmp_path / "out", config, {"source": source}, "core")


def _body(work: Work) -> None:
    (work.out / "sub").mkdir(exist_ok=True)
    (work.out / "sub" / "a.txt").write_text(work.inputs["source"].read_text() * 2)
    work.counts["kept"] = 1


def test_it_is_made_once_and_again_when_its_config_or_input_changes(tmp_path: Path) -> None:
    assert artifact.build(_request(tmp_path, a=1), _body)
    assert not artifact.build(_request(tmp_path, a=1), _body)
    assert artifact.build(_request(tmp_path, a=2), _body)
    (tmp_path / "in.txt").write_text("other")
    assert artifact.build(_request(tmp_path, a=2), _body)
    assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "otherother"
    manifest = artifact.read_manifest(tmp_path / "out")
    assert list(manifest.outputs) == ["sub/a.txt"] and manifest.config == {"a": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out"]


def test_an_input_that_is_replaced_meanwhile_is_no_input_of_a_result(tmp_path: Path) -> None:
    """As `--refresh` of another profile does with a node of both."""

    def body(work: Work) -> None:
        _body(work)
        work.inputs["source"].write_text("other")

    with pytest.raises(UsageError, match="test: an input was replaced while it worked: start the same command again"):
        artifact.build(_request(tmp_path), body)
    assert not (tmp_path / "out").exists()
    assert artifact.build(_request(tmp_path), _body)
    assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "otherother"


def test_what_only_schedules_the_work_may_change(tmp_path: Path) -> None:
    def request(**config: object) -> Request:
        return replace(_request(tmp_path, **config), schedule=frozenset({"workers", "server.slots"}))

    first = request(a=1, workers=1, server={"slots": 1, "model": "m"})
    assert artifact.build(first, _body)
    assert artifact.read_manifest(first.out).config == first.config
    assert not artifact.build(request(a=1, workers=8, server={"slots": 2, "model": "m"}), _body)
    assert artifact.build(request(a=1, workers=8, server={"slots": 2, "model": "n"}), _body)
    assert artifact.build(request(a=2, workers=8, server={"slots": 2, "model": "n"}), _body)


def test_a_body_that_fails_at_once_leaves_nothing(tmp_path: Path) -> None:
    def failing(work: Work) -> None:
        with records.Journal(work.private / "j.jsonl"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        artifact.build(_request(tmp_path), failing)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "manifest"])
def test_damage_is_noticed_and_named(tmp_path: Path, damage: str) -> None:
    request = _request(tmp_path)
    artifact.build(request, _body)
    file = tmp_path / "out" / "sub" / "a.txt"
    if damage == "changed":
        file.write_text("x")
    elif damage == "removed":
        file.unlink()
    elif damage == "added":
        (tmp_path / "out" / "b").write_text("x")
    else:
        (tmp_path / "out" / "manifest.json").write_text("{")
    reason = artifact.why_stale(request)
    assert reason is not None and str(tmp_path / "out") in reason
    assert artifact.build(request, _body)
    assert artifact.why_stale(request) is None


def test_a_failing_body_leaves_the_old_result_and_its_journal(tmp_path: Path) -> None:
    artifact.build(_request(tmp_path, a=1), _body)

    def failing(work: Work) -> None:
        with records.Journal(work.private / "j.jsonl") as journal:
            journal.add({"n": len(journal.rows)})
            if len(journal.rows) < 3:
                raise RuntimeError
        (work.out / "n.txt").write_text(str(len(journal.rows)))

    for _ in range(2):
        with pytest.raises(RuntimeError):
            artifact.build(_request(tmp_path, a=2), failing)
        assert (tmp_path / "out" / "sub" / "a.txt").exists()
    assert artifact.build(_request(tmp_path, a=2), failing)
    assert (tmp_path / "out" / "n.txt").read_text() == "3"


_FULL = """
import resource, signal, sys
from pathlib import Path
import safetensors.torch, torch
from magicoder_repro import artifact
write, tmp = sys.argv[1], Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
def body(work):
    tensors = {"a": torch.zeros(100_000)}
    if write == "safetensors":
        safetensors.torch.save_file(tensors, work.out / "a")
    else:
        torch.save(tensors, work.out / "a")
try:
    artifact.build(artifact.Request("test", tmp / "out", {}, {}, "core"), body)
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.process
@pytest.mark.parametrize(("write", "number"), [("safetensors", errno.EFBIG), ("torch", errno.ENOSPC)])
def test_a_librarys_failed_write_is_the_systems_error_and_names_the_folder(
    write: str, number: int, tmp_path: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", _FULL, write, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.split() == [str(number), str(tmp_path / "out.partial")], done.stderr


_KILLED = """
import sys, os
from pathlib import Path
from magicoder_repro import artifact
at, tmp = int(sys.argv[1]), Path(sys.argv[2])
calls = 0
def count(name):
    real = getattr(os, name)
    def wrapped(*args, **kwargs):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), 9)
        return real(*args, **kwargs)
    setattr(os, name, wrapped)
for name in ("rename", "replace", "fsync", "unlink", "rmdir", "mkdir"):
    count(name)
def body(work):
    (work.out / "a.txt").write_text("new")
artifact.build(artifact.Request("test", tmp / "out", {"a": 2}, {"source": tmp / "in.txt"}, "core"), body)
print("finished", calls)
"""


@pytest.mark.process
def test_killed_at_any_step_the_folder_is_the_old_one_the_new_one_or_absent(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    survived = 0
    for at in range(1, 60):
        folder = tmp_path / str(at)
        folder.mkdir()
        artifact.build(_request(folder, a=1), _body)
        done = subprocess.run([sys.executable, str(script), str(at), str(folder)], capture_output=True, text=True)
        out = folder / "out"
        if out.exists():
            manifest = artifact.read_manifest(out)
            assert artifact.why_stale(_request(folder, **manifest.config)) is None
        request = _request(folder, a=2)
        artifact.build(request, lambda work: (work.out / "a.txt").write_text("new") and None)
        assert artifact.why_stale(request) is None
        assert sorted(path.name for path in folder.iterdir()) == ["in.txt", "out"]
        if done.returncode == 0:
            survived += 1
            if survived == 2:
                return
        else:
            assert done.returncode == -signal.SIGKILL, done.stderr
    raise AssertionError("the build never finished")


_TORN = """
import os, signal, sys
from pathlib import Path
from magicoder_repro import artifact, records
def body(work):
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    records.write_text(work.out / "sub" / "a.jsonl", "half")
artifact.build(artifact.Request("stage", Path(sys.argv[1]), {}, {}, "core"), body)
"""


@pytest.mark.process
def test_a_file_that_was_being_written_when_the_stage_was_killed_is_no_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert subprocess.run([sys.executable, "-c", _TORN, str(out)]).returncode == -signal.SIGKILL
    (torn,) = (tmp_path / "out.partial" / "sub").iterdir()
    assert records.is_torn(torn)
    request = artifact.Request("stage", out, {}, {}, "core")
    artifact.build(request, lambda work: records.write_text(work.out / "sub" / "a.jsonl", "whole"))
    assert [path.name for path in artifact.output_files(out)] == ["a.jsonl"]
    assert not records.is_torn(out / "sub" / "a.jsonl") and artifact.why_stale(request) is None


def test_a_torn_journal_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with records.Journal(path) as journal:
        journal.add({"n": 1})
        journal.add({"n": 2})
    with path.open("ab") as file:
        file.write(b'{"n": 3')
    with records.Journal(path) as journal:
        assert [row["n"] for row in journal.rows] == [1, 2]
        journal.add({"n": 4})
    assert path.read_text() == '{"n": 1}\n{"n": 2}\n{"n": 4}\n'


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    records.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        records.write_json(path, {"a": object()})
    assert records.read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
