"""The teacher: an OpenAI-compatible server, the embedded one or the user's, and one function that asks it."""

from __future__ import annotations

import http.client
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import httpx2
import openai
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from magicoder_repro import records
from magicoder_repro.data import embedded_model, token_counts
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import EmbeddedTeacher, Teacher
from magicoder_repro.progress import say
from magicoder_repro.terminal import without_secrets

_START_SECONDS = 120.0
_REPLY_SECONDS = 600.0
_LONGEST_REFUSAL = 2000  # characters
_MOST_TOKENS = 1 << 40  # of one request: more is no number of tokens
USAGE = ("prompt_tokens", "completion_tokens")

# GBNF of the two sections (llama.cpp's `grammar` in the request body). A weak model tends to repeat lines until it is cut
# off, so the grammar also bounds the number and the length of lines: every reply ends by itself.
_CODE = r"""
language ::= "python" | "cpp" | "bash"
code ::= first ("\n" line){1,9}
first ::= [a-z#] [^\n`]{3,80}
line ::= [^\n`]{0,80}
"""
_PROSE = r"""
prose ::= sentence (" " sentence){0,2}
sentence ::= [A-Z] [^\n`\[\].]{20,160} "."
"""
SECTIONS_GRAMMAR = (
    r'root ::= "[Problem Description]\n" prose "\n\n[Solution]\n```" language "\n" code "\n```"' + _PROSE + _CODE
)
# The same for Evol-Instruct's two requests: an instruction, and code alone.
PROSE_GRAMMAR = "root ::= prose" + _PROSE
CODE_GRAMMAR = r'root ::= "```" language "\n" code "\n```"' + _CODE


@dataclass(frozen=True)
class Reply:
    """What came back for one request. `finish_reason` is "refused" when the server declined this one; `text` then says why."""

    text: str
    finish_reason: str
    fingerprint: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Question:
    """One request: messages, its `seed`, the most new tokens and the grammar that bounds a weak teacher's reply."""

    messages: tuple[tuple[str, str], ...]
    seed: int
    max_tokens: int
    grammar: str | None = None


