"""A trace against a policy, on a virtual clock: every request is planned by the gateway's own `plan`.

What a failure leads to follows `pipeline/failover.py`: another deployment of the route, the same one once more, then a
fallback of the route. Keys, budgets, rate limits of our own and time-outs are not part of it.
"""

import heapq
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from headgate.catalog.cost import UnpricedUsageError, cost_of
from headgate.domain.errors import ModelNotFoundError
from headgate.domain.routing import FailureClass
from headgate.domain.usage import TokenUsage
from headgate.pipeline.choose import UPSTREAM_SILENT
from headgate.pipeline.failover import LONGEST_WAIT_S, MOST_ATTEMPTS, MOST_ATTEMPTS_ON_ONE, PASSING
from headgate.routing.health import HealthBook
from headgate.routing.plan import Facts, follow, plan
from headgate.routing.retry import backoff_s
from headgate.routing.table import Deployment, Route
from headgate.simulation.draws import Draws
from headgate.simulation.policy import Policy
from headgate.simulation.profile import ProfileBook
from headgate.simulation.trace import TraceRow
from headgate.simulation.upstreams import Answer, Upstreams

UNPRICED: Final = "unpriced_model"
NOT_FOUND: Final = "model_not_found"


class Fate(StrEnum):
    """What becomes of a request in a simulation."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """Before anything was sent: the model is unknown, or nothing that it leads to has a price."""
    FAILED = "failed"
    """Every try failed."""


class Served(Struct, frozen=True):
    """What became of one request. Times are from its arrival, tries that failed included."""

    row: TraceRow
    fate: Fate
    deployment: str | None
    """The one that answered, or failed last."""
    reason: str | None
    """Why it was refused or failed, as a short stable word."""
    cost_nano_usd: int | None
    """``None``: the price is not known."""
    latency_ms: float
    first_event_ms: float | None
    attempts: int


def replay(
    rows: Sequence[TraceRow],
    policy: Policy,
    profiles: ProfileBook,
    seed: int,
    done: Callable[[int], None] = lambda count: None,
) -> tuple[Served, ...]:
    """Return what becomes of every request of ``rows`` under ``policy``, in their order.

    Args:
        rows: By rising time.
        policy: What decides.
        profiles: How the deployments behave.
        seed: The same one makes the same deployments answer the same requests alike.
        done: Told how many requests have ended, each time one does.
    """
    return _Replay(rows, policy, profiles, seed, done).run()


class _Journey:
    """One request on its way."""

    __slots__ = ("attempts", "facts", "left", "number", "opened", "route", "row", "started", "tries")

    def __init__(self, number: int, row: TraceRow, started: float) -> None:
        self.number = number
        self.row = row
        self.started = started
        self.facts = Facts(
            input_tokens=row.input_tokens,
            max_output_tokens=row.max_output_tokens,
            tags=tuple(row.tags.items()),
            end_user=row.end_user,
            conversation=None if row.session is None else row.session.encode(),
        )
        self.route: Route | None = None
        self.left: list[Deployment] = []
        self.tries: dict[str, int] = {}
        self.attempts = 0
        self.opened = False


_Event = tuple[float, int, Callable[[float], None]]


class _Replay:
    def __init__(
        self,
        rows: Sequence[TraceRow],
        policy: Policy,
        profiles: ProfileBook,
        seed: int,
        done: Callable[[int], None],
    ) -> None:
        start_ms = rows[0].at_ms if rows else 0
        self._rows: Final = rows
        self._start_ms: Final = start_ms
        self._policy: Final = policy
        self._draw: Final = Draws("policy", seed)
        self._book: Final = HealthBook(draw=self._draw)
        self._upstreams: Final = Upstreams(profiles, seed, start_ms)
        self._events: Final[list[_Event]] = []
        self._served: Final[list[Served | None]] = [None] * len(rows)
        self._count = 0
        self._order = 0
        self._done: Final = done

    def run(self) -> tuple[Served, ...]:
        """Let time pass until every request has ended."""
        arrivals = ((row.at_ms - self._start_ms) / 1000 for row in self._rows)
        for number, at_s in enumerate(arrivals):
            # What ends before it comes first; arrivals themselves stay out of the heap, which keeps it small.
            while self._events and self._events[0][0] <= at_s:
                self._pass()
            self._arrive(_Journey(number, self._rows[number], at_s), at_s)
        while self._events:
            self._pass()
        return tuple(served for served in self._served if served is not None)

    def _pass(self) -> None:
        at_s, _, happen = heapq.heappop(self._events)
        happen(at_s)

    def _at(self, at_s: float, happen: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_s, self._order, happen))

    def _arrive(self, journey: _Journey, now: float) -> None:
        try:
            route = self._policy.routes.resolve(journey.row.model)
            journey.route, rules = follow(self._policy.routes, route, journey.facts)
        except ModelNotFoundError:
            self._finish(journey, now, Fate.REFUSED, None, NOT_FOUND)
            return
        chosen = plan(journey.route, journey.facts, self._book, now, rules=rules)
        candidates = list(chosen.candidates)
        if chosen.is_last_resort and journey.route.fallbacks.error:
            well = self._fallbacks(journey, journey.route.fallbacks.error, now)
            candidates = [each for each in well if self._book.of(each).why_not(now) is None] + candidates
        if not candidates:
            self._finish(journey, now, Fate.REFUSED, None, UPSTREAM_SILENT)
            return
        journey.left = self._priced(candidates)
        if not journey.left:
            self._finish(journey, now, Fate.REFUSED, None, UNPRICED)
            return
        self._begin(journey, journey.left.pop(0), now)

    def _begin(self, journey: _Journey, deployment: Deployment, now: float) -> None:
        name = deployment.name
        journey.attempts += 1
        journey.tries[name] = journey.tries.get(name, 0) + 1
        answer = self._upstreams.begin(journey.row, deployment, journey.tries[name], now)
        health = self._book.of(deployment)
        health.begin(now, journey.row.input_tokens)
        if answer.headers:
            self._at(now + answer.first_event_s, lambda at_s: health.learn_headers(answer.headers, at_s))
        if health.breaker.is_silent and journey.row.stream and answer.failure is None:
            self._at(now + answer.first_event_s, lambda _: health.heard())
        self._at(now + answer.duration_s, lambda at_s: self._end(journey, deployment, answer, now, at_s))

    def _end(self, journey: _Journey, deployment: Deployment, answer: Answer, began: float, now: float) -> None:
        row, health = journey.row, self._book.of(deployment)
        cached = self._upstreams.end(row, deployment, answer, now)
        if answer.failure is not None:
            health.failed(now, answer.failure, retry_after_s=answer.retry_after_s, began=began)
            self._onward(journey, deployment, answer, now)
            return
        health.succeeded(
            now,
            first_event_s=answer.first_event_s if row.stream else None,
            duration_s=answer.duration_s,
            output_tokens=row.output_tokens,
            input_tokens=row.input_tokens,
            cached_input_tokens=cached,
            began=began,
        )
        usage = TokenUsage(input_tokens=row.input_tokens, cached_input_tokens=cached, output_tokens=row.output_tokens)
        try:
            cost = None if deployment.price is None else cost_of(deployment.price, usage)
        except UnpricedUsageError:
            cost = None
        # A whole answer begins when it is complete.
        first_event_s = began - journey.started + answer.first_event_s if row.stream else now - journey.started
        self._finish(
            journey, now, Fate.ANSWERED, deployment.name, None, cost_nano_usd=cost, first_event_ms=first_event_s * 1000
        )

    def _onward(self, journey: _Journey, deployment: Deployment, answer: Answer, now: float) -> None:
        failure = answer.failure
        assert failure is not None, "it failed"
        onward = self._next(journey, deployment, failure, answer.retry_after_s, now)
        if onward is None:
            self._finish(journey, now, Fate.FAILED, deployment.name, failure.value)
            return
        after, wait_s = onward
        if wait_s:
            self._at(now + wait_s, lambda at_s: self._begin(journey, after, at_s))
        else:
            self._begin(journey, after, now)

    def _next(
        self,
        journey: _Journey,
        deployment: Deployment,
        failure: FailureClass,
        retry_after_s: float | None,
        now: float,
    ) -> tuple[Deployment, float] | None:
        if journey.attempts >= MOST_ATTEMPTS:
            return None
        found = self._another(journey, deployment, failure, now)
        if found is not None:
            return found, 0.0
        wait_s = self._wait_s(journey, deployment, failure, retry_after_s, now)
        if wait_s is not None:
            return deployment, wait_s
        if journey.opened or journey.route is None:
            return None
        journey.opened = True
        known = journey.route.fallbacks
        names = known.context_length if failure is FailureClass.CONTEXT_LENGTH else known.error
        journey.left = self._priced(self._fallbacks(journey, names, now))
        found = self._another(journey, deployment, failure, now)
        return None if found is None else (found, 0.0)

    def _another(self, journey: _Journey, than: Deployment, failure: FailureClass, now: float) -> Deployment | None:
        while journey.left:
            deployment = journey.left.pop(0)
            if journey.tries.get(deployment.name):
                continue
            window, known = deployment.capabilities.context_window, than.capabilities.context_window
            if failure is FailureClass.CONTEXT_LENGTH and window is not None and known is not None and window <= known:
                continue
            if self._book.of(deployment).why_not(now) is None:
                return deployment
        return None

    def _wait_s(
        self,
        journey: _Journey,
        deployment: Deployment,
        failure: FailureClass,
        retry_after_s: float | None,
        now: float,
    ) -> float | None:
        """Return how long to wait before the same deployment is tried once more; ``None``: it is not."""
        if failure not in PASSING or journey.tries[deployment.name] >= MOST_ATTEMPTS_ON_ONE:
            return None
        wait_s = max(backoff_s(journey.attempts, self._draw), retry_after_s or 0.0)
        if wait_s > LONGEST_WAIT_S:
            return None
        return wait_s if self._book.of(deployment).may_retry(now) else None

    def _fallbacks(self, journey: _Journey, names: tuple[str, ...], now: float) -> list[Deployment]:
        found: list[Deployment] = []
        for name in names:
            route = self._policy.routes.find(name)
            if route is not None:
                route, rules = follow(self._policy.routes, route, journey.facts)
                found += plan(route, journey.facts, self._book, now, rules=(name, *rules)).candidates
        return found

    def _priced(self, deployments: list[Deployment]) -> list[Deployment]:
        """Return those that a gateway would send to: without a price it may be none."""
        if not self._policy.refuse_unpriced:
            return deployments
        return [each for each in deployments if each.price is not None]

    def _finish(
        self,
        journey: _Journey,
        now: float,
        fate: Fate,
        deployment: str | None,
        reason: str | None,
        *,
        cost_nano_usd: int | None = 0,
        first_event_ms: float | None = None,
    ) -> None:
        latency_ms = (now - journey.started) * 1000
        self._served[journey.number] = Served(
            journey.row, fate, deployment, reason, cost_nano_usd, latency_ms, first_event_ms, journey.attempts
        )
        self._count += 1
        self._done(self._count)
