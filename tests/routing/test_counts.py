"""The sliding counts against a log of everything that was counted."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.routing.counts import SlidingCounts

STEPS = st.lists(st.tuples(st.floats(0, 40), st.integers(0, 50), st.integers(0, 50)), max_size=60)


@given(STEPS, st.integers(1, 12), st.sampled_from([0.5, 3.0, 5.0]))
def test_what_is_counted_is_exactly_what_lies_in_the_live_buckets(
    steps: list[tuple[float, int, int]], buckets: int, width_s: float
) -> None:
    counts, log, now = SlidingCounts(width_s, buckets), [], 1000.0
    for wait_s, first, second in steps:
        now += wait_s
        counts.add(now, first, second)
        log.append((int(now / width_s), first, second))
        live = [each for each in log if each[0] > int(now / width_s) - buckets]

        assert counts.first == sum(each[1] for each in live)
        assert counts.second == sum(each[2] for each in live)


def test_time_alone_makes_them_forget() -> None:
    counts = SlidingCounts(1.0, 3)
    counts.add(10.5, 1, 2)

    counts.advance(12.9)
    assert (counts.first, counts.second) == (1, 2)
    counts.advance(13.0)
    assert (counts.first, counts.second) == (0, 0)


def test_a_clock_that_runs_backwards_counts_in_the_newest_bucket() -> None:
    counts = SlidingCounts(1.0, 3)
    counts.add(10.5, 1, 0)
    counts.add(3.0, 1, 0)

    assert counts.first == 2


def test_what_was_cleared_does_not_leave_again() -> None:
    counts = SlidingCounts(1.0, 3)
    counts.add(10.5, 5, 5)
    counts.clear()
    counts.add(11.5, 1, 0)
    counts.advance(13.5)

    assert (counts.first, counts.second) == (1, 0)
