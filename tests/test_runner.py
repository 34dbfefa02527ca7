"""The runners: what a container is given, and that the work is the same there. The engine is a stand-in of a few lines, which runs the
command of a container here, but for the test marked `long`: that one takes podman and the images of docker/, where they are."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from magicoder_repro import __version__, environment
from magicoder_repro import profile as profiles
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline import place, plan, runner, seen
from magicoder_repro.pipeline.place import Place

pytestmark = pytest.mark.process
# As an engine: `image inspect` knows one image, `run` starts what --entrypoint names with the variables of --env.
_ENGINE = """#!{python}
import os, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(repr(words) + chr(10))
if words[:2] == ["image", "inspect"]:
    if {absent!r} and {absent!r} in words[-1]:
        sys.exit("Error: no such image " + words[-1])
    print("0" * 64)
    sys.exit()
given = {{"PATH": os.environ["PATH"]}}
for at, word in enumerate(words):
    if word == "--env":
        name, told, value = words[at + 1].partition("=")
        given[name] = value if told else os.environ[name]
place = words.index("--entrypoint")
inside = ["/dev/null", *words[place + 3:]]
given["MAGICODER_ENVS"] = {envs!r}
given["MAGICODER_CACHE"] = {cache!r}
os.execve({python!r}, [{python!r}, *inside[1:]], given)
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `podman` on PATH; `words` in it is what it was asked."""
    return _engine(tmp_path, monkeypatch)


def _engine(folder: Path, monkeypatch: pytest.MonkeyPatch, absent: str = "") -> Path:
    text = _ENGINE.format(
        python=sys.executable,
        log=str(folder / "words"),
        absent=absent,
        envs=str(environment.BUILT),
        cache=str(folder / "cache"),
    )
    (folder / "podman").write_text(text)
    (folder / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MAGICODER_CACHE", str(folder / "cache"))
    return folder


def _words(name: str, node: str, profile: str = "tiny") -> list[str]:
    """The command line of a node's container."""
    nodes = {one.name: one for one in plan.expand(profiles.load(profile))}
    return runner.choose(name).command(runner.Job(nodes[node].place, ["stage", node], [Path("runs")])).words


def _values(words: list[str], option: str) -> list[str]:
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def test_every_container_has_no_privilege_and_the_callers_user(engine: Path) -> None:
    for node in ("corpus", "sft/magicoder", "generate/base/minibench-mbpp", "score/base/minibench-mbpp", "report"):
        words = _words("podman", node)
        assert "--privileged" not in words and "--read-only" in words
        assert _values(words, "--cap-drop") == ["ALL"] and "no-new-privileges" in _values(words, "--security-opt")
        assert _values(words, "--user") == [f"{os.getuid()}:{os.getgid()}"]
        assert _values(words, "--network") == ["none"]
        checkout = [mount for mount in _values(words, "--mount") if f"target={environment.ROOT}," in mount]
        assert len(checkout) == 1 and checkout[0].endswith(",readonly")
    assert "unmask=/proc/*" in _values(_words("podman", "score/base/minibench-mbpp"), "--security-opt")
    assert "unmask=/proc/*" not in _values(_words("podman", "report"), "--security-opt")


