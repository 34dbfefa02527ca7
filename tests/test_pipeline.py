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

from magicoder_repro import artifact, environment, profile, records
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline import plan, store
from magicoder_repro.pipeline.store import Run
from magicoder_repro.profile import Profile

# Files that hold times or the manifest's own facts; everything else of a run is compared byte for byte.
_TIMED = {"report.json", "report.md", "report.html", artifact.MANIFEST}


def _command(folder: Path, name: str = "tiny", *stages: str) -> list[str]:
    return [sys.executable, "-m", "magicoder_repro.cli", "run", *stages, "--profile", name, "--runs", str(folder)]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def _contents(folder: Path) -> dict[str, str]:
    """The files of a run and of its store."""
    return {
        str(path.relative_to(folder)): artifact.content_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in _TIMED
        and not path.name.endswith((".lock", ".files"))
        and artifact.LOGS not in path.parts
    }


def _copy(run: Path, folder: Path) -> None:
    """A run with its store, whose files are the same ones."""
    shutil.copytree(run, folder, symlinks=True, copy_function=os.link)


def _profile(**changes: Any) -> Profile:
    """The tiny profile with some values changed; `None` takes a key away."""
    return Profile.model_validate({**_content(**changes), "name": "tiny"})


def _content(**changes: Any) -> Any:
    content = yaml.safe_load((profile.PROFILES / "tiny.yaml").read_text())
    content = json.loads(json.dumps(content))  # an alias of the file is one object twice
    for path, value in changes.items():
        *parents, last = path.replace("_of_", "-").split("__")
        node = content
        for part in parents:
            node = node[part]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return content


