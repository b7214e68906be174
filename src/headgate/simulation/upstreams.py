"""The providers of a simulation: how each answers a try, from its deployment's profile.

A request that waits until its deployment has room is not modelled: what exceeds a limit is refused at once, with the
seconds until it would fit, as providers do.
"""

from collections import defaultdict
from typing import Final

from msgspec import Struct

from headgate.domain.routing import FailureClass
from headgate.routing.table import Deployment
from headgate.simulation.draws import Draws
from headgate.simulation.profile import ProfileBook
from headgate.simulation.trace import Profile, TraceRow

REFUSAL_S: Final = 0.1
"""How long a provider takes to refuse what it never begins."""
OVERLOAD_S: Final = 1.0
"""How long it takes to fail."""
CACHE_S: Final = 300.0
"""How long a provider's prefix cache keeps a session."""


class Answer(Struct, frozen=True):
    """How one try goes. Times are seconds since it began."""

    first_event_s: float
    duration_s: float
    failure: FailureClass | None = None
    retry_after_s: float | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """What it says of its limits."""


class _Bucket:
    """A limit a minute that refills steadily."""

    __slots__ = ("_at", "_left", "_limit")

    def __init__(self, limit: int, now: float) -> None:
        self._limit = limit
        self._left = float(limit)
        self._at = now

    def wait_s(self, amount: int, now: float) -> float:
        """Return the seconds until ``amount`` fits, the whole limit where it never does."""
        self._left = min(float(self._limit), self._left + (now - self._at) * self._limit / 60)
        self._at = now
        return max(0.0, (min(amount, self._limit) - self._left) * 60 / self._limit)

    def take(self, amount: int) -> None:
        self._left -= amount

    def said(self, noun: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Return OpenAI's three header fields."""
        reset_s = (self._limit - self._left) * 60 / self._limit
        return (
            (b"x-ratelimit-limit-" + noun, b"%d" % self._limit),
            (b"x-ratelimit-remaining-" + noun, b"%d" % max(0, int(self._left))),
            (b"x-ratelimit-reset-" + noun, b"%.3fs" % reset_s),
        )


class Upstreams:
    """Every provider at once, as one replay finds them; the next one begins with new ones."""

    def __init__(self, profiles: ProfileBook, seed: int, start_ms: int) -> None:
        """Nothing is in flight. ``start_ms`` is the trace's time at second 0."""
        self._profiles: Final = profiles
        self._seed: Final = seed
        self._start_ms: Final = start_ms
        self._in_flight: Final[defaultdict[str, int]] = defaultdict(int)
        self._buckets: Final[dict[tuple[str, bytes], _Bucket]] = {}
        self._sessions: Final[dict[tuple[str, str], float]] = {}

    def begin(self, row: TraceRow, deployment: Deployment, attempt: int, now: float) -> Answer:
        """A try begins; return how it goes. `end` has to follow it."""
        name = deployment.name
        profile = self._profiles.of(deployment).profile
        self._in_flight[name] += 1
        window = deployment.capabilities.context_window
        if window is not None and row.input_tokens + row.output_tokens > window:
            return Answer(REFUSAL_S, REFUSAL_S, FailureClass.CONTEXT_LENGTH)
        wait_s, headers = self._admit(row, name, profile, now)
        if wait_s:
            return Answer(REFUSAL_S, REFUSAL_S, FailureClass.RATE, wait_s, headers)
        draw = Draws(self._seed, row.id, name, attempt)
        failures, slowdown = profile.failures, 1.0
        at_ms = self._start_ms + now * 1000
        for outage in profile.outages:
            if outage.from_ms <= at_ms < outage.to_ms:
                failures, slowdown = max(failures, outage.failures), max(slowdown, outage.slowdown)
        if draw() < failures:
            return Answer(OVERLOAD_S, OVERLOAD_S, FailureClass.OVERLOAD, None, headers)
        if profile.concurrency is not None:
            slowdown *= 1 + (self._in_flight[name] - 1) / profile.concurrency
        first_event_s = draw.lognormal(profile.first_event_ms / 1000, profile.spread) * slowdown
        token_s = draw.lognormal(1 / profile.tokens_per_s, profile.spread) * slowdown
        return Answer(first_event_s, first_event_s + token_s * row.output_tokens, None, None, headers)

    def end(self, row: TraceRow, deployment: Deployment, answer: Answer, now: float) -> int:
        """A try is over; return how many input tokens were read from the deployment's prefix cache."""
        name = deployment.name
        self._in_flight[name] -= 1
        if answer.failure is not None:
            return 0
        if row.session is None:
            return row.cached_input_tokens
        last = self._sessions.get((name, row.session))
        self._sessions[name, row.session] = now
        return row.cached_input_tokens if last is not None and now - last <= CACHE_S + answer.duration_s else 0

    def _admit(
        self, row: TraceRow, name: str, profile: Profile, now: float
    ) -> tuple[float, tuple[tuple[bytes, bytes], ...]]:
        """Return for how long a limit refuses the request, 0 where none does, and what the provider says of them."""
        limits = ((b"requests", profile.rpm, 1), (b"tokens", profile.tpm, row.input_tokens + row.output_tokens))
        found: list[tuple[bytes, _Bucket, int]] = []
        for noun, limit, amount in limits:
            if limit is not None:
                bucket = self._buckets.get((name, noun))
                if bucket is None:
                    bucket = self._buckets[name, noun] = _Bucket(limit, now)
                found.append((noun, bucket, amount))
        if not found:
            return 0.0, ()
        wait_s = max(bucket.wait_s(amount, now) for _, bucket, amount in found)
        if not wait_s:
            for _, bucket, amount in found:
                bucket.take(amount)
        return wait_s, tuple(field for noun, bucket, _ in found for field in bucket.said(noun))
