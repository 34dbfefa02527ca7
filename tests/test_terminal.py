"""What comes from outside is shown as text, and no password or key is shown or written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Quiet, serving

from magicoder_repro import terminal
from magicoder_repro.data import teacher
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import ServerTeacher, load
from magicoder_repro.report import page
from magicoder_repro.report.cells import Cell
from magicoder_repro.report.drill import Packed
from magicoder_repro.report.figures import Figure
from magicoder_repro.report.tables import layout

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = "a\x1b[31mred\x1b]0;title\x07\r\b\x9b2J\u202eevil\u2066\u200f\ud800\n\x7f\0z"


def _is_clean(text: str) -> bool:
    return all(one.isprintable() for one in text.replace("\n", ""))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(text=st.text(st.characters()))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = terminal.shown(text)
    assert all(one.isprintable() or one.isspace() for one in shown) and "\n" not in shown and "\x1b" not in shown
    shown.encode()


def test_visible_text_stays_as_it_is() -> None:
    assert terminal.shown("naïve 世界 – x=1; a_key = b\\n") == "naïve 世界 – x=1; a_key = b\\n"
    assert terminal.shown("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at https://user:secret@host:80/v1", "at https://host:80/v1"),
        ("at https://user:s@cret@host/v1 and http://key@h", "at https://host/v1 and http://h"),
        ("http://h/v1?api_key=abc&x=1", "http://h/v1?api_key=***&x=1"),
        ("http://h/v1?x=1&access_token=abc#f", "http://h/v1?x=1&access_token=***#f"),
        ("Authorization: Bearer sk-12345678", "Authorization: Bearer ***"),
        ("mail me@here.org, see http://h/a@b", "mail me@here.org, see http://h/a@b"),
    ],
)
def test_passwords_and_keys_of_addresses(text: str, expected: str) -> None:
    assert terminal.without_secrets(text) == expected
    assert terminal.public({text: [text, 1]}) == {expected: [expected, 1]}


def test_what_the_environment_holds_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "my-private-key")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:p%40ss/word@host/v1")
    for text in ("wrong key my-private-key!", "port 'p%40ss/word@host'", "p@ss/word"):
        assert "private" not in terminal.shown(text) and "ss/word" not in terminal.shown(text)


def _command(*arguments: object, **variables: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "magicoder_repro.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env={**os.environ, **variables}, timeout=120)


@pytest.mark.process
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_hostile_task_ids_and_file_names(tmp_path: Path, encoding: str) -> None:
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\x1b[31m\xff \xe2\x80\xae.json")
    task = {"task_id": HOSTILE, "samples": [{"passed": True, "passed_plus": None}]}
    Path(name).write_text(json.dumps({"tasks": [task]}))
    (tmp_path / "b.json").write_text(json.dumps({"tasks": []}))
    done = _command("compare", name, tmp_path / "b.json", PYTHONIOENCODING=encoding, LC_ALL="C")
    assert done.returncode == 1 and not done.stderr, done.stderr
    text = done.stdout.decode(encoding)
    assert _is_clean(text) and "\\x1b[31mred" in text and "missing" in text
    Path(name).write_bytes(b"\x1b")
    for arguments in (["compare", name, name], ["seeds", "a", name]):
        done = _command(*arguments, PYTHONIOENCODING=encoding)
        assert done.returncode == 2 and b"Traceback" not in done.stderr
        assert _is_clean(done.stderr.decode(encoding)), done.stderr


@pytest.mark.process
def test_a_hostile_task_id_among_samples(tmp_path: Path) -> None:
    row = {"task_id": HOSTILE, "completion": "x"}
    (tmp_path / "s.jsonl").write_text(json.dumps(row))
    done = _command("score", "minibench-humaneval", tmp_path / "s.jsonl", "-o", tmp_path / "o")
    assert done.returncode == 2 and done.stderr.count(b"error: ") == 1
    assert _is_clean(done.stderr.decode())


@pytest.mark.process
def test_a_programming_error_keeps_its_traceback_as_text(tmp_path: Path) -> None:
    code = (
        "import sys; from magicoder_repro import cli; from magicoder_repro.score import compare\n"
        "def compare_(*_): raise ZeroDivisionError('a\\x1b[31m https://u:secret@h')\n"
        "compare.compare = compare_; sys.argv = ['magicoder', 'compare', 'a', 'b']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 1 and b"Traceback (most recent call last)" in done.stderr
    assert b"\\x1b[31m https://h" in done.stderr and b"\x1b" not in done.stderr


@pytest.mark.process
def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m magicoder_repro.cli stages | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60)
    assert not done.stderr


# A server that says hostile things, behind an address with a password


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, Any]]]:
    """The address without http:// and what it answers: `status`, `body`, `tokens`."""
    answer: dict[str, Any] = {"status": 500, "body": {}, "seen": []}

    class Handler(Quiet):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer["seen"].append((self.path, self.headers.get("Authorization")))
            tokens = "tokenize" in self.path
            data = json.dumps({"tokens": [1, 2]} if tokens else answer["body"]).encode()
            self.reply(200 if tokens else answer["status"], data)

    with serving(Handler) as url:
        yield f"{url.removeprefix('http://')}/v1", answer


