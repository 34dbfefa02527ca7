"""The teacher: an OpenAI-compatible server, the embedded one or the user's, and one function that asks it."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import httpx2
import openai

from magicoder_repro import records
from magicoder_repro.data import embedded_process, token_counts
from magicoder_repro.data import reply as replies
from magicoder_repro.data.backoff import Backoff, Busy, Failing, Malformed, retry_after
from magicoder_repro.data.budget import Budget, CeilingReached
from magicoder_repro.data.reply import Reply
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import EmbeddedTeacher, Teacher
from magicoder_repro.progress import say
from magicoder_repro.terminal import in_short, without_secrets

_REPLY_SECONDS = 600.0
_CONNECT_SECONDS = 30.0
_LONGEST_REFUSAL = 2000  # characters
_TEMPLATE_TOKENS = 32  # of a message at the most, beside its text
_BUSY = (429, 502, 503, 529)  # what a server, or the proxy before it, answers while it can answer nobody
_OF_THE_PROMPT = (400, 413, 422)  # what a server may answer because of what one request asks
_BROKEN = (
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    ConnectionError,
    http.client.BadStatusLine,
)
_UNREADABLE = (httpx2.DecodingError, http.client.IncompleteRead)  # of the body, after a good status
_CUT = "without sending complete message body"  # the same, as h11 says it
_UNSUPPORTED = re.compile(r"support|unknown|unrecogni[sz]ed|unexpected|extra|permitted|allowed", re.IGNORECASE)

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
class Question:
    """One request: messages, `seed` (None: none is sent), the most new tokens and the grammar that bounds a weak teacher's reply."""

    messages: tuple[tuple[str, str], ...]
    seed: int | None
    max_tokens: int
    grammar: str | None = None


