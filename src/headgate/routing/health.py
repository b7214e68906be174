"""How every deployment is doing: what decides whether a request may go there, and what strategies rank it by.

One event loop owns the book. All times are monotonic seconds, as the caller reads them.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Final
from weakref import WeakValueDictionary

from msgspec import Struct

from headgate.catalog.cost import rates_for
from headgate.domain.catalog import Rates
from headgate.domain.money import NANO_PER_USD, TOKENS_PER_RATE
from headgate.domain.routing import Considered, FailureClass, RoutingNote
from headgate.routing.breaker import Breaker, BreakerState
from headgate.routing.counts import SlidingCounts
from headgate.routing.headroom import Headroom
from headgate.routing.learned import Learned, OutputLength
from headgate.routing.retry import RetryBudget
from headgate.routing.table import Deployment, Route

DEAD_CREDENTIAL_S: Final = 300.0
"""How long a credential that is refused, or whose account is empty, is left alone, with all its models."""
UNKNOWN_MODEL_S: Final = 30.0
SHORTEST_COOLING_S: Final = 1.0
LONGEST_COOLING_S: Final = 300.0
LONGEST_UNSTATED_COOLING_S: Final = 30.0
"""Where a provider that has no more room does not say for how long: 1 s, doubling up to this."""
ASSUMED_RPM: Final = 1000
"""What a provider is taken to grant where no limit of it is known."""
DEPLOYMENTS: Final = 4096
"""So many are remembered; clients name them through ``provider/model``."""
ROUTES: Final = 4096
_FORGOTTEN_AT_ONCE: Final = DEPLOYMENTS // 8
_PER_USD: Final = NANO_PER_USD * TOKENS_PER_RATE
_NEVER: Final = -inf

RatesUsd = tuple[float, float, float, float]
"""USD of a request (0, or infinite where no price is known), of an input token, what is off for a cached one, and of an
output token. Floats, for decisions alone: what is booked is made of the price itself."""

BREAKER_OPEN: Final = "breaker_open"
PROBING: Final = "probing"
COOLING: Final = "cooling"
CREDENTIAL_REFUSED: Final = "credential_refused"
QUOTA: Final = "quota"
MODEL_UNKNOWN: Final = "model_unknown"
NO_HEADROOM: Final = "no_headroom"
SLOW: Final = "slow"
"""A failure of ours to name: an answer whose first event came far later than is usual there."""

_BREAKER_FAILURES: Final = frozenset(
    {FailureClass.OVERLOAD, FailureClass.TRANSPORT, FailureClass.MALFORMED, FailureClass.STALL}
)
_CLOSED: Final = BreakerState.CLOSED


class Account:
    """A credential of a provider, over all its models."""

    __slots__ = ("since", "until", "why")

    def __init__(self) -> None:
        """In order."""
        self.until = 0.0
        """Until when it is left alone."""
        self.since = 0.0
        self.why: str = CREDENTIAL_REFUSED


class HealthView(Struct, frozen=True):
    """How one deployment is doing, for people."""

    name: str
    state: str
    """``closed``, ``open``, ``half_open``, ``cooling`` or ``benched``."""
    reason: str | None
    """What failed last, as a `FailureClass` or ``slow``; kept after it has recovered."""
    until_s: float | None
    """Seconds until it is tried again; ``None`` where it may be tried now."""
    successes: int
    """Within the breaker's window."""
    failures: int
    first_event_ms: float | None
    tokens_per_s: float | None
    in_flight: int
    rpm_left: int | None
    """``None``: no limit is known."""
    tpm_left: int | None
    consecutive_failures: int
    last_failure_age_s: float | None


Healths = Callable[[Sequence[Deployment]], tuple[HealthView, ...]]
"""Tells how deployments are doing; safe from any thread."""