NODES = plan.expand(profile.load("tiny"))
ELSEWHERE = {"oss-instruct", "evol-instruct", "sft"}  # below, where the run is killed; the same teacher; tests/train
SAME_WAY = {"base-model", "analyze", "seeds", "deduplicate", "report"}  # done in one go, as corpus and decontaminate
FIRST = list(
    {node.stage.name: node.name for node in reversed(NODES) if node.stage.name not in ELSEWHERE | SAME_WAY}.values()
)
"""The first node of each stage, those that are killed in a way of their own."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run; MAGICODER_TINY names one that has just been made, to save the time."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    if "MAGICODER_TINY" in os.environ:
        made = {(Path(os.environ["MAGICODER_TINY"]) / node.name).resolve() for node in NODES}
        for result in made:
            if result.is_dir():
                shutil.copytree(result, folder / store.NAME / result.name)
    done = _run(_command(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    gc = [sys.executable, "-m", "magicoder_repro.cli", "gc", "--yes", "--runs", str(folder)]
    assert _run(gc).returncode == 0  # what was made with other data
    return folder


def test_every_node_leaves_its_manifest(finished: Path) -> None:
    for node in NODES:
        manifest = artifact.read_manifest(finished / node.name)
        assert manifest.stage == node.stage.name
        assert manifest.environment == environment.identity(node.place.environment)
        assert set(manifest.inputs) == set(node.inputs)
        assert len(manifest.environment["lock_sha256"]) == 64
        assert manifest.versions["torch"] and manifest.outputs
    corpus = artifact.read_manifest(finished / "corpus").counts
    assert set(corpus) == {"python", "cpp", "shell"} and corpus["cpp"]["lines"] > 0


def test_the_report_names_scores_gaps_and_lists(finished: Path) -> None:
    report = json.loads((finished / "report" / "report.json").read_text())
    keys = {row["key"] for row in report["rows"]}
    assert {f"minibench-humaneval.{model}.pass@1+" for model in ("base", "magicoder", "magicoder-s")} <= keys
    assert "human_eval_docstrings" in report["lists_applied"]
    assert any(gap.startswith("analyze: similarity is fitted without Code Alpaca") for gap in report["gaps"])
    page = (finished / "report" / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 4 and "not comparable" in page
    assert "Nothing recorded to compare with." in page and "equal the recorded run" not in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_a_released_set_needs_no_other_stage() -> None:
    nodes = plan.expand(profile.load("paper-cl"))
    released = plan.needed(nodes, ["released"])
    assert [node.name for node in released] == ["released/oss-instruct", "released/evol-instruct"]
    assert not any("teacher" in node.config for node in nodes)
    names = [node.name for node in plan.needed(NODES, ["decontaminate/evol-instruct"])]
    assert names[-2:] == ["evol-instruct/evol-instruct", "decontaminate/evol-instruct"] and "seeds" in names


@pytest.mark.timing
def test_a_second_run_does_nothing_within_five_seconds(finished: Path) -> None:
    start = time.monotonic()
    done = _run(_command(finished))
    assert done.returncode == 0 and "nothing to do" in done.stderr
    assert time.monotonic() - start < 5


def test_a_damaged_file_is_named_and_made_again(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(finished, folder, symlinks=True)
    kept = (folder / "deduplicate" / "oss-instruct").resolve() / "records.jsonl"
    kept.write_text(kept.read_text() + "\n")
    done = _run(_command(folder, "tiny", "decontaminate/oss-instruct"))
    assert done.returncode == 0
    assert f"{kept} is damaged" in done.stderr
    assert done.stderr.count("done in") == 1
    assert _contents(folder) == _contents(finished)


@pytest.mark.long
def test_a_file_with_its_size_and_time_is_read_again_by_verify_only(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(finished, folder, symlinks=True)
    assert "nothing to do" in _run(_command(folder, "tiny", "seeds")).stderr  # sizes and times are noted
    kept = (folder / "seeds").resolve() / "records.jsonl"
    before, content = kept.stat(), kept.read_bytes()
    kept.write_bytes(b"[" + content[1:])
    os.utime(kept, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "nothing to do" in _run(_command(folder, "tiny", "seeds")).stderr
    done = _run([*_command(folder, "tiny", "seeds"), "--verify"])
    assert f"{kept} is damaged" in done.stderr and kept.read_bytes() == content


def _stale(finished: Path, changed: Profile) -> set[str]:
    """The nodes that would be made, without those that wait for another."""
    states = store.states(Run.of("", Path(), finished), plan.expand(changed), verify=False)
    return {name for name, state in states.items() if state.reason and state.request}


def test_one_changed_value_reruns_what_depends_on_it_and_nothing_else(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(**changes: Any) -> set[str]:
        return _stale(finished, _profile(**changes))

    scores = {node.name for node in NODES if node.stage.name == "score"}
    assert stale() == set()
    assert stale(scoring__workers=1, scoring__executor={"kind": "slurm"}) == set()
    assert stale(teacher__concurrency=7, teacher__give_up_after=9, teacher__server__servers=1) == set()
    assert stale(recipes__stage_of_1__checkpoint_steps=0) == set()
    assert stale(training={"processes": 2, "price_per_hour": 5.0}) == set()
    assert stale(scoring__memory_mb=1000) == scores
    assert stale(scoring__ds1000_seconds=9.0) == set()  # no benchmark of this profile reads it
    assert stale(analysis__similarity_bins=12) == {"analyze"}
    assert stale(data__oss_of_instruct__deduplicate_seed=1) == {"deduplicate/oss-instruct"}
    assert stale(teacher__max_tokens=400) == {"oss-instruct/oss-instruct"}  # the other waits for it
    assert stale(recipes__stage_of_2__epochs=3) == {"sft/magicoder-s"}
    assert stale(recipes__stage_of_2__speed="paper") == set()
    assert stale(recipes__stage_of_2__speed="fast") == {"sft/magicoder-s"}
    assert stale(description="other") == {"report"}

    checkout = tmp_path / "checkout"  # one that differs in a lock
    for part in ("docker", "results"):
        shutil.copytree(environment.ROOT / part, checkout / part)
    monkeypatch.setattr(environment, "ROOT", checkout)
    assert stale() == set()
    for name, expected in (("core", set()), ("evalplus-0.2.0", scores)):
        with (checkout / "docker" / name / "requirements.lock").open("a") as lock:
            lock.write("# another\n")
        assert stale() == expected


def test_another_benchmark_or_training_keeps_every_other_completion_and_verdict(finished: Path) -> None:
    added = _profile(evaluate__minibench_of_ds1000={
        "samples": 1, "temperature": 0.2, "top_p": 0.5, "top_k": 50, "max_tokens": 64, "batch": 6, "seed": 0,
    })  # fmt: skip
    models = ("base", "magicoder", "magicoder-s")
    assert _stale(finished, added) == {f"generate/{model}/minibench-ds1000" for model in models}
    again = _profile(recipes__stage_of_2__epochs=3)
    touched = {
        node.name for node in plan.expand(again) if "sft/magicoder-s" in _ancestors(plan.expand(again), node.name)
    }
    assert touched == {
        *(f"{stage}/magicoder-s/minibench-{name}" for stage in ("generate", "score") for name in ("humaneval", "mbpp")),
        "report",
    }


def _ancestors(nodes: list[plan.Node], name: str) -> set[str]:
    sources = set({node.name: node for node in nodes}[name].inputs.values())
    return sources.union(*(_ancestors(nodes, source) for source in sources))


def test_a_changed_judge_makes_verdicts_stale(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from magicoder_repro.score import bulk

    monkeypatch.setattr(bulk, "code", lambda module: "another")
    assert _stale(finished, _profile()) == {node.name for node in NODES if node.stage.name == "score"}


def _written(tmp_path: Path, **changes: Any) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(_content(**changes)))
    return str(path)


@pytest.mark.long
def test_a_value_that_is_changed_back_costs_nothing_and_gc_says_what_is_left(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    _copy(finished, folder)
    other = _written(tmp_path, data__oss_of_instruct__deduplicate_seed=1)
    done = _run(_command(folder, other, "deduplicate"))
    assert done.returncode == 0, done.stderr
    assert "(again: seed changed: 666 -> 1)" in done.stderr and done.stderr.count("done in") == 1
    assert "nothing to do" in _run(_command(folder, "tiny", "deduplicate")).stderr
    gc = [sys.executable, "-m", "magicoder_repro.cli", "gc", "--runs", str(folder)]
    told = _run(gc).stdout.splitlines()
    assert "deduplicate-" in told[0] and told[-1].startswith("1 results, ")
    assert _run([*gc, "--yes"]).returncode == 0 and _run(gc).stdout == "0 results, 0.0 MB\n"
    assert _contents(folder) == _contents(finished)


def test_equal_nodes_of_two_profiles_are_made_once(finished: Path, tmp_path: Path) -> None:
    """In one store, as runs/A and runs/B have it: also before the second run has any link. One run lies on another disk."""
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "two").symlink_to(tmp_path / "disk" / "deep")
    runs = [Run(tmp_path / name, finished / store.NAME) for name in ("one", "two")]
    for run in runs:
        states = store.states(run, NODES, verify=False)
        assert {state.reason for state in states.values()} == {None}
        for node in NODES:
            request = states[node.name].request
            assert request
            run.put(node, request.out)
    assert runs[0].link("seeds").is_symlink()
    assert (runs[0].link("seeds").resolve(), runs[1].link("seeds").resolve()) == ((finished / "seeds").resolve(),) * 2


@pytest.mark.long
def test_what_a_run_needs_is_not_taken_away(finished: Path, tmp_path: Path) -> None:
    """A killed run's work stays until it is named, and nothing is deleted while a run works."""
    import fcntl

    folder = tmp_path / "tiny"
    _copy(finished, folder)
    partial = folder / store.NAME / "oss-instruct-0.partial"
    (partial / "work").mkdir(parents=True)
    gc = [sys.executable, "-m", "magicoder_repro.cli", "gc", "--yes", "--runs", str(folder)]
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _run([*gc, "--interrupted"])
    assert done.returncode == 2 and "another run works there" in done.stderr and partial.exists()
    assert _run(gc).stdout == "0 results, 0.0 MB\n" and partial.exists()
    assert _run([*gc, "--interrupted"]).returncode == 0 and not partial.exists()
    assert _contents(folder) == _contents(finished)