def _run(tmp_path: Path, base_url: str | None, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """The stages up to oss-instruct, of three documents."""
    corpus = tmp_path / "corpus"
    corpus.mkdir(exist_ok=True)
    for number in range(3):
        (corpus / f"{number}.py").write_text(f"x = {number}\n")
    content = yaml.safe_load((ROOT / "profiles" / "smoke.yaml").read_text())
    content["corpus"]["sources"] = [{"language": "python", "root": str(corpus), "patterns": ["*.py"], "files": 9}]
    content["seeds"]["per_language"] = {"python": 9}
    content["teacher"].update(grammar=False, concurrency=1, tokenizer="server")
    content["teacher"]["server"] = {"kind": "server", "base_url": base_url}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    arguments = ["run", "oss-instruct", "--profile", tmp_path / "p.yaml", "--runs", tmp_path / "runs"]
    return _command(*arguments, **variables)


def _nothing_secret(tmp_path: Path, done: subprocess.CompletedProcess[bytes]) -> None:
    assert b"s3cret" not in done.stderr + done.stdout and b"my-key" not in done.stderr + done.stdout, done.stderr
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or (b"s3cret" not in path.read_bytes() and b"my-key" not in path.read_bytes()), path
    assert _is_clean(done.stderr.decode())


GOOD = "[Problem Description]\np\n[Solution]\ns"


@pytest.mark.process
def test_the_password_of_the_address_is_used_and_never_shown_nor_written(server: Any, tmp_path: Path) -> None:
    address, answer = server
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": GOOD}}
    answer.update(
        status=200, body={"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    )
    done = _run(tmp_path, f"http://user:s3cret@{address}", OPENAI_API_KEY="my-key")
    assert done.returncode == 0, done.stderr
    _nothing_secret(tmp_path, done)
    assert any(path == "/tokenize" and key == "Basic dXNlcjpzM2NyZXQ=" for path, key in answer["seen"])


@pytest.mark.long
def test_a_refusal_that_repeats_secrets_is_written_without_them(server: Any, tmp_path: Path) -> None:
    address, answer = server
    message = f"{HOSTILE} your key my-key at http://user:s3cret@host?token=s3cret"
    answer.update(status=400, body={"error": {"message": message}})
    done = _run(tmp_path, None, OPENAI_BASE_URL=f"http://user:s3cret@{address}", OPENAI_API_KEY="my-key")
    assert done.returncode == 2 and b"Traceback" not in done.stderr, done.stderr
    _nothing_secret(tmp_path, done)


def _ask(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is shown when the teacher at this address is asked."""
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "my-key")
    config = load("smoke").teacher.model_copy(update={"tokenizer": "server", "server": ServerTeacher(kind="server")})
    question = teacher.Question((("user", "x"),), 1, 10)
    with pytest.raises(UsageError, match=r"^teacher: ") as caught, teacher.connect(config) as client:
        client.ask(question)
        client.counter()("x")
    return terminal.shown(str(caught.value))


@pytest.mark.parametrize("status", [401, 403, 404, 418])
def test_what_a_server_says_is_text(status: int, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    address, answer = server
    message = f"{HOSTILE} your key my-key at http://user:s3cret@host?token=s3cret"
    answer.update(status=status, body={"error": {"message": message}})
    said = _ask(f"http://user:s3cret@{address}?api_key=my-key", monkeypatch)
    assert str(status) in said and "s3cret" not in said and "my-key" not in said


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://user:s3cret@", "x", "http://h:s3cret/v1", "http://u:s3/cret@h:1"]
)
def test_an_address_that_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai._constants, "INITIAL_RETRY_DELAY", 0.0)
    said = _ask(url, monkeypatch)
    assert "@" not in url or ("s3cret" not in said and "s3/cret" not in said), said


# The report


@pytest.mark.parametrize("text", [HOSTILE, "<script>x</script> & | `c` [a](b) \\| *b*\n| c |", "{{ 7777 * 7777 }}"])
def test_the_reports_hold_text_and_no_marks(text: str) -> None:
    row = {"key": text, "section": text, "name": text, "value": 1.0, "unit": text, "tolerance": 1.0, "low": None, "high": None,
           "paper": 1.0, "paper_source": text, "recorded": 1.0, "allowed": 1.0, "verdict": "same"}  # fmt: skip
    about = {"name": text, "seconds": 1, "counts": {text: text}, "dropped": {text: 1}, "notes": [text], "device": text,
             "environment": text, "lock_sha256": text, "image": text, "other_versions": {text: text}, "fingerprint": text,
             "command": text}  # fmt: skip
    claim = {
        "id": "c",
        "sentence": text,
        "place": text,
        "paper": "holds",
        "paper_by": text,
        "run": "holds",
        "run_by": text,
    }
    judged = {"node": text, "set": text, "protocol": text, "dataset": {"name": text, "sha256": text}, "scorer": text, "sandbox": text,
              "tasks": 1, "samples": 1, "tools": {text: text}}  # fmt: skip
    context: dict[str, Any] = {
        "description": text, "regressions": [row], "lost": [text], "sandbox": text, "comparable": True, "rows": [row],
        "name": text,
        "sections": [(text, [row])], "gaps": [text], "stages": [about], "lists_applied": {text: 1}, "lists_missing": [text],
        "scorers": [text], "versions": {text: text}, "device": {"cpu": text, "cores": 1, "gpu": [text]}, "lock_sha256": "0" * 64,
        "commit": text, "figures": [], "examples": [{"title": text, "text": text}], "sentence": text, "compared": 1,
        "outcomes": {"missing": 1},
        "claims_measured": [claim], "claims_rest": [claim], "definitions": [("missing", text)], "sets": [judged],
        "noise": [{"kind": text, "what": text, "metrics": [text], "tasks": 1, "of": 2, "source": text, "default": True}],
        "power": [{"power": 0.5, "discordance": 0.1}],
        "trainings": [{"node": text, "batch": 1, "micro_batch": 1, "steps": None, "devices": 1, "accumulation": {text: 1},
                       "speed": text,
                       "dtype": text, "attention": text, "lora": {text: text}}],
        "generations": [{"node": text, "set": text, "engine": text, "settings": {text: text}, "dtype": text,
                         "decoding": {text: text}}],
        "teacher": [{"node": text, "model": text, "asked": None, "tokens": {text: 1}}],
    }  # fmt: skip
    plain: Any = json.loads(json.dumps(context).replace(json.dumps(text)[1:-1], "plain"))
    for values, word in ((context, text), (plain, "plain")):
        cell = Cell(
            "x",
            "1",
            word,
            "humaneval",
            50.0,
            82,
            164,
            word,
            word,
            "paper",
            "reproduced",
            word,
            word,
            word,
            51.0,
            command=word,
        )
        values["tables"] = values["later"] = layout([cell])
        values["told"] = values["tables"][0].entries
        values["figures"] = [Figure(word, word, "<svg></svg>")]
    for name in ("report.md.jinja", "report.html.jinja"):
        if name.startswith("report.md"):
            told, expected = (page.template(name).render(values) for values in (context, plain))
        else:
            told, expected = (page.html(name, values, Packed("", text)) for values in (context, plain))
        assert _is_clean(told.replace("\t", ""))
        assert "<script>x" not in told and "60481729" not in told
        if name.startswith("report.md"):
            assert len(told.splitlines()) == len(expected.splitlines())
            for mark in "|<>`[]*":
                assert told.count(mark) == expected.count(mark), mark
        else:
            assert told.count("<") == expected.count("<")
