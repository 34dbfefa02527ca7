"""`magicoder archive`: a deposit of the commit and of what runs say of themselves, in equal bytes, with nothing of this machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from magicoder_repro import archive, artifact, benchmarks, crate
from magicoder_repro.artifact import Request, Work
from magicoder_repro.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
_CITATION = """cff-version: 1.2.0
title: a package
license: Apache-2.0
authors: [{name: A team}, {family-names: Lee, given-names: Ann, orcid: "https://orcid.org/0000-0000-0000-0001"}]
preferred-citation:
  {title: A paper, url: "https://arxiv.org/abs/2312.02120", authors: [{family-names: Wei, given-names: Yuxiang}]}
"""


def _git(folder: Path, *words: str) -> None:
    name = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)


def _made(root: Path, node: str, config: dict[str, Any], inputs: dict[str, Path], body: Callable[[Work], None]) -> Path:
    """A node of the run `mine`, as the pipeline makes it: in the store, with a link to it."""
    stage = node.partition("/")[0]
    out = root / "runs" / ".store" / f"{stage}-{hashlib.sha256(node.encode()).hexdigest()[:20]}"
    out.parent.mkdir(parents=True, exist_ok=True)
    artifact.build(Request(stage, out, config, inputs, "core"), body)
    link = root / "runs" / "mine" / node
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(out, link.parent))
    return out


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a commit, ignored data, and a run of three nodes that name folders and a key of this machine."""
    monkeypatch.setenv("MAGICODER_DATA", "/mnt/benchmarks")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-key")
    root = tmp_path / "checkout"
    (root / "docker" / "core").mkdir(parents=True)
    (root / "CITATION.cff").write_text(_CITATION)
    (root / ".gitignore").write_text("/runs/\n/data/\n/dist/\n")
    (root / "docker" / "core" / "requirements.lock").write_text("numpy==1\n")
    (root / "a program.sh").write_text("true\n")
    (root / "a program.sh").chmod(0o755)
    _git(root, "init", "--quiet")
    _git(root, "add", ".")
    _git(root, "commit", "--quiet", "-m", "x")
    (root / "data").mkdir()
    (root / "data" / "ds1000.jsonl").write_text("{}\n")

    def corpus(work: Work) -> None:
        (work.out / "records.jsonl").write_text('{"content": "weights"}\n')
        work.notes.append(f"read from {Path.home()}/models and /scratch/alice/corpus/python/a.py")

    def report(work: Work) -> None:
        for name in ("report.html", "report.md", "report.json"):
            (work.out / name).write_text(
                f'"{root}/runs/mine at /scratch/alice/corpus/python, key sk-a-secret-key, 1/2</b></td>"\n'
            )
        (work.out / "report.png").write_bytes(b"\x89")

    made = _made(root, "corpus", {"root": "/mnt/benchmarks/x", "address": "https://u:p@h/a/b/"}, {}, corpus)
    score = _made(root, "score/base/humaneval", {}, {"samples": made}, lambda work: work.out.joinpath("a.json").touch())
    _made(root, "report", {}, {"corpus": made, "score/base/humaneval": score}, report)
    return root


