"""What a profile lets the teacher take: requests and tokens a minute, and dollars. The threads of a stage share one of these."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from magicoder_repro.data.backoff import Over
from magicoder_repro.data.reply import USAGE, Reply
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Cost, Teacher

_MINUTE = 60.0  # seconds
_LOOK_EVERY = 0.5  # seconds, whether the stage was stopped


class CeilingReached(UsageError):
    """The next request could cost more than is left."""


@dataclass
class _Sent:
    """A request: when, the tokens that it counts for, and the dollars that it may still cost."""

    at: float
    tokens: int
    dollars: float


class Budget:
    """Admits requests at the most that they may take; once answered they count with what they took."""

    def __init__(self, config: Teacher, before: Mapping[str, int], over: threading.Event) -> None:
        """`before`: the tokens that earlier runs of the stage have spent."""
        self._limits, self._cost, self._over = config.limits, config.cost, over
        self._dollars = dollars(config.cost, before)
        self._waited_for: list[_Sent] = []
        self._minute: deque[_Sent] = deque()
        self._changed = threading.Condition()
        self.spent = dict.fromkeys(USAGE, 0)
        """Tokens, by this run."""

    def admit(self, prompt: int, completion: int) -> _Sent:
        """Waits for the turn of a request of so many tokens at the most."""
        most = dollars(self._cost, {"prompt_tokens": prompt, "completion_tokens": completion})
        with self._changed:
            while not (self._is_affordable(most) and self._is_within_limits(prompt + completion)):
                self._changed.wait(_LOOK_EVERY)
                if self._over.is_set():
                    raise Over
            sent = _Sent(time.monotonic(), prompt + completion, most)
            self._waited_for.append(sent)
            if self._limits.requests_per_minute or self._limits.tokens_per_minute:
                self._minute.append(sent)
            return sent

    def settle(self, sent: _Sent, reply: Reply | None) -> None:
        """Takes what an admitted request came to; None when it was not answered. Without a count of its tokens it took the most."""
        with self._changed:
            self._waited_for.remove(sent)
            if reply is not None:
                took = reply.usage()
                for name, count in took.items():
                    self.spent[name] += count
                counted = sum(took.values())
                sent.tokens = counted or sent.tokens
                refused = reply.finish_reason.startswith("refused")
                self._dollars += dollars(self._cost, took) if counted or refused else sent.dollars
            self._changed.notify_all()

    def _is_affordable(self, most: float) -> bool:
        """Whether the ceiling holds even when everything on its way costs the most."""
        if self._cost is None or self._cost.ceiling is None:
            return True
        if self._dollars + most + sum(sent.dollars for sent in self._waited_for) <= self._cost.ceiling:
            return True
        if not self._waited_for:
            raise CeilingReached(
                f"teacher: ${self._dollars:.4f} of teacher.cost.ceiling (${self._cost.ceiling:.2f}) are spent and the next request "
                f"may cost ${most:.4f}: raise it, and the same command goes on where it was"
            )
        return False

    def _is_within_limits(self, tokens: int) -> bool:
        """Whether one more request keeps to the limits of every 60 seconds; one that is larger than the limit goes alone."""
        while self._minute and self._minute[0].at <= time.monotonic() - _MINUTE:
            self._minute.popleft()
        requests, most = self._limits.requests_per_minute, self._limits.tokens_per_minute
        if requests is not None and len(self._minute) >= requests:
            return False
        return most is None or not self._minute or tokens + sum(sent.tokens for sent in self._minute) <= most


def dollars(cost: Cost | None, tokens: Mapping[str, int]) -> float:
    """What so many tokens cost; nothing where the profile gives no prices."""
    if cost is None:
        return 0.0
    prompt, completion = (tokens.get(name, 0) for name in USAGE)
    return (prompt * cost.prompt_per_million + completion * cost.completion_per_million) / 1e6
