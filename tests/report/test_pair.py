"""Two runs side by side: counts and McNemar's p on the terminal, every task on the page."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from magicoder_repro.errors import UsageError
from magicoder_repro.report import pair
from magicoder_repro.score import compare


def test_lost_and_gained_tasks_are_counted(small: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    shutil.copytree(small.folder, other)
    path = other / "score" / "magicoder" / "humaneval" / "humaneval.json"
    passed = '"passed": true, "passed_plus": true, "status": "passed"'
    path.write_text(path.read_text().replace(passed, passed.replace("true", "false"), 7))
    assert compare.compare(small.folder, other, tmp_path / "page.html") == 1
    said = capsys.readouterr().out
    assert "humaneval, magicoder: 7 of 164 tasks lost, 0 gained (-4.3 points, McNemar p = 0.016)" in said
    assert (
        "humaneval+, magicoder: 7 of 164 tasks lost" in said
        and "humaneval, base: 0 of 164 tasks lost, 0 gained" in said
    )
    assert "multipl-e-java, base: 0 of 158 tasks lost, 0 gained (+0.0 points)" in said
    text = (tmp_path / "page.html").read_text()
    assert "14 verdicts differ." in text
    packed = text.partition('id="drill">')[2].partition("</script>")[0]
    (first, *_) = json.loads(gzip.decompress(base64.b64decode(packed)))["sets"]
    assert first["name"] == "humaneval" and [first["models"][place]["name"] for place in first["usual"]] == [
        "A: magicoder",
        "B: magicoder",
    ]


def test_a_run_may_be_named_by_its_report(small: Any, tmp_path: Path) -> None:
    assert compare.run_of(small.folder) == compare.run_of(small.folder / "report") == small.folder
    assert compare.run_of(tmp_path) is None and compare.run_of(tmp_path / "none") is None


@pytest.mark.parametrize("name", ["none", "empty"])
def test_what_is_no_run_is_said_in_one_line(small: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="not the folder of a run"):
        pair.compare(small.folder, tmp_path / name, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
