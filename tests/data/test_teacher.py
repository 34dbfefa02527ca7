"""The teacher over real HTTP on loopback: what is asked, what is kept, and how a broken server is reported."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from loopback import Quiet, serving

from magicoder_repro import artifact, prompts
from magicoder_repro import profile as profiles
from magicoder_repro.data import backoff
from magicoder_repro.data.oss_instruct import parse
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline import plan, store
from magicoder_repro.pipeline import run as pipeline
from magicoder_repro.pipeline.store import Run

ROOT = Path(__file__).resolve().parents[2]
GOOD = "[Problem Description]\nSum a list.\n\n[Solution]\n```python\ndef f(x):\n    return sum(x)\n```"


@contextmanager
def _server(answer: Callable[[dict[str, Any], int], tuple[int, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An OpenAI-compatible server; `answer(request, number)` gives the status and the reply's text, a whole body, or its bytes."""
    seen: list[dict[str, Any]] = []

    class Handler(Quiet):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("-not/tokenize"):
                status, content = 404, {}
            elif self.path.endswith("/tokenize"):
                status, content = 200, {"tokens": list(range(len(body["content"]) // 4))}
            else:
                seen.append(body)
                status, reply = answer(body, len(seen))
                content = reply if isinstance(reply, dict | bytes) else _completion(str(reply))
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.reply(status, data, "text/html" if data.startswith(b"<") else "application/json")

    with serving(Handler) as url:
        yield f"{url}/v1", seen


def _completion(text: str, finish_reason: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text}}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "system_fingerprint": "fp_1",
        "choices": [choice],
        "usage": {"prompt_tokens": 30, "completion_tokens": 7, "total_tokens": 37},
    }


@dataclass(frozen=True)
class Chain:
    """The stages up to oss-instruct with a profile's teacher: as the command, or the stages' functions in this process."""

    profile: Path
    runs: Path

    @property
    def command(self) -> list[str]:
        command = [sys.executable, "-m", "magicoder_repro.cli", "run", "oss-instruct"]
        return [*command, "--profile", str(self.profile), "--runs", str(self.runs)]

    def make(self) -> None:
        _make(self, "oss-instruct")

    def is_made(self) -> bool:
        """Whether the command has nothing to do."""
        nodes = plan.needed(plan.expand(profiles.load(str(self.profile))), ["oss-instruct"])
        run = Run.of("", Path(), self.runs)
        return all(store.why_stale(run, node, run.request(node), verify=True) is None for node in nodes)

    def refusal(self) -> str:
        """The line that the command would end with (`test_an_error_does_not_wait_for_the_other_requests` is one that does)."""
        with pytest.raises(UsageError) as caught:
            self.make()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @property
    def out(self) -> Path:
        return self.runs / "oss-instruct" / "oss-instruct"

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "records.jsonl").read_text().splitlines()]

    def manifest(self) -> artifact.Manifest:
        return artifact.read_manifest(self.out)