class Health:
    """How one deployment is doing.

    Every attempt begins once and ends once. ``began`` is the time that was given to `begin`: with it, the end of an
    attempt that was under way when the breaker opened does not count as that of a probe.
    """

    __slots__ = (
        "_cooled_times",
        "_cooling_until",
        "_draw",
        "_last_failure_at",
        "_retries",
        "_unknown_until",
        "account",
        "begun_at",
        "breaker",
        "headroom",
        "in_flight",
        "learned",
        "length",
        "minute",
        "name",
        "reason",
    )

    def __init__(self, name: str, account: Account, length: OutputLength, draw: Callable[[], float]) -> None:
        """Nothing is known of it: it may be tried."""
        self.name = name
        self.account = account
        self.length = length
        self.breaker = Breaker(draw)
        self.learned = Learned()
        self.headroom = Headroom()
        self.in_flight = 0
        self.begun_at = _NEVER
        """When the newest attempt began."""
        self.reason: str | None = None
        self._draw = draw
        self.minute = SlidingCounts(5.0, 12)
        """Requests that began, and the tokens of their input and of answers, as of when somebody last looked."""
        self._retries = RetryBudget()
        self._cooling_until = 0.0
        self._cooled_times = 0
        self._unknown_until = 0.0
        self._last_failure_at: float | None = None

    @property
    def first_event_p50_s(self) -> float | None:
        """The median time until the first event; ``None`` before there is a history."""
        return self.learned.p50_s()

    def why_not(self, now: float, rpm: int | None = None, tpm: int | None = None) -> str | None:
        """Return why no attempt may begin, as a short stable word; ``None`` where one may.

        ``rpm`` and ``tpm`` are what the configuration says is granted a minute; the provider's own word holds too.
        """
        account = self.account
        if account.until > now:
            return account.why
        if self._unknown_until > now:
            return MODEL_UNKNOWN
        if self._cooling_until > now:
            return COOLING
        breaker = self.breaker
        if breaker.state is not _CLOSED and not breaker.admits(now):
            return PROBING if breaker.state is BreakerState.HALF_OPEN else BREAKER_OPEN
        headroom = self.headroom
        if headroom.is_tight and headroom.is_exhausted(now):
            return NO_HEADROOM
        if rpm is None and tpm is None:
            return None
        minute = self.minute
        if (rpm is not None and minute.first >= rpm) or (tpm is not None and minute.second >= tpm):
            # Only now, for a minute only ever forgets.
            minute.advance(now)
            if (rpm is not None and minute.first >= rpm) or (tpm is not None and minute.second >= tpm):
                return NO_HEADROOM
        return None

    def wait_s(self, now: float) -> float:
        """Return about how many seconds pass until an attempt may begin, if nothing else happens."""
        until = self._barred_until
        if self.breaker.state is BreakerState.OPEN:
            until = max(until, self.breaker.until)
        return max(0.0, until - now, self.headroom.wait_s(now))

    def is_probe_due(self, now: float) -> bool:
        """Whether its open breaker alone keeps it back, and it was not probed for a second, a silent one for five."""
        return self.breaker.is_probe_due(now) and self._barred_until <= now

    def refuses_s(self, now: float) -> float | None:
        """Return after how many seconds an attempt is worth making again, where now it would only wait with others.

        ``None`` where it may be made although it is not available, if nothing else is left.
        """
        refuses_s = self.breaker.refuses_s(now)
        return None if refuses_s is None else max(refuses_s, self._barred_until - now)

    def heard(self) -> None:
        """The first content of an attempt has come."""
        self.breaker.heard()

    def begin(self, now: float, tokens: int, *, is_retry: bool = False) -> None:
        """An attempt begins with so many ``tokens`` of input, as an estimate; a retry earns no further ones."""
        self.in_flight += 1
        self.begun_at = now
        self.minute.add(now, 1, tokens)
        if not is_retry:
            self._retries.earn()
        self.headroom.begin(tokens)
        if self.breaker.state is not _CLOSED:
            self.breaker.begin(now)

    def succeeded(
        self,
        now: float,
        *,
        first_event_s: float | None,
        duration_s: float,
        output_tokens: int,
        input_tokens: int,
        cached_input_tokens: int,
        began: float | None = None,
    ) -> None:
        """An attempt ended well. ``first_event_s`` is ``None`` for an answer that came whole."""
        began = now - duration_s if began is None else began
        self._end()
        learned = self.learned
        is_slow = first_event_s is not None and learned.is_slow(first_event_s)
        learned.learn_time(now, first_event_s, duration_s, output_tokens)
        if input_tokens > 0 or output_tokens > 0:
            # Of a request only the input was counted when it began: nobody knew the rest.
            self.minute.add(now, 0, output_tokens)
            learned.learn_tokens(input_tokens, cached_input_tokens, output_tokens)
            self.length.learn(output_tokens)
        if is_slow:
            self._note_failure(now, SLOW)
            self.breaker.fail(now, began)
        else:
            self.breaker.succeed(now, began)
        # What began while it was benched and went well says that the bench was wrong, or is over.
        if self.account.until and began >= self.account.since:
            self.account.until = 0.0
        if self._cooled_times and began >= self._cooling_until:
            self._cooled_times = 0

    def failed(
        self,
        now: float,
        failure: FailureClass,
        *,
        retry_after_s: float | None = None,
        began: float | None = None,
        heard: bool = False,
    ) -> None:
        """An attempt failed, or ``heard`` content first. Classes that are the caller's own doing are neutral."""
        self._end()
        if failure in _BREAKER_FAILURES:
            self._note_failure(now, failure.value)
            self.breaker.fail(now, began, heard=heard)
            return
        self.breaker.neutral(began)
        if failure is not FailureClass.DEADLINE:
            self.breaker.heard()  # Each of the others is an answer.
        if failure is FailureClass.RATE:
            self._note_failure(now, failure.value)
            self._cool(now, retry_after_s)
        elif failure is FailureClass.NOT_FOUND:
            self._note_failure(now, failure.value)
            self._unknown_until = now + UNKNOWN_MODEL_S
        elif failure is FailureClass.AUTH or failure is FailureClass.QUOTA:
            self._note_failure(now, failure.value)
            account = self.account
            account.since, account.until = now, now + DEAD_CREDENTIAL_S
            account.why = QUOTA if failure is FailureClass.QUOTA else CREDENTIAL_REFUSED

    def neutral(self, now: float, *, began: float | None = None) -> None:
        """An attempt ended in a way that says nothing about the provider: cancelled, or the caller's own fault."""
        self._end()
        self.breaker.neutral(began)

    def learn_headers(self, headers: Sequence[tuple[bytes, bytes]], now: float) -> None:
        """Take in what the head of an answer says of the provider's rate limits; names are in lower case."""
        self.headroom.learn(headers, now)

    def may_retry(self, now: float) -> bool:
        """Take one of the retries that this deployment has left; false where it has none."""
        self.minute.advance(now)
        return self._retries.take(now, self.minute.first / 60)

    def view(self, deployment: Deployment, now: float) -> HealthView:
        """Return how it is doing, for people."""
        breaker, learned = self.breaker, self.learned
        state: str = breaker.state.value
        if breaker.state is BreakerState.OPEN and now >= breaker.until:
            state = BreakerState.HALF_OPEN.value
        if max(self.account.until, self._unknown_until) > now:
            state = "benched"
        elif self._cooling_until > now:
            state = "cooling"
        wait_s = self.wait_s(now)
        successes, failures = breaker.outcomes(now)
        minute, headroom = self.minute, self.headroom
        minute.advance(now)
        requests = None if headroom.requests is None else headroom.requests.left(now)
        tokens = None if headroom.tokens is None else headroom.tokens.left(now)
        return HealthView(
            name=self.name,
            state=state,
            reason=self.reason,
            until_s=wait_s or None,
            successes=successes,
            failures=failures,
            first_event_ms=learned.first_event_s * 1000 or None,
            tokens_per_s=1 / learned.token_s if learned.token_s else None,
            in_flight=self.in_flight,
            rpm_left=_least_left(requests, deployment.rpm, minute.first),
            tpm_left=_least_left(tokens, deployment.tpm, minute.second),
            consecutive_failures=breaker.consecutive,
            last_failure_age_s=None if self._last_failure_at is None else now - self._last_failure_at,
        )

    @property
    def _barred_until(self) -> float:
        """Until when it is left alone whatever its breaker says."""
        return max(self.account.until, self._unknown_until, self._cooling_until)

    def _end(self) -> None:
        if self.in_flight:
            self.in_flight -= 1

    def _note_failure(self, now: float, reason: str) -> None:
        self.reason = reason
        self._last_failure_at = now

    def _cool(self, now: float, retry_after_s: float | None) -> None:
        if retry_after_s is not None:
            wait_s = min(max(retry_after_s, SHORTEST_COOLING_S), LONGEST_COOLING_S)
            self._cooling_until = max(self._cooling_until, now + wait_s)
        elif now >= self._cooling_until:
            # Only then: the others of one burst are refused by the same lack of room.
            wait_s = min(SHORTEST_COOLING_S * 2**self._cooled_times, LONGEST_UNSTATED_COOLING_S)
            self._cooled_times = min(self._cooled_times + 1, 10)
            self._cooling_until = now + wait_s


