"""The rehearsal: every node of a paper profile, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from magicoder_repro import artifact, profile
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline import plan, rehearse


@pytest.mark.parametrize("name", ["paper-cl", "paper-ds", "oss-instruct-open"])
def test_every_node_of_a_paper_profile_has_its_small_one(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    monkeypatch.setenv("MAGICODER_DATA", str(data))
    large = profile.load(name)
    small, changes = rehearse.shrunk(large, tmp_path)
    nodes = plan.expand(small)
    assert [node.name for node in nodes] == [node.name for node in plan.expand(large)]
    assert not small.report.comparable and small.description.startswith("Rehearsal")
    for node in nodes:
        for key in ("dataset", "source"):
            assert key not in node.config or Path(node.config[key]).is_dir(), node.name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model-base")
    llama = name != "paper-ds"
    assert (tokenizer.bos_token == "<s>") == llama and (tokenizer.pad_token is None) == llama
    text = "def f(x):\n    return 'é' + x\n"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text
    assert any("models.base" in change for change in changes)


def test_published_answers_have_no_rehearsal(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no rehearsal"):
        rehearse.shrunk(profile.load("rescore"), tmp_path)


@pytest.mark.long
def test_a_rehearsal_ends_with_a_report_that_says_what_it_is(tmp_path: Path) -> None:
    """Paper-cl's data, first training and MBPP, where no data set is at hand."""
    content = yaml.safe_load((profile.PROFILES / "paper-cl.yaml").read_text())
    del content["models"]["magicoder-s"], content["recipes"]["stage-2"]
    content["evaluate"] = {"mbpp": {**content["evaluate"]["mbpp"], "models": ["magicoder"]}}
    del content["analysis"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    command = [sys.executable, "-m", "magicoder_repro.cli", "rehearse", "--profile", str(tmp_path / "mine.yaml")]
    variables = {**os.environ, "MAGICODER_DATA": str(tmp_path / "none")}
    done = subprocess.run([*command, "--runs", str(tmp_path / "run")], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "evaluate.mbpp: its data are not here: minibench-mbpp" in done.stderr
    trained = artifact.read_manifest(tmp_path / "run" / "sft" / "magicoder").counts
    assert trained["devices"] == 2 and trained["steps"] == 6
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert report["description"].startswith("Rehearsal, whose numbers mean nothing") and not report["comparable"]
    assert [line.split()[0] for line in done.stdout.splitlines()][-1] == "report"