def test_each_node_is_made_in_its_image(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"localhost/magicoder-repro/core:{__version__}" in _words("podman", "sft/magicoder")  # no GPU needs another
    monkeypatch.setattr(place, "gpus_here", lambda: True)
    images = {
        "corpus": "core", "sft/magicoder": "train", "generate/magicoder/minibench-mbpp": "train",
        "score/base/minibench-humaneval": "evalplus-0.2.0",
    }  # fmt: skip
    for node, name in images.items():
        assert f"localhost/magicoder-repro/{name}:{__version__}" in _words("podman", node)
    score = {node.name: node.place.environment for node in plan.expand(profiles.load("paper-cl"))}
    assert score["score/magicoder/multipl-e"] == "multipl-e" and score["score/magicoder/ds1000"] == "ds1000-original"


def test_secrets_go_by_name_and_only_to_the_stage_that_needs_them(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-seen")
    monkeypatch.setenv("HF_TOKEN", "hf_not-to-be-seen")
    for node in plan.expand(profiles.load("oss-instruct-open")):
        words = _words("podman", node.name, "oss-instruct-open")
        assert not [word for word in words if "not-to-be-seen" in word]
        teacher = node.stage.name in ("oss-instruct", "evol-instruct")
        assert ("OPENAI_API_KEY" in _values(words, "--env")) == teacher
        hub = node.stage.name in ("corpus", "base-model", "released")
        assert ("HF_TOKEN" in _values(words, "--env")) == hub
        outside = teacher or hub or node.stage.name == "analyze"  # whose tokenizer is fetched
        assert (_values(words, "--network") == ["none"]) != outside


def test_a_teacher_on_this_machine_is_reached_by_its_network(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = next(one.name for one in plan.expand(profiles.load("oss-instruct-open")) if one.stage.name == "oss-instruct")
    smoke = {one.name: one for one in plan.expand(profiles.load("smoke"))}
    assert smoke["oss-instruct/oss-instruct"].place == Place()  # its own server, in the container
    for url, network in (("http://127.0.0.1:8000/v1", ["host"]), ("https://example.org/v1", [])):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        for name in ("oss-instruct-open", "smoke"):  # the variable is for the embedded teacher too
            assert _values(_words("podman", node, name), "--network") == network


def test_a_container_is_no_way_out_for_docker_either(engine: Path) -> None:
    (engine / "podman").rename(engine / "docker")
    words = _words("docker", "score/base/minibench-mbpp")
    options = _values(words, "--security-opt")
    assert "--privileged" not in words and "systempaths=unconfined" in options
    profile = next(option for option in options if option.startswith("seccomp=")).partition("=")[2]
    refused = json.loads(Path(profile).read_text())["syscalls"][0]["names"]
    assert {"bpf", "kexec_load", "init_module", "keyctl"} <= set(refused)


def test_apptainer_has_the_same_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apptainer").write_text("#!/bin/sh\n")
    (tmp_path / "apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MAGICODER_IMAGES", str(tmp_path))
    with pytest.raises(UsageError, match=r"core\.sif: no such image"):
        runner.choose("apptainer").image("core")
    (tmp_path / "core.sif").write_bytes(b"an image")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-seen")
    where = Place(network="none", variables=("OPENAI_API_KEY",))
    command = runner.choose("apptainer").command(runner.Job(where, ["stage", "corpus"], [tmp_path]))
    assert {"--containall", "--no-privs"} <= set(command.words) and _values(command.words, "--network") == ["none"]
    assert "not-to-be-seen" not in " ".join(command.words)
    assert command.variables == {"APPTAINERENV_OPENAI_API_KEY": "sk-not-to-be-seen"}
    assert "not-to-be-seen" not in command.shown()


def test_what_is_not_here_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"--runner podmn: did you mean 'podman'"):
        runner.choose("podmn")
    _engine(tmp_path, monkeypatch, absent="evalplus")
    assert runner.choose("auto").name == "podman"
    with pytest.raises(
        UsageError, match=r"evalplus-0\.2\.0:.* is not here: `make images ENGINE=podman ENVS=evalplus-0\.2\.0`"
    ):
        _words("podman", "score/base/minibench-mbpp")
    (tmp_path / "podman").write_text("#!/bin/sh\necho 'Cannot connect to the daemon' >&2; exit 125\n")
    with pytest.raises(UsageError, match=r"podman does not work here: Cannot connect to the daemon"):
        runner.choose("podman").image("core")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runner.choose("auto").name == "host"


@pytest.mark.parametrize("name", ["a,b", 'a"b'])
def test_a_path_that_an_engine_would_read_wrongly_is_refused(engine: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="takes no path with a comma or a quotation mark"):
        runner.choose("podman").command(runner.Job(Place(), ["stage", "corpus"], [tmp_path / name]))


def test_facts_are_those_of_the_image(engine: Path) -> None:
    profile = profiles.load("tiny")
    nodes = [node for node in plan.expand(profile) if node.stage.name in ("decontaminate", "score")]
    found = seen.seen(nodes, profile, runner.choose("podman"))
    assert [dict(node.facts()) for node in found] == [json.loads(json.dumps(dict(node.facts()))) for node in nodes]
    asked = [line for line in (engine / "words").read_text().splitlines() if "'look'" in line]
    assert len(asked) == len({node.place.environment for node in nodes})


def test_nodes_in_containers_are_those_of_the_host(engine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    command = [sys.executable, "-m", "magicoder_repro.cli", "run", "seeds", "--profile", "tiny", "--runs", str(folder)]
    done = subprocess.run([*command, "--runner", "podman"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((folder / "seeds" / "manifest.json").read_text())
    assert re.fullmatch(r"localhost/magicoder-repro/core:\S* \(id sha256:0{64}\)", manifest["environment"]["image"])
    assert manifest["commit"] == environment.git_commit()
    again = subprocess.run(command, capture_output=True, text=True, check=False)  # by the host: the same fingerprints
    assert again.returncode == 0 and "nothing to do" in again.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_container_ends_with_the_command(engine: Path, tmp_path: Path, number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.cli",
        "run",
        "oss-instruct",
        "--profile",
        "tiny",
        "--runner",
        "podman",
    ]
    run = subprocess.Popen([*command, "--runs", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True)
    assert run.stderr
    for line in run.stderr:
        if "the teacher writes" in line or "oss-instruct/oss-instruct" in line:
            break
    time.sleep(1)
    inside = psutil.Process(run.pid).children(recursive=True)
    assert inside
    run.send_signal(number)
    run.stderr.read()
    run.wait(60)
    _, alive = psutil.wait_procs(inside, timeout=20)
    assert not alive and run.returncode in (-number, 128 + number)


@pytest.mark.long
def test_the_tiny_profile_in_podman_has_the_numbers_of_the_host(tmp_path: Path) -> None:
    podman = runner.choose("podman")
    try:
        for name in ("core", "train", "evalplus-0.2.0"):
            podman.image(name)
    except UsageError as error:
        pytest.skip(str(error))
    numbers = {}
    for name in ("podman", "host"):
        folder = tmp_path / f"by {name}"
        command = [sys.executable, "-m", "magicoder_repro.cli", "run", "--profile", "tiny", "--runner", name]
        done = subprocess.run([*command, "--runs", str(folder)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        report = json.loads((folder / "report" / "report.json").read_text())
        numbers[name] = {row["key"]: row["value"] for row in report["rows"]}
        owners = {path.lstat().st_uid for path in folder.rglob("*")}
        assert owners == {os.getuid()}
    assert numbers["podman"] == numbers["host"]


def test_the_commands_of_a_plan_can_be_typed(engine: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.cli",
        "plan",
        "--profile",
        "tiny",
        "--runner",
        "podman",
        "--commands",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    nodes = plan.expand(profiles.load("tiny"))
    assert all(any(f" {node.name} " in line for line in lines) for node in nodes)
    assert all(shlex.split(line)[:2] == ["podman", "run"] and "--profile tiny" in line for line in lines)
    assert shutil.which("podman") == str(engine / "podman")


def test_a_plans_commands_work_one_after_another(engine: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text((profiles.PROFILES / "tiny.yaml").read_text())
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.cli",
        "plan",
        "seeds",
        "--profile",
        str(mine),
        "--runs",
        str(tmp_path / "run"),
    ]
    lines = subprocess.run(
        [*command, "--runner", "podman", "--commands"], capture_output=True, text=True, check=True
    ).stdout
    for line in lines.splitlines():
        subprocess.run(line, shell=True, check=True, capture_output=True)
    assert (tmp_path / "run" / "seeds" / "manifest.json").is_file()
    assert f"source={mine},target={mine},readonly" in lines


def test_an_engine_that_starts_nothing_is_one_line(engine: Path, tmp_path: Path) -> None:
    failing = (engine / "podman").read_text().replace("os.execve(", "if 'stage' in inside: sys.exit(125)\nos.execve(")
    (engine / "podman").write_text(failing)
    command = [sys.executable, "-m", "magicoder_repro.cli", "run", "corpus", "--profile", "tiny", "--runner", "podman"]
    done = subprocess.run([*command, "--runs", str(tmp_path / "run")], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "error: --runner podman: it did not start the container" in done.stderr
