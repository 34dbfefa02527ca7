"""A profile as jobs for Slurm: what they need, what their scripts say to a shell, and on a real Slurm of one machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import slurmd

from magicoder_repro import artifact, profile
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline import plan, run, slurm
from magicoder_repro.pipeline.slurm import Asked, Job
from magicoder_repro.pipeline.store import Run

ODD = 'a run\'s "folder"'
"""A folder's name with what a shell reads."""


def _write(
    folder: Path, name: str = "tiny", targets: Sequence[str] = (), asked: Asked | None = None, runs: Path | None = None
) -> list[Job]:
    where = Run.of(name, folder / "runs", runs or folder / "run")
    return slurm.write(profile.load(name), where, targets, asked or Asked({}), folder / "jobs")


def _directives(script: Path) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.read_text().splitlines() if line.startswith("#SBATCH")]


def test_every_node_is_in_one_job_after_all_that_it_needs(tmp_path: Path) -> None:
    for name in ("tiny", "paper-cl"):
        nodes = plan.expand(profile.load(name))
        jobs = slurm.jobs_of(nodes)
        home = {node.name: job.name for job in jobs for node in job.nodes}
        assert sorted(home) == sorted(node.name for node in nodes)
        order = [job.name for job in jobs]
        for job in jobs:
            wanted = {home[source] for node in job.nodes for source in node.inputs.values()}
            assert set(job.after) == wanted
            assert all(order.index(other) < order.index(job.name) for other in wanted)


def test_benchmarks_of_a_model_are_an_array_each_scored_when_it_is_answered(tmp_path: Path) -> None:
    jobs = {job.name.partition("-")[2]: job for job in _write(tmp_path)}
    benchmarks = ["minibench-humaneval", "minibench-mbpp"]
    assert [node.name for node in jobs["generate-base"].nodes] == [f"generate/base/{one}" for one in benchmarks]
    assert [node.name for node in jobs["score-base"].nodes] == [f"score/base/{one}" for one in benchmarks]
    assert list(jobs["score-base"].after.values()) == ["aftercorr"]
    assert list(jobs["generate-base"].after.values()) == ["afterok"]
    assert set(jobs["report"].after.values()) == {"afterok"}
    assert "--array=0-1" in _directives(tmp_path / "jobs" / f"{jobs['score-base'].name}.sbatch")


def test_arrays_whose_tasks_do_not_go_together_wait_for_the_whole(tmp_path: Path) -> None:
    jobs = {job.name: job for job in slurm.jobs_of(plan.expand(profile.load("paper-cl")))}
    released, cleaned = (next(one for name, one in jobs.items() if word in name) for word in ("released", "decontam"))
    assert cleaned.after == {released.name: "aftercorr"}
    reordered = slurm.jobs_of([*released.nodes, *reversed(cleaned.nodes)])
    assert list(reordered[1].after.values()) == ["afterok"]


def test_resources_are_the_stages_own_then_those_of_all_jobs_then_the_profiles(tmp_path: Path) -> None:
    asked = Asked(
        {"partition": "gpu", "time": "1:00:00", "gpus": "a100:2", "memory": None},
        ["sft.gpus=8", "sft.nodes=2", "score.time=7", "score.qos=long"],
        "apptainer:" + str(tmp_path / "core.sif"),
    )
    (tmp_path / "core.sif").touch()
    jobs = _write(tmp_path, "paper-cl", asked=asked)
    of = {job.stage.name: _directives(tmp_path / "jobs" / f"{job.name}.sbatch") for job in jobs}
    assert {"--partition=gpu", "--nodes=2", "--gres=gpu:8", "--time=1:00:00", "--requeue"} <= set(of["sft"])
    assert "--signal=B:USR1@330" in of["sft"] and "--signal=B:USR1@120" in of["score"]
    assert "--gres=gpu:a100:2" in of["generate"]
    assert {"--time=7", "--qos=long", "--cpus-per-task=16", f"--mem={16 * 4096 + 4096}M"} <= set(of["score"])
    assert not any("gres" in line for line in of["score"] + of["released"] + of["report"])


