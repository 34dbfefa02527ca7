"""Text from outside (task ids, replies, server errors, file names) as it is shown: nothing in it steers a terminal or hides, and no
password or key is in it. Everything that this package prints goes through `shown`."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Any
from urllib.parse import unquote

_KEYS = ("OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_ADMIN_KEY", "MAGICODER_SERVER_KEY")
_URLS = ("OPENAI_BASE_URL", "HF_ENDPOINT")
_SHORTEST_KEY, _SHORTEST_PASSWORD = 6, 3  # shorter ones would be met in any text
_USER = re.compile(r"(?<=://)[^/?#\s'\"<>]*@")  # `user:password@` of an address
_PARAMETER = re.compile(
    r"([?&;][\w.-]*(?:key|token|secret|passw|pwd|sig|auth|cred)[\w.-]*=)[^&#\s'\"<>]+", re.IGNORECASE
)
_BEARER = re.compile(r"((?:Bearer|Basic)\s+)[^\s'\",]{6,}", re.IGNORECASE)
_MASK = "***"


def shown(text: str, keep: str = "") -> str:
    """The text without secrets and with every character that is no visible one (control characters, escape sequences, bidi marks,
    lone surrogates) as its escape; those in `keep` stay."""
    return visible(without_secrets(text), keep)


def visible(text: str, keep: str = "") -> str:
    """The text with every character that is no visible one as its escape; those in `keep` stay."""
    if text.translate(dict.fromkeys(map(ord, keep))).isprintable():
        return text
    return "".join(
        one if one in keep or one.isprintable() or unicodedata.category(one) == "Zs" else _escape(one) for one in text
    )


def _escape(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")


def without_secrets(text: str) -> str:
    """The text without the passwords of addresses and the keys that this process knows."""
    for secret in _secrets():
        text = text.replace(secret, _MASK)
    if "://" in text:
        text = _USER.sub("", text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{_MASK}", text)
    return _BEARER.sub(rf"\1{_MASK}", text)


def in_short(text: str, most: int = 200) -> str:
    """The beginning of what a server said, on one line, without the keys that it repeats."""
    return without_secrets(" ".join(text.split()))[:most]


def public(value: Any) -> Any:
    """The same JSON value without secrets in its texts, keys included."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {public(key): public(item) for key, item in value.items()}
    return [public(item) for item in value] if isinstance(value, list | tuple) else value


def _secrets() -> list[str]:
    """What the environment holds that nobody may read, the longest first."""
    found = {os.environ.get(name, "") for name in _KEYS}
    found = {key for key in found if len(key) >= _SHORTEST_KEY}
    for name in _URLS:
        address = os.environ.get(name, "").partition("://")[2]
        user, at, _ = address.rpartition("@")
        if at:
            password = user.partition(":")[2]
            found |= {part for part in (password, unquote(password)) if len(part) >= _SHORTEST_PASSWORD}
    return sorted(found, key=len, reverse=True)
