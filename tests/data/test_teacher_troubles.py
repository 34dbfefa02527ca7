"""What goes wrong with a teacher's server, over real HTTP on loopback: none of it ends the stage or loses an answer."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from loopback import Quiet

from magicoder_repro import artifact
from magicoder_repro import profile as profiles
from magicoder_repro.data import EVOL_INSTRUCT, OSS_INSTRUCT, backoff, budget, evol_instruct, oss_instruct, teacher
from magicoder_repro.data.reply import Reply
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline import plan
from magicoder_repro.pipeline import run as pipeline
from magicoder_repro.pipeline.store import Run

GOOD = "[Problem Description]\nSum a list.\n\n[Solution]\n```python\nsum(x)\n```"
SEEDS = 12
RESET, SILENCE = "reset", "silence"


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server. `answer(request, number)` gives a status with a text or a whole body (bytes as they are), headers
    as well; RESET breaks the connection, SILENCE answers after two seconds."""

    daemon_threads = True

    def __init__(self, answer: Callable[[dict[str, Any], int], Any], port: int = 0) -> None:
        self.answer, self.seen, self.times = answer, [], []  # type: ignore[var-annotated]
        self.tokenized, self.tokenizer_troubles, self.tokenizer_trouble = 0, 0, (503, error("loading"))
        super().__init__(("127.0.0.1", port), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(Quiet):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            self.server.tokenized += 1
            answer: Any = (200, {"tokens": [0] * (len(body["content"]) // 4)})
            if self.server.tokenized <= self.server.tokenizer_troubles:
                answer = self.server.tokenizer_trouble
        else:
            self.server.times.append(time.monotonic())
            self.server.seen.append(body)
            answer = self.server.answer(body, len(self.server.seen))
        if answer == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        if answer == SILENCE:
            time.sleep(2)
            answer = 200, GOOD
        status, content, *more = answer
        if isinstance(content, str):
            content = completion(content)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        with contextlib.suppress(OSError):  # of a client that has gone
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **(more[0] if more else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)


def completion(text: str | None, finish_reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
    return {"id": "x", "choices": [choice], "usage": {"prompt_tokens": 30, "completion_tokens": 7}}


def error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@contextmanager
def serving(answer: Callable[[dict[str, Any], int], Any]) -> Iterator[Server]:
    server = Server(answer)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., artifact.Work]:
    """Runs oss-instruct on twelve seeds; a second call goes on where the first one was. Waits are a thousandth of the real ones."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("FIRST_WAIT", "LONGEST_WAIT", "SHORT_WAIT"):
        monkeypatch.setattr(backoff, name, getattr(backoff, name) / 1000)
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    rows = [
        {"raw_index": number, "index": number, "seed": f"x = {number}", "lang": "python"} for number in range(SEEDS)
    ]
    (seeds / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(server: Server | str, **settings: Any) -> artifact.Work:
        config = _teacher(server, **settings)
        work = artifact.Work(tmp_path / "out", {"seeds": seeds}, {"teacher": config})
        oss_instruct.build(work)
        return work

    return run


def _teacher(server: Server | str, **settings: Any) -> dict[str, Any]:
    found = profiles.load("oss-instruct-open").teacher
    assert found
    url = server if isinstance(server, str) else server.url
    changes = {"tokenizer": "server", "concurrency": 4, "give_up_after": 5, "context_tokens": 8192, **settings}
    return {**found.model_dump(), **changes, "server": {"kind": "server", "base_url": url}}


def _kept(work: artifact.Work) -> list[int]:
    return [json.loads(line)["index"] for line in (work.out / "records.jsonl").read_text().splitlines()]


def _dropped(work: artifact.Work) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work.out / "dropped.jsonl").read_text().splitlines()]


def _asked(server: Server) -> Counter[int]:
    """How often each seed was asked about."""
    return Counter(body["seed"] - 976 for body in server.seen)


def _line(run: Callable[..., Any], *given: Any, **settings: Any) -> str:
    with pytest.raises(UsageError) as caught:
        run(*given, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_longer_and_longer(
    status: int, stage: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backoff, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(backoff, "LONGEST_WAIT", 10.0)
    with serving(lambda _, number: (status, error("slow down")) if 3 <= number <= 6 else (200, GOOD)) as server:
        work = stage(server, concurrency=1)
    assert _kept(work) == list(range(SEEDS)) and len(server.seen) == SEEDS + 4
    gaps = [later - sooner for sooner, later in zip(server.times[2:7], server.times[3:7], strict=False)]
    assert len(gaps) == 4 and all(0.1 * 2**n <= gap < 0.1 * 2**n + 5 for n, gap in enumerate(gaps))
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "asking again" in line]
    assert f"{status}: " in told and "slow down" in told and "30 min" in told


def test_threads_that_wait_are_told_of_in_one_line(stage: Any, capsys: pytest.CaptureFixture[str]) -> None:
    busy_until = time.monotonic() + 1
    with serving(lambda _, number: (503, error("x")) if time.monotonic() < busy_until else (200, GOOD)) as server:
        assert _kept(stage(server, concurrency=8)) == list(range(SEEDS))
    assert len(server.seen) > SEEDS + 8 and capsys.readouterr().err.count("asking again") == 1


@pytest.mark.parametrize("is_date", [False, True])
def test_retry_after_is_kept_to(is_date: bool, stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_WAIT", "LONGEST_WAIT"):  # without the header it would take that long
        monkeypatch.setattr(backoff, name, 60.0)

    def answer(_: dict[str, Any], number: int) -> Any:
        if number > 1:
            return 200, GOOD
        when = datetime.now(UTC) + timedelta(seconds=2)
        return 429, error("x"), {"Retry-After": format_datetime(when, usegmt=True) if is_date else "1"}

    with serving(answer) as server:
        assert len(_kept(stage(server, concurrency=1))) == SEEDS
    assert 0.9 < server.times[1] - server.times[0] < 30


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7),
        ("1.5", 1.5),
        ("-3", 0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Oct 2015", None),
    ],
)
def test_the_seconds_of_a_retry_after(header: str | None, seconds: float | None) -> None:
    assert backoff.retry_after(header) == seconds


def test_a_server_that_stays_away_stops_the_stage_which_goes_on_later(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "PATIENCE", 0.5)
    with serving(lambda _, number: (200, GOOD) if number <= 5 else (503, error("maintenance"))) as server:
        line = _line(stage, server)
    assert "has answered nothing for" in line and "503: " in line and "maintenance" in line and "goes on" in line
    with serving(lambda *_: (429, error("x"), {"Retry-After": "9999"})) as server:
        assert "asks for 9999 s" in _line(stage, server)
    with serving(lambda *_: (200, GOOD)) as server:
        work = stage(server)
    assert len(server.seen) == SEEDS - 5 and len(_kept(work)) == SEEDS


def test_a_server_that_restarts_is_waited_for(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_WAIT", 0.2)
    servers: list[Server] = []

    def answer(_: dict[str, Any], number: int) -> Any:
        if len(servers) == 1 and number == 6:
            threading.Thread(target=restart).start()
        return (200, GOOD) if len(servers) > 1 or number < 6 else RESET

    def restart() -> None:
        servers[0].close()
        time.sleep(0.5)
        servers.append(Server(answer, servers[0].server_port))

    servers.append(Server(answer))
    try:
        assert _kept(stage(servers[0])) == list(range(SEEDS))
    finally:
        for server in servers[1:]:
            server.close()
    assert len(servers) == 2 and len(servers[1].seen) == SEEDS - 5


def test_a_server_that_breaks_every_connection_is_no_teacher(stage: Any) -> None:
    with serving(lambda *_: RESET) as server:
        server.tokenizer_troubles, server.tokenizer_trouble = 1000, RESET  # type: ignore[assignment]
        assert "5 connection broke" in _line(stage, server)


def test_a_request_without_an_answer_is_asked_again(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "_REPLY_SECONDS", 0.5)
    with serving(lambda _, number: SILENCE if number == 4 else (200, GOOD)) as server:
        assert len(_kept(stage(server))) == SEEDS
    assert len(server.seen) == SEEDS + 1


def test_a_busy_tokenizer_is_waited_for(stage: Any) -> None:
    with serving(lambda *_: (200, GOOD)) as server:
        server.tokenizer_troubles = 5
        assert len(_kept(stage(server))) == SEEDS
    assert server.tokenized == SEEDS + 5


@pytest.mark.parametrize(
    ("body", "is_kept"),
    [
        (error("Rate limit exceeded", code=429), True),
        (error("slow", code="rate_limit_exceeded"), True),
        (error("upstream overloaded", code=503), True),
        (error("provider returned error", code=500), False),
        (error("provider returned error"), False),
        ({"error": "it broke"}, False),
    ],
)
def test_an_error_inside_of_an_answer_is_what_its_code_says(body: dict[str, Any], is_kept: bool, stage: Any) -> None:
    asked: Counter[int] = Counter()

    def answer(request: dict[str, Any], _: int) -> Any:
        asked[request["seed"]] += 1
        troubled = request["seed"] == 976 + 3 and asked[request["seed"]] <= (5 if is_kept else 10)
        return 200, {"id": "x", "choices": None, **body} if troubled else GOOD

    with serving(answer) as server:
        work = stage(server)
    if is_kept:
        assert len(_kept(work)) == SEEDS and _asked(server)[3] == 6
    else:
        (dropped,) = _dropped(work)
        assert dropped["index"] == 3 and dropped["reason"] == "error 500"
        assert dropped["reply"] in str(body["error"]) and dropped["reply"]


def test_a_choice_that_broke_off_is_asked_for_again(stage: Any) -> None:
    broken = {**completion("[Problem", "error")}
    with serving(lambda _, number: (200, broken if number == 2 else GOOD)) as server:
        assert len(_kept(stage(server))) == SEEDS
    assert len(server.seen) == SEEDS + 1


UNREADABLE = {
    "a page": (b"<html>\n<body>502 Bad Gateway</body>",),
    "nothing": (b"",),
    "half": (b'{"id": "x", "choices": [{"mess',),
    "no UTF-8": (b'{"choices": "\xff"}',),
    "choices of text": ({"choices": "none"},),
    "choices of a number": ({"choices": 7},),
    "choices by name": ({"choices": {"0": {}}},),
    "choices that are none": ({"choices": [None]},),
    "a message of text": ({"choices": [{"message": "x", "finish_reason": "stop"}]},),
    "content in parts": (completion([{"type": "text", "text": "x"}]),),  # type: ignore[arg-type]
    "cut off": (completion(GOOD), {"Content-Length": "4000"}),
    "not packed": (completion(GOOD), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_answer_is_asked_for_again_and_its_seed_dropped_at_last(body: Any, stage: Any) -> None:
    asked: Counter[int] = Counter()

    def answer(request: dict[str, Any], _: int) -> Any:
        seed = request["seed"] - 976
        asked[seed] += 1
        return (200, *body) if seed == 0 or (seed == 3 and asked[seed] < 3) else (200, GOOD)

    with serving(answer) as server:
        work = stage(server, concurrency=1)  # the first request of all is one of these
    assert _kept(work) == list(range(1, SEEDS)) and dict(work.dropped) == {"unreadable answer": 1}
    (dropped,) = _dropped(work)
    assert dropped["reply"] and "\n" not in dropped["reply"] and (asked[0], asked[3]) == (6, 3)


def test_an_unreadable_answer_may_have_cost_the_most(stage: Any) -> None:
    with serving(lambda *_: (200, b"<html>")) as server:
        assert "are spent" in _line(stage, server, cost={**PRICES, "ceiling": 4.0}, max_tokens=20, concurrency=1)
    assert 0 < len(server.seen) < 4


@pytest.mark.parametrize(
    ("status", "reason", "times"),
    [
        (500, "error 500", 6),
        (504, "error 504", 6),
        (413, "finish_reason refused 413", 1),
        (422, "finish_reason refused 422", 1),
        (403, "finish_reason refused 403", 1),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_prompt_that_the_server_fails_on_is_dropped_with_the_reason(
    status: int, reason: str, times: int, concurrency: int, stage: Any
) -> None:
    def answer(body: dict[str, Any], _: int) -> Any:
        if body["seed"] != 976 + SEEDS - 1:
            return 200, GOOD
        time.sleep(0.1)  # not the first to be answered
        return status, error("too odd for us")

    with serving(answer) as server:
        work = stage(server, concurrency=concurrency)
    assert _kept(work) == list(range(SEEDS - 1)) and dict(work.dropped) == {reason: 1}
    (dropped,) = _dropped(work)
    assert "too odd for us" in dropped["reply"] and "failing" not in dropped
    assert _asked(server)[SEEDS - 1] == times and len(server.seen) == SEEDS - 1 + times


@pytest.mark.parametrize("status", [500, 413])
def test_a_server_that_fails_on_everything_stops_the_stage(status: int, stage: Any) -> None:
    with serving(lambda *_: (status, error("CUDA error"))) as server:
        line = _line(stage, server)
    assert "5 replies in a row" in line and f"{status}" in line and "CUDA error" in line
    with serving(lambda *_: (200, GOOD)) as server:
        work = stage(server)
    assert len(server.seen) == SEEDS and len(_kept(work)) == SEEDS and not work.dropped


def test_a_server_that_fails_for_a_while_costs_no_record(stage: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _, number: (500, error("x")) if 4 <= number <= 15 else (200, GOOD)) as server:
        assert _kept(stage(server, concurrency=1)) == list(range(SEEDS))
    assert len(server.seen) == SEEDS + 12 and "failed on 4 of the seeds" in capsys.readouterr().err


def test_a_quota_that_is_used_up_is_told_at_once(stage: Any) -> None:
    used_up = error("You exceeded your current quota", code="insufficient_quota")
    with serving(lambda *_: (429, used_up)) as server:
        assert "current quota" in _line(stage, server, concurrency=1)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("finish_reason", "completion_tokens", "is_kept"),
    [
        ("eos", 7, True),
        ("eos_token", 7, True),
        (None, 7, True),
        ("", 7, True),
        (None, 2500, False),
        ("length", 7, False),
    ],
)
def test_what_servers_call_the_end_of_a_text(
    finish_reason: str | None, completion_tokens: int, is_kept: bool, stage: Any
) -> None:
    def answer(_: dict[str, Any], number: int) -> Any:
        body = completion(GOOD, finish_reason)
        body["usage"]["completion_tokens"] = completion_tokens
        return 200, body if number == 1 else GOOD

    with serving(answer) as server:
        work = stage(server, concurrency=1)
    assert dict(work.dropped) == ({} if is_kept else {"finish_reason length": 1})


DRAFT = "[Problem Description]\na draft\n[Solution]\nnothing yet\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"<think>\n{DRAFT}</think>\n\n{GOOD}", "Sum a list."),
        (f"{DRAFT}</think>{GOOD}", "Sum a list."),  # the template wrote the opening mark
        (f"<think>a</think>{DRAFT}<think>b</think>{GOOD}", "Sum a list."),
        (f"<think>\n{DRAFT}", None),
        (f"<think>a</think>\n<THINK>{DRAFT}", None),
        (f"<think>{DRAFT}</think>", None),
    ],
)
def test_sections_are_looked_for_after_the_thoughts(text: str, problem: str | None, stage: Any) -> None:
    with serving(lambda _, number: (200, completion(text if number == 1 else GOOD, reasoning_content=DRAFT))) as server:
        work = stage(server, concurrency=1)
    problems = {json.loads(line)["problem"] for line in (work.out / "records.jsonl").read_text().splitlines()}
    assert problems == {"Sum a list."} and len(_dropped(work)) == (problem is None)


@pytest.mark.parametrize("is_answer", [False, True])
def test_evolved_records_are_without_thoughts(is_answer: bool, tmp_path: Path) -> None:
    source = tmp_path / "records"
    source.mkdir()
    rows = [{"index": number, "problem": f"p{number}", "solution": "s"} for number in range(3)]
    (source / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answer(body: dict[str, Any], number: int) -> Any:
        is_second = body["messages"][0]["content"].startswith("Evolved")
        text = "code" if is_second else "Evolved"
        cut = body["seed"] == 976 + 1 and is_second == is_answer
        return 200, f"<think>hm {text}" if cut else f"<think>hm</think>\n{text}\n"

    with serving(answer) as server:
        config = {"teacher": _teacher(server), "records": 3, "max_tokens": 50}
        work = artifact.Work(tmp_path / "out", {"records": source}, config)
        evol_instruct.build(work)
    found = [json.loads(line) for line in (work.out / "records.jsonl").read_text().splitlines()]
    assert [(one["instruction"], one["output"]) for one in found] == [("Evolved", "code")] * 2
    assert dict(work.dropped) == {f"{'response' if is_answer else 'evolved problem'}: thoughts that do not end": 1}


def test_the_other_name_of_max_tokens_is_used_once_a_server_asks_for_it(stage: Any) -> None:
    hint = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."

    def answer(body: dict[str, Any], _: int) -> Any:
        if "max_tokens" in body:
            return 400, error(hint, param="max_tokens", code="unsupported_parameter")
        return 200, GOOD if body["max_completion_tokens"] == 2500 else "?"

    with serving(answer) as server:
        assert _kept(stage(server, concurrency=4)) == list(range(SEEDS))
    assert SEEDS < len(server.seen) <= SEEDS + 4


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("name", ["temperature", "seed"])
def test_a_setting_that_the_server_refuses_is_named(name: str, status: int, stage: Any) -> None:
    def answer(body: dict[str, Any], _: int) -> Any:
        message = f"Unsupported value: '{name}' does not support {body.get(name)} with this model."
        return (status, error(message, code="unsupported_value")) if name in body else (200, GOOD)

    with serving(answer) as server:
        line = _line(stage, server)
        assert f"refuses the setting {name!r}" in line and f"teacher.{name} to null" in line
        assert len(_kept(stage(server, **{name: None}))) == SEEDS
    assert name not in server.seen[-1]


def test_no_minute_has_more_requests_than_the_limit(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_MINUTE", 0.6)
    monkeypatch.setattr(budget, "_LOOK_EVERY", 0.01)
    with serving(lambda *_: (200, GOOD)) as server:
        assert len(_kept(stage(server, limits={"requests_per_minute": 4}))) == SEEDS
    assert all(later - sooner > 0.3 for sooner, later in zip(server.times, server.times[4:], strict=False))
    assert server.times[-1] - server.times[0] > 1


def test_requests_count_with_the_tokens_that_they_took(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_MINUTE", 60.0)
    with serving(lambda *_: (200, GOOD)) as server:
        # 37 tokens each once answered, 2,500 and the bytes of the prompt at the most before
        assert len(_kept(stage(server, limits={"tokens_per_minute": 5000}, concurrency=1))) == SEEDS
    assert server.times[-1] - server.times[0] < 50


def test_no_minute_has_more_tokens_than_the_limit(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_MINUTE", 0.3)
    monkeypatch.setattr(budget, "_LOOK_EVERY", 0.01)
    with serving(lambda *_: (200, GOOD)) as server:  # of one request alone
        assert len(_kept(stage(server, limits={"tokens_per_minute": 30}))) == SEEDS
    assert server.times[-1] - server.times[0] > 11 * 0.25


PRICES = {"prompt_per_million": 1000.0, "completion_per_million": 10_000.0}  # a reply of the server here: $0.03 + $0.07


def test_a_cost_ceiling_stops_before_it_is_crossed_and_loses_no_answer(stage: Any) -> None:
    at_a_time: list[int] = []

    def answer(*_: Any) -> Any:
        at_a_time.append(1)
        time.sleep(0.02)
        is_alone = len(at_a_time) == 1
        at_a_time.pop()
        return 200, GOOD if is_alone else "two of them may cost more than the ceiling"

    with serving(answer) as server:
        # a request may cost $1.3 for its prompt's bytes and $0.2 for its completion
        line = _line(stage, server, cost={**PRICES, "ceiling": 2.05}, max_tokens=20, concurrency=4)
        first = len(server.seen)
        assert 0 < first < SEEDS and "teacher.cost.ceiling ($2.05)" in line
        assert f"${0.1 * first:.4f} of" in line and 0.1 * first < 2.05
        assert f"${0.1 * first:.4f} of" in _line(stage, server, cost={**PRICES, "ceiling": 2.05}, max_tokens=20)
        assert len(server.seen) == first  # what the first run spent counts
        work = stage(server, cost={**PRICES, "ceiling": 50.0}, max_tokens=20, concurrency=1)
    assert len(server.seen) == SEEDS and len(_kept(work)) == SEEDS
    assert work.counts["dollars"] == 1.2 and work.counts["completion_tokens"] == 7 * SEEDS


def test_replies_of_no_use_have_cost_as_well(stage: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda *_: (200, "chatter")) as server:
        assert "5 replies in a row" in _line(stage, server, concurrency=1)
    with serving(lambda *_: (200, GOOD)) as server:
        work = stage(server, cost=PRICES)
    assert work.counts["prompt_tokens"] == 30 * (SEEDS + 5) and work.counts["dollars"] == 1.7
    assert "510 prompt and 119 completion tokens, $1.7000" in capsys.readouterr().err


def test_a_reply_without_its_tokens_counts_at_the_most(stage: Any) -> None:
    with serving(lambda *_: (200, {**completion(GOOD), "usage": None})) as server:
        assert "are spent" in _line(stage, server, cost={**PRICES, "ceiling": 4.0}, max_tokens=20, concurrency=1)
    assert 0 < len(server.seen) < 4


@pytest.mark.parametrize("node", [OSS_INSTRUCT, EVOL_INSTRUCT])
def test_limits_and_prices_make_nothing_stale(node: Any) -> None:
    def identity(**settings: Any) -> dict[str, Any]:
        found = profiles.Teacher.model_validate(_teacher("http://127.0.0.1:9/v1", **settings))
        return artifact.without({"teacher": found.model_dump(mode="json")}, node.schedule)["teacher"]

    before = identity()
    assert identity(limits={"requests_per_minute": 5}, cost={**PRICES, "ceiling": 1.0}) == before
    # what was finished before there were limits has this
    assert sorted(before) == sorted(
        ["server", "model", "grammar", "temperature", "seed", "max_tokens", "context_tokens", "tokenizer"]
    )


def test_a_text_without_marks_is_its_own_answer() -> None:
    assert Reply(GOOD, "stop", None).answer() == GOOD


def test_the_plan_says_what_the_teacher_will_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = profiles.load("oss-instruct-open")
    assert loaded.teacher
    cost = profiles.Cost(prompt_per_million=1.0, completion_per_million=2.0)
    priced = loaded.model_copy(update={"teacher": loaded.teacher.model_copy(update={"cost": cost})})
    pipeline.show(priced, Run(tmp_path, tmp_path / "store"), ["oss-instruct"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "asks" in line]
    found = re.search(r"asks 80,000 times: about ([\d.]+) million prompt and ([\d.]+) million completion tokens", line)
    assert (
        found and "(at most 200.0 million)" in line and "an estimate: replies as long as the released records" in line
    )
    prompt, completion = map(float, found.groups())
    assert 0.2 < prompt / 80 < 0.5 and 0.3 < completion / 80 < 1  # thousands a request
    about, most = (float(one) for one in re.findall(r"(?:about|most) \$([\d.]+)", line))
    assert about == pytest.approx(prompt + 2 * completion, abs=0.2) and most == pytest.approx(prompt + 400, abs=0.2)
    smoke = plan.expand(profiles.load("smoke"))
    (evolved,) = [node.takes for node in smoke if node.stage is EVOL_INSTRUCT]
    assert evolved and evolved.sources == ("asks 32 times: at most 12,800 completion tokens",)
    assert evolved.tokens == 12_800 and evolved.dollars == 0