@pytest.mark.parametrize(
    ("common", "settings", "container", "message"),
    [
        ({"time": "soon"}, [], "none", "--time soon: not as Slurm writes it: give minutes, or as 12:00:00"),
        ({"partition": "a\n#SBATCH --wrap=x"}, [], "none", "(?s)--partition a.*: give one word"),
        ({}, ["sft.memory=much"], "none", "--set sft.memory=much: .* give megabytes, or as 64G"),
        ({}, ["sft.gpu=1"], "none", "--set sft.gpu: did you mean 'gpus'"),
        ({}, ["stf.gpus=1"], "none", "--set stf.gpus=1: no such stage: did you mean 'sft'"),
        ({}, ["gpus=1"], "none", "--set gpus=1: give STAGE.KEY=VALUE, as sft.gpus=8"),
        ({}, ["score.nodes=2"], "none", "--set score.nodes=2: only sft works on several nodes"),
        ({}, [], "docker:x", "--container docker:x: give apptainer:FILE.sif, pyxis:IMAGE or none"),
        ({}, [], "apptainer:no.sif", "--container apptainer:no.sif: .*no.sif: no such file"),
    ],
)
def test_what_slurm_would_not_understand_is_one_line(
    common: dict[str, str], settings: list[str], container: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        _write(tmp_path, asked=Asked(common, settings, container))
    assert not (tmp_path / "jobs").exists()


def test_a_folder_of_others_is_left_alone_and_an_earlier_calls_scripts_are_replaced(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "jobs" / "logs" / "one.log").touch()
    jobs = _write(tmp_path, targets=["corpus"])
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["1-corpus.sbatch", "logs", "submit.sh"]
    assert [job.name for job in jobs] == ["1-corpus"] and (tmp_path / "jobs" / "logs" / "one.log").exists()
    (tmp_path / "jobs" / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"thesis.tex is none of `magicoder slurm`'s: name another folder with -o"):
        _write(tmp_path)


def _tool(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def _bash(script: Path, tools: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    where = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", **variables}
    return subprocess.run(["bash", str(script)], env=where, cwd=script.parent, capture_output=True, text=True)


@pytest.mark.process
def test_paths_with_spaces_and_quotes_reach_the_command_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's own commands are replaced by ones that note their words."""
    odd, tools = tmp_path / ODD, tmp_path / "tools"
    (odd / "data").mkdir(parents=True), tools.mkdir()
    shutil.copy(profile.PROFILES / "tiny.yaml", odd / "$(my) profile.yaml")
    monkeypatch.setenv("MAGICODER_DATA", str(odd / "data"))
    image = f"{odd}/core image.sif"
    Path(image).touch()
    for name, asked in (
        ("none", Asked({})),
        ("apptainer", Asked({}, [], f"apptainer:{image}")),
        ("pyxis", Asked({}, [], f"pyxis:{image}")),
    ):
        jobs = _write(odd, str(odd / "$(my) profile.yaml"), ["score/base"], asked)
        _tool(tools, "srun", 'printf "%s\\n" "$MAGICODER_DATA" "$@" > "$NOTED"')
        noted = tmp_path / name
        script = odd / "jobs" / f"{jobs[-1].name}.sbatch"
        done = _bash(script, tools, NOTED=str(noted), SLURM_ARRAY_TASK_ID="1", SLURM_ARRAY_JOB_ID="7", SLURM_JOB_ID="8")
        assert done.returncode == 0, done.stderr
        data, *words = noted.read_text().splitlines()
        assert data == str(odd / "data")
        command = ["-m", "magicoder_repro.cli", "run", "score/base/minibench-mbpp", "--only", "--profile"]
        command += [str(odd / "$(my) profile.yaml"), "--runs", str(odd / "run")]
        assert words[-len(command) :] == command
        if name == "apptainer":
            assert words[words.index("apptainer") :][:2] == ["apptainer", "exec"] and image in words
            assert f"{odd / 'run'}:{odd / 'run'}:rw" in words
        if name == "pyxis":
            assert f"--container-image={image}" in words


@pytest.mark.process
def test_submitting_tells_slurm_each_dependency_and_takes_all_back_when_one_is_refused(tmp_path: Path) -> None:
    tools, noted = tmp_path / "tools", tmp_path / "noted"
    tools.mkdir()
    _write(tmp_path, targets=["score/base"])
    _tool(
        tools,
        "sbatch",
        'echo "$@" >> "$NOTED"; [[ "${@: -1}" != "$REFUSED" ]] && echo "$((100 + $(wc -l < "$NOTED")));here"',
    )
    _tool(tools, "scancel", 'echo "scancel $*" >> "$NOTED"')
    done = _bash(tmp_path / "jobs" / "submit.sh", tools, NOTED=str(noted), REFUSED="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["101 1-base-model-base", "102 2-generate-base", "103 3-score-base"]
    usual = "--parsable --kill-on-invalid-dep=yes"
    assert noted.read_text().splitlines() == [
        f"{usual} 1-base-model-base.sbatch",
        f"{usual} --dependency=afterok:101 2-generate-base.sbatch",
        f"{usual} --dependency=aftercorr:102 3-score-base.sbatch",
    ]
    noted.unlink()
    done = _bash(tmp_path / "jobs" / "submit.sh", tools, NOTED=str(noted), REFUSED="3-score-base.sbatch")
    assert done.returncode == 1 and "those before it are cancelled" in done.stderr
    assert sorted(noted.read_text().splitlines()[-1].split()) == ["101", "102", "scancel"]


_STEP = """
trap 'echo saved >> "$NOTED"; exit 143' TERM
echo $$ > "$NOTED.step"
kill -"$SENT" $PPID
for _ in {1..300}; do sleep 0.1; done
"""
"""Tells the script of the job that its time is nearly over, and saves its work when it is told to end."""


@pytest.mark.process
def test_a_job_out_of_time_saves_and_goes_back_to_the_queue_and_one_that_is_cancelled_does_not(tmp_path: Path) -> None:
    tools, noted = tmp_path / "tools", tmp_path / "noted"
    tools.mkdir()
    _write(tmp_path, targets=["corpus"])
    _tool(tools, "srun", _STEP)
    _tool(tools, "scancel", 'echo "scancel $*" >> "$NOTED"; kill -TERM "$(cat "$NOTED.step")"')
    _tool(tools, "scontrol", 'echo "scontrol $*" >> "$NOTED"')
    script = tmp_path / "jobs" / "1-corpus.sbatch"
    done = _bash(script, tools, NOTED=str(noted), SENT="USR1", SLURM_JOB_ID="7")
    assert done.returncode == 143, done.stderr
    assert noted.read_text().splitlines() == ["scancel --signal=TERM 7", "saved", "scontrol requeue 7"]
    noted.unlink()
    done = _bash(script, tools, NOTED=str(noted), SENT="USR1", SLURM_JOB_ID="7", SLURM_RESTART_COUNT="50")
    assert done.returncode == 143 and "requeue" not in noted.read_text()
    noted.unlink()
    _tool(tools, "srun", 'echo saved >> "$NOTED"; kill -TERM $PPID; sleep 0.5; exit 143')  # Slurm tells both
    done = _bash(script, tools, NOTED=str(noted), SLURM_JOB_ID="7")
    assert done.returncode == 143 and noted.read_text().splitlines() == ["saved"]


@pytest.mark.process
@pytest.mark.parametrize("name", ["tiny", "paper-cl", "oss-instruct-open", "rescore"])
def test_scripts_are_clean_shell(name: str, tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    folder = tmp_path / ODD
    (folder / "image.sif").parent.mkdir()
    (folder / "image.sif").touch()
    _write(folder, name, asked=Asked({"gpus": "2"}, ["sft.nodes=2"], f"apptainer:{folder / 'image.sif'}"))
    scripts = [*(folder / "jobs").glob("*.sbatch"), folder / "jobs" / "submit.sh"]
    assert len(scripts) > 2
    done = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_only_refuses_what_is_not_there_yet(tmp_path: Path) -> None:
    where = Run.of("tiny", tmp_path, tmp_path / "run")
    with pytest.raises(
        UsageError, match=r"--only: corpus is needed and not up to date \(not made yet\): make it first"
    ):
        run.run_all(profile.load("tiny"), where, ["seeds"], only=True)
    with pytest.raises(UsageError, match="--only: name the nodes that are to be made"):
        run.run_all(profile.load("tiny"), where, [], only=True)
    assert not list(where.store.glob("*"))


def test_runs_of_single_nodes_share_a_folder_that_a_whole_run_has_alone(tmp_path: Path) -> None:
    refused = pytest.raises(UsageError, match="another run works there")
    with run._only_run(tmp_path, shared=True), run._only_run(tmp_path, shared=True), refused, run._only_run(tmp_path):
        pass
    with run._only_run(tmp_path), refused, run._only_run(tmp_path, shared=True):
        pass


@pytest.mark.process
def test_what_is_up_to_date_is_no_job_and_only_makes_the_node_that_is_named(tmp_path: Path) -> None:
    where = Run.of("tiny", tmp_path, tmp_path / "run")
    for name in ("corpus", "seeds"):
        assert run.run_all(profile.load("tiny"), where, [name], only=True) == 1
        shutil.rmtree(where.folder / "corpus", ignore_errors=True)
        (where.folder / "corpus").unlink(missing_ok=True)  # its link: another profile's run may have made it
    assert (where.folder / "seeds" / "records.jsonl").is_file()
    jobs = _write(tmp_path, targets=["oss-instruct"])
    assert [(job.name, job.after) for job in jobs] == [("1-oss-instruct-oss-instruct", {})]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with slurmd.cluster(monkeypatch):
        yield


@pytest.mark.long
def test_slurm_makes_the_same_files_as_a_run_here(cluster: None, tmp_path: Path) -> None:
    odd, plain = tmp_path / ODD, Run.of("tiny", tmp_path, tmp_path / "plain")
    jobs = _write(odd, targets=["score/base"], asked=Asked({"cpus": "1", "memory": "1M", "gpus": "0"}))
    names = [node.name for job in jobs for node in job.nodes]
    subprocess.run([odd / "jobs" / "submit.sh"], check=True, cwd="/")
    while subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout:
        time.sleep(2)
    assert run.run_all(profile.load("tiny"), plain, ["score/base"]) == len(names)
    logs = "".join(path.read_text() for path in sorted((odd / "jobs" / "logs").iterdir()))
    for name in names:
        theirs, ours = (artifact.read_manifest(folder / name) for folder in (plain.folder, odd / "run"))
        assert theirs.outputs == ours.outputs, logs
