"""The whole chain on the tiny profile with the real teacher and model: made once, killed in every stage, damaged, changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from magicoder_repro import artifact, environment, pipeline, profile, records

# Files that hold times or the manifest's own facts; everything else of a run is compared byte for byte.
_TIMED = {"report.json", "report.md", "report.html", artifact.MANIFEST}


def _command(folder: Path, name: str = "tiny", *stages: str) -> list[str]:
    return [sys.executable, "-m", "magicoder_repro.cli", "run", *stages, "--profile", name, "--runs", str(folder)]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): artifact.content_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _TIMED and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run; MAGICODER_TINY names one that has just been made, to save the time."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    if "MAGICODER_TINY" in os.environ:
        shutil.copytree(os.environ["MAGICODER_TINY"], folder)
    done = _run(_command(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_stage_leaves_its_manifest(finished: Path) -> None:
    for stage in pipeline.STAGES:
        manifest = artifact.read_manifest(finished / stage.name)
        assert manifest["stage"] == stage.name and manifest["environment"]["name"] == "core"
        assert set(manifest["inputs"]) == set(stage.inputs)
        assert len(manifest["environment"]["lock_sha256"]) == 64
        assert manifest["versions"]["torch"] and manifest["outputs"]
    corpus = artifact.read_manifest(finished / "corpus")["counts"]
    assert set(corpus) == {"python", "cpp", "shell"} and corpus["cpp"]["lines"] > 0


def test_the_report_names_scores_gaps_and_lists(finished: Path) -> None:
    report = json.loads((finished / "report" / "report.json").read_text())
    keys = {row["key"] for row in report["rows"]}
    assert {f"minibench-humaneval.{model}.pass@1+" for model in ("base", "magicoder", "magicoder-s")} <= keys
    assert "human_eval_docstrings" in report["lists_applied"]
    assert any(gap.startswith("analyze: similarity is fitted without Code Alpaca") for gap in report["gaps"])
    page = (finished / "report" / "report.html").read_text()
    assert page.count("<svg") == 4 and "not comparable" in page
    assert "Nothing recorded to compare with." in page and "equal the recorded run" not in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_a_released_evol_instruct_set_needs_no_other_stage() -> None:
    paper, tiny = profile.load("paper"), profile.load("tiny")
    assert [stage.name for stage in pipeline.needed(("evol-instruct",), paper)] == ["evol-instruct"]
    assert "teacher" not in pipeline.BY_NAME["evol-instruct"].config(paper)
    names = [stage.name for stage in pipeline.needed(("evol-decontaminate",), tiny)]
    assert names[-2:] == ["evol-instruct", "evol-decontaminate"] and "oss-instruct" in names


@pytest.mark.timing
def test_a_second_run_does_nothing_within_five_seconds(finished: Path) -> None:
    start = time.monotonic()
    done = _run(_command(finished))
    assert done.returncode == 0 and "nothing to do" in done.stderr
    assert time.monotonic() - start < 5


def test_a_damaged_file_is_named_and_made_again(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(finished, folder)
    kept = folder / "clean" / "records.jsonl"
    kept.write_text(kept.read_text() + "\n")
    done = _run(_command(folder, "tiny", "decontaminate"))
    assert done.returncode == 0
    assert f"{kept} is damaged" in done.stderr
    assert done.stderr.count("done in") == 1
    assert _contents(folder) == _contents(finished)


def test_one_changed_value_reruns_what_depends_on_it_and_nothing_else(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(**changes: Any) -> set[str]:
        content = yaml.safe_load((profile.PROFILES / "tiny.yaml").read_text())
        content = json.loads(json.dumps(content))  # an alias of the file is one object twice
        for path, value in changes.items():
            *parents, last = path.split("__")
            node = content
            for part in parents:
                node = node[part]
            node[last] = value
        changed = profile.Profile.model_validate(content)
        return {
            stage.name
            for stage in pipeline.STAGES
            if artifact.why_stale(pipeline.request(stage, changed, finished)) is not None
        }

    assert stale() == set()
    assert stale(scoring__workers=1, scoring__executor={"kind": "slurm"}) == set()
    assert stale(teacher__concurrency=7, teacher__give_up_after=9, teacher__server__servers=1) == set()
    assert stale(training__magicoder__checkpoint_steps=0) == set()
    assert stale(scoring__memory_mb=1000) == {"score", "report"}
    assert stale(analysis__similarity_bins=12) == {"analyze", "report"}
    assert stale(clean__seed=1) == {"clean", "report"}  # what follows is stale when clean's files change
    assert stale(teacher__max_tokens=400) == {"oss-instruct", "evol-instruct", "report"}
    assert stale(training__magicoder_s__epochs=3) == {"sft-magicoder-s", "report"}
    assert stale(description="other") == {"report"}

    checkout = tmp_path / "checkout"  # one that differs in the lock of the judge's environment
    for part in ("docker", "results"):
        shutil.copytree(environment.ROOT / part, checkout / part)
    monkeypatch.setattr(environment, "ROOT", checkout)
    assert stale() == set()
    with (checkout / "docker" / "evalplus-0.2.0" / "requirements.lock").open("a") as lock:
        lock.write("# another\n")
    assert stale() == {"score"}


@pytest.mark.parametrize("stage", {stage.body: stage.name for stage in reversed(pipeline.STAGES)}.values())
def test_killed_in_any_stage_a_run_ends_with_the_same_files(stage: str, finished: Path, tmp_path: Path) -> None:
    """The stage is made again from an undisturbed run's inputs, killed in the middle with SIGKILL, and started again.

    Of stages with the same body (two fine-tunings, three generations) the first is killed.
    """
    folder, partial = tmp_path / "tiny", tmp_path / "tiny" / f"{stage}.partial"
    shutil.copytree(finished, folder, copy_function=os.link)
    seconds = artifact.read_manifest(finished / stage)["seconds"]
    for share in (0.6, 0.3, 0.15, 0.05):  # the undisturbed run may have been on a busier machine
        shutil.rmtree(folder / stage)
        process = subprocess.Popen(_command(folder, "tiny", stage), start_new_session=True, stderr=subprocess.DEVNULL)
        while not partial.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(seconds * share)
        _kill_with_children(process)
        if not (folder / stage).exists():
            break
    else:
        assert seconds < 2, "the stage had ended before each kill"
    done = _run(_command(folder, "tiny", stage))
    assert done.returncode == 0, done.stderr[-2000:]
    assert _contents(folder) == _contents(finished)
    assert not partial.exists()


def _kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the driver and the stage, as the kernel's memory killer would; what they started must end by itself."""
    stages = psutil.Process(process.pid).children()
    others = [child for stage in stages for child in stage.children(recursive=True)]
    for one in [*stages, psutil.Process(process.pid)]:
        one.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(others, timeout=10)
    assert not alive, f"left running: {[one.cmdline() for one in alive]}"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_run_that_is_killed_takes_its_stage_and_servers_with_it(
    number: signal.Signals, code: int, finished: Path, tmp_path: Path
) -> None:
    """Two stages would write one folder: the lock is the stage's too, and the stage ends with the run."""
    folder = tmp_path / "tiny"
    shutil.copytree(finished, folder, copy_function=os.link)
    shutil.rmtree(folder / "oss-instruct")
    process = subprocess.Popen(_command(folder, "tiny", "oss-instruct"), stderr=subprocess.PIPE, text=True)
    started: list[psutil.Process] = []
    journal = folder / "oss-instruct.partial" / "work"
    while len(started) < 3 or not any(path.stat().st_size for path in journal.glob("*.jsonl")):  # stage, two servers
        assert process.poll() is None, "the stage had ended before the kill"
        time.sleep(0.02)
        started = psutil.Process(process.pid).children(recursive=True)
    held = [path.resolve() for path in Path("/proc", str(started[0].pid), "fd").iterdir()]
    assert (folder / ".lock").resolve() in held
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert errors.count("stopped: the same command goes on where it was") == (code > 0)
    _, alive = psutil.wait_procs(started, timeout=5)
    assert not alive, f"left running: {[one.cmdline() for one in alive]}"
    assert journal.is_dir(), "the stage went on to its end"
    done = _run(_command(folder, "tiny", "oss-instruct"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert _contents(folder) == _contents(finished)


def test_two_runs_in_one_folder_are_refused(finished: Path, tmp_path: Path) -> None:
    import fcntl

    folder = tmp_path / "tiny"
    folder.mkdir()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _run(_command(folder))
    assert done.returncode == 2 and "another run works there" in done.stderr


def test_recorded_numbers_that_are_none(tmp_path: Path) -> None:
    from magicoder_repro.errors import UsageError
    from magicoder_repro.report import compare

    (tmp_path / compare.RECORDED).write_text('{"number": {}}')
    with pytest.raises(UsageError, match="'numbers' is missing"):
        compare.with_recorded([], tmp_path)


def test_a_number_out_of_tolerance_is_exit_code_1(finished: Path) -> None:
    from magicoder_repro.errors import BadResultError
    from magicoder_repro.report import build, compare

    report = json.loads((finished / "report" / "report.json").read_text())
    recorded = finished.parent / "recorded"
    compare.record(finished / "report", recorded)
    numbers = json.loads((recorded / compare.RECORDED).read_text())
    rows = [build.Row(**row) for row in report["rows"]]
    assert {row.verdict for row in compare.with_recorded(rows, recorded)} == {"same"}
    key = rows[0].key
    numbers["numbers"][key]["value"] -= numbers["numbers"][key]["tolerance"] + 0.1
    numbers["numbers"]["gone"] = {"value": 1, "tolerance": 1}
    (recorded / compare.RECORDED).write_text(json.dumps(numbers))
    moved = compare.with_recorded(rows, recorded)
    assert [row.key for row in moved if row.verdict == "OUT OF TOLERANCE"] == [key]
    assert compare.missing(rows, recorded) == ["gone"]
    folder = finished.parent / "regressed"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps({**report, "rows": [row.to_json() for row in moved]}))
    with pytest.raises(BadResultError, match=key):
        build.print_table(folder, quiet=True)


def test_a_recorded_number_that_is_gone_is_exit_code_1_unless_its_benchmark_was_not_judged(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magicoder_repro.errors import BadResultError
    from magicoder_repro.report import build, compare

    monkeypatch.setattr(compare, "RESULTS", tmp_path / "results")
    summary = [json.loads(line) for line in (finished / "score" / "summary.jsonl").read_text().splitlines()]
    of_base = [row for row in summary if row["model"] == "base"]
    score = tmp_path / "score"
    shutil.copytree(finished / "score", score)
    gap = {**of_base[0], "benchmark": "multipl-e-rs", "metrics": {}, "gap": "no compiler"}
    (score / "summary.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*summary, gap]))
    config = profile.load("tiny").model_copy(update={"report": profile.Report(recorded="mine", comparable=False)})
    inputs = {name: finished / name for name in pipeline.BY_NAME["report"].inputs} | {"score": score}
    for gone, lost in (
        ("multipl-e-rs.base.pass@1", False),
        ("multipl-e.base.pass@1", False),
        ("mbpp.base.pass@1", True),
    ):
        numbers = {gone: {"value": 1, "tolerance": 1}}
        records.write_json(tmp_path / "results" / "mine" / compare.RECORDED, {"numbers": numbers})
        out = tmp_path / gone
        out.mkdir()
        build.build(artifact.Work(out, inputs, {"profile": config.model_dump(mode="json")}))
        assert (gone in (out / "report.html").read_text()) is lost
        if lost:
            with pytest.raises(BadResultError, match="1 recorded numbers are not in this run: mbpp"):
                build.print_table(out, quiet=True)
        else:
            build.print_table(out, quiet=True)