class Client:
    """Asks one or several equal servers; each takes one request at a time when they are embedded."""

    def __init__(self, config: Teacher, urls: list[str | None], key: str | None) -> None:
        self._config = config
        self._free: queue.Queue[openai.OpenAI] = queue.Queue()
        embedded = isinstance(config.server, EmbeddedTeacher)
        self.workers = len(urls) if embedded else config.concurrency
        try:
            clients = [openai.OpenAI(base_url=url, api_key=key, timeout=_REPLY_SECONDS, max_retries=3) for url in urls]
        except openai.OpenAIError as error:
            raise UsageError(f"teacher: {str(error).splitlines()[0]} (set OPENAI_API_KEY)") from None
        except (ValueError, TypeError, httpx2.InvalidURL):
            raise UsageError(
                "teacher: no address of a server: mend teacher.server.base_url or OPENAI_BASE_URL (http://HOST:PORT/v1)"
            ) from None
        self._address = str(clients[0].base_url)
        self._url = without_secrets(self._address)
        for index in range(self.workers):
            self._free.put(clients[index % len(clients)])

    def ask(self, question: Question) -> Reply:
        """One chat completion. Errors that would hit every request are UsageErrors with the mend."""
        client = self._free.get()
        try:
            return self._ask(client, question)
        except openai.APITimeoutError:
            raise UsageError(
                f"teacher: {self._url} gave no answer in {_REPLY_SECONDS:.0f} s: is it overloaded?"
            ) from None
        except openai.APIConnectionError:
            raise UsageError(_no_connection(self._url)) from None
        except openai.BadRequestError as error:
            return Reply(_short(error.message, _LONGEST_REFUSAL), "refused", None)
        except UnicodeEncodeError:
            return Reply("the prompt holds a lone surrogate, which UTF-8 cannot", "refused", None)
        except openai.APIStatusError as error:
            raise UsageError(_refusal(self._url, self._config.model, error.status_code, error.message)) from None
        finally:
            self._free.put(client)

    def _ask(self, client: openai.OpenAI, question: Question) -> Reply:
        messages: list[ChatCompletionMessageParam] = []
        for role, content in question.messages:
            if role == "system":
                messages.append({"role": "system", "content": content})
            else:
                messages.append({"role": "user", "content": content})
        extra: dict[str, Any] = {}
        if self._config.grammar and question.grammar:
            extra = {"grammar": question.grammar, "cache_prompt": False}
        raw = client.chat.completions.with_raw_response.create(
            model=self._config.model,
            messages=messages,
            temperature=self._config.temperature,
            seed=question.seed,
            n=1,
            max_tokens=question.max_tokens,
            extra_body=extra or None,
        )
        try:
            return _reply(raw.parse())
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            raise UsageError(
                f"teacher: {self._url} answers with something that is no chat completion ({_short(raw.text) or 'nothing'}): "
                "mend teacher.server.base_url (it usually ends in /v1)"
            ) from None

    def counter(self) -> Callable[[str], int]:
        """Counts a text's tokens as the profile says: with tiktoken, or by llama.cpp's `/tokenize`."""
        if self._config.tokenizer != "server":
            return token_counts.of_tiktoken(self._config.tokenizer, "teacher.tokenizer")
        address = urlsplit(self._address)
        host = address.netloc.rpartition("@")[2]
        url = f"{address.scheme}://{host}{address.path.rstrip('/').removesuffix('/v1')}/tokenize"
        headers = {"Content-Type": "application/json", **_authorization(address.username, address.password)}
        query = f"?{address.query}" if address.query else ""

        def count(text: str) -> int:
            body = json.dumps({"content": text, "add_special": False}).encode()
            request = urllib.request.Request(url + query, body, headers)
            try:
                with urllib.request.urlopen(request, timeout=_REPLY_SECONDS) as reply:
                    return len(records.loads(reply.read())["tokens"])
            except urllib.error.HTTPError as error:
                if error.code in (404, 405, 501):  # a server, but not llama.cpp's
                    raise UsageError(
                        f"teacher: {url} answers {error.code}: mend teacher.server.base_url (it usually ends in /v1), "
                        "or set teacher.tokenizer to the name of an OpenAI model"
                    ) from None
                raise UsageError(_refusal(url, self._config.model, error.code, error.reason)) from None
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"teacher: {url} counts no tokens ({error}): set teacher.tokenizer to the name of an OpenAI model"
                ) from None
            except (OSError, http.client.HTTPException):
                raise UsageError(_no_connection(url)) from None

        return count

    def run(self, work: Iterable[tuple[int, Callable[[], Any]]], settle: Callable[[int, Any], None]) -> None:
        """Runs jobs with all the teacher's slots busy and gives (key, result) of each to `settle` when it ends, in any order,
        one at a time. The first error is raised at once, whatever still waits for an answer; no result that is there is lost."""
        jobs = iter(work)
        taking, settling, over = threading.Lock(), threading.Lock(), threading.Event()
        ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        answered: set[threading.Thread] = set()

        def worker() -> None:
            try:
                while not over.is_set():
                    with taking:
                        job = next(jobs, None)
                    if job is None:
                        break
                    result = job[1]()
                    answered.add(threading.current_thread())
                    with settling:
                        settle(job[0], result)
                    answered.discard(threading.current_thread())
                ends.put(None)
            except BaseException as error:
                ends.put(error)

        try:
            for _ in range(self.workers):
                threading.Thread(target=worker, daemon=True).start()  # the end of the process waits for none of them
            for _ in range(self.workers):
                if (error := ends.get()) is not None:
                    raise error
        finally:
            over.set()
            for thread in tuple(answered):
                thread.join()


