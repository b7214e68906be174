"""What is left of a caller's rate limits, in the header fields that its SDK knows.

Sources: OpenAI, "Rate limits" ("Rate limits in headers": ``x-ratelimit-…``, durations as ``6m0s``);
platform.claude.com, "Rate limits" ("Response headers": ``anthropic-ratelimit-…``, resets in RFC 3339).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

REQUESTS: Final = "requests"
TOKENS: Final = "tokens"
_OPENAI_NAMES: Final = {
    REQUESTS: (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    TOKENS: (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}


class RateState(Struct, frozen=True, gc=False):
    """The tightest window of one kind."""

    kind: str
    """`REQUESTS` or `TOKENS`."""
    limit: int
    remaining: int
    resets_in_ms: int
    """Until the window is empty again, if nothing else is admitted."""


Field = tuple[bytes, bytes]


def openai_rate_headers(rates: Sequence[RateState], now_ms: int) -> list[Field]:
    """Return the fields that OpenAI's clients read; ``now_ms`` is not needed, for resets are durations."""
    fields: list[Field] = []
    for rate in rates:
        limit, remaining, reset = _OPENAI_NAMES[rate.kind]
        fields.append((limit, b"%d" % rate.limit))
        fields.append((remaining, b"%d" % rate.remaining))
        fields.append((reset, format_duration(rate.resets_in_ms)))
    return fields


def anthropic_rate_headers(rates: Sequence[RateState], now_ms: int) -> list[Field]:
    """Return the fields that Anthropic's clients read; ``now_ms`` is the wall clock, ms since the epoch."""
    fields: list[Field] = []
    for rate in rates:
        prefix = b"anthropic-ratelimit-" + rate.kind.encode()
        fields.append((prefix + b"-limit", b"%d" % rate.limit))
        fields.append((prefix + b"-remaining", b"%d" % rate.remaining))
        # Whole seconds, rounded up: a client that comes back then does not come too early.
        at = datetime.fromtimestamp(-(-(now_ms + rate.resets_in_ms) // 1000), UTC)
        fields.append((prefix + b"-reset", at.strftime("%Y-%m-%dT%H:%M:%SZ").encode()))
    return fields


def format_duration(ms: int) -> bytes:
    """Return a duration as OpenAI writes it: ``20ms``, ``1s``, ``6m0s``, ``1h0m0s``; seconds are rounded up."""
    if ms < 1000:
        return b"%dms" % max(0, ms)
    seconds = -(-ms // 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, seconds)
    return b"%dm%ds" % (minutes, seconds) if minutes else b"%ds" % seconds
