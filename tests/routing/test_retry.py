"""The budget of retries and the wait before one."""

import pytest

from headgate.routing.retry import BACKOFF_LONGEST_S, RetryBudget, backoff_s


def taken(budget: RetryBudget, now: float, requests_per_s: float = 0.0) -> int:
    count = 0
    while budget.take(now, requests_per_s):
        count += 1
    return count


def test_it_begins_with_what_ten_seconds_earn() -> None:
    assert taken(RetryBudget(), 5.0) == 30


@pytest.mark.parametrize(("wait_s", "retries"), [(0.0, 0), (0.4, 1), (1.0, 3), (10.0, 30), (1000.0, 30)])
def test_three_a_second_are_earned_and_ten_seconds_of_them_kept(wait_s: float, retries: int) -> None:
    budget = RetryBudget()
    taken(budget, 5.0)
    assert taken(budget, 5.0 + wait_s) == retries


def test_a_fifth_of_the_requests_is_earned() -> None:
    budget = RetryBudget()
    taken(budget, 5.0, 100.0)
    for _ in range(100):
        budget.earn()
    assert taken(budget, 5.0, 100.0) == pytest.approx(20, abs=1)


def test_what_many_requests_earn_is_kept_for_ten_seconds_of_their_pace() -> None:
    budget = RetryBudget()
    for _ in range(100_000):
        budget.earn()
    assert taken(budget, 5.0, 100.0) == 30 + 200


@pytest.mark.parametrize(
    ("attempt", "most_s"), [(1, 0.1), (2, 0.2), (3, 0.4), (5, 1.6), (6, BACKOFF_LONGEST_S), (4000, BACKOFF_LONGEST_S)]
)
def test_the_wait_is_anything_up_to_a_doubling_bound(attempt: int, most_s: float) -> None:
    assert backoff_s(attempt, lambda: 0.0) == 0.0
    assert backoff_s(attempt, lambda: 0.5) == pytest.approx(most_s / 2)
    assert backoff_s(attempt, lambda: 0.999) < most_s
