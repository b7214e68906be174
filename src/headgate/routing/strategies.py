"""How deployments of one priority are ordered: one function for each strategy, in one table.

Each scores every seat, lower first, and returns the seats in the order in which they should be tried. Equal scores are
parted by the attempts in flight for each unit of weight, then by the order of the file. What was never measured is
taken for good, so that it is tried and measured, and never for better than that: one request at a time, one a second.
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, inf, log
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from headgate.domain.routing import Strategy
from headgate.routing.health import Seat
from headgate.routing.table import Balance

PRIOR_OUTPUT_TOKENS: Final = 256
"""Of an answer, where none of the candidates has been measured."""
EXPLORE_S: Final = 1.0
"""What was never measured, or not for long, is tried for its own sake so often at most."""
STALE_S: Final = 300.0
"""Time constant with which the times of a deployment that nobody uses are forgotten, towards nothing."""
UNMEASURED_S: Final = 10.0
"""What an answer is taken to last while the first one is still under way."""

Parts = tuple[float, float, float, float] | None
Ranked = tuple[float, float, int, Seat, Parts]
"""Score, attempts in flight per weight, place in the file, the seat, and what the score is the sum of, if it is one."""

Expected = tuple[float, float, float]
"""Cost in USD, time until the answer is whole in seconds, and the share of the rate limits in use."""


class Question(Struct, frozen=True, gc=False):
    """What a strategy is asked about."""

    input_tokens: int
    max_output_tokens: int | None
    now: float
    draw: Callable[[], float]
    balance: Balance


Rank = Callable[[Sequence[Seat], Question], list[Ranked]]


def by_priority(seats: Sequence[Seat], question: Question) -> list[Ranked]:
    """The order of the file; the score is the place in it."""
    return [(float(place), 0.0, place, seat, None) for place, seat in enumerate(seats)]


def weighted(seats: Sequence[Seat], question: Question) -> list[Ranked]:
    """By chance: each comes first, and then each next, with a chance in proportion to its weight.

    The score is ``-ln(u) / weight`` of a uniform ``u`` of its own: an exponential time whose rate is the weight, and
    the shortest is first. Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006).
    """
    draw = question.draw
    return sorted(
        (-log(1.0 - draw()) / seat.deployment.weight if seat.deployment.weight > 0 else inf, 0.0, place, seat, None)
        for place, seat in enumerate(seats)
    )


def cheapest(seats: Sequence[Seat], question: Question) -> list[Ranked]:
    """By what this request is expected to cost there, in USD; what has no known price comes last."""
    return _in_order(seats, [cost for cost, _, _ in expect(seats, question)])


def fastest(seats: Sequence[Seat], question: Question) -> list[Ranked]:
    """By when the answer is expected to be whole, in seconds: the better of two that chance picks, then the others.

    Picking among two and not among all keeps requests that are decided at the same moment from all going to the one
    that looks best. Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
    """
    ranked = _in_order(seats, [time_s for _, time_s, _ in expect(seats, question)])
    count = len(ranked)
    if count > 2:
        one = int(question.draw() * count)
        other = int(question.draw() * (count - 1))
        if other >= one:
            other += 1
        # The better of two ranks is the smaller one.
        ranked.insert(0, ranked.pop(min(one, other)))
    return ranked


def by_headroom(seats: Sequence[Seat], question: Question) -> list[Ranked]:
    """By the share of the provider's rate limits that would be in use with this request: the fuller of its limits."""
    return _in_order(seats, [share for _, _, share in expect(seats, question)])


def balanced(seats: Sequence[Seat], question: Question) -> list[Ranked]:
    """By one objective, the sum of four parts: each a figure from 0 (best) to 1, times its weight.

    ====================  ===========================================================================
    cost                  ``1 - least / own`` of the expected costs; 1 without a known price
    latency               ``1 - least / own`` of the expected times
    capacity              the share of the rate limits in use, at most 1
    affinity              0 for every candidate: nothing is known yet of what providers have cached
    ====================  ===========================================================================

    So one that is twice as dear as the cheapest has a cost of 0.5, and one that is four times as slow as the fastest a
    latency of 0.75. The weights add up to 1 and are the alias' ``balance``. ``Considered.parts`` of the note are the
    four products, in this order, and ``Considered.score`` is their sum.
    """
    expected = expect(seats, question)
    weights = question.balance
    for_cost, for_latency, for_capacity = weights.cost, weights.latency, weights.capacity
    # Tuples are ordered by their first member, so this is the least cost.
    least_cost = min(expected)[0]
    least_time = min([time_s for _, time_s, _ in expected])
    if least_cost == inf:
        least_cost = 0.0  # No price is known at all: each is as far from the least as can be.
    ranked: list[Ranked] = []
    for seat, (cost, time_s, share) in zip(seats, expected, strict=True):
        dear = for_cost * (1.0 - least_cost / cost) if cost else 0.0
        late = for_latency * (1.0 - least_time / time_s) if time_s else 0.0
        full = for_capacity * share if share < 1.0 else for_capacity
        score = dear + late + full
        ranked.append((score, seat.health.in_flight * seat.lightness, len(ranked), seat, (dear, late, full, 0.0)))
    ranked.sort()
    return ranked


