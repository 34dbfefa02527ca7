"""An archive of answers is sorted by what its files hold and by a table of patterns; what is not used is named."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from magicoder_repro import profile
from magicoder_repro.artifact import Work
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import answers

MODELS = {name: one.match for name, one in profile.load("rescore").models.items()}  # type: ignore[union-attr]


def _lines(family: str, text: str = "x", count: int = 3) -> bytes:
    rows = [{"task_id": f"{family}/{number}", "completion": f"{text} {number}"} for number in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


HUMANEVAL, MBPP = _lines("HumanEval"), _lines("Mbpp")


def _archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return path


def _sorted(path: Path, models: dict[str, Sequence[str]] | None = None) -> dict[tuple[str, str], str]:
    """The file that each model's answers to a benchmark are taken from."""
    chosen, _ = answers.sort_out(answers.contents(path), models or MODELS, path)  # type: ignore[arg-type]
    return {key: one.path for key, one in chosen.items()}


def _built(path: Path, out: Path, url: str | None = None) -> Work:
    about = {"file": str(path), "url": url, "about": "", "answers": "authors"}
    config = {"archive": "samples", **about, "models": MODELS, "sha256": "0" * 64}
    out.mkdir()
    work = Work(out, {}, config)
    answers.build(work)
    return work


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("evalplus-Magicoder-CL-7B-humaneval.jsonl", "magicoder-cl"),
        ("evalplus-Magicoder-S-CL-7B-humaneval.jsonl", "magicoder-s-cl"),
        ("results/MagicoderS-CL/answers.jsonl", "magicoder-s-cl"),
        ("x/magicoder_s_cl_7b.jsonl", "magicoder-s-cl"),
        ("magicoder cl/1.jsonl", "magicoder-cl"),
        ("Magicoder-DS-6.7B/a.jsonl", "magicoder-ds"),
        ("magicoder-s-ds-6.7b_temp_0.0/a.jsonl", "magicoder-s-ds"),
        ("ise-uiuc--MAGICODER_DS/a.jsonl", "magicoder-ds"),
    ],
)
def test_the_patterns_of_the_profile_know_the_models_under_many_spellings(
    name: str, model: str, tmp_path: Path
) -> None:
    assert _sorted(_archive(tmp_path / "a.tgz", {name: HUMANEVAL})) == {(model, "humaneval"): name}


def test_the_benchmark_is_told_by_the_content_in_every_form(tmp_path: Path) -> None:
    files = {
        "mbpp/Magicoder-CL-7B.jsonl": HUMANEVAL,  # whatever it is called
        "Magicoder-DS-6.7B/x.jsonl.gz": gzip.compress(MBPP),
        **{f"Magicoder-S-CL/HumanEval_{number}/0.py": b"y" for number in (10, 9)},
        **{f"Magicoder-S-DS/HumanEval/{number}/{sample}.py": b"z" for number in (1, 0) for sample in (0, 1)},
        "Magicoder-S-DS/Mbpp/2.py": b"z",
    }
    path = _archive(tmp_path / "a.tgz", files)
    assert _sorted(path) == {
        ("magicoder-cl", "humaneval"): "mbpp/Magicoder-CL-7B.jsonl",
        ("magicoder-ds", "mbpp"): "Magicoder-DS-6.7B/x.jsonl.gz",
        ("magicoder-s-cl", "humaneval"): "Magicoder-S-CL",
        ("magicoder-s-ds", "humaneval"): "Magicoder-S-DS",
        ("magicoder-s-ds", "mbpp"): "Magicoder-S-DS",
    }
    work = _built(path, tmp_path / "out")
    assert work.counts["magicoder-s-ds/humaneval"] == 4
    rows = [
        json.loads(line) for line in (tmp_path / "out" / "magicoder-s-cl" / "humaneval.jsonl").read_text().splitlines()
    ]
    assert rows == [{"task_id": f"HumanEval/{number}", "solution": "y"} for number in (9, 10)]


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    verdicts = json.dumps({"eval": {"HumanEval/0": [{"solution": "x", "base_status": "pass"}]}}).encode()
    path = _archive(
        tmp_path / "a.tgz",
        {
            "Magicoder-CL.jsonl": HUMANEVAL,
            "Magicoder-CL_eval_results.json": verdicts,
            "Magicoder-CL_results.jsonl": b'{"task_id": "HumanEval/0", "completion": "x", "passed": true}\n',
            "WizardCoder.jsonl": MBPP,
            "README.md": b"# read",
            "Magicoder-DS.jsonl": b'{"task_id": "EvoEval/0", "solution": "x"}\n',
            "._Magicoder-DS.jsonl": b"\0\5\x16\7",
            "Magicoder-S-DS.jsonl": b'{"task_id": "Mbpp/1", "text": "x"}\n',
            "config.json": b"{}",
        },
    )
    work = _built(path, tmp_path / "out")
    verdict, stranger, unknown = work.notes
    assert verdict == "verdicts, not answers: Magicoder-CL_eval_results.json, Magicoder-CL_results.jsonl"
    assert stranger == "answers of no model of the profile: WizardCoder.jsonl (mbpp)"
    unused = ("README.md", "Magicoder-DS.jsonl", "._Magicoder-DS.jsonl", "Magicoder-S-DS.jsonl", "config.json")
    assert all(f"{name} (" in unknown for name in unused)
    table = answers.Table.model_validate_json((tmp_path / "out" / answers.TABLE).read_text())
    assert [(one.path, one.model, one.used) for one in table.found] == [
        ("Magicoder-CL.jsonl", "magicoder-cl", True),
        ("WizardCoder.jsonl", None, False),
    ]
    assert sorted(table.unrecognised) == sorted(unused)