class Client:
    """Asks one or several equal servers; each takes one request at a time when they are embedded."""

    def __init__(self, config: Teacher, urls: list[str | None], key: str | None, before: Mapping[str, int]) -> None:
        self._config = config
        self._free: queue.Queue[openai.OpenAI] = queue.Queue()
        self._embedded = isinstance(config.server, EmbeddedTeacher)
        self.workers = len(urls) if self._embedded else config.concurrency
        timeout = httpx2.Timeout(_REPLY_SECONDS, connect=_CONNECT_SECONDS)
        try:
            clients = [openai.OpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=0) for url in urls]
        except openai.OpenAIError as error:
            raise UsageError(f"teacher: {str(error).splitlines()[0]} (set OPENAI_API_KEY)") from None
        except (ValueError, TypeError, httpx2.InvalidURL):
            raise UsageError(
                "teacher: no address of a server: mend teacher.server.base_url or OPENAI_BASE_URL (http://HOST:PORT/v1)"
            ) from None
        self._address = str(clients[0].base_url)
        self._url = without_secrets(self._address)
        self._has_replied = False
        self._length = "max_tokens"  # what the server calls the most new tokens
        self._backoff = Backoff(self._url)
        self._budget = Budget(config, before, self._backoff.over)
        for index in range(self.workers):
            self._free.put(clients[index % len(clients)])

    @property
    def spent(self) -> dict[str, int]:
        """The tokens that replies have cost since the connection."""
        return self._budget.spent

    def ask(self, question: Question) -> Reply:
        """One chat completion. A busy server is waited for; Failing is raised when it fails on this request or answers with what is
        no completion, a UsageError with the mend when every request would fail."""
        client = self._free.get()
        try:
            reply = self._backoff.call(lambda: self._within_budget(client, question))
            self._has_replied = True
            return reply
        finally:
            self._free.put(client)

    def _within_budget(self, client: openai.OpenAI, question: Question) -> Reply:
        # no tokenizer that is in use makes more tokens of a text than it has bytes
        contents = [content.encode("utf-8", "surrogatepass") for _, content in question.messages]
        sent = self._budget.admit(sum(_TEMPLATE_TOKENS + len(one) for one in contents), question.max_tokens)
        reply = None
        try:
            reply = self._answered(client, question)
        except Malformed:
            reply = Reply("", "", None)  # which may have cost as much as any
            raise
        finally:
            self._budget.settle(sent, reply)
        return reply

    def _answered(self, client: openai.OpenAI, question: Question) -> Reply:
        length = self._length
        try:
            return self._sent(client, question, length)
        except openai.APIConnectionError as error:
            self._raise_unconnected(error.__cause__, self._url)
        except UnicodeEncodeError:
            return Reply("the prompt holds a lone surrogate, which UTF-8 cannot", "refused", None)
        except openai.APIStatusError as error:
            if error.status_code == 400 and length == "max_tokens" and "max_completion_tokens" in error.message:
                self._length = "max_completion_tokens"
                return self._answered(client, question)
            if error.status_code in (400, 422) and not self._has_replied:
                self._raise_for_setting(error)
            header = error.response.headers.get("Retry-After")
            return self._failed(error.status_code, error.message, error.code or error.type, header)
        except replies.ErrorInside as error:
            return self._failed(error.status, error.message, error.code, None)

    def _sent(self, client: openai.OpenAI, question: Question, length: str) -> Reply:
        """Sends one request and reads what comes back."""
        settings: dict[str, Any] = {length: question.max_tokens}
        if question.seed is not None:
            settings["seed"] = question.seed
        if self._config.temperature is not None:
            settings["temperature"] = self._config.temperature
        if self._config.grammar and question.grammar:
            settings["extra_body"] = {"grammar": question.grammar, "cache_prompt": False}
        messages: Any = [{"role": role, "content": content} for role, content in question.messages]
        create = client.chat.completions.with_raw_response.create
        raw = create(model=self._config.model, messages=messages, n=1, **settings)
        try:
            return replies.of_completion(raw.parse(), question.max_tokens)
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            raise Malformed(f"no chat completion: {in_short(raw.text) or 'nothing'}") from None

    def _failed(self, status: int, message: str, code: str | None, header: str | None) -> Reply:
        """What an error means: the server is busy, fails on this request, declines it (a reply), or would fail on every one."""
        used_up = code == "insufficient_quota"
        if status in _BUSY and not used_up:
            raise Busy(f"{status}: {in_short(message.removeprefix(f'Error code: {status} - '))}", retry_after(header))
        if status == 408 or status >= 500:
            raise Failing(f"error {status}", in_short(message, _LONGEST_REFUSAL))
        filtered = (
            status == 403 and self._has_replied
        )  # a key that was good: a filter between took the code for an attack
        if used_up or not (status in _OF_THE_PROMPT or filtered):
            raise UsageError(_refusal(self._url, self._config.model, status, message))
        reason = "refused" if status == 400 else f"refused {status}"
        return Reply(in_short(message, _LONGEST_REFUSAL), reason, None)

    def _raise_for_setting(self, error: openai.APIStatusError) -> None:
        """A UsageError when the server refuses a setting that every request has, as those of reasoning models do."""
        for name in ("temperature", "seed"):
            named = error.param == name or re.search(rf"['\"`]{name}['\"`]", error.message)
            if named and (error.param == name or _UNSUPPORTED.search(error.message)):
                raise UsageError(
                    f"teacher: {self._url} refuses the setting {name!r} ({in_short(error.message)}): set teacher.{name} to null (then "
                    "none is sent) or to a value that it takes"
                )

    def _raise_unconnected(self, cause: object, url: str) -> NoReturn:
        """The error for a connection that broke or could not be made. Before the first answer the address may be wrong."""
        may_come_back = self._backoff.reached and not self._embedded
        if isinstance(cause, _UNREADABLE) or (isinstance(cause, httpx2.RemoteProtocolError) and _CUT in str(cause)):
            raise Malformed(in_short(str(cause))) from None
        if isinstance(cause, _BROKEN) and not isinstance(cause, httpx2.ConnectError):
            if may_come_back:
                raise Busy("the connection broke") from None
            raise Failing("connection broke", "is it a server of this kind?") from None
        if isinstance(cause, httpx2.ReadTimeout | httpx2.WriteTimeout | TimeoutError):
            raise Failing(f"no answer in {_REPLY_SECONDS:.0f} s", "is it overloaded?") from None
        if may_come_back:
            raise Busy("it refuses connections") from None
        raise UsageError(
            f"teacher: {url} refuses connections: start the server or mend teacher.server.base_url (or OPENAI_BASE_URL)"
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
                if error.code in _BUSY:
                    raise Busy(f"{error.code}: {error.reason}", retry_after(error.headers["Retry-After"])) from None
                if error.code >= 500:
                    raise Failing(f"error {error.code}", error.reason) from None
                raise UsageError(_refusal(url, self._config.model, error.code, error.reason)) from None
            except (ValueError, KeyError, TypeError) as error:
                if self._backoff.reached:
                    raise Malformed(f"no count of tokens: {error}") from None
                raise UsageError(
                    f"teacher: {url} counts no tokens ({error}): set teacher.tokenizer to the name of an OpenAI model"
                ) from None
            except (OSError, http.client.HTTPException) as error:
                self._raise_unconnected(error, url)

        return lambda text: self._backoff.call(lambda: count(text))

    def run(self, work: Iterable[tuple[int, Callable[[], Any]]], settle: Callable[[int, Any], None]) -> None:
        """Runs jobs with all the teacher's slots busy and gives (key, result) of each to `settle` when it ends, in any order,
        one at a time. The first error is raised at once, whatever still waits for an answer (but what the cost ceiling has let out
        is waited for); no result that is there is lost, and none is settled after the end."""
        jobs = iter(work)
        taking, settling, over = threading.Lock(), threading.Lock(), self._backoff.over
        ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        answered: set[threading.Thread] = set()
        closed = False

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
                        if not closed:
                            settle(job[0], result)
                    answered.discard(threading.current_thread())
                ends.put(None)
            except BaseException as error:
                ends.put(error)

        ceiling: CeilingReached | None = None
        try:
            for _ in range(self.workers):
                threading.Thread(target=worker, daemon=True).start()  # the end of the process waits for none of them
            for _ in range(self.workers):
                error = ends.get()
                if isinstance(error, CeilingReached):
                    ceiling = error
                    over.set()
                elif error is not None and ceiling is None:
                    raise error
            if ceiling is not None:
                raise ceiling
        except BaseException:
            over.set()
            for thread in tuple(answered):
                thread.join()
            with settling:
                closed = True
            raise


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    """The header for the user and password of an address."""
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _refusal(url: str, model: str, status: int, message: str) -> str:
    """The line for a status that every request would get."""
    mends = {
        401: "set OPENAI_API_KEY to a key it accepts",
        403: f"the key may not use {model!r}",
        404: f"mend teacher.server.base_url (it usually ends in /v1) or teacher.model ({model!r})",
    }
    return f"teacher: {url} answers {status}: {mends.get(status) or in_short(message)}"


@contextmanager
def connect(config: Teacher, before: Mapping[str, int] | None = None) -> Iterator[Client]:
    """The teacher of the profile; an embedded one is started here and stopped on the way out, whatever happens. `before`: the tokens
    that earlier runs have spent."""
    with ExitStack() as stack:
        urls: list[str | None]
        if isinstance(config.server, EmbeddedTeacher):
            embedded = config.server
            servers = [stack.enter_context(embedded_process.started(embedded.context)) for _ in range(embedded.servers)]
            urls = [f"{address()}/v1" for address in servers]
            yield Client(config, urls, "embedded", before or {})
        else:
            url = os.environ.get("OPENAI_BASE_URL") or config.server.base_url
            if url is not None:
                say(f"teacher: {config.model} at {url}")
            key = os.environ.get("OPENAI_API_KEY")
            if key is None and url is not None:
                key = "none"  # local servers ask for no key, the client insists on one
            yield Client(config, [url], key, before or {})