def test_files_that_are_taken_away_from_a_stage_are_noticed(tmp_path: Path) -> None:
    def body(work: artifact.Work) -> None:
        (work.out / "one").write_text("1")
        shutil.rmtree(work.out)
        work.out.mkdir()
        (work.out / "two").write_text("2")

    with pytest.raises(UsageError, match="somebody took its files away"):
        artifact.build(artifact.Request("test", tmp_path / "out", {}, {}, "core"), body)
    assert not (tmp_path / "out").exists()


def test_a_refresh_of_what_is_not_asked_for_is_refused(finished: Path) -> None:
    done = _run([*_command(finished, "tiny", "corpus"), "--refresh", "seeds"])
    assert done.returncode == 2 and "--refresh seeds: it is no part of what is asked for" in done.stderr


def test_the_plan_and_the_status_are_told_and_nothing_is_made(finished: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "magicoder_repro.cli", "plan", "--runs", str(finished), "--profile"]
    told = _run([*command, "tiny"]).stdout.splitlines()
    assert told[-1] == f"{len(NODES)} of {len(NODES)} nodes are up to date, 0 would be made"
    other = _run([*command, _written(tmp_path, seeds__seed=1)]).stdout.splitlines()
    assert any(line.split() == ["seeds", "seeds.seed", "changed:", "976", "->", "1"] for line in other)
    assert any("waits for seeds" in line for line in other) and any(
        "missing: benchmark texts" in line for line in other
    )
    status = _run([sys.executable, "-m", "magicoder_repro.cli", "status", "--runs", str(finished), "--profile", "tiny"])
    assert status.stdout.count("made in") == len(NODES) and "another lock" not in status.stdout


