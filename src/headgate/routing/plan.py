"""Where a request goes: rules lead to a route, its strategy puts the deployments in order, and a note says why."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from msgspec import Struct

from headgate.domain.errors import ModelNotFoundError
from headgate.domain.routing import Considered, RoutingNote, Strategy
from headgate.routing.health import HealthBook, LineUp, Seat
from headgate.routing.strategies import STRATEGIES_BY_NAME, Question, Ranked
from headgate.routing.table import Balance, Deployment, Route, RouteTable, Rule

DEEPEST: Final = 8
"""So many aliases may lead to one another."""
DEFAULT_BALANCE: Final = Balance(cost=0.25, latency=0.25, capacity=0.25, affinity=0.25)
"""Where the strategy ``balanced`` is asked for and the route has no weights of its own.

Each part is a ratio and has no unit, so none counts more than another until somebody says so."""

Refuse = Callable[[Deployment], str | None]
"""Says why a deployment may never be used, such as ``residency``; ``None`` where it may."""


class Facts(Struct, frozen=True):
    """What is known of a request before it is decided where it goes."""

    input_tokens: int
    """Estimated."""
    max_output_tokens: int | None
    tags: tuple[tuple[str, str], ...]
    end_user: str | None
    strategy: Strategy | None = None
    """What the caller asks for instead of the route's own."""
    conversation: bytes | None = None
    """For affinity to a provider's prefix cache."""


class Plan(Struct, frozen=True):
    """Where a request goes, and why."""

    route: Route
    """The one that rules and ``use`` led to."""
    candidates: tuple[Deployment, ...]
    """In the order in which they are to be tried; empty only where every one is refused or known to be silent."""
    note: RoutingNote
    is_last_resort: bool = False
    """None is available; the one candidate is nearest to being so. A fallback may well be the better try."""
    retry_after_s: float | None = None
    """When to come back, where all are known to be silent and somebody already waits there to find out."""


def follow(table: RouteTable, route: Route, facts: Facts) -> tuple[Route, tuple[str, ...]]:
    """Return the route to which rules and ``use`` lead, and the names that were passed on the way.

    Raises:
        ModelNotFoundError: a name on the way answers to nothing, is off, or leads in a circle.
    """
    if not route.rules and route.use is None:
        return route, ()
    names: list[str] = []
    for _ in range(DEEPEST):
        name = next((rule.use for rule in route.rules if _holds(rule, facts)), route.use)
        if name is None:
            return route, tuple(names)
        names.append(name)
        route = table.resolve(name)
        if not route.rules and route.use is None:
            return route, tuple(names)
    raise ModelNotFoundError(
        f"The model `{route.name}` leads to no deployment.",
        param="model",
        reason=f"more than {DEEPEST} aliases lead to one another: {' → '.join(names)}",
    )


def plan(
    route: Route,
    facts: Facts,
    book: HealthBook,
    now: float,
    refuse: Refuse | None = None,
    *,
    rules: tuple[str, ...] = (),
) -> Plan:
    """Return the order in which the deployments of ``route`` are to be tried.

    Those that ``refuse`` names a reason for are never candidates. Those that are not available are left out, unless
    none is: then the one that is nearest to being available is tried, so that no breaker ever closes a route. Only
    where each of them is known to keep callers waiting for nothing is none a candidate, but for one in a while.
    """
    line = book.line_up(route)
    single = line.single
    if (
        single is not None
        and refuse is None
        and not rules
        and facts.strategy is None
        and single.health.why_not(now, single.rpm, single.tpm) is None
    ):
        return Plan(route, route.deployments, line.note)
    strategy = line.note.strategy if facts.strategy is None else facts.strategy.value
    open_to: list[Seat] = []
    left_out: list[tuple[Seat, str]] = []
    refused: list[Considered] = []
    for seat in line.seats:
        if refuse is not None:
            reason = refuse(seat.deployment)
            if reason is not None:
                refused.append(Considered(seat.name, why_not=reason))
                continue
        reason = seat.health.why_not(now, seat.rpm, seat.tpm)
        if reason is None:
            open_to.append(seat)
        else:
            left_out.append((seat, reason))
    is_last_resort = not open_to and bool(left_out)
    retry_after_s: float | None = None
    if is_last_resort:
        last, retry_after_s = _last_resort(left_out, now)
        left_out.sort(key=lambda each: each[0] is not last)
        candidates = () if last is None else (last.deployment,)
        considered: list[Considered] = []
    else:
        balance = route.balance or DEFAULT_BALANCE
        question = Question(facts.input_tokens, facts.max_output_tokens, now, book.draw, balance)
        ranked = _rank(line, strategy, open_to, question)
        candidates = tuple([each[3].deployment for each in ranked])
        considered = [
            Considered(seat.name, None if score == inf else score, None, parts) for score, _, _, seat, parts in ranked
        ]
    considered += [Considered(seat.name, why_not=reason) for seat, reason in left_out]
    note = RoutingNote(strategy, (*considered, *refused), rules)
    return Plan(route, candidates, note, is_last_resort, retry_after_s)


def _rank(line: LineUp, strategy: str, seats: Sequence[Seat], question: Question) -> list[Ranked]:
    rank = STRATEGIES_BY_NAME[strategy]
    if not line.has_priorities:
        return rank(seats, question)
    ranked: list[Ranked] = []
    begin = 0
    for end in range(1, len(seats) + 1):
        if end == len(seats) or seats[end].deployment.priority != seats[begin].deployment.priority:
            ranked += rank(seats[begin:end], question)
            begin = end
    return ranked


def _last_resort(left_out: Sequence[tuple[Seat, str]], now: float) -> tuple[Seat | None, float | None]:
    """Return the seat to try where none is available, or after how many seconds one is worth trying.

    An open breaker that was not probed for a second comes first, so that each is probed every second for as long as
    there is traffic; else it is whichever will be available soonest. Where one is silent, as `Breaker.is_silent` has
    it, the probe costs its caller a time-out, so there is one in five seconds, and it is passed over until then.
    """
    seats: list[Seat] = []
    refusals: list[float] = []
    for seat, _ in left_out:
        refuses_s = seat.health.refuses_s(now)
        if refuses_s is None:
            seats.append(seat)
        else:
            refusals.append(refuses_s)
    if not seats:
        return None, min(refusals)
    due = [seat for seat in seats if seat.health.is_probe_due(now)]
    return min(due or seats, key=lambda seat: seat.health.wait_s(now)), None


def _holds(rule: Rule, facts: Facts) -> bool:
    if rule.input_tokens_above is not None and facts.input_tokens <= rule.input_tokens_above:
        return False
    if rule.input_tokens_below is not None and facts.input_tokens >= rule.input_tokens_below:
        return False
    if rule.user is not None and (facts.end_user is None or rule.user.match(facts.end_user) is None):
        return False
    return all(
        any(name == wanted and pattern.match(value) is not None for name, value in facts.tags)
        for wanted, pattern in rule.tags
    )