def test_a_file_of_two_models_names_both(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.tgz", {"Magicoder-CL/Magicoder-DS.jsonl": HUMANEVAL})
    with pytest.raises(
        UsageError, match=r"Magicoder-DS\.jsonl: .*magicoder-cl and magicoder-ds: narrow models\."
    ) as caught:
        _sorted(path)
    assert "\n" not in str(caught.value)
    assert _sorted(path, {"one": ["*cl*", "!*ds*"], "two": ["*ds*"]}) == {
        ("two", "humaneval"): "Magicoder-CL/Magicoder-DS.jsonl"
    }


def test_of_several_files_the_unsanitized_counts_and_different_ones_are_refused(tmp_path: Path) -> None:
    files = {"Magicoder-CL-mbpp-sanitized.jsonl": _lines("Mbpp", "clean"), "Magicoder-CL-mbpp.jsonl": MBPP}
    chosen = {("magicoder-cl", "mbpp"): "Magicoder-CL-mbpp.jsonl"}
    assert _sorted(_archive(tmp_path / "a.tgz", files)) == chosen
    files["backup/Magicoder-CL-mbpp.jsonl.gz"] = gzip.compress(MBPP)
    assert _sorted(_archive(tmp_path / "a.tgz", files)) == chosen
    files["backup/Magicoder-CL-mbpp.jsonl.gz"] = gzip.compress(_lines("Mbpp", "other"))
    with pytest.raises(
        UsageError, match=r"Magicoder-CL-mbpp\.jsonl and backup/Magicoder-CL-mbpp\.jsonl\.gz: let models"
    ):
        _sorted(_archive(tmp_path / "a.tgz", files))


def test_an_archive_without_answers_of_the_models_says_what_it_has(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.tgz", {"wizard.jsonl": HUMANEVAL})
    with pytest.raises(UsageError, match=r"no answers of magicoder-cl, .* in it; wizard\.jsonl are of none of these"):
        _built(path, tmp_path / "out")


def test_the_first_sha256_of_published_answers_is_written_down_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    _archive(tmp_path / "a.tgz", {"Magicoder-CL.jsonl": HUMANEVAL})
    archive = profile.Archive(file="a.tgz", url="https://example.org/a.tgz", answers="authors")
    sha256 = answers.facts(archive)()["sha256"]
    config = {"archive": "samples", **archive.model_dump(), "models": MODELS, "sha256": sha256}
    (tmp_path / "out").mkdir()
    work = Work(tmp_path / "out", {}, config)
    answers.build(work)
    assert work.notes == [f"a.tgz: sha256 written down at the first fetch: {sha256}; its publisher has named none"]
    assert (tmp_path / "a.tgz.sha256").read_text() == f"{sha256}  a.tgz\n"
    _archive(tmp_path / "a.tgz", {"Magicoder-CL.jsonl": MBPP})
    with pytest.raises(UsageError, match=r"a\.tgz: its sha256 is .* put that file back, or remove a\.tgz\.sha256"):
        answers.facts(archive)()


def test_an_unpacked_folder_stands_for_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    archive = profile.Archive(file="answers/a.tar.gz", url="https://example.org/a.tar.gz", answers="authors")
    assert (
        "run `magicoder fetch samples`, or put https://example.org/a.tar.gz there"
        in answers.missing("samples", archive)()[0]
    )
    (tmp_path / "answers" / "a").mkdir(parents=True)
    (tmp_path / "answers" / "a" / "Magicoder-CL.jsonl").write_bytes(HUMANEVAL)
    assert answers.missing("samples", archive)() == ()
    before = answers.facts(archive)()
    (tmp_path / "answers" / "a" / "more.txt").write_text("x")
    assert answers.facts(archive)() != before


def test_packed_members_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(HUMANEVAL)
    monkeypatch.setattr(answers, "BOUNDS", replace(answers.BOUNDS, total=2 * size + 1, each=2 * size))
    packed = {f"model-{number}/samples.jsonl.gz": gzip.compress(HUMANEVAL) for number in range(3)}
    found = answers.contents(_archive(tmp_path / "a.tgz", packed))
    assert len(found.answers) == 2 and found.unpacked == 2 * size
    (reason,) = found.unrecognised.values()
    assert reason.startswith("with the packed files before it, it unpacks to more than")
