"""The strategies: each one's scores against what they are said to be."""

from collections import Counter
from decimal import Decimal
from math import exp, inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.catalog import Price, PriceTier, Rates
from headgate.domain.routing import FailureClass, Strategy
from headgate.routing.health import ASSUMED_RPM, Seat
from headgate.routing.plan import DEFAULT_BALANCE
from headgate.routing.strategies import (
    EXPLORE_S,
    PRIOR_OUTPUT_TOKENS,
    STALE_S,
    STRATEGIES,
    STRATEGIES_BY_NAME,
    UNMEASURED_S,
    Question,
    Ranked,
    expect,
)
from headgate.routing.table import Balance, Deployment
from tests.routing.routes import NOW, book, deployment, price, scripted, succeed


def seated(*targets: Deployment) -> list[Seat]:
    made = book()
    return [Seat(target, made.of(target)) for target in targets]


def seats(*weights: int) -> list[Seat]:
    return seated(*(deployment(f"p{number}", weight=weight) for number, weight in enumerate(weights)))


def rank(
    strategy: Strategy,
    of: list[Seat],
    *draws: float,
    input_tokens: int = 1000,
    most: int | None = None,
    now: float = NOW,
    balance: Balance = DEFAULT_BALANCE,
) -> list[Ranked]:
    question = Question(input_tokens, most, now, scripted(*(draws or (0.5,))), balance)
    return STRATEGIES[strategy](of, question)


def scores(ranked: list[Ranked]) -> list[float]:
    """In the order of the file."""
    return [each[0] for each in sorted(ranked, key=lambda each: each[2])]


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


def test_every_strategy_is_in_the_table_by_member_and_by_name() -> None:
    assert set(STRATEGIES) == set(Strategy)
    assert {strategy.value: STRATEGIES[strategy] for strategy in Strategy} == STRATEGIES_BY_NAME


RATE = st.integers(0, 10**12)
PRICES = st.builds(
    lambda rates, tiers: Price(rates, tuple(PriceTier(above, each) for above, each in sorted(tiers.items()))),
    st.builds(Rates, RATE, RATE, st.none() | RATE),
    st.dictionaries(st.integers(0, 10**6), st.builds(Rates, RATE, RATE, st.none() | RATE), max_size=3),
)


@given(PRICES, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**5), st.integers(0, 10**5))
def test_the_expected_cost_is_that_of_exact_decimal_arithmetic(
    of: Price, input_tokens: int, output_tokens: int, prompt: int, cached: int
) -> None:
    (seat,) = seated(deployment("a", price=of))
    cached = min(cached, prompt)
    succeed(seat.health, output_tokens=output_tokens, input_tokens=prompt, cached_input_tokens=cached)

    rates = of.rates
    for tier in of.tiers:
        if input_tokens > tier.above_input_tokens:
            rates = tier.rates
    share = Decimal(cached) / prompt
    cached_rate = rates.input if rates.cached_input is None else rates.cached_input
    nano_usd = (
        input_tokens * ((1 - share) * rates.input + share * cached_rate) + output_tokens * Decimal(rates.output)
    ) / 1_000_000
    (score,) = scores(rank(Strategy.CHEAPEST, [seat], input_tokens=input_tokens))
    # The discount may be larger than what is left of it, so the floats are held to the whole price.
    scale = float(input_tokens * rates.input + output_tokens * rates.output) / 1e15
    assert score == pytest.approx(float(nano_usd / 1_000_000_000), rel=1e-9, abs=scale * 1e-12)


def test_a_dearer_list_price_is_cheaper_where_answers_are_short_and_prompts_are_cached() -> None:
    of = seated(
        deployment("wordy", price=price(1, 4), model="x"), deployment("terse", price=price(2, 8, 0.2), model="y")
    )
    assert order(rank(Strategy.CHEAPEST, of)) == [0, 1]
    succeed(of[0].health, output_tokens=1000, input_tokens=1000)
    succeed(of[1].health, output_tokens=100, input_tokens=1000, cached_input_tokens=900)
    ranked = rank(Strategy.CHEAPEST, of)
    assert order(ranked) == [1, 0]
    assert scores(ranked) == pytest.approx([(1000 * 1 + 1000 * 4) / 1e6, (100 * 2 + 900 * 0.2 + 100 * 8) / 1e6])


def test_an_unknown_price_comes_last_and_is_still_tried() -> None:
    of = seated(deployment("a"), deployment("b", price=price(500, 500)), deployment("c", price=price(0, 0)))
    ranked = rank(Strategy.CHEAPEST, of)
    assert order(ranked) == [2, 1, 0]
    assert ranked[-1][0] == inf