def _read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def _graph(contents: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    return {one["@id"]: one for one in json.loads(contents[crate.NAME])["@graph"]}


def test_an_archive_holds_the_commit_and_what_runs_say_of_themselves_and_nothing_else(root: Path) -> None:
    path = archive.build(root=root)
    assert path == root / "dist" / "magicoder-repro-0.1.0.zip"
    contents = _read(path)
    assert set(contents) == {
        crate.NAME,
        ".gitignore",
        "CITATION.cff",
        "a program.sh",
        "docker/core/requirements.lock",
        "runs/mine/corpus/manifest.json",
        "runs/mine/report/manifest.json",
        "runs/mine/report/report.html",
        "runs/mine/report/report.json",
        "runs/mine/report/report.md",
        "runs/mine/score/base/humaneval/manifest.json",
    }
    with zipfile.ZipFile(path) as opened:
        modes = {info.filename: info.external_attr >> 16 for info in opened.infolist()}
    assert modes["a program.sh"] == 0o100755 and modes["CITATION.cff"] == 0o100644


def test_the_same_commit_and_runs_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    first = archive.build(tmp_path / "first.zip", root).read_bytes()
    (root / "CITATION.cff").touch()
    assert archive.build(tmp_path / "other" / "second.zip", root).read_bytes() == first
    archive.build(root=root)
    assert archive.build(root=root).read_bytes() == first  # over an earlier one, which is ignored by git
    with zipfile.ZipFile(tmp_path / "first.zip") as opened:
        assert {info.date_time for info in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}  # nothing of the clock
        assert opened.namelist() == sorted(opened.namelist())


def test_the_metadata_describe_every_file_and_every_node(root: Path) -> None:
    contents = _read(archive.build(root=root))
    graph = _graph(contents)
    assert graph[crate.NAME]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert graph[crate.NAME]["about"] == {"@id": "./"} and graph[crate.NAME]["@type"] == "CreativeWork"
    whole = graph["./"]
    assert (
        whole["@type"] == "Dataset"
        and whole["name"] == "a package 0.1.0"
        and "No model weights" in whole["description"]
    )
    assert whole["datePublished"][:2] == "20" and whole["identifier"].startswith("swh:1:rev:")
    assert graph[whole["license"]["@id"]]["name"] == "Apache-2.0"
    authors = [graph[one["@id"]] for one in whole["author"]]
    assert [(one["@type"], one["name"]) for one in authors] == [("Organization", "A team"), ("Person", "Ann Lee")]
    files = {unquote(one["@id"]): graph[one["@id"]] for one in whole["hasPart"]}
    assert set(files) == set(contents) - {crate.NAME}
    for name, one in files.items():
        assert one["@type"] == "File" and one["contentSize"] == str(len(contents[name]))
        assert one["sha256"] == hashlib.sha256(contents[name]).hexdigest()
    actions = {name: one for name, one in graph.items() if one["@type"] == "CreateAction"}
    assert set(actions) == {"#runs/mine/corpus", "#runs/mine/report", "#runs/mine/score/base/humaneval"}
    assert [one["@id"] for one in whole["mentions"]] == sorted(actions)
    report, corpus = actions["#runs/mine/report"], actions["#runs/mine/corpus"]
    assert {"@id": "runs/mine/report/report.html"} in report["result"]
    (made,) = [one for one in corpus["result"] if one["@id"].startswith("#")]
    assert made in report["object"] and made in actions["#runs/mine/score/base/humaneval"]["object"]
    assert graph[made["@id"]]["name"] == "runs/mine/corpus"
    for one in actions.values():
        assert graph[one["instrument"]["@id"]]["@type"] == "SoftwareApplication"
        around = {graph[each["@id"]]["name"]: graph[each["@id"]]["value"] for each in one["environment"]}
        assert {"environment lock_sha256", "python", "device cpu"} <= set(around)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return (
            [value["@id"]] if set(value) == {"@id"} else [name for one in value.values() for name in _references(one)]
        )
    return [name for one in value for name in _references(one)] if isinstance(value, list) else []


# Of the RO-Crate 1.1 context; `sha256` and `environment` are the two that the crate's own context adds.
_TERMS = {
    "@id", "@type", "about", "actionStatus", "author", "citation", "conformsTo", "contentSize", "datePublished", "description",
    "encodingFormat", "hasPart", "identifier", "instrument", "license", "mentions", "name", "object", "result", "softwareVersion",
    "value", "version", "sha256", "environment",
}  # fmt: skip


def test_the_metadata_are_linked_data_of_known_terms(root: Path) -> None:
    document = json.loads(_read(archive.build(root=root))[crate.NAME])
    assert document["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    assert set(document["@context"][1]) == {"sha256", "environment"}
    names = [one["@id"] for one in document["@graph"]]
    assert len(names) == len(set(names))
    assert {name for one in document["@graph"] for name in one} <= _TERMS
    assert set(_references(document["@graph"])) - {crate.SPECIFICATION} <= set(names)


def test_nothing_of_this_machine_and_no_secret_is_in_an_archive(root: Path) -> None:
    contents = _read(archive.build(root=root))
    for name, content in contents.items():
        for word in (
            str(root),
            str(root.parent),
            str(Path.home()) + "/",
            "/scratch",
            "alice",
            "/mnt",
            "sk-a-secret",
            "u:p@",
        ):
            assert word.encode() not in content, (name, word)
    corpus = json.loads(contents["runs/mine/corpus/manifest.json"])
    assert corpus["notes"] == ["read from ~/models and {elsewhere}/a.py"]
    assert corpus["config"] == {"root": "{MAGICODER_DATA}/x", "address": "https://h/a/b/"}
    for name in ("html", "md", "json"):
        text = contents[f"runs/mine/report/report.{name}"].decode()
        assert text == '"{checkout}/runs/mine at {elsewhere}, key ***, 1/2</b></td>"\n'


def test_what_is_not_committed_is_left_out_and_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive.build(root=root)
    assert "warning" not in capsys.readouterr().err
    (root / "CITATION.cff").write_text(_CITATION.replace("a package", "another"))
    (root / "thesis.tex").write_text("x")
    contents = _read(archive.build(root=root))
    assert "warning: the checkout has changes that are not committed" in capsys.readouterr().err
    assert contents["CITATION.cff"].decode() == _CITATION and "thesis.tex" not in contents
    assert "changes that were not committed" in _graph(contents)["./"]["description"]


def test_where_there_is_no_commit_one_line_says_so(root: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    inside = root / "unpacked"
    inside.mkdir()
    with pytest.raises(UsageError, match=r"no git checkout of its own.*run it in a git clone"):
        archive.build(root=inside)
    _git(tmp_path / "plain", "init", "--quiet")
    with pytest.raises(UsageError, match=r"git says .*run it in a git clone"):
        archive.build(root=tmp_path / "plain")
    assert not list(tmp_path.rglob("*.zip"))


def test_no_git_and_no_checkout_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match=r"git says .*not a git repository.*run it in a git clone"):
        archive.build(root=tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"git is not installed: .*run it in a git clone"):
        archive.build(root=tmp_path)


@pytest.mark.parametrize(
    ("citation", "expected"),
    [("title: x\n", "CITATION.cff: title, license, authors"), ("- x\n", "CITATION.cff: title")],
)
def test_a_citation_file_without_authors_is_one_line(root: Path, citation: str, expected: str) -> None:
    (root / "CITATION.cff").write_text(citation)
    _git(root, "commit", "--quiet", "-am", "y")
    with pytest.raises(UsageError, match=expected):
        archive.build(root=root)


def test_a_damaged_manifest_is_named(root: Path) -> None:
    (root / "runs" / "mine" / "corpus" / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match=r"corpus/manifest.json: not a manifest of ours"):
        archive.build(root=root)


def test_this_packages_archive_has_no_benchmark_data(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    contents = _read(archive.build(tmp_path / "a.zip", ROOT))
    assert {"REPRODUCE.md", "docker/core/requirements.lock", "results/smoke/recorded.json", crate.NAME} <= set(contents)
    pinned = {
        file.sha256
        for name in benchmarks.NAMES
        for protocol in benchmarks.get(name).protocols.values()
        for file in protocol.files.values()
        if file.sha256 and not Path(file.path).is_absolute()  # minibench is a part of this package
    }
    assert len(pinned) > 5
    for name, content in contents.items():
        assert hashlib.sha256(content).hexdigest() not in pinned, name
        assert "ds1000_data" not in name and not name.endswith((".safetensors", ".gguf", ".pkl")), name
    assert zipfile.is_zipfile(io.BytesIO((tmp_path / "a.zip").read_bytes()))