def _reply(completion: ChatCompletion) -> Reply:
    """The first choice. What the client makes of a body that is none of the API's is no ChatCompletion, or only by name."""
    if isinstance(completion.choices, list) and not completion.choices:
        return Reply("", "empty", None)
    choice = completion.choices[0]
    text, finish_reason = choice.message.content or "", choice.finish_reason or ""
    if not isinstance(text, str) or not isinstance(finish_reason, str):
        raise TypeError("its content is no text")
    fingerprint = completion.system_fingerprint if isinstance(completion.system_fingerprint, str) else None
    costs = [_tokens(completion.usage, name) for name in USAGE]
    if not all(part.isascii() or _is_unicode(part) for part in (text, finish_reason, fingerprint or "")):
        return Reply("", "text that is no Unicode", None, *costs)
    return Reply(text, finish_reason, fingerprint, *costs)


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it: JSON may hold halves of a surrogate pair, which no tokenizer reads."""
    return not any("\ud800" <= one <= "\udfff" for one in text)


def _tokens(usage: Any, name: str) -> int:
    """What the server says that this request cost; 0 when that is no number of tokens."""
    found = getattr(usage, name, None)
    return found if type(found) is int and 0 <= found < _MOST_TOKENS else 0


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    """The header for the user and password of an address."""
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def usage(*replies: Reply) -> dict[str, int]:
    """The tokens that these replies cost, as a row's fields."""
    return {name: sum(getattr(reply, name) for reply in replies) for name in USAGE}


def _short(text: str, most: int = 200) -> str:
    """The beginning of what a server said, on one line, without the keys that it repeats."""
    return without_secrets(" ".join(text.split()))[:most]


def _no_connection(url: str) -> str:
    return f"teacher: {url} refuses connections: start the server or mend teacher.server.base_url (or OPENAI_BASE_URL)"


def _refusal(url: str, model: str, status: int, message: str) -> str:
    """The line for a status that every request would get."""
    mends = {
        401: "set OPENAI_API_KEY to a key it accepts",
        403: f"the key may not use {model!r}",
        404: f"mend teacher.server.base_url (it usually ends in /v1) or teacher.model ({model!r})",
    }
    return f"teacher: {url} answers {status}: {mends.get(status) or _short(message)}"


@contextmanager
def connect(config: Teacher) -> Iterator[Client]:
    """The teacher of the profile; an embedded one is started here and stopped on the way out, whatever happens."""
    with ExitStack() as stack:
        urls: list[str | None]
        if isinstance(config.server, EmbeddedTeacher):
            embedded = config.server
            servers = [stack.enter_context(_embedded(embedded.context)) for _ in range(embedded.servers)]
            urls = [f"{address()}/v1" for address in servers]
            yield Client(config, urls, key="embedded")
        else:
            url = os.environ.get("OPENAI_BASE_URL") or config.server.base_url
            if url is not None:
                say(f"teacher: {config.model} at {url}")
            key = os.environ.get("OPENAI_API_KEY")
            if key is None and url is not None:
                key = "none"  # local servers ask for no key, the client insists on one
            yield Client(config, [url], key)


@contextmanager
def _embedded(context: int) -> Iterator[Callable[[], str]]:
    """Starts one embedded server; the function it gives waits for the address."""
    command = [
        sys.executable,
        "-m",
        "magicoder_repro.data.embedded_server",
        str(embedded_model.gguf()),
        str(context),
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield lambda: _address(process, log)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _address(process: subprocess.Popen[str], log: IO[bytes]) -> str:
    """The first line that the server prints."""
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    stdout = process.stdout
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            line = lines.get(timeout=0.5).strip()
        except queue.Empty:
            if process.poll() is None:
                continue
            line = ""
        if line.startswith("http"):
            return line
        break
    log.seek(0)
    tail = log.read().decode(errors="replace").strip().splitlines()[-1:]
    raise UsageError(f"teacher: the embedded server did not start ({' '.join(tail) or 'no message'})")
