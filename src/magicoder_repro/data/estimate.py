"""What the teacher will take, said before it is asked."""

from __future__ import annotations

from magicoder_repro import prompts
from magicoder_repro.data.budget import dollars
from magicoder_repro.profile import Teacher

_BYTES_OF_A_TOKEN = 4  # of English and code, about
_SEED_BYTES = 8 * 40  # the mean number of lines, 1 to 15, of 40 characters
# Released OSS-Instruct: 203 MB of JSON for 75,197 records, a tenth of it field names and escapes.
_REPLY_BYTES = 203e6 / 75_197 * 0.9 - _SEED_BYTES


def of_oss_instruct(config: Teacher, seeds: int) -> str:
    """One line: requests, tokens and, where the profile has prices, dollars; about and at the most."""
    messages = len(prompts.OSS_INSTRUCT_SYSTEM) + len(prompts.oss_instruct("")) + _SEED_BYTES
    prompt = round(seeds * messages / _BYTES_OF_A_TOKEN)
    completion = round(seeds * min(_REPLY_BYTES / _BYTES_OF_A_TOKEN, config.max_tokens))
    found = (
        f"asks {seeds:,} times: about {_rounded(prompt)} prompt and {_rounded(completion)} completion tokens "
        f"(at most {_rounded(seeds * config.max_tokens)})"
    )
    if config.cost is not None:
        about, most = (
            dollars(config.cost, {"prompt_tokens": prompt, "completion_tokens": tokens})
            for tokens in (completion, seeds * config.max_tokens)
        )
        found += f", about ${about:,.2f} (at most ${most:,.2f})"
    return f"{found}; an estimate: replies as long as the released records, {_BYTES_OF_A_TOKEN} bytes a token"


def of_evol_instruct(config: Teacher, records: int, max_tokens: int) -> str:
    """One line, as of OSS-Instruct; at the most alone, since nobody has published this teacher's replies."""
    tokens = 2 * records * max_tokens
    found = f"asks {2 * records:,} times: at most {_rounded(tokens)} completion tokens"
    if config.cost is not None:
        found += f", at most ${dollars(config.cost, {'completion_tokens': tokens}):,.2f} for these"
    return found


def _rounded(tokens: int) -> str:
    return f"{tokens / 1e6:.1f} million" if tokens >= 1e6 else f"{round(tokens, -2):,}"
