"""What is left of a provider's rate limits, as its header fields say.

Providers refill their limits steadily, and their ``reset`` is when all would be there again. So what is left rises
along a line from what was said to the whole; what began since then is taken off.

Sources: OpenAI, "Rate limits" ("Rate limits in headers"); platform.claude.com, "Rate limits" ("Response headers": the
``tokens`` fields are of the most restrictive limit in effect); console.groq.com, "Rate Limits" (durations such as
``2m59.56s``). Azure OpenAI may send what remains and nothing else, and its requests are of ten seconds.
"""

import email.utils
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final

UNSTATED_RESET_S: Final = 10.0
"""Where a provider does not say when all is there again. Short: a deployment should not be spared for a misreading."""
LONGEST_RESET_S: Final = 86_400.0
BELIEVED_S: Final = 300.0
"""What a provider said is believed for so long: one that is spared says nothing new, and would be spared for ever."""

_REQUESTS, _TOKENS, _INPUT_TOKENS = range(3)
_LEFT, _LIMIT, _RESET = range(3)
# One look-up per header field of every answer, so the table is by whole names.
_FIELDS: Final[Mapping[bytes, tuple[int, int]]] = MappingProxyType(
    {
        b"x-ratelimit-remaining-requests": (_REQUESTS, _LEFT),
        b"x-ratelimit-limit-requests": (_REQUESTS, _LIMIT),
        b"x-ratelimit-reset-requests": (_REQUESTS, _RESET),
        b"x-ratelimit-remaining-tokens": (_TOKENS, _LEFT),
        b"x-ratelimit-limit-tokens": (_TOKENS, _LIMIT),
        b"x-ratelimit-reset-tokens": (_TOKENS, _RESET),
        b"anthropic-ratelimit-requests-remaining": (_REQUESTS, _LEFT),
        b"anthropic-ratelimit-requests-limit": (_REQUESTS, _LIMIT),
        b"anthropic-ratelimit-requests-reset": (_REQUESTS, _RESET),
        b"anthropic-ratelimit-tokens-remaining": (_TOKENS, _LEFT),
        b"anthropic-ratelimit-tokens-limit": (_TOKENS, _LIMIT),
        b"anthropic-ratelimit-tokens-reset": (_TOKENS, _RESET),
        b"anthropic-ratelimit-input-tokens-remaining": (_INPUT_TOKENS, _LEFT),
        b"anthropic-ratelimit-input-tokens-limit": (_INPUT_TOKENS, _LIMIT),
        b"anthropic-ratelimit-input-tokens-reset": (_INPUT_TOKENS, _RESET),
    }
)
_LONGEST_COUNT: Final = 15
_DURATION: Final = re.compile(rb"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9}(?:\.\d*)?)(ms|s))?")
_SECONDS: Final = re.compile(rb"\d{1,9}(?:\.\d*)?")

Fields = Sequence[tuple[bytes, bytes]]
Said = list[bytes | None]
"""What remains, the limit and the reset of one kind."""


class Quota:
    """One limit of a provider, as last heard of. Times are monotonic seconds."""

    __slots__ = ("at", "least", "limit", "pace", "unit", "whole_at")

    def __init__(self, now: float, left: int, limit: int | None, reset_s: float | None) -> None:
        """Take in what the provider says for the first time; see `hear`."""
        self.limit = 0
        self.hear(now, left, limit, reset_s)

    def hear(self, now: float, left: int, limit: int | None, reset_s: float | None) -> None:
        """Take in what the provider says. Without a ``limit``, the most that was ever left stands for the whole."""
        self.limit = max(left, self.limit, 1) if limit is None else max(left, limit, 1)
        self.unit = 1 / self.limit
        """The share of the whole that one is."""
        self.at = now
        self.least = left
        """What was left when it was heard of, less what began since: it is never less than that."""
        used = self.limit - left
        reset_s = UNSTATED_RESET_S if reset_s is None else reset_s
        # Where nothing is used there is nothing to learn the pace from: a minute for the whole is what is usual.
        self.pace = used / reset_s if used and reset_s > 0 else self.limit / 60
        """How many come back in a second."""
        self.take(0)

    def take(self, amount: int) -> None:
        """So many begin."""
        self.least -= amount
        self.whole_at = self.at + min(BELIEVED_S, (self.limit - self.least) / self.pace)
        """When all is there again."""

    def left(self, now: float) -> float:
        """Return what is left now; below zero where more began than there was."""
        return float(self.limit) if now >= self.whole_at else self.least + self.pace * (now - self.at)

    def wait_s(self, now: float) -> float:
        """Return the seconds until one is left again; 0 where one is."""
        if now >= self.whole_at:
            return 0.0
        return max(0.0, min((1 - self.left(now)) / self.pace, self.whole_at - now))


