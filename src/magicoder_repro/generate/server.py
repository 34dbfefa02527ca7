"""The engine `server`: an OpenAI-compatible completion server, asked for one sample a request, with token ids as the prompt.

Token ids, because servers differ in what they make of text: llama.cpp adds no BOS, vLLM does. Each sample has a seed of its own, so
that it depends on no other. What a server adds of itself (llama.cpp's top_k of 40, a model's own repetition penalty) is switched off.
Answers are wanted as token ids too, which vLLM gives, and become text as with the engine `transformers`. Where a server sends text
alone (llama.cpp), it is decoded after its prompt and without special tokens: `text.served_text` says what is made of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai
from openai.types import Completion as Reply
from openai.types import CompletionChoice
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from magicoder_repro.errors import UsageError
from magicoder_repro.generate.engines import Completion, Decoding, Request, Settle
from magicoder_repro.generate.text import completion_text, pad_of, served_text, tokenizer_of
from magicoder_repro.profile import ServerEngine
from magicoder_repro.progress import say
from magicoder_repro.terminal import in_short, without_secrets

_REPLY_SECONDS = 600.0
_LONGEST_PAUSE, _PATIENCE = 30.0, 300.0  # seconds between attempts, and until a server that is away is given up
_PASSING = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
_LONGEST = 300  # characters of what a server said
_TRIES = 3  # of a request that is answered with what cannot be read
KEY = "MAGICODER_SERVER_KEY"


class _Unreadable(Exception):
    """The server says that all is well, and its answer is no completion."""


def of_user(folder: Path, settings: ServerEngine) -> Server:
    """The user's server, which has the model of this folder."""
    assert settings.model is not None  # the plan has put the profile's name there
    key = os.environ.get(KEY, "none")  # most ask for none, the client insists on one
    say(f"generate: {settings.model} at {settings.base_url}")
    return Server(folder, [settings.base_url], settings.model, key, settings.concurrency)


class Server:
    """One or several equal servers. `folder`: the model's, for its tokenizer; `watch`: raises when one of them is known to be gone,
    before it is asked again."""

    def __init__(
        self,
        folder: Path,
        urls: Sequence[str],
        model: str,
        key: str,
        concurrency: int,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self._urls, self._model, self._key, self._concurrency, self._watch = urls, model, key, concurrency, watch
        self._tokenizer = tokenizer_of(folder)

    def complete(self, requests: Sequence[Request], decoding: Decoding, done: Container[int], settle: Settle) -> None:
        """All requests that are not done, so many at a time of each server."""
        pending = (one for one in requests if one.position not in done)
        asyncio.run(self._complete(pending, decoding, settle))

    def close(self) -> None:
        """It is the user's."""

    async def _complete(self, pending: Iterator[Request], decoding: Decoding, settle: Settle) -> None:
        clients = [self._client(url) for url in self._urls]

        async def work(client: openai.AsyncOpenAI) -> None:
            for request in pending:
                settle(request.position, await self._ask(client, request, decoding))

        try:
            for client in clients:
                await self._greet(client)
            await asyncio.gather(*(work(client) for client in clients for _ in range(self._concurrency)))
        finally:
            for client in clients:
                await client.close()

    def _client(self, url: str) -> openai.AsyncOpenAI:
        try:
            return openai.AsyncOpenAI(base_url=url, api_key=self._key, timeout=_REPLY_SECONDS, max_retries=0)
        except (openai.OpenAIError, ValueError, TypeError, httpx2.InvalidURL):
            raise UsageError(
                f"generation.engine.base_url: {without_secrets(url)!r} is no address: http://HOST:PORT/v1"
            ) from None

    async def _greet(self, client: openai.AsyncOpenAI) -> None:
        """A server that is not there is told at once, not after many attempts."""
        try:
            await client.models.list()
        except openai.APIConnectionError:
            raise UsageError(self._no_connection(client)) from None
        except (openai.APIStatusError, ValueError, TypeError, AttributeError):
            pass  # not every server lists its models

    async def _ask(self, client: openai.AsyncOpenAI, request: Request, decoding: Decoding) -> Completion:
        few_tries = AsyncRetrying(
            retry=retry_if_exception_type(_Unreadable),
            wait=wait_random_exponential(max=_LONGEST_PAUSE),
            stop=stop_after_attempt(_TRIES),
            reraise=True,
        )
        patiently = AsyncRetrying(
            retry=retry_if_exception_type(_PASSING),
            wait=wait_random_exponential(max=_LONGEST_PAUSE),
            stop=stop_after_delay(_PATIENCE),
            before_sleep=lambda _: self._watch(),
            reraise=True,
        )
        try:
            found: Completion = await few_tries(patiently, self._answered, client, request, decoding)
        except openai.APIConnectionError:
            raise UsageError(self._no_connection(client)) from None
        except openai.APIStatusError as error:
            raise UsageError(self._refusal(client, request, error)) from None
        except _Unreadable as error:
            raise UsageError(
                f"generation.engine: {_shown(client)} answers with something that is no completion ({error}): mend the server or "
                "generation.engine.base_url (it usually ends in /v1); the same command goes on where it was"
            ) from None
        return found

    async def _answered(self, client: openai.AsyncOpenAI, request: Request, decoding: Decoding) -> Completion:
        raw = await self._create(client, request, decoding)
        try:
            reply = raw.parse()
            choice = reply.choices[0]
            if not isinstance(choice.text, str) or not isinstance(reply, Reply):
                raise TypeError
            text, reason = self._text(request, choice), choice.finish_reason
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError, OverflowError):
            raise _Unreadable(in_short(raw.text, _LONGEST) or "nothing") from None
        return Completion(request.ask.cut(text), truncated=reason == "length" and not request.ask.ends(text))

    def _text(self, request: Request, choice: CompletionChoice) -> str:
        ids = (choice.model_extra or {}).get("token_ids")
        if ids is None:
            return served_text(self._tokenizer, request.ask, choice.text)
        return completion_text(self._tokenizer, request.ask, request.ids, ids, pad_of(self._tokenizer))

    async def _create(self, client: openai.AsyncOpenAI, request: Request, decoding: Decoding) -> Any:
        # beside OpenAI's: names of vLLM and llama.cpp, each of which passes over the other's
        own: dict[str, Any] = {"top_k": decoding.top_k, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0}
        own |= {"return_token_ids": True, "skip_special_tokens": not request.ask.special_tokens}
        return await client.completions.with_raw_response.create(
            model=self._model,
            prompt=list(request.ids),
            max_tokens=request.room,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            seed=request.seed,
            stop=list(request.ask.stops) or None,
            n=1,
            extra_body=own,
        )

    def _no_connection(self, client: openai.AsyncOpenAI) -> str:
        return (
            f"generation.engine: {_shown(client)} refuses connections or gives no answer: start the server or mend "
            "generation.engine.base_url; the same command goes on where it was"
        )

    def _refusal(self, client: openai.AsyncOpenAI, request: Request, error: openai.APIStatusError) -> str:
        mends = {
            401: f"set {KEY} to a key it accepts",
            403: f"the key ({KEY}) may not use {self._model!r}",
            404: f"mend generation.engine.base_url (it usually ends in /v1) or .model ({self._model!r})",
        }
        said = mends.get(error.status_code) or (
            f"{in_short(error.message, _LONGEST)} (asked for {request.ask.task_id}; generation.engine.context says what it can hold)"
        )
        return f"generation.engine: {_shown(client)} answers {error.status_code}: {said}"


def _shown(client: openai.AsyncOpenAI) -> str:
    return without_secrets(str(client.base_url))