STRATEGIES: Final[Mapping[Strategy, Rank]] = MappingProxyType(
    {
        Strategy.PRIORITY: by_priority,
        Strategy.WEIGHTED: weighted,
        Strategy.CHEAPEST: cheapest,
        Strategy.FASTEST: fastest,
        Strategy.HEADROOM: by_headroom,
        Strategy.BALANCED: balanced,
    }
)

STRATEGIES_BY_NAME: Final[Mapping[str, Rank]] = MappingProxyType(
    {strategy.value: rank for strategy, rank in STRATEGIES.items()}
)
"""The same by the plain name, which is found several times as fast as a member of an enumeration."""


def expect(seats: Sequence[Seat], question: Question) -> list[Expected]:
    """Return what is expected of each, were it asked.

    **Output tokens** are the deployment's own mean, else its model's, else the least of the other candidates', and
    never more than the request asks for.

    **Cost** is of those and of the input, of which the deployment's mean share is cached; where that is not known, the
    greatest of the other candidates' is.

    **Time** is that to the first event and the time per token. It counts more by the share of all attempts in flight at
    these candidates that are in flight there: so equals share the load, and one twice as fast as another may get all.

    **Used share**: of requests and of tokens, of what the configuration states and of what the provider says, the
    fullest counts. What is in use are our own attempts of the last minute, and those since the provider spoke.
    """
    # One loop for all three figures and few calls: this is where a decision spends its microseconds.
    now, input_tokens = question.now, question.input_tokens
    most: float = inf if question.max_output_tokens is None else question.max_output_tokens
    each_in_flight = 1 / (1 + sum([seat.health.in_flight for seat in seats]))
    guess: tuple[float, float] | None = None
    expected: list[Expected] = []
    for seat in seats:
        health, learned, headroom = seat.health, seat.learned, seat.headroom
        length, cached_share = learned.output_tokens, learned.cached_share
        if length is None or cached_share is None:
            guess = guess or _guess(seats)
            length = (health.length.tokens or guess[0]) if length is None else length
            cached_share = guess[1] if cached_share is None else cached_share
        length = length if length < most else most
        base, per_input, per_cached, per_output = seat.rates or seat.rates_for(input_tokens)
        cost = base + input_tokens * (per_input - cached_share * per_cached) + length * per_output
        time_s = learned.first_event_s + length * learned.token_s if learned.is_timed else UNMEASURED_S
        if health.in_flight:
            time_s += time_s * health.in_flight * each_in_flight
        elif now - health.begun_at >= EXPLORE_S:
            # Where it was never measured this is an infinite time ago, and nothing is left of the time.
            time_s *= exp((learned.measured_at - now) / STALE_S)
        tokens = input_tokens + length
        share = headroom.used_share(now, tokens) if headroom.is_known else 0.0
        if (seat.is_limited or not headroom.is_known) and (used := seat.used_share(now, tokens)) > share:
            share = used
        expected.append((cost, time_s, share))
    return expected


def _guess(seats: Sequence[Seat]) -> tuple[float, float]:
    """Return the output tokens and the cached share of what was never measured: the best of the other candidates'."""
    lengths = [seat.health.length.tokens if (own := seat.learned.output_tokens) is None else own for seat in seats]
    least = min([length for length in lengths if length is not None], default=PRIOR_OUTPUT_TOKENS)
    return least, max([share for seat in seats if (share := seat.learned.cached_share) is not None], default=0.0)


def _in_order(seats: Sequence[Seat], scores: Sequence[float]) -> list[Ranked]:
    ranked: list[Ranked] = [
        (score, seat.health.in_flight * seat.lightness, place, seat, None)
        for place, (seat, score) in enumerate(zip(seats, scores, strict=True))
    ]
    ranked.sort()
    return ranked