def test_what_was_never_measured_is_priced_like_the_best_of_the_others() -> None:
    of = seated(*(deployment(name, price=price(1, 1, 0.5), model=name) for name in "abc"))
    assert scores(rank(Strategy.CHEAPEST, of)) == pytest.approx([(1000 + PRIOR_OUTPUT_TOKENS) / 1e6] * 3)
    succeed(of[0].health, output_tokens=50, cached_input_tokens=400)
    succeed(of[1].health, output_tokens=500, cached_input_tokens=800)
    assert scores(rank(Strategy.CHEAPEST, of)) == pytest.approx(
        [(600 + 200 + 50) / 1e6, (200 + 400 + 500) / 1e6, (200 + 400 + 50) / 1e6]
    )


def test_a_deployment_without_answers_knows_those_of_its_model_elsewhere() -> None:
    of = seated(deployment("a", price=price(0, 1)), deployment("b", price=price(0, 1)))
    succeed(of[0].health, output_tokens=50)
    assert scores(rank(Strategy.CHEAPEST, of)) == pytest.approx([50e-6, 50e-6])


@pytest.mark.parametrize(("most", "tokens"), [(None, 500), (100, 100), (900, 500), (0, 0)])
def test_no_answer_is_expected_to_be_longer_than_the_request_allows(most: int | None, tokens: int) -> None:
    of = seated(deployment("a", price=price(0, 1)))
    succeed(of[0].health, output_tokens=500)
    assert scores(rank(Strategy.CHEAPEST, of, most=most)) == pytest.approx([tokens / 1e6])


def test_equals_are_parted_by_the_attempts_in_flight_for_their_weight() -> None:
    of = seated(*(deployment(name, price=price(1, 1), weight=weight) for name, weight in (("a", 1), ("b", 4))))
    assert order(rank(Strategy.CHEAPEST, of)) == [0, 1]
    of[0].health.begin(NOW, 1)
    for _ in range(3):
        of[1].health.begin(NOW, 1)
    assert order(rank(Strategy.CHEAPEST, of)) == [1, 0]


def timed(*first_events_s: float, token_s: float = 0.01) -> list[Seat]:
    """Measured just now, a second after they began; none in flight."""
    of = seated(*(deployment(f"p{number}") for number in range(len(first_events_s))))
    for seat, first_event_s in zip(of, first_events_s, strict=True):
        succeed(
            seat.health, NOW, first_event_s=first_event_s, duration_s=first_event_s + 100 * token_s, output_tokens=100
        )
        seat.health.begun_at = NOW
    return of


def test_the_time_is_that_to_the_first_event_and_of_the_expected_tokens() -> None:
    of = timed(0.5, 3.0)
    succeed(of[1].health, NOW, first_event_s=3.0, duration_s=3.1, output_tokens=10)
    of[1].health.begun_at = NOW
    ranked = rank(Strategy.FASTEST, of)
    lengths = [of[0].learned.output_tokens, of[1].learned.output_tokens]
    assert lengths == [100, 55]
    assert scores(ranked) == pytest.approx([0.5 + 100 * 0.01, 3.0 + 55 * 0.01])
    assert order(ranked) == [0, 1]


def test_attempts_in_flight_count_by_their_share_and_at_most_twice() -> None:
    of = timed(1.0, 1.0, token_s=0.0)
    for _ in range(3):
        of[0].health.begin(NOW, 1)
    of[1].health.begin(NOW, 1)
    assert scores(rank(Strategy.FASTEST, of)) == pytest.approx([1 + 3 / 5, 1 + 1 / 5])


def test_one_that_is_twice_as_fast_may_get_all() -> None:
    of = timed(1.0, 2.0, token_s=0.0)
    for _ in range(1000):
        of[0].health.begin(NOW, 1)
    assert order(rank(Strategy.FASTEST, of)) == [0, 1]


def test_the_unmeasured_is_tried_once_a_second_and_one_at_a_time() -> None:
    of = [*timed(0.1), *seated(deployment("new"))]
    new = of[1].health
    assert order(rank(Strategy.FASTEST, of)) == [1, 0]
    new.begin(NOW, 1)
    assert order(rank(Strategy.FASTEST, of, now=NOW + 100)) == [0, 1]
    assert scores(rank(Strategy.FASTEST, of))[1] >= UNMEASURED_S
    new.failed(NOW + 0.1, FailureClass.BAD_REQUEST)
    assert order(rank(Strategy.FASTEST, of, now=NOW + EXPLORE_S - 0.01)) == [0, 1]
    assert order(rank(Strategy.FASTEST, of, now=NOW + EXPLORE_S)) == [1, 0]


