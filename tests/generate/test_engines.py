"""One model behind every engine: the same greedy text, whatever the batch, the order and the server."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import yaml
from loopback import Quiet, serving

from magicoder_repro import artifact, environment, records
from magicoder_repro import profile as profiles
from magicoder_repro.benchmarks.base import Ask
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import server
from magicoder_repro.generate.engines import Completion, Decoding, Engine, Request, Tokens, make, seed_of
from magicoder_repro.pipeline import plan
from magicoder_repro.profile import ServerEngine, TransformersEngine

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ["def f(x):", "import", "class Stack:\n    def push(self, x):\n", "x = [1, 2", "# sum\n"]
ONE = {"samples": 1, "temperature": 1.0, "top_p": 1.0, "top_k": 1, "seed": 0}
Generate = Callable[..., Path]


def _requests(folder: Path, room: int = 24, stops: tuple[str, ...] = ()) -> list[Request]:
    tokens = Tokens(folder, TransformersEngine())
    return [
        Request(at, ask, tokens.ids(ask), room, seed_of(0, "t", ask.task_id, 0))
        for at, ask in enumerate(Ask(f"t/{at}", text, stops) for at, text in enumerate(PROMPTS))
    ]


def _completed(one: Engine, requests: list[Request], decoding: Decoding) -> list[Completion]:
    found: dict[int, Completion] = {}
    one.complete(requests, decoding, frozenset(), found.__setitem__)
    return [found[at] for at in range(len(requests))]


def test_rows_that_leave_their_batch_change_no_text(firm_folder: Path) -> None:
    with closing(make(firm_folder, "float32", TransformersEngine())) as one:
        long = _completed(one, _requests(firm_folder), Decoding(batch=2))
        stops = (long[0].text[9:11], long[2].text[3])
        requests = _requests(firm_folder, stops=stops)
        papers = _completed(one, requests, Decoding(batch=2))
    assert len({one.text for one in long}) == len(PROMPTS) and len(set(long[1].text)) > 9
    assert any(cut.text != whole.text for cut, whole in zip(papers, long, strict=True))
    assert [one.truncated for one in papers] == [
        cut.text == whole.text for cut, whole in zip(papers, long, strict=True)
    ]
    with closing(make(firm_folder, "float32", TransformersEngine(order="length"))) as other:
        assert _completed(other, requests, Decoding(batch=4)) == papers


def test_what_is_done_is_not_asked_again_and_changes_nothing(firm_folder: Path) -> None:
    requests, drawn = _requests(firm_folder), Decoding(batch=2, seed=3, temperature=2.0)
    with closing(make(firm_folder, "float32", TransformersEngine())) as one:
        whole = _completed(one, requests, drawn)
        rest: dict[int, Completion] = {}
        one.complete(requests, drawn, {0, 1, 2}, rest.__setitem__)
    assert sorted(rest) == [3, 4] and all(rest[at] == whole[at] for at in rest)


@pytest.mark.parametrize(
    ("style", "setting", "limit"),
    [
        ("magicoder", {"max_new_tokens": 6}, "the model's context is 512"),
        ("completion", {**ONE, "max_tokens": 160}, "max_tokens is 160"),
    ],
)
def test_a_prompt_without_room_is_that_tasks_gap_alone(
    generate: Generate, style: str, setting: dict[str, Any], limit: str
) -> None:
    """The tokenizer's tokens are bytes: prompts of minibench are that long."""
    together = generate("together", {"kind": "transformers"}, style, **setting, batch=30)
    alone = generate("alone", {"kind": "transformers"}, style, **setting, batch=1)
    (about,) = records.read_json(together / "benchmarks.json").values()
    samples = list(records.read_jsonl(together / "minibench-humaneval.jsonl"))
    assert 0 < len(about["unasked"]) < len(samples) == about["tasks"]
    for name, why in about["unasked"].items():
        assert why.startswith("no room for a completion: its prompt has ") and why.endswith(limit), name
    blank = [row["task_id"] for row in samples if not row["completion"]]
    assert set(about["unasked"]) <= set(blank) and len(blank) == len(about["unasked"]) + about["empty"]
    assert samples == list(records.read_jsonl(alone / "minibench-humaneval.jsonl"))
    assert about["truncated"] > 0 and about["decoding"]["engine"]["attention"] == "eager"