class Headroom:
    """The requests and tokens that a provider says are left for one deployment."""

    __slots__ = ("is_known", "is_tight", "requests", "tokens")

    def __init__(self) -> None:
        """Nothing is known."""
        self.is_known = False
        self.is_tight = False
        """It may be exhausted: what is not tight need not be asked."""
        self.requests: Quota | None = None
        self.tokens: Quota | None = None

    def learn(self, headers: Fields, now: float) -> bool:
        """Take in the header fields of an answer, their names in lower case; return whether any was of a limit."""
        said: tuple[Said, Said, Said] | None = None
        for name, value in headers:
            field = _FIELDS.get(name)
            if field is not None:
                if said is None:
                    said = [None] * 3, [None] * 3, [None] * 3
                said[field[0]][field[1]] = value
        if said is None:
            return False
        requests = _read(said[_REQUESTS], headers)
        if requests is not None:
            if self.requests is None:
                self.requests = Quota(now, *requests)
            else:
                self.requests.hear(now, *requests)
        tokens, of_input = _read(said[_TOKENS], headers), _read(said[_INPUT_TOKENS], headers)
        if tokens is None or (of_input is not None and of_input[0] < tokens[0]):
            tokens = of_input
        if tokens is not None:
            if self.tokens is None:
                self.tokens = Quota(now, *tokens)
            else:
                self.tokens.hear(now, *tokens)
        self._judge()
        return True

    def begin(self, tokens: int) -> None:
        """A request begins."""
        if self.requests is not None:
            self.requests.take(1)
        if self.tokens is not None:
            self.tokens.take(tokens)
        self._judge()

    def used_share(self, now: float, tokens: float) -> float:
        """Return the fuller share that would be in use with one more request of so many ``tokens``; above 1: too many.

        Called for every candidate of a decision, so both limits are worked out in place.
        """
        share = 0.0
        quota = self.requests
        if quota is not None:
            left = quota.limit if now >= quota.whole_at else quota.least + quota.pace * (now - quota.at)
            share = 1 - (left - 1) * quota.unit
        quota = self.tokens
        if quota is not None:
            left = quota.limit if now >= quota.whole_at else quota.least + quota.pace * (now - quota.at)
            used = 1 - (left - tokens) * quota.unit
            if used > share:
                return used
        return share

    def is_exhausted(self, now: float) -> bool:
        """Whether no request, or no token, is left."""
        requests, tokens = self.requests, self.tokens
        return (requests is not None and requests.left(now) < 1) or (tokens is not None and tokens.left(now) < 1)

    def wait_s(self, now: float) -> float:
        """Return the seconds until something is left."""
        return max(quota.wait_s(now) if quota is not None else 0.0 for quota in (self.requests, self.tokens))

    def _judge(self) -> None:
        requests, tokens = self.requests, self.tokens
        self.is_known = requests is not None or tokens is not None
        self.is_tight = (requests is not None and requests.least < 1) or (tokens is not None and tokens.least < 1)


@lru_cache(maxsize=1024)
def parse_duration(text: bytes) -> float | None:
    """Return the seconds of ``6m0s``, ``12ms``, ``2m59.56s``, ``1d2h``, or of plain seconds; ``None`` if unreadable."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
        # Some send the time of day as seconds since the epoch, which is no duration.
        return min(seconds, LONGEST_RESET_S) if seconds < 1e9 / 2 else None
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    days, hours, minutes, amount, unit = match.groups()
    seconds = int(days or 0) * 86_400.0 + int(hours or 0) * 3600.0 + int(minutes or 0) * 60.0
    if amount is not None:
        seconds += float(amount) / (1000 if unit == b"ms" else 1)
    return min(seconds, LONGEST_RESET_S)


def _read(said: Said, headers: Fields) -> tuple[int, int | None, float | None] | None:
    """Return what is left, the limit and the seconds until reset; ``None`` where the provider does not say what is."""
    left = _count(said[_LEFT])
    if left is None:
        return None
    reset = said[_RESET]
    if reset is None:
        reset_s = None
    elif b"T" in reset:
        date = next((value for name, value in headers if name == b"date"), None)
        reset_s = None if date is None else _until(reset, date)
    else:
        reset_s = parse_duration(reset)
    return left, _count(said[_LIMIT]), reset_s


def _count(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) <= _LONGEST_COUNT else None


@lru_cache(maxsize=64)
def _until(reset: bytes, date: bytes) -> float | None:
    """Return the seconds from the answer's own ``date`` to a moment in RFC 3339: our clock may differ from theirs."""
    try:
        end = datetime.fromisoformat(reset.decode("ascii").strip())
        begin = email.utils.parsedate_to_datetime(date.decode("ascii"))
    except (ValueError, OverflowError):
        return None
    if end.tzinfo is None or begin.tzinfo is None:
        return None
    return min(max(0.0, (end - begin).total_seconds()), LONGEST_RESET_S)
