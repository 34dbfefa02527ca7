"""A server's reply to one request, whatever server it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from openai.types.chat import ChatCompletion

USAGE = ("prompt_tokens", "completion_tokens")
_MOST_TOKENS = 1 << 40  # of one request: more is no number of tokens
_ENDED = ("stop", "eos", "eos_token", "stop_sequence", "end_turn")  # what servers call a text that ended by itself
_THINK = re.compile(r"</?think>", re.IGNORECASE)
_TOO_MANY = re.compile(r"rate.?limit|too many requests|overloaded|\b429\b", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """What came back for one request. `finish_reason` is "stop" when the text ended by itself, and begins with "refused" when the
    server declined this request; `text` then says why."""

    text: str
    finish_reason: str
    fingerprint: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def usage(self) -> dict[str, int]:
        """The tokens that it cost, as a row's fields."""
        return usage(self)

    def answer(self) -> str | None:
        """The text after a reasoning model's thoughts (`<think>...</think>`); None when these do not end."""
        marks = list(_THINK.finditer(self.text))
        if marks and not marks[-1].group().startswith("</"):
            return None
        return self.text[marks[-1].end() :] if marks else self.text


class ErrorInside(Exception):
    """A body that tells of an error although its HTTP status is 200. `status`: the one that the error means."""

    def __init__(self, error: Any) -> None:
        found = error if isinstance(error, dict) else {"message": error}
        self.code = str(found.get("code") or found.get("type") or "")
        self.message = str(found.get("message") or error)
        too_many = _TOO_MANY.search(f"{self.code} {found.get('type')} {self.message}")
        self.status = int(self.code) if re.fullmatch(r"[45]\d\d", self.code) else 429 if too_many else 500
        super().__init__(self.message)


def of_completion(completion: ChatCompletion, most: int) -> Reply:
    """The first choice of a request for `most` tokens. What the client makes of a body that is none of the API's is no ChatCompletion,
    or only by name."""
    choices = getattr(completion, "choices", None)
    if not choices and getattr(completion, "error", None):
        raise ErrorInside(completion.error)  # type: ignore[attr-defined]
    if isinstance(choices, list) and not choices:
        return Reply("", "empty", None)
    choice = completion.choices[0]
    if str(choice.finish_reason) == "error" or isinstance(
        getattr(choice, "error", None), dict
    ):  # it broke off on the way
        raise ErrorInside(getattr(choice, "error", None) or "finish_reason error")
    text, finish_reason = choice.message.content or "", choice.finish_reason or ""
    if not isinstance(text, str) or not isinstance(finish_reason, str):
        raise TypeError("its content is no text")
    fingerprint = completion.system_fingerprint if isinstance(completion.system_fingerprint, str) else None
    costs = [_tokens(completion.usage, name) for name in USAGE]
    if not all(part.isascii() or _is_unicode(part) for part in (text, finish_reason, fingerprint or "")):
        return Reply("", "text that is no Unicode", None, *costs)
    if not finish_reason:  # some servers say only that a text was cut off, or nothing
        finish_reason = "length" if costs[1] >= most else "stop"
    return Reply(text, "stop" if finish_reason in _ENDED else finish_reason, fingerprint, *costs)


def usage(*replies: Reply) -> dict[str, int]:
    """The tokens that these replies cost, as a row's fields."""
    return {name: sum(getattr(reply, name) for reply in replies) for name in USAGE}


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it: JSON may hold halves of a surrogate pair, which no tokenizer reads."""
    return not any("\ud800" <= one <= "\udfff" for one in text)


def _tokens(usage: Any, name: str) -> int:
    """What the server says that this request cost; 0 when that is no number of tokens."""
    found = getattr(usage, name, None)
    return found if type(found) is int and 0 <= found < _MOST_TOKENS else 0
