"""What a user sees when the request is wrong: one line with the mend and exit code 2, no traceback."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from magicoder_repro import errors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[1]


def _error(*arguments: str, **options: object) -> str:
    command = [sys.executable, "-m", "magicoder_repro.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload]
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    return str(done.stderr)


def _mounted(folder: Path, mount: str, arguments: str, listed: str) -> subprocess.CompletedProcess[str]:
    """The command with a file system of its own on `folder`, which `mount` makes; what is in `listed` afterwards is printed."""
    folder.mkdir()
    program = f"{sys.executable} -m magicoder_repro.cli {arguments}"
    script = f"{mount} && {program}; code=$?; ls -A {listed}; exit $code"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    if subprocess.run([*command[:4], "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    return done


def test_an_unknown_profile() -> None:
    assert "unknown profile 'smke': did you mean 'smoke'?" in _error("run", "--profile", "smke")


def test_an_unknown_stage(tmp_path: Path) -> None:
    assert "unknown stage 'seed'" in _error("run", "seed", "--runs", str(tmp_path / "r"))


def test_a_recorded_run_that_is_not_there(tmp_path: Path) -> None:
    """Told before any work, because without it no number would be compared."""
    content = yaml.safe_load((ROOT / "profiles" / "tiny.yaml").read_text())
    content["report"]["recorded"] = "smok"
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    line = _error("run", "--profile", str(tmp_path / "p.yaml"), "--runs", str(tmp_path / "r"))
    assert f"report.recorded: {ROOT / 'results'} has no smok" in line and "did you mean 'smoke'?" in line
    assert not (tmp_path / "r" / "corpus").exists()


def test_an_empty_corpus(tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "profiles" / "tiny.yaml").read_text())
    content["corpus"]["sources"] = [{"language": "python", "root": str(tmp_path), "patterns": ["*.py"], "files": 3}]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    line = _error("run", "corpus", "--profile", str(tmp_path / "p.yaml"), "--runs", str(tmp_path / "r"))
    assert "the corpus is empty" in line and "corpus.sources" in line
    assert not (tmp_path / "r" / "corpus").exists()


def test_a_line_that_is_not_json(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"content": "a"}\n{"content": \n')
    assert f"{path}:2: not JSON" in _error("seeds", str(path), "-o", str(tmp_path / "o"))
    assert [left.name for left in tmp_path.iterdir()] == ["in.jsonl"]  # nothing half-written


def test_a_field_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"content": "a"}\n{"text": "b"}\n')
    assert f"{path}:2: the field 'content' is missing" in _error("seeds", str(path), "-o", str(tmp_path / "o"))
    assert f"{path}:1: neither 'problem'" in _error("decontaminate", str(path), "-o", str(tmp_path / "o"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "no such file" in _error("seeds", str(tmp_path / "no.jsonl"), "-o", str(tmp_path / "o"))


def test_a_folder_of_the_users_own_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"content": "a"}\n')
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    assert "is no result of ours" in _error("seeds", str(tmp_path / "in.jsonl"), "-o", str(mine))
    assert (mine / "thesis.tex").read_text() == "x"


def test_a_full_disk(tmp_path: Path) -> None:
    """A real full file system: a small tmpfs in a mount namespace of its own."""
    small = tmp_path / "small"
    source = tmp_path / "in.jsonl"
    source.write_text("".join('{"content": "%s"}\n' % ("x" * 3000) for _ in range(300)))
    done = _mounted(small, f"mount -t tmpfs -o size=200k none {small}", f"seeds {source} -o {small}/out", f"{small}")
    assert "the disk is full" in done.stderr
    assert "out\n" not in done.stdout.replace("out.partial\n", "")


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join('{"content": "%s"}\n' % ("x" * 3000) for _ in range(300)))
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.cli",
        "seeds",
        str(tmp_path / "in.jsonl"),
        "-o",
        str(tmp_path / "o"),
    ]
    limited = ["sh", "-c", 'ulimit -f 100 && exec "$@"', "sh", *command]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "`ulimit -f` is reached" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


def test_a_full_disk_while_a_model_is_written(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """The libraries that write weights have exceptions of their own. The weights are 21 MB, all the rest is not one."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    content = yaml.safe_load((ROOT / "profiles" / "tiny.yaml").read_text())
    content["models"]["base"] |= {"source": str(tmp_path / "model"), "dtype": "float32"}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    small = tmp_path / "small"
    arguments = f"run base-model --profile {tmp_path / 'p.yaml'} --runs {small}/run"
    done = _mounted(small, f"mount -t tmpfs -o size=8m none {small}", arguments, f"{small}/run")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.fullmatch(
        rf"error: {small}/run/\.store/base-model-\w+\.partial: the disk is full, or `ulimit -f` is reached: free some space and start "
        "the same command again, it goes on where it was",
        line,
    )
    assert done.stdout.split() == [".lock", ".store"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_write_permission(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"content": "a"}\n')
    tmp_path.chmod(0o500)
    try:
        assert "no permission" in _error("seeds", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "o"))
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_file_system(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"content": "a"}\n')
    fixed = tmp_path / "fixed"
    mount = f"mount -t tmpfs none {fixed} && mount -o remount,ro {fixed}"
    done = _mounted(fixed, mount, f"seeds {source} -o {fixed}/out", f"{fixed}")
    assert "read-only" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("prompts", "humanevil"), "unknown benchmark 'humanevil'"),
        (("prompts", "multipl-e"), "needs --language"),
        (("prompts", "humaneval", "--language", "cpp"), "has no --language"),
        (("prompts", "minibench-multipl-e", "--language", "go"), "one of cpp, java, js, php, rs, swift"),
    ],
)
def test_wrong_benchmarks(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in _error(*arguments, "-o", str(tmp_path / "o.jsonl"))


def test_a_benchmark_file_that_is_not_the_pinned_one(tmp_path: Path) -> None:
    folder = tmp_path / "evalplus"
    folder.mkdir()
    (folder / "MbppPlus-v0.1.0.jsonl.gz").write_text("{}\n")
    line = _error("prompts", "mbpp", "--data", str(tmp_path), "-o", str(tmp_path / "o.jsonl"))
    assert "not MBPP+ v0.1.0: its sha256 is" in line


def test_prompts_are_written_for_each_task(tmp_path: Path, data: Path) -> None:
    import json

    from magicoder_repro import benchmarks, prompts

    out = tmp_path / "o.jsonl"
    for benchmark, count in (("humaneval", 164), ("mbpp", 399), ("ds1000", 1000)):
        command = [
            sys.executable,
            "-m",
            "magicoder_repro.cli",
            "prompts",
            benchmark,
            "--data",
            str(data),
            "-o",
            str(out),
        ]
        subprocess.run(command, check=True, capture_output=True)
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert len(rows) == count and all(set(row) == {"task_id", "prompt"} for row in rows)
        assert all(row["prompt"].startswith("You are an exceptionally intelligent coding assistant") for row in rows)
        if benchmark == "humaneval":
            task = benchmarks.get("humaneval").load(data=data).tasks[0]
            assert rows[0]["prompt"] == prompts.magicoder(*prompts.humaneval(task["prompt"]))
    command = [*command[:3], "prompts", "multipl-e", "--language", "swift", "--data", str(data), "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 158 and not rows[0]["prompt"].endswith("\n")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    line = _error("prompts", "minibench-humaneval", "-o", str(tmp_path / ("x" * 260)))
    assert "xxx: this name is too long" in line and line.startswith("error: ") and line.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_score_never_overwrites_its_samples_or_tasks(tmp_path: Path) -> None:
    from magicoder_repro.benchmarks import minibench

    samples, link = tmp_path / "s.jsonl", tmp_path / "link.json"
    samples.write_text('{"task_id": "a", "completion": "b"}\n')
    link.symlink_to(samples)
    assert f"this is the input {samples}" in _error("score", "minibench-humaneval", str(samples), "-o", str(link))
    assert samples.read_text() == '{"task_id": "a", "completion": "b"}\n' and link.is_symlink()
    tasks = Path(minibench.file("ds1000").path)
    link.unlink()
    link.symlink_to(tasks)
    before = tasks.read_bytes()
    assert f"this is the input {tasks}" in _error("prompts", "minibench-ds1000", "-o", str(link))
    assert tasks.read_bytes() == before


def test_a_backup_beside_a_folder_of_a_run_stays(tmp_path: Path) -> None:
    """A user's folder whose name is a stage's: a run there would have replaced it."""
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.tex").write_text("x")
    assert "is no result of ours" in _error("run", "--profile", "tiny", "--runs", str(tmp_path))
    assert (tmp_path / "report" / "thesis.tex").read_text() == "x"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENAMETOOLONG, "x", "f"), "f: this name is too long"),
        (FileExistsError(errno.EEXIST, "x", "f"), "f: a file stands where a folder must be"),
        (NotADirectoryError(errno.ENOTDIR, "x", "f"), "f: a file stands where a folder must be"),
        (IsADirectoryError(errno.EISDIR, "x", b"f"), "f: a folder stands where a file must be"),
        (FileNotFoundError(errno.ENOENT, "No such file", "f"), "f: No such file"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "an input holds text that is no Unicode"),
        (RecursionError("deep"), "an input is nested too deeply"),
        (OSError("no number and no name"), None),
        (OSError(errno.EBADF, "ours"), None),
        (KeyError("x"), None),
        (ValueError("x"), None),
        (TypeError("x"), None),
    ],
)
def test_what_is_the_inputs_fault_and_what_is_ours(error: Exception, line: str | None) -> None:
    found = errors.of_the_input(error)
    assert (found is None) == (line is None)
    assert line is None or (found is not None and found.startswith(line))