def test_a_slow_one_that_nobody_uses_is_tried_again_after_a_while() -> None:
    of = timed(1.0, 4.0, token_s=0.0)

    def first(after_s: float) -> int:
        succeed(of[0].health, NOW + after_s, first_event_s=1.0, duration_s=1.0)
        of[0].health.begun_at = NOW + after_s
        return order(rank(Strategy.FASTEST, of, now=NOW + after_s))[0]

    again_s = STALE_S * log(4)
    assert first(again_s - 1) == 0
    assert first(again_s + 1) == 1
    assert scores(rank(Strategy.FASTEST, of, now=NOW + 60))[1] == pytest.approx(4 * exp(-60 / STALE_S))


def test_fastest_is_the_better_of_two_by_chance_and_then_the_others_by_score() -> None:
    of = timed(4.0, 3.0, 2.0, 1.0)
    # The two are places of the order by score: int(0.3 * 4) = 1 and int(0.5 * 3) = 1, moved on to 2.
    assert order(rank(Strategy.FASTEST, of, 0.3, 0.5)) == [2, 3, 1, 0]
    assert order(rank(Strategy.FASTEST, of, 0.99, 0.99)) == [1, 3, 2, 0]
    assert order(rank(Strategy.FASTEST, of, 0.0, 0.0)) == [3, 2, 1, 0]


def test_every_pair_is_as_likely_as_every_other() -> None:
    of = timed(1.0, 2.0, 3.0)
    first = Counter(
        order(rank(Strategy.FASTEST, of, (one + 0.5) / 12, (other + 0.5) / 12))[0]
        for one in range(12)
        for other in range(12)
    )
    assert first == {0: 96, 1: 48}


def test_of_two_the_better_is_always_first() -> None:
    assert order(rank(Strategy.FASTEST, timed(2.0, 1.0), 0.0)) == [1, 0]


def test_headroom_is_the_fuller_of_requests_and_tokens() -> None:
    of = seated(deployment("a", rpm=100, tpm=100_000, model="x"), deployment("b", rpm=10, model="y"))
    for seat in of:
        succeed(seat.health, NOW, input_tokens=20_000, output_tokens=1000, duration_s=1.0)
    ranked = rank(Strategy.HEADROOM, of, input_tokens=9000)
    # Of a the tokens: 21,000 were used, and 10,000 more are expected. Of b the requests: one began, and this one.
    assert scores(ranked) == pytest.approx([31_000 / 100_000, 2 / 10])
    assert order(ranked) == [1, 0]


def test_headroom_goes_by_the_providers_word_and_by_what_began_since() -> None:
    (seat,) = of = seated(deployment("a"))
    fields = {
        b"x-ratelimit-limit-requests": b"100", b"x-ratelimit-remaining-requests": b"41",
        b"x-ratelimit-reset-requests": b"59s", b"x-ratelimit-limit-tokens": b"100000",
        b"x-ratelimit-remaining-tokens": b"90000",
    }  # fmt: skip
    seat.health.learn_headers(tuple(fields.items()), NOW)
    assert scores(rank(Strategy.HEADROOM, of)) == pytest.approx([0.60])
    for _ in range(5):
        seat.health.begin(NOW, 15_000)
    # 15,000 tokens are left, and 1,256 are expected.
    assert scores(rank(Strategy.HEADROOM, of)) == pytest.approx([1 - (15_000 - 1256) / 100_000])
    assert scores(rank(Strategy.HEADROOM, of, now=NOW + 1000)) == pytest.approx([0.01256])


def test_the_stricter_of_the_configuration_and_the_providers_word_counts() -> None:
    (seat,) = of = seated(deployment("a", rpm=4))
    seat.health.learn_headers(
        ((b"x-ratelimit-limit-requests", b"100"), (b"x-ratelimit-remaining-requests", b"100")), NOW
    )
    seat.health.begin(NOW, 1)
    assert scores(rank(Strategy.HEADROOM, of)) == pytest.approx([2 / 4])


def test_without_any_known_limit_a_usual_one_is_assumed_so_that_load_spreads() -> None:
    of = seated(deployment("a"), deployment("b"))
    for _ in range(9):
        of[0].health.begin(NOW, 1)
    ranked = rank(Strategy.HEADROOM, of)
    assert scores(ranked) == pytest.approx([10 / ASSUMED_RPM, 1 / ASSUMED_RPM])
    assert order(ranked) == [1, 0]


