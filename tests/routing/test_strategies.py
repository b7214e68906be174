"""The strategies: each one's scores against what they are said to be."""

from collections import Counter
from math import log

import pytest

from headgate.domain.routing import Strategy
from headgate.routing.health import Seat
from headgate.routing.plan import DEFAULT_BALANCE
from headgate.routing.strategies import STRATEGIES, Question, Ranked
from tests.routing.routes import NOW, book, deployment, scripted


def seats(*weights: int) -> list[Seat]:
    made = book()
    return [
        Seat(target, made.of(target))
        for target in (deployment(f"p{number}", weight=weight) for number, weight in enumerate(weights))
    ]


def rank(strategy: Strategy, of: list[Seat], *draws: float) -> list[Ranked]:
    return STRATEGIES[strategy](of, Question(1000, None, NOW, scripted(*draws), DEFAULT_BALANCE))


def order(ranked: list[Ranked]) -> list[int]:
    return [each[2] for each in ranked]


def test_priority_is_the_order_of_the_file() -> None:
    assert order(rank(Strategy.PRIORITY, seats(1, 9, 5), 0.5)) == [0, 1, 2]


def test_a_weighted_score_is_an_exponential_time() -> None:
    ranked = rank(Strategy.WEIGHTED, seats(1, 2, 4), 0.5, 0.5, 0.5)
    assert [each[0] for each in ranked] == pytest.approx([-log(0.5) / 4, -log(0.5) / 2, -log(0.5)])
    assert order(ranked) == [2, 1, 0]


def test_a_scripted_chance_decides_a_weighted_order() -> None:
    # -ln(0.9)/1, -ln(0.1)/3, -ln(0.5)/3
    assert order(rank(Strategy.WEIGHTED, seats(1, 3, 3), 0.1, 0.9, 0.5)) == [0, 2, 1]


def test_what_has_no_weight_comes_last_and_is_still_tried() -> None:
    assert order(rank(Strategy.WEIGHTED, seats(0, 1), 0.0001, 0.9999)) == [1, 0]


def test_weighted_is_in_proportion_to_the_weights_at_first_and_after_it() -> None:
    of = seats(5, 3, 2)
    # A sequence that fills the cube evenly: multiples of the square roots of primes, modulo 1.
    steps = (2**0.5 - 1, 3**0.5 - 1, 5**0.5 - 2)
    count = 20_000
    orders = Counter(
        tuple(order(rank(Strategy.WEIGHTED, of, *(number * step % 1 for step in steps)))) for number in range(count)
    )
    first = Counter[int]()
    for ranked, times in orders.items():
        first[ranked[0]] += times
    assert [first[place] / count for place in range(3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.01)
    # After the first is gone the rest are again in proportion: 3 to 2.
    assert orders[0, 1, 2] / first[0] == pytest.approx(0.6, abs=0.01)