class Seat:
    """A deployment of a route, beside its health, laid out for a decision that looks at many in microseconds."""

    __slots__ = (
        "deployment",
        "headroom",
        "health",
        "is_limited",
        "learned",
        "lightness",
        "minute",
        "name",
        "rates",
        "rpm",
        "tpm",
    )

    def __init__(self, deployment: Deployment, health: Health) -> None:
        """Take the ``deployment`` as this route describes it; its health is shared with other routes."""
        self.deployment = deployment
        self.health = health
        self.name = health.name
        self.learned = health.learned
        self.headroom = health.headroom
        self.minute = health.minute
        self.rpm = deployment.rpm
        self.tpm = deployment.tpm
        self.lightness = 1 / max(1, deployment.weight)
        self.is_limited = self.rpm is not None or self.tpm is not None
        price = deployment.price
        self.rates = None if price is not None and price.tiers else _rates(None if price is None else price.rates)
        """``None`` where they depend on the length of the input: then `rates_for` has them."""

    def rates_for(self, input_tokens: int) -> RatesUsd:
        """Return the rates of the tier that so much input reaches."""
        price = self.deployment.price
        return _rates(None if price is None else rates_for(price, input_tokens))

    def used_share(self, now: float, tokens: float) -> float:
        """Return the share of what the configuration grants a minute that would be in use with so many ``tokens`` more.

        Where it grants nothing in particular, `ASSUMED_RPM` stands for it.
        """
        minute, rpm, tpm = self.minute, self.rpm, self.tpm
        if now >= minute.ends_at:
            minute.advance(now)
        if tpm is None:
            return (minute.first + 1) / (rpm or ASSUMED_RPM)
        used = (minute.second + tokens) / tpm
        return used if rpm is None else max(used, (minute.first + 1) / rpm)


