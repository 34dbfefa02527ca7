"""What data take, said before they are made: the teacher's tokens and dollars, the size of released sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from magicoder_repro import prompts
from magicoder_repro.data.budget import dollars
from magicoder_repro.profile import Teacher
from magicoder_repro.takes import Takes, amount

_BYTES_OF_A_TOKEN = 4  # of English and code, about
_SEED_BYTES = 8 * 40  # the mean number of lines, 1 to 15, of 40 characters
_TEXT = 0.9  # of a set's bytes: a tenth is JSON's field names and escapes


@dataclass(frozen=True)
class Size:
    """Of a set of training records: how many, and tokens of problem and solution together, about. None: nobody knows."""

    records: int | None
    tokens: float | None


@dataclass(frozen=True)
class _Released:
    records: int
    bytes: float
    besides: int = 0  # bytes of a record that no training reads

    @property
    def size(self) -> Size:
        return Size(self.records, (self.bytes / self.records * _TEXT - self.besides) / _BYTES_OF_A_TOKEN)


_OSS_INSTRUCT = _Released(75_197, 203e6, _SEED_BYTES)
_RELEASED: Mapping[str, _Released] = MappingProxyType(
    {
        "ise-uiuc/Magicoder-OSS-Instruct-75K": _OSS_INSTRUCT,
        "ise-uiuc/Magicoder-Evol-Instruct-110K": _Released(111_183, 255e6),
    }
)
"""Records, and bytes of the data file on the hub, as its pages give them."""


def of_released(dataset: str) -> Takes:
    """The hub's copy and ours."""
    found = _RELEASED.get(dataset)
    if found is None:
        return Takes(cpu_hours=None, disk=None)
    return Takes(
        cpu_hours=None,
        disk=2 * found.bytes,
        sources=(f"disk: {found.bytes / 1e6:.0f} MB on the hub, kept twice (its cache and ours)",),
    )


def size_released(dataset: str) -> Size:
    """Of a set of the hub."""
    found = _RELEASED.get(dataset)
    return found.size if found else Size(None, None)


def size_oss_instruct(seeds: int) -> Size:
    """Of what a teacher makes of so many seeds, at the most: records as long as the released ones."""
    return Size(seeds, _OSS_INSTRUCT.size.tokens)


def of_oss_instruct(config: Teacher, seeds: int) -> Takes:
    """Requests, tokens and, where the profile has prices, dollars; about and at the most."""
    messages = len(prompts.OSS_INSTRUCT_SYSTEM) + len(prompts.oss_instruct("")) + _SEED_BYTES
    prompt = round(seeds * messages / _BYTES_OF_A_TOKEN)
    reply = _OSS_INSTRUCT.size.tokens
    assert reply is not None
    completion = round(seeds * min(reply, config.max_tokens))
    said = (
        f"asks {seeds:,} times: about {amount(prompt)} prompt and {amount(completion)} completion tokens "
        f"(at most {amount(seeds * config.max_tokens)})"
    )
    cost = _unpriced(config)
    if config.cost is not None:
        cost, most = (
            dollars(config.cost, {"prompt_tokens": prompt, "completion_tokens": tokens})
            for tokens in (completion, seeds * config.max_tokens)
        )
        said += f", about ${cost:,.2f} (at most ${most:,.2f})"
    said += f"; an estimate: replies as long as the released records, {_BYTES_OF_A_TOKEN} bytes a token"
    return Takes(None, None, None, prompt + completion, cost, (said,))


def of_evol_instruct(config: Teacher, records: int, max_tokens: int) -> Takes:
    """As of OSS-Instruct; at the most alone, since nobody has published this teacher's replies."""
    tokens = 2 * records * max_tokens
    said, cost = f"asks {2 * records:,} times: at most {amount(tokens)} completion tokens", _unpriced(config)
    if config.cost is not None:
        cost = dollars(config.cost, {"completion_tokens": tokens})
        said += f", at most ${cost:,.2f} for these"
    return Takes(None, None, None, tokens, cost, (said,))


def _unpriced(config: Teacher) -> float | None:
    """Dollars where the profile has no prices."""
    return 0.0 if config.server.kind == "embedded" else None