def _written(folder: Path, corpus: Path, server: dict[str, Any] | None, **teacher: Any) -> Chain:
    content = yaml.safe_load((ROOT / "profiles" / "smoke.yaml").read_text())
    source = {"language": "python", "root": str(corpus), "patterns": ["*.py"], "files": 100}
    content["corpus"]["sources"] = [source]
    content["seeds"]["per_language"] = {"python": 100}
    content["teacher"].update(grammar=False, give_up_after=5, **teacher)
    if server is not None:
        content["teacher"]["server"] = server
    (folder / "profile.yaml").write_text(yaml.safe_dump(content))
    return Chain(folder / "profile.yaml", folder / "runs")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus of twelve files, and a run that has got as far as their seeds."""
    folder = tmp_path_factory.mktemp("seeds")
    corpus = folder / "corpus"
    corpus.mkdir()
    for number in range(12):
        (corpus / f"{number:02}.py").write_text(f"x = {number}\ny = {{x}}\nprint(x)\n")
    chain = _written(folder, corpus, None)
    _make(chain, "seeds")
    return corpus, chain.runs


def _make(chain: Chain, target: str) -> None:
    """The nodes up to a stage, in this process."""
    run = Run.of("", Path(), chain.runs)
    for node in plan.needed(plan.expand(profiles.load(str(chain.profile))), [target]):
        pipeline.make(node, run, again=False)
        run.put(node, run.request(node).out)


@pytest.fixture
def profile(tmp_path: Path, seeds: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Chain]:
    """Gives the chain up to oss-instruct with a teacher at a URL; its seeds are there."""
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    corpus, run = seeds
    shutil.copytree(run, tmp_path / "runs", symlinks=True)

    def make(url: str | None, embedded: bool = False, **teacher: Any) -> Chain:
        server = None if embedded else {"kind": "server", "base_url": url}
        return _written(tmp_path, corpus, server, **teacher)

    return make


def _run(chain: Chain, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(chain.command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_the_papers_two_messages_and_settings_are_sent(profile: Any) -> None:
    with _server(lambda body, number: (200, GOOD)) as (url, seen):
        chain = profile(url)
        chain.make()
    records = chain.records()
    assert len(records) == 12 and len(seen) == 12
    by_seed = {body["seed"]: body for body in seen}
    for record in records:
        body = by_seed[976 + record["index"]]
        user = prompts.oss_instruct(record["seed"])
        assert [(message["role"], message["content"]) for message in body["messages"]] == [
            ("system", prompts.OSS_INSTRUCT_SYSTEM),
            ("user", user),
        ]
        assert body["temperature"] == 0 and body["n"] == 1
        assert body["max_tokens"] == min(600, 2048 - len(user) // 4 - 10)
        assert "grammar" not in body
        assert record["openai_fingerprint"] == "fp_1"
        assert record["problem"] == "Sum a list."
        assert record["solution"].startswith("```python") and record["solution"].endswith("```")


def test_cut_off_and_malformed_replies_are_dropped_with_their_reason(profile: Any) -> None:
    def answer(_: dict[str, Any], number: int) -> tuple[int, Any]:
        if number == 3:
            return 200, _completion(GOOD, "length")
        if number == 5:
            return 200, "I cannot do that."
        if number == 7:
            return 400, {"error": {"message": "content policy"}}
        return 200, GOOD

    with _server(answer) as (url, _):
        chain = profile(url)
        chain.make()
    manifest = chain.manifest()
    assert manifest.dropped == {
        "finish_reason length": 1,
        "reply without the two sections": 1,
        "finish_reason refused": 1,
    }
    counts = {"asked": 12, "kept": 9, "parse_rate": 0.75}
    assert manifest.counts == {**counts, "prompt_tokens": 11 * 30, "completion_tokens": 11 * 7}
    assert not any("tokens" in field for record in chain.records() for field in record)


def test_a_prompt_that_leaves_no_room_is_not_sent(profile: Any) -> None:
    with _server(lambda body, number: (200, GOOD)) as (url, seen):
        assert "prompt too long" in profile(url, context_tokens=100).refusal()
    assert not seen


def test_a_refused_connection(profile: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = profile(f"http://127.0.0.1:{port}/v1", tokenizer="server").refusal()
    assert "refuses connections" in line and "OPENAI_BASE_URL" in line


@pytest.mark.parametrize(("status", "mend"), [(401, "OPENAI_API_KEY"), (404, "base_url"), (403, "may not use")])
def test_a_server_that_answers_with_an_error(profile: Any, status: int, mend: str) -> None:
    with _server(lambda body, number: (status, {"error": {"message": "no"}})) as (url, _):
        line = profile(url).refusal()
    assert str(status) in line and mend in line


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>\n<body>Welcome to nginx!</body>", "<html> <body>Welcome to nginx!"),
        (b'{"id": "x", "choices": [{"mess', '"choices": [{"mess'),
        (b"", "nothing"),
        (json.dumps(_completion(["parts"])).encode(), "no chat completion: {"),  # type: ignore[arg-type]
    ],
)
def test_a_server_whose_answers_are_no_chat_completions_stops_the_stage(
    profile: Any, body: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "SHORT_WAIT", 0.001)
    with _server(lambda _, number: (200, body)) as (url, seen):
        chain = profile(url, concurrency=1)
        line = chain.refusal()
    assert "5 unreadable answer" in line and said in line and "teacher.server.base_url" in line and len(seen) == 15
    assert not list(chain.runs.glob(".store/oss-instruct-*"))


_LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**4000, 1e400, "12", "\ud800", -5]), st.text(max_size=5)
)
_ANY = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)


def _or_any(**fields: Any) -> st.SearchStrategy[Any]:
    """An object whose fields are there or not, with a right or any value; or anything else."""
    return st.fixed_dictionaries(
        {}, optional={name: st.one_of(right, right, right, _ANY) for name, right in fields.items()}
    )


_CHOICE = _or_any(
    index=st.just(0), finish_reason=st.just("stop"), message=_or_any(role=st.just("assistant"), content=_LEAF)
)
_USAGE = _or_any(prompt_tokens=st.just(1), completion_tokens=_LEAF)
_BODY = _or_any(
    id=st.just("x"),
    object=st.just("chat.completion"),
    choices=st.lists(_CHOICE, max_size=2),
    usage=_USAGE,
    system_fingerprint=_LEAF,
)


def test_any_body_is_a_reply_or_a_failure_of_this_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from magicoder_repro import records
    from magicoder_repro.data import teacher
    from magicoder_repro.data.oss_instruct import _judge
    from magicoder_repro.data.reply import USAGE
    from magicoder_repro.profile import ServerTeacher, load

    monkeypatch.setattr(backoff, "SHORT_WAIT", 0.0)
    body = b""
    profile = load("smoke")
    assert profile.teacher
    config = profile.teacher.model_copy(update={"server": ServerTeacher(kind="server")})
    question = teacher.Question((("user", "x"),), 1, 10)
    replies = 0

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(content=st.one_of(_BODY, _BODY.map(lambda found: json.dumps(found).encode()[:-1]), st.binary(max_size=9)))
    @example(content=b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    @example(content=b'{"choices": ' + b"9" * 5000 + b"}")
    @example(content={**_completion(GOOD), "usage": {"prompt_tokens": "12", "completion_tokens": [1]}})
    @example(content={**_completion(GOOD), "usage": "much"})
    @example(content=_completion("a\ud800b"))
    def ask(content: Any) -> None:
        nonlocal body, replies
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        try:
            reply = client.ask(question)
        except backoff.Failing as failing:
            assert "\n" not in failing.said and len(failing.said) < 1000
            return
        replies += 1
        row = {**_judge(reply), **reply.usage()}
        assert all(type(row[name]) is int and 0 <= row[name] < 1 << 50 for name in USAGE)
        records.write_jsonl(tmp_path / "row.jsonl", [row])
        (tmp_path / "row.jsonl").read_text(encoding="utf-8").encode()

    with _server(lambda _, number: (200, body)) as (url, _):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with teacher.connect(config) as client:
            ask()
    assert replies > 3  # the examples above are three


def test_a_prompt_that_utf8_cannot_hold_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    from magicoder_repro.data import teacher
    from magicoder_repro.profile import ServerTeacher, load

    profile = load("smoke")
    assert profile.teacher
    config = profile.teacher.model_copy(update={"server": ServerTeacher(kind="server")})
    with _server(lambda _, number: (200, GOOD)) as (url, seen):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with teacher.connect(config) as client:
            assert client.ask(teacher.Question((("user", "\ud800"),), 1, 10)).finish_reason == "refused"
    assert not seen


def test_a_tokenizer_that_tiktoken_does_not_have(profile: Any) -> None:
    line = profile("http://127.0.0.1:9/v1", tokenizer="gpt-3.5-turb").refusal()
    assert "teacher.tokenizer: 'gpt-3.5-turb'" in line and "did you mean 'gpt-3.5-turbo'?" in line


@pytest.mark.process
def test_a_tokenizer_whose_table_cannot_be_downloaded(profile: Any, tmp_path: Path) -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "TIKTOKEN_CACHE_DIR": str(tmp_path / "cache")}
    line = _one_line(_run(profile("http://127.0.0.1:9/v1", tokenizer="gpt-3.5-turbo-1106"), **nowhere))
    assert "teacher.tokenizer: the table of 'cl100k_base'" in line and "TIKTOKEN_CACHE_DIR" in line


@pytest.mark.process
def test_an_error_does_not_wait_for_the_other_requests(profile: Any) -> None:
    gate = threading.Event()

    def answer(_: dict[str, Any], number: int) -> tuple[int, Any]:
        if number == 1:
            gate.wait(100)
        return 401, {"error": {"message": "no"}}

    with _server(answer) as (url, _):
        start = time.monotonic()
        assert "401" in _one_line(_run(profile(url)))
        assert time.monotonic() - start < 60
        gate.set()


@pytest.mark.process
def test_another_concurrency_asks_nothing_again(profile: Any) -> None:
    with _server(lambda body, number: (200, GOOD)) as (url, seen):
        profile(url, concurrency=1).make()
        again = profile(url, concurrency=4)
        assert "nothing to do" in _run(again).stderr and again.is_made()
        other = profile(url, concurrency=4, max_tokens=500)
        assert not other.is_made()
        other.make()
    assert len(seen) == 24


def test_a_teacher_that_never_parses_is_given_up_and_asked_again_later(profile: Any) -> None:
    with _server(lambda body, number: (200, "chatter")) as (url, seen):
        chain = profile(url)
        line = chain.refusal()
        assert "5 replies in a row" in line and len(seen) <= 7
    assert not chain.out.exists()
    with _server(lambda body, number: (200, GOOD)) as (url, seen):
        profile(url).make()
        assert len(seen) == 12


@pytest.mark.process
def test_the_url_of_the_environment_wins(profile: Any) -> None:
    with _server(lambda body, number: (200, GOOD)) as (url, seen):
        done = _run(profile("http://127.0.0.1:9/v1"), OPENAI_BASE_URL=url, OPENAI_API_KEY="k")
    assert done.returncode == 0 and len(seen) == 12, done.stderr


def test_the_url_of_the_environment_takes_the_embedded_teachers_place(
    profile: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with _server(lambda body, number: (200, GOOD)) as (url, seen):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        chain = profile(None, embedded=True)
        chain.make()
        assert len(seen) == 12
        assert f"SmolLM2-135M-Instruct at {url}" in capsys.readouterr().err
        monkeypatch.setenv("OPENAI_BASE_URL", url.replace("127.0.0.1", "localhost"))
        assert chain.is_made()  # the same teacher at another address
    assert chain.manifest().config["teacher"]["server"] == {"kind": "server", "base_url": None}


def test_a_server_that_counts_no_tokens(profile: Any) -> None:
    with _server(lambda body, number: (200, GOOD)) as (url, seen):
        line = profile(url.replace("/v1", "/nowhere/tokenize-not"), tokenizer="server").refusal()
    assert "404" in line and "teacher.tokenizer" in line and not seen


@pytest.mark.process
def test_a_killed_stage_asks_only_for_what_is_missing(profile: Any) -> None:
    gate = threading.Event()

    def answer(body: dict[str, Any], number: int) -> tuple[int, Any]:
        if number == 6:
            gate.wait(30)
        return 200, GOOD + f"\n# {body['seed']}"

    with _server(answer) as (url, seen):
        chain = profile(url, concurrency=1)
        process = subprocess.Popen(chain.command, start_new_session=True, stderr=subprocess.DEVNULL)
        while len(seen) < 6:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, 9)
        process.wait()
        gate.set()
        assert _run(chain).returncode == 0
        assert len(seen) == 6 + 12 - 5
    records = chain.records()
    assert [record["index"] for record in records] == list(range(12))
    assert all(record["solution"].endswith(f"# {976 + record['index']}") for record in records)


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "send"),
    [
        (signal.SIGINT, os.killpg),  # Ctrl-C in a terminal
        (signal.SIGTERM, os.kill),
        (signal.SIGTERM, lambda pid, number: psutil.Process(pid).children()[0].send_signal(number)),
    ],
)
def test_a_stop_is_quick_and_loses_no_finished_record(profile: Any, number: signal.Signals, send: Any) -> None:
    gate = threading.Event()

    def answer(_: dict[str, Any], number: int) -> tuple[int, Any]:
        if 6 < number <= 9:
            gate.wait(100)
        return 200, GOOD

    with _server(answer) as (url, seen):
        chain = profile(url, concurrency=3)
        process = subprocess.Popen(chain.command, start_new_session=True, stderr=subprocess.PIPE, text=True)
        while len(seen) < 9:
            assert process.poll() is None
            time.sleep(0.01)
        send(process.pid, number)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - start < 5
        gate.set()
        assert process.returncode == 128 + number, errors
        assert errors.endswith(f"{url}\nstopped: the same command goes on where it was\n"), errors
        chain.make()
        assert len(seen) == 9 + 12 - 6


@pytest.mark.process
def test_a_stop_does_not_wait_for_a_busy_server(profile: Any) -> None:
    is_back = threading.Event()

    def answer(_: dict[str, Any], number: int) -> tuple[int, Any]:
        return (200, GOOD) if number <= 4 or is_back.is_set() else (503, {"error": {"message": "loading"}})

    with _server(answer) as (url, seen):
        chain = profile(url, concurrency=3)
        process = subprocess.Popen(chain.command, start_new_session=True, stderr=subprocess.PIPE, text=True)
        while len(seen) < 4 + 3:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.5)  # they wait half a minute each
        os.killpg(process.pid, signal.SIGINT)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - start < 5 and process.returncode == 130 and len(seen) == 7
        told, stopped = errors.splitlines()[-2:]
        assert "503: " in told and "asking again in 3" in told and stopped.startswith("stopped: "), errors
        is_back.set()
        chain.make()
        assert len(seen) == 7 + 12 - 4


@pytest.mark.process
def test_a_stop_leaves_no_embedded_server_alive(profile: Any) -> None:
    command = profile(None, embedded=True).command
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    servers: list[psutil.Process] = []
    while len(servers) < 2:
        assert process.poll() is None
        with contextlib.suppress(psutil.NoSuchProcess):  # one that has just ended
            below = psutil.Process(process.pid).children(recursive=True)
            servers = [child for child in below if "magicoder_repro.data.embedded_server" in child.cmdline()]
    while not all(server.net_connections() for server in servers):  # they answer by now
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and errors.count("stopped: ") == 1 and "Traceback" not in errors, errors
    _, alive = psutil.wait_procs(servers, timeout=5)
    assert not alive


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, ("Sum a list.", "```python\ndef f(x):\n    return sum(x)\n```")),
        ("## [PROBLEM description]: x\np\n**[solution]**\ns", ("p", "s")),
        ("[Solution]\ns\n[Problem Description]\np", None),
        ("[Problem Description] [Solution]\np", None),
        ("[Problem Description]\n\n[Solution]\ns", None),
        ("[Problem Description]\np\n[Solution]\n \n", None),
        ("[Problem Description]\np", None),
        ("[Problem Description]\np\n[Solution]\ns\n[Solution]\nt", ("p", "s\n[Solution]\nt")),
    ],
)
def test_parse(text: str, expected: tuple[str, str] | None) -> None:
    assert parse(text) == expected


@pytest.mark.process
def test_the_embedded_teacher_answers_by_the_grammar_and_leaves_nothing_running() -> None:
    from magicoder_repro.data import teacher
    from magicoder_repro.profile import Teacher, load

    config = load("smoke").teacher
    one = Teacher.model_validate({**config.model_dump(), "server": {"kind": "embedded", "servers": 1, "context": 2048}})
    question = teacher.Question(
        (("system", prompts.OSS_INSTRUCT_SYSTEM), ("user", prompts.oss_instruct("x = 1\n"))),
        976,
        600,
        teacher.SECTIONS_GRAMMAR,
    )
    with teacher.connect(one) as client:
        first, second = client.ask(question), client.ask(question)
        assert client.counter()("def f(x):") > 2
    assert first.finish_reason == "stop" and parse(first.text) is not None
    assert first.text == second.text
    left = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(
            psutil.NoSuchProcess
        ):  # one that has ended (also an earlier test's, that nobody waited for)
            left.append(child.cmdline())
    assert not [command for command in left if "magicoder_repro.data.embedded_server" in command]