def test_what_is_missing_is_an_error_where_numbers_are_to_be_compared(tmp_path: Path) -> None:
    path = _written(tmp_path, report__comparable=True)
    environment_ = {**os.environ, "MAGICODER_DATA": str(tmp_path)}
    done = subprocess.run(_command(tmp_path / "run", path), capture_output=True, text=True, env=environment_)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "report.comparable needs everything here: decontaminate/oss-instruct: benchmark texts" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_result_of_an_earlier_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / artifact.MANIFEST).write_text("{}")
    done = _run(_command(tmp_path, "tiny", "corpus"))
    assert done.returncode == 2 and "corpus is a result of an earlier version: move it" in done.stderr


@pytest.mark.long
def test_published_answers_are_judged_and_reported(tmp_path: Path) -> None:
    from magicoder_repro.benchmarks import minibench

    tasks = minibench.load("mbpp")
    rows = [{"task_id": task["task_id"], "completion": task["canonical_solution"]} for task in tasks]
    records.write_jsonl(tmp_path / "answers.jsonl", rows)
    content = {
        "description": "answers", "models": {"somebody": {"samples": {"minibench-mbpp": str(tmp_path / "answers.jsonl")}}},
        "evaluate": {"minibench-mbpp": {"protocol": "paper"}}, "scoring": {"workers": 1},
        "report": {"recorded": None, "comparable": False},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    done = _run(_command(tmp_path / "run", str(tmp_path / "mine.yaml")))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert {row["key"]: row["value"] for row in report["rows"]} == dict.fromkeys(
        ("minibench-mbpp.somebody.pass@1", "minibench-mbpp.somebody.pass@1+"), 100.0
    )
    wide = [row["low"] for row in report["rows"]]
    records.write_jsonl(tmp_path / "answers.jsonl", rows[:2])  # a part of them is not told as the whole
    done = _run(_command(tmp_path / "run", str(tmp_path / "mine.yaml")))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert [row["name"] for row in report["rows"]] == [
        f"somebody: minibench-mbpp {metric}, 2 of 6" for metric in ("pass@1", "pass@1+")
    ]
    assert all(row["low"] < low for row, low in zip(report["rows"], wide, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models__magicoder__from": "bse"},
            r"models.magicoder.from: 'bse' is not in the profile: did you mean 'base'\?",
        ),
        ({"models__magicoder__data": "x"}, "models.magicoder.data: 'x' is not in the profile"),
        ({"models__magicoder__recipe": "x"}, "there are stage-1, stage-2"),
        ({"models__magicoder__from": "magicoder-s"}, r"made from itself \(magicoder <- magicoder-s <- magicoder\)"),
        ({"data__evol_of_instruct__from": "evol-instruct"}, "data.evol-instruct: made from itself"),
        (
            {"evaluate__minibench_of_mbpp": {"models": ["x"], "max_new_tokens": 1, "batch": 1}},
            "evaluate.minibench-mbpp.models",
        ),
        ({"evaluate__minibench_of_mbpp": {"protocol": "paper"}}, "must answer first"),
        (
            {"data__tokenizer": {"kind": "released", "dataset": "x"}},
            "data.tokenizer: this name has a meaning of its own",
        ),
        ({"models__mine": {"samples": {"humaneval": "x"}}}, "models.mine.samples: 'humaneval' is not in the profile"),
        ({"teacher": None}, "the key 'teacher' is missing: data.oss-instruct needs it"),
    ],
)
def test_names_that_stand_for_nothing(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        profile.check_names(_profile(**changes))


@pytest.mark.long
@pytest.mark.parametrize("name", FIRST)
def test_killed_in_any_stage_a_run_ends_with_the_same_files(name: str, finished: Path, tmp_path: Path) -> None:
    """The node is made again from an undisturbed run's inputs, killed in the middle with SIGKILL, and started again.

    Of each stage the first node is killed.
    """
    folder = tmp_path / "tiny"
    _copy(finished, folder)
    made = (folder / name).resolve()
    partial = made.with_name(f"{made.name}.partial")
    seconds = artifact.read_manifest(finished / name).seconds
    for share in (0.6, 0.3, 0.15, 0.05):  # the undisturbed run may have been on a busier machine
        shutil.rmtree(made)
        process = subprocess.Popen(_command(folder, "tiny", name), start_new_session=True, stderr=subprocess.DEVNULL)
        while not partial.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(seconds * share)
        _kill_with_children(process)
        if not made.exists():
            break
    else:
        assert seconds < 2, "the stage had ended before each kill"
    done = _run(_command(folder, "tiny", name))
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


@pytest.mark.long
def test_a_run_that_is_killed_takes_its_stage_and_servers_with_it(finished: Path, tmp_path: Path) -> None:
    """Two stages would write one folder: the lock is the stage's too, and the stage ends with the run. (Signals that a run can handle:
    tests/data/test_teacher.py.)"""
    folder = tmp_path / "tiny"
    _copy(finished, folder)
    made = (folder / "oss-instruct" / "oss-instruct").resolve()
    shutil.rmtree(made)
    process = subprocess.Popen(_command(folder, "tiny", "oss-instruct"), stderr=subprocess.PIPE, text=True)
    started: list[psutil.Process] = []
    journal = made.with_name(f"{made.name}.partial") / "work"
    while len(started) < 3 or not any(path.stat().st_size for path in journal.glob("*.jsonl")):  # stage, two servers
        assert process.poll() is None, "the stage had ended before the kill"
        time.sleep(0.02)
        started = psutil.Process(process.pid).children(recursive=True)
    held = [path.resolve() for path in Path("/proc", str(started[0].pid), "fd").iterdir()]
    assert (folder / ".lock").resolve() in held
    process.kill()
    process.communicate(timeout=20)
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
    inputs = {node.name: finished / node.name for node in NODES if node.name != "report"}
    gap = tmp_path / "gap"
    shutil.copytree(finished / "score" / "base" / "minibench-mbpp", gap)
    (row,) = map(json.loads, (gap / "summary.jsonl").read_text().splitlines())
    more = {
        **row,
        "benchmark": "multipl-e-rs",
        "family": "multipl-e",
        "subset": "rs",
        "metrics": {},
        "gap": "no compiler",
    }
    (gap / "summary.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (row, more)))
    inputs["score/base/minibench-mbpp"] = gap
    config = build.config(profile.load("tiny"))
    config["report"] = {"recorded": "mine", "comparable": False}
    for gone, lost in (
        ("multipl-e-rs.base.pass@1", False),
        ("multipl-e.base.pass@1", False),
        ("mbpp.base.pass@1", True),
    ):
        numbers = {gone: {"value": 1, "tolerance": 1}}
        records.write_json(tmp_path / "results" / "mine" / compare.RECORDED, {"numbers": numbers})
        out = tmp_path / gone
        out.mkdir()
        build.build(artifact.Work(out, inputs, config))
        assert (gone in (out / "report.html").read_text()) is lost
        if lost:
            with pytest.raises(BadResultError, match="1 recorded numbers are not in this run: mbpp"):
                build.print_table(out, quiet=True)
        else:
            build.print_table(out, quiet=True)
