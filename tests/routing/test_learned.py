"""What is learned of a deployment: peaks, quantiles and means."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.routing.learned import PEAK_S, SAMPLES, SLOW_LEAST_S, Learned, OutputLength


def learned(*first_events_s: float, every_s: float = 1.0) -> Learned:
    made = Learned()
    for number, first_event_s in enumerate(first_events_s):
        made.learn_time(100.0 + number * every_s, first_event_s, first_event_s + 1.0, 100)
    return made


def test_nothing_is_known_at_first() -> None:
    made = Learned()
    assert (made.output_tokens, made.cached_share, made.p50_s()) == (None,) * 3
    assert not made.is_timed


def test_a_worse_time_counts_at_once_and_a_better_one_by_and_by() -> None:
    made = learned(1.0, 5.0)
    assert made.first_event_s == 5.0
    made.learn_time(101.0 + PEAK_S, 1.0, 2.0, 100)
    assert made.first_event_s == pytest.approx(5 * exp(-1) + 1 * (1 - exp(-1)))


def test_seconds_per_token_are_of_what_follows_the_first_event() -> None:
    made = Learned()
    made.learn_time(1.0, 2.0, 12.0, 100)
    assert made.first_event_s == 2.0
    assert made.token_s == pytest.approx(0.1)


def test_a_whole_answer_is_timed_as_a_whole_until_a_stream_has_shown_the_first_event() -> None:
    made = Learned()
    made.learn_time(1.0, None, 12.0, 100)
    assert made.first_event_s == 0
    assert made.token_s == pytest.approx(0.12)
    made = Learned()
    made.learn_time(1.0, 2.0, 12.0, 100)
    made.learn_time(2.0, None, 32.0, 100)
    assert made.token_s == pytest.approx(0.3)


def test_an_answer_without_output_is_one_event() -> None:
    made = Learned()
    made.learn_time(1.0, None, 0.3, 0)
    assert made.first_event_s == 0.3
    assert made.token_s == 0


def test_slow_is_judged_by_the_deployments_own_history_and_only_once_there_is_one() -> None:
    made = learned(*[1.0] * (SAMPLES - 1))
    assert not made.is_slow(1000.0)
    made = learned(*[1.0] * SAMPLES)
    assert not made.is_slow(SLOW_LEAST_S)
    assert made.is_slow(SLOW_LEAST_S + 0.01)
    reasoning = learned(*[30.0] * SAMPLES)
    assert not reasoning.is_slow(89.0)
    assert reasoning.is_slow(91.0)


def test_a_model_that_has_become_slower_for_good_is_soon_no_longer_slow() -> None:
    made = learned(*[5.0] * SAMPLES)
    slow = 0
    while made.is_slow(20.0):
        slow += 1
        made.learn_time(200.0, 20.0, 21.0, 10)
    assert 0 < slow < 10


@given(st.lists(st.floats(0.1, 3.0), min_size=400, max_size=400))
def test_the_quantiles_stay_within_what_was_seen(first_events_s: list[float]) -> None:
    made = learned(*first_events_s)
    median = made.p50_s()
    assert median is not None
    assert min(first_events_s) * 0.9 <= median <= max(first_events_s) * 1.1
    assert made.baseline_s <= max(first_events_s) * 1.1


def test_the_quantiles_are_near_the_true_ones() -> None:
    # Every value of 0.01, 0.02 … 1.00 equally often, in an order that is as good as random.
    made = learned(*[(number * 37 % 100 + 1) / 100 for number in range(4000)])
    assert made.p50_s() == pytest.approx(0.5, abs=0.1)
    assert made.baseline_s == pytest.approx(0.99, abs=0.05)


def test_means_begin_as_means_and_then_follow() -> None:
    length = OutputLength()
    for tokens in (100, 200, 300):
        length.learn(tokens)
    assert length.tokens == pytest.approx(200)
    for _ in range(200):
        length.learn(1000)
    assert length.tokens == pytest.approx(1000, rel=0.001)


def test_the_cached_share_is_a_share_whatever_a_provider_reports() -> None:
    made = Learned()
    made.learn_tokens(100, 500, 10)
    assert made.cached_share == 1.0
    made = Learned()
    made.learn_tokens(100, -5, 10)
    made.learn_tokens(0, 50, 10)
    assert made.cached_share == 0.0
    assert made.output_tokens == 10