@pytest.mark.process
def test_a_server_gives_transformers_greedy_text(firm_folder: Path, llama_server: str) -> None:
    room = 14  # llama.cpp keeps keys and values in half precision
    with closing(make(firm_folder, "float32", TransformersEngine())) as one:
        long = _completed(one, _requests(firm_folder, room), Decoding(batch=5))
        requests = _requests(firm_folder, room, (long[0].text[9:11],))
        papers = _completed(one, requests, Decoding(batch=5))
    served = ServerEngine(kind="server", base_url=llama_server, model="firm", concurrency=3)
    with closing(make(firm_folder, "float32", served)) as other:
        assert _completed(other, requests, Decoding()) == papers
        drawn = Decoding(temperature=2.0)
        first = _completed(other, requests, drawn)
        assert first != papers and _completed(other, requests, drawn) == first


@contextmanager
def _relay(target: str, refuse: Callable[[int], int | None]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Passes requests for completions on to a server; `refuse(number)` gives the status of one that it answers itself."""
    seen: list[dict[str, Any]] = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            self.reply(200, b'{"object": "list", "data": []}')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(json.loads(body))
            if (status := refuse(len(seen))) is not None:
                self.reply(status, b'{"error": {"message": "not now"}}')
                return
            connection = http.client.HTTPConnection(urlsplit(target).netloc)
            connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            self.reply(answer.status, answer.read())
            connection.close()

    with serving(Handler) as url:
        yield f"{url}/v1", seen


def _answering(bodies: Callable[[dict[str, Any], int], bytes]) -> Any:
    """A server whose answer to a request and its number is such a body."""
    seen: list[dict[str, Any]] = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            self.reply(200, b'{"object": "list", "data": []}')

        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.reply(200, bodies(seen[-1], len(seen)))

    return serving(Handler), seen


def _choice(**fields: Any) -> bytes:
    return json.dumps(
        {"id": "x", "object": "text_completion", "choices": [{"index": 0, "finish_reason": "stop", **fields}]}
    ).encode()


@pytest.mark.parametrize("special", [False, True])
def test_the_ids_that_a_server_sends_become_text_as_with_transformers(firm_folder: Path, special: bool) -> None:
    ask = Ask("t", "def f(x):", ("stop",), together=True, special_tokens=special)
    tokens = Tokens(firm_folder, TransformersEngine())
    answer = [*tokens.ids(Ask("t", "ab stop", (), together=True)), 2]
    address, seen = _answering(lambda *_: _choice(text="what it says", token_ids=[1, *answer]))
    request = Request(0, ask, tokens.ids(ask), 24, 0)
    with (
        address as url,
        closing(make(firm_folder, "float32", ServerEngine(kind="server", base_url=url, model="m"))) as one,
    ):
        assert _completed(one, [request], Decoding()) == [Completion("<s>ab " if special else "ab ", truncated=False)]
    assert seen[0]["return_token_ids"] is True and seen[0]["skip_special_tokens"] is not special


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"choices": [{"te', _choice(text=None), _choice(text="x", token_ids=["x"])]
)
def test_an_answer_that_cannot_be_read_is_asked_for_again(
    body: bytes, firm_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LONGEST_PAUSE", 0.01)
    requests = _requests(firm_folder)[:2]
    for bad, said in ((2, None), (9, "answers with something that is no completion")):
        address, seen = _answering(lambda _, number, bad=bad: body if number <= bad else _choice(text="x"))
        served = ServerEngine(kind="server", base_url="http://x", model="m", concurrency=1)
        with address as url, closing(make(firm_folder, "float32", served.model_copy(update={"base_url": url}))) as one:
            if said is None:
                assert [found.text for found in _completed(one, requests, Decoding())] == ["x", "x"] and len(seen) == 4
            else:
                with pytest.raises(UsageError, match=said):
                    _completed(one, requests, Decoding())
                assert len(seen) == 3


def _served(url: str) -> dict[str, Any]:
    return {"kind": "server", "base_url": url, "model": "firm", "concurrency": 1}


@pytest.mark.process
def test_a_run_that_a_server_stopped_goes_on_and_ends_with_the_same_files(
    generate: Generate, llama_server: str, firm_folder: Path
) -> None:
    drawn = {"samples": 2, "temperature": 0.8, "top_p": 0.9, "top_k": 0, "max_tokens": 170, "batch": 1, "seed": 5}
    with _relay(llama_server, lambda number: None) as (url, seen):
        whole = generate("whole", _served(url), **drawn)
    tokens = Tokens(firm_folder, TransformersEngine())
    assert len({body["seed"] for body in seen}) == len(seen) and all("batch" not in body for body in seen)
    for body in seen:
        assert all(isinstance(one, int) for one in body["prompt"])
        assert body["max_tokens"] + len(body["prompt"]) == 170 <= tokens.context
        assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.8, 0.9, 0, 0.0)
        assert body["stop"]
    with (
        _relay(llama_server, lambda number: {2: 503, 9: 401}.get(number)) as (url, before),
        pytest.raises(UsageError, match=r"answers 401: set MAGICODER_SERVER_KEY"),
    ):
        generate("stopped", _served(url), **drawn)
    with _relay(llama_server, lambda number: None) as (url, after):
        stopped = generate("stopped", _served(url), **drawn)
    assert len(before) == 9 and len(after) == len(seen) - 7  # the second was asked again, the last one was refused
    for name in ("minibench-humaneval.jsonl", "benchmarks.json"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()


def test_a_server_that_is_not_there_is_one_line(generate: Generate) -> None:
    with pytest.raises(UsageError, match=r"http://127.0.0.1:9/v1/ refuses connections .* generation.engine.base_url"):
        generate("nobody", _served("http://127.0.0.1:9/v1"), max_new_tokens=2, batch=1)


def _node(tmp_path: Path, engine: dict[str, Any] | None, batch: int = 8) -> plan.Node:
    """The node of the profile smoke's base model and humaneval, with an engine."""
    content = yaml.safe_load((ROOT / "profiles" / "smoke.yaml").read_text())
    content["models"] = {"base": content["models"]["base"]}
    content["evaluate"]["humaneval"]["batch"] = batch
    if engine is not None:
        content["generation"]["engine"] = engine
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(content))
    nodes = plan.expand(profiles.load(str(tmp_path / "profile.yaml")))
    return next(node for node in nodes if node.name == "generate/base/humaneval")