def test_a_balanced_score_can_be_made_again_from_the_other_three() -> None:
    of = seated(
        *(
            deployment(name, price=price(usd, usd), rpm=rpm, model=name)
            for name, usd, rpm in (("a", 1, 100), ("b", 2, 50))
        )
    )
    succeed(of[0].health, NOW, first_event_s=3.0, duration_s=3.0)
    succeed(of[1].health, NOW, first_event_s=1.0, duration_s=1.0)
    for seat in of:
        seat.health.begun_at = NOW
    balance = Balance(cost=0.4, latency=0.3, capacity=0.2, affinity=0.1)
    costs = scores(rank(Strategy.CHEAPEST, of))
    times = scores(rank(Strategy.FASTEST, of))
    shares = scores(rank(Strategy.HEADROOM, of))
    ranked = sorted(rank(Strategy.BALANCED, of, balance=balance), key=lambda each: each[2])
    for each, cost, time_s, share in zip(ranked, costs, times, shares, strict=True):
        parts = (0.4 * (1 - min(costs) / cost), 0.3 * (1 - min(times) / time_s), 0.2 * share, 0.0)
        assert each[4] == pytest.approx(parts)
        assert each[0] == pytest.approx(sum(parts))
    assert ranked[0][4] == pytest.approx((0.0, 0.3 * 2 / 3, 0.2 * 0.02, 0.0))
    assert ranked[1][4] == pytest.approx((0.4 / 2, 0.0, 0.2 * 0.04, 0.0))


@pytest.mark.parametrize(
    ("balance", "first"),
    [(Balance(1, 0, 0, 0), 0), (Balance(0, 1, 0, 0), 1), (Balance(0, 0, 1, 0), 2)],
)
def test_the_weights_decide_which_part_matters(balance: Balance, first: int) -> None:
    of = seated(
        deployment("cheap", price=price(1, 1), rpm=10),
        deployment("fast", price=price(9, 9), rpm=10),
        deployment("empty", price=price(9, 9), rpm=1000),
    )
    for seat, first_event_s in zip(of, (5.0, 0.5, 5.0), strict=True):
        succeed(seat.health, NOW, first_event_s=first_event_s, duration_s=first_event_s)
        seat.health.begun_at = NOW
    assert order(rank(Strategy.BALANCED, of, balance=balance))[0] == first


def test_balanced_bears_free_ones_and_ones_without_a_price() -> None:
    of = seated(deployment("free", price=price(0, 0)), deployment("priced", price=price(1, 1)), deployment("unknown"))
    found = [each[4][0] for each in sorted(rank(Strategy.BALANCED, of), key=lambda each: each[2])]
    assert found == pytest.approx([0.0, 0.25, 0.25])
    of = seated(deployment("a"), deployment("b"))
    assert [each[4][0] for each in rank(Strategy.BALANCED, of)] == pytest.approx([0.25, 0.25])


HISTORY = st.lists(
    st.tuples(st.integers(0, 2), st.floats(0, 100), st.integers(0, 10**5), st.integers(0, 10**5), st.booleans()),
    max_size=30,
)


@given(HISTORY, st.integers(0, 10**6), st.none() | st.integers(0, 10**5), st.floats(0, 1000))
def test_whatever_was_learned_every_score_can_be_compared(
    history: list[tuple[int, float, int, int, bool]], input_tokens: int, most: int | None, later_s: float
) -> None:
    of = seated(
        deployment("a", price=price(1, 2, 0.1), rpm=5), deployment("b", tpm=100), deployment("c", price=price(0, 0))
    )
    for place, duration_s, output_tokens, cached, ends in history:
        health = of[place].health
        if ends:
            succeed(
                health, NOW, duration_s=duration_s, first_event_s=duration_s / 2, output_tokens=output_tokens,
                input_tokens=cached, cached_input_tokens=cached // 2,
            )  # fmt: skip
        else:
            health.begin(NOW, cached)
    question = Question(input_tokens, most, NOW + later_s, scripted(0.5), DEFAULT_BALANCE)
    for cost, time_s, share in expect(of, question):
        assert cost >= 0
        assert 0 <= time_s < inf
        assert share >= 0
    for strategy in Strategy:
        ranked = rank(strategy, of, input_tokens=input_tokens, most=most, now=NOW + later_s)
        assert sorted(order(ranked)) == [0, 1, 2]
        assert all(each[0] >= 0 for each in ranked)
        if strategy is Strategy.BALANCED:
            assert all(0 <= part <= 1 for each in ranked for part in each[4])
            assert all(each[0] <= 1.000001 for each in ranked)
