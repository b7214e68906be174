"""How deployments of one priority are ordered: one function for each strategy, in one table.

Each scores every seat, lower first, and returns the seats in the order in which they should be tried. Equal scores are
parted by the attempts in flight for each unit of weight, then by the order of the file.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf, log
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from headgate.domain.routing import Strategy
from headgate.routing.health import Seat
from headgate.routing.table import Balance

Parts = tuple[float, ...]
Ranked = tuple[float, float, int, Seat, Parts]
"""Score, attempts in flight per weight, place in the file, the seat, and what the score is the sum of, if it is one."""


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
    return [(float(place), 0.0, place, seat, ()) for place, seat in enumerate(seats)]


def weighted(seats: Sequence[Seat], question: Question) -> list[Ranked]:
    """By chance: each comes first, and then each next, with a chance in proportion to its weight.

    The score is ``-ln(u) / weight`` of a uniform ``u`` of its own: an exponential time whose rate is the weight, and
    the shortest is first. Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006).
    """
    draw = question.draw
    return sorted(
        (-log(1.0 - draw()) / seat.deployment.weight if seat.deployment.weight > 0 else inf, 0.0, place, seat, ())
        for place, seat in enumerate(seats)
    )


STRATEGIES: Final[Mapping[Strategy, Rank]] = MappingProxyType(
    {
        Strategy.PRIORITY: by_priority,
        Strategy.WEIGHTED: weighted,
    }
)