def test_where_a_server_is_makes_nothing_stale_and_what_decides_does(tmp_path: Path) -> None:
    def identity(engine: dict[str, Any] | None, batch: int = 8) -> dict[str, Any]:
        node = _node(tmp_path, engine, batch)
        return artifact.without(node.config, node.stage.schedule)

    server = {"kind": "server", "base_url": "http://one:8000/v1"}
    same = {**server, "base_url": "https://other/v1", "concurrency": 3, "model": "theirs"}
    assert identity(server) == identity(same, batch=4)
    assert identity(None) == identity({"kind": "transformers", "attention": "eager"})
    others = [None, server, {**server, "context": 100}, {"kind": "transformers", "attention": "sdpa"}]
    others += [{"kind": "transformers", "order": "length"}, {"kind": "vllm"}]
    found = [identity(one) for one in others] + [identity(None, batch=4)]
    assert all(one not in found[:at] for at, one in enumerate(found))


def test_what_an_engine_needs_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _node(tmp_path, None).missing()
    monkeypatch.setattr(environment, "built", lambda name: None)
    (gap,) = _node(tmp_path, {"kind": "vllm", "environment": "serve-cpu"}).missing()
    assert gap.endswith("the environment serve-cpu is not built: run `make .envs/serve-cpu/.ready`")


def test_one_name_on_a_server_is_one_models(tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "profiles" / "smoke.yaml").read_text())
    content["generation"]["engine"] = _served("http://here/v1")
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(
        UsageError, match=r"generation.engine.model: 'firm' is one model, .* serve each by its name here"
    ):
        profiles.load(str(tmp_path / "profile.yaml"))


_STARTS = """
import subprocess, sys, time
command = [sys.executable, "-m", "magicoder_repro.generate.attend", "sh", "-c", "sleep 1234 & sleep 1234"]
process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.process
def test_a_killed_stage_leaves_no_server() -> None:
    stage = subprocess.Popen([sys.executable, "-c", _STARTS], stdout=subprocess.PIPE, text=True)
    assert stage.stdout is not None
    session = int(stage.stdout.readline())

    def left() -> list[psutil.Process]:
        return [one for one in psutil.process_iter() if _session_of(one.pid) == session]

    _until(lambda: len(left()) == 4)  # that which attends, the shell and its two
    stage.kill()
    stage.wait()
    stage.stdout.close()
    _until(lambda: not left())


def _session_of(pid: int) -> int | None:
    """None for one that has ended, also where nobody has asked how."""
    try:
        return None if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE else os.getsid(pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None


def _until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
