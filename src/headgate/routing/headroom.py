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
_COUNT: Final = re.compile(rb"\d{1,15}")
_DURATION: Final = re.compile(rb"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9}(?:\.\d*)?)(ms|s))?")
_SECONDS: Final = re.compile(rb"\d{1,9}(?:\.\d*)?")


class Quota:
    """One limit of a provider, as last heard of. Times are monotonic seconds."""

    __slots__ = ("_at", "_left", "_refill", "begun", "limit")

    def __init__(self) -> None:
        """Nothing is known: ``limit`` is 0."""
        self.limit = 0
        """The whole; the most that was ever left where the provider does not say it."""
        self.begun = 0
        """Requests or tokens that began since it was heard of."""
        self._left = 0
        self._at = 0.0
        self._refill = 0.0
        """A second."""

    def hear(self, now: float, left: int, limit: int | None, reset_s: float | None) -> None:
        """Take in what the provider says."""
        self.limit = max(left, self.limit, 1) if limit is None else max(left, limit, 1)
        self._left = left
        self._at = now
        used = self.limit - left
        reset_s = UNSTATED_RESET_S if reset_s is None else reset_s
        # Where nothing is used there is nothing to learn the pace from: a minute for the whole is what is usual.
        self._refill = used / reset_s if used and reset_s > 0 else self.limit / 60
        self.begun = 0

    def left(self, now: float) -> float:
        """Return what is left now; below zero where more began than there was."""
        left = self._left - self.begun + self._refill * (now - self._at)
        return left if left < self.limit else float(self.limit)

    def wait_s(self, now: float) -> float:
        """Return the seconds until one is left again; 0 where one is."""
        return max(0.0, (1 - self.left(now)) / self._refill)


class Headroom:
    """The requests and tokens that a provider says are left for one deployment."""

    __slots__ = ("requests", "tokens")

    def __init__(self) -> None:
        """Nothing is known."""
        self.requests: Quota | None = None
        self.tokens: Quota | None = None

    def learn(self, headers: Sequence[tuple[bytes, bytes]], now: float) -> bool:
        """Take in the header fields of an answer, their names in lower case; return whether any was of a limit."""
        said: list[list[bytes | None]] | None = None
        for name, value in headers:
            field = _FIELDS.get(name)
            if field is not None:
                if said is None:
                    said = [[None] * 3 for _ in range(3)]
                said[field[0]][field[1]] = value
        if said is None:
            return False
        date = next((value for name, value in headers if name == b"date"), None)
        requests = _read(said[_REQUESTS], date)
        if requests is not None:
            self.requests = self.requests or Quota()
            self.requests.hear(now, *requests)
        found = [each for each in (_read(said[_TOKENS], date), _read(said[_INPUT_TOKENS], date)) if each is not None]
        if found:
            self.tokens = self.tokens or Quota()
            self.tokens.hear(now, *min(found, key=_left_of))
        return True

    def begin(self, tokens: int) -> None:
        """A request begins."""
        if self.requests is not None:
            self.requests.begun += 1
        if self.tokens is not None:
            self.tokens.begun += tokens

    def is_exhausted(self, now: float) -> bool:
        """Whether no request, or no token, is left."""
        requests, tokens = self.requests, self.tokens
        return (requests is not None and requests.left(now) < 1) or (tokens is not None and tokens.left(now) < 1)

    def wait_s(self, now: float) -> float:
        """Return the seconds until something is left."""
        return max(quota.wait_s(now) if quota is not None else 0.0 for quota in (self.requests, self.tokens))


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


def _read(said: list[bytes | None], date: bytes | None) -> tuple[int, int | None, float | None] | None:
    """Return what is left, the limit and the seconds until reset; ``None`` where the provider does not say what is."""
    left = _count(said[_LEFT])
    if left is None:
        return None
    reset = said[_RESET]
    if reset is None:
        reset_s = None
    elif b"T" in reset:
        reset_s = None if date is None else _until(reset, date)
    else:
        reset_s = parse_duration(reset)
    return left, _count(said[_LIMIT]), reset_s


def _left_of(quota: tuple[int, int | None, float | None]) -> int:
    return quota[0]


def _count(text: bytes | None) -> int | None:
    if text is None:
        return None
    text = text.strip()
    return int(text) if _COUNT.fullmatch(text) else None


@lru_cache(maxsize=64)
def _until(reset: bytes, date: bytes) -> float | None:
    """Return the seconds from the answer's own ``date`` to a moment in RFC 3339: our clock may differ from theirs."""
    try:
        end = datetime.fromisoformat(reset.decode("ascii").strip())
        begin = email.utils.parsedate_to_datetime(date.decode("ascii"))
    except ValueError:
        return None
    if end.tzinfo is None or begin.tzinfo is None:
        return None
    return min(max(0.0, (end - begin).total_seconds()), LONGEST_RESET_S)