class LineUp:
    """A route as a decision looks at it."""

    __slots__ = ("has_priorities", "note", "route", "seats", "single")

    def __init__(self, route: Route, healths: Sequence[Health]) -> None:
        """Seat the deployments of ``route``, each with its health, by rising priority."""
        seats = [Seat(deployment, health) for deployment, health in zip(route.deployments, healths, strict=True)]
        self.route = route
        self.seats = tuple(sorted(seats, key=lambda seat: seat.deployment.priority))
        self.has_priorities = len({seat.deployment.priority for seat in seats}) > 1
        self.single = self.seats[0] if len(seats) == 1 else None
        self.note = RoutingNote(route.strategy.value, tuple(Considered(seat.name) for seat in self.seats))
        """What is said of a decision between one deployment and nothing."""


class HealthBook:
    """The health of every deployment, by name. Those that were not used for the longest time are forgotten first."""

    def __init__(self, *, draw: Callable[[], float]) -> None:
        """Nothing is known yet. ``draw`` gives uniform numbers of [0, 1)."""
        self.draw: Final = draw
        self._healths: dict[str, Health] = {}
        self._accounts: dict[tuple[str, str], Account] = {}
        """Of providers and credentials, which only the configuration names."""
        self._lengths: WeakValueDictionary[str, OutputLength] = WeakValueDictionary()
        """By upstream model, for as long as a deployment of it is remembered."""
        self._lines: dict[int, LineUp] = {}
        """By the identity of the route, which each holds, so that it cannot become another's."""

    def __len__(self) -> int:
        """How many deployments are remembered."""
        return len(self._healths)

    def of(self, deployment: Deployment) -> Health:
        """Return the health of a deployment; it is made where it is asked for the first time."""
        name = deployment.name
        health = self._healths.get(name)
        return self._make(name, deployment) if health is None else health

    def line_up(self, route: Route) -> LineUp:
        """Return the deployments of a route with their health, as `plan` looks at them."""
        line = self._lines.get(id(route))
        if line is None:
            if len(self._lines) >= ROUTES:
                self._lines.clear()
            # First, for what is forgotten must not be one of its own.
            if len(self._healths) + len(route.deployments) > DEPLOYMENTS:
                self._forget()
            healths = [self.of(deployment) for deployment in route.deployments]
            line = self._lines[id(route)] = LineUp(route, healths)
        return line

    def views(self, deployments: Sequence[Deployment], now: float) -> tuple[HealthView, ...]:
        """Return how each of the deployments is doing, without remembering those that nobody has used."""
        views: list[HealthView] = []
        for deployment in deployments:
            health = self._healths.get(deployment.name)
            if health is None:
                account = self._accounts.get((deployment.provider, deployment.credential)) or Account()
                health = Health(deployment.name, account, OutputLength(), self.draw)
            views.append(health.view(deployment, now))
        return tuple(views)

    def _make(self, name: str, deployment: Deployment) -> Health:
        if len(self._healths) >= DEPLOYMENTS:
            self._forget()
        account = self._accounts.setdefault((deployment.provider, deployment.credential), Account())
        length = self._lengths.get(deployment.upstream_model)
        if length is None:
            length = self._lengths[deployment.upstream_model] = OutputLength()
        health = self._healths[name] = Health(name, account, length, self.draw)
        return health

    def _forget(self) -> None:
        """Forget the deployments that were unused for the longest time; those in use only where nothing else is left.

        Many at once, so that a client that goes on inventing names pays for it rarely.
        """
        by_use = sorted(self._healths.values(), key=lambda health: (health.in_flight > 0, health.begun_at))
        for health in by_use[:_FORGOTTEN_AT_ONCE]:
            del self._healths[health.name]
        self._lines.clear()


def _rates(rates: Rates | None) -> RatesUsd:
    if rates is None:
        return inf, 0.0, 0.0, 0.0
    cached_input = rates.input if rates.cached_input is None else rates.cached_input
    return 0.0, rates.input / _PER_USD, (rates.input - cached_input) / _PER_USD, rates.output / _PER_USD


def _least_left(learned: float | None, granted: int | None, used: int) -> int | None:
    left = [learned] if learned is not None else []
    if granted is not None:
        left.append(float(granted - used))
    return max(0, int(min(left))) if left else None
