"""The rings against a brute-force log that looks at every interval."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.ledger.windows import RPM, TPD, TPH, TPM, Ring, WindowShape

SMALL = WindowShape("tpm", 1_000, 5)
SHAPES = (SMALL, TPM, TPH, TPD)


def ring_of(limit: int, shape: WindowShape = TPM) -> Ring:
    return Ring(1, "key/key_1/tpm", shape, limit, [])


def most_in_any_interval(log: list[tuple[int, int]], length_ms: int) -> int:
    """The most that lies in any half-open interval of this length: some best one begins at an entry."""
    return max((sum(n for at, n in log if start <= at < start + length_ms) for start, _ in log), default=0)


STEPS = st.lists(st.tuples(st.floats(0, 0.6), st.integers(0, 60)), max_size=60)


@settings(max_examples=300)
@given(STEPS, st.integers(0, 100), st.sampled_from(SHAPES), st.integers(0, 10**9))
def test_no_interval_of_the_length_ever_admits_more_than_the_limit(
    steps: list[tuple[float, int]], limit: int, shape: WindowShape, start: int
) -> None:
    ring, log, now = ring_of(limit, shape), [], start
    for wait, amount in steps:
        now += round(wait * shape.length_ms)
        if ring.fits(amount, now):
            ring.add(amount, now)
            log.append((now, amount))

    assert most_in_any_interval(log, shape.length_ms) <= limit


@settings(max_examples=300)
@given(STEPS, st.integers(1, 100))
def test_what_is_refused_would_not_have_fitted_with_one_bucket_more(steps: list[tuple[float, int]], limit: int) -> None:
    ring, log, now = ring_of(limit, SMALL), [], 0
    for wait, amount in steps:
        now += round(wait * SMALL.length_ms)
        recent = sum(n for at, n in log if at > now - SMALL.length_ms - SMALL.width_ms)
        if ring.fits(amount, now):
            ring.add(amount, now)
            log.append((now, amount))
        else:
            assert recent + amount > limit


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.floats(0, 0.6), st.integers(0, 60), st.integers(0, 400)), max_size=40),
    st.integers(0, 100),
    st.sampled_from((SMALL, TPM)),
)
def test_an_overshoot_is_paid_back_by_later_windows_and_never_forgotten(
    steps: list[tuple[float, int, int]], limit: int, shape: WindowShape
) -> None:
    """At every moment: what was used = what some window had room for + what is still owed."""
    ring, now, used = ring_of(limit, shape), 0, []
    for wait, expected, actual in steps:
        now += round(wait * shape.length_ms)
        if not ring.fits(expected, now):
            continue
        index = ring.add(expected, now)
        if actual > expected:
            ring.owe(actual - expected, now)
        else:
            ring.give_back(expected - actual, index, now)
        used.append((now, actual))
        total = sum(n for _, n in used)
        # Every whole window since the first use can have paid one limit, and the ring holds at most one more.
        windows = (now - used[0][0]) // shape.length_ms + 2
        assert ring.debt >= total - windows * limit
        assert ring.total <= limit
        assert not ring.debt or not ring.fits(1, now)


def test_debt_ages_only_by_being_paid() -> None:
    ring = ring_of(100, SMALL)
    ring.add(10, 0)
    ring.owe(490, 0)

    owed = [ring.debt]
    for second in range(1, 40):
        ring.advance(second * 1_000)
        owed.append(ring.debt)

    assert (owed[0], owed[5], owed[6], owed[12], owed[18]) == (400, 400, 300, 200, 100)
    assert ring.debt == 0
    assert not ring_after(ring, 24).fits(1, 24_000)
    assert ring.fits(100, 40_000)


def ring_after(ring: Ring, seconds: int) -> Ring:
    """The same overshoot, looked at a few seconds in one step."""
    fresh = ring_of(ring.limit, ring.shape)
    fresh.add(10, 0)
    fresh.owe(490, 0)
    fresh.advance(seconds * 1_000)
    return fresh


@given(st.integers(1, 50), st.integers(0, 5_000), st.lists(st.integers(0, 200), max_size=30))
def test_ageing_in_one_step_is_ageing_second_by_second(limit: int, overshoot: int, steps: list[int]) -> None:
    one, many = ring_of(limit, SMALL), ring_of(limit, SMALL)
    for ring in (one, many):
        ring.add(limit, 0)
        ring.owe(overshoot, 0)
    now = 0
    for step in steps:
        for second in range(now, now + step):
            many.advance(second * 1_000)
        now += step
        one.advance(now * 1_000)
        many.advance(now * 1_000)
        assert (one.dump(), one.total) == (many.dump(), many.total)


def test_a_long_debt_after_a_long_time_is_found_at_once() -> None:
    ring = ring_of(1, TPM)
    ring.owe(10**9, 0)

    ring.advance(365 * 86_400_000)

    assert ring.debt == 10**9 - 365 * 86_400 // 61 - 1


def test_a_limit_of_nothing_admits_nothing_and_ends_no_loop() -> None:
    ring = ring_of(0)
    ring.owe(5, 0)

    assert not ring.fits(1, 10**12)
    assert ring.frees_in_ms(1, 10**12) is None
    assert ring.fits(0, 0) is False


@given(STEPS, st.integers(1, 60), st.integers(0, 100))
def test_what_frees_in_a_time_fits_after_it_and_not_much_before(
    steps: list[tuple[float, int]], amount: int, limit: int
) -> None:
    ring, now = ring_of(limit, SMALL), 0
    for wait, each in steps:
        now += round(wait * SMALL.length_ms)
        if ring.fits(each, now):
            ring.add(each, now)

    frees = ring.frees_in_ms(amount, now)

    if frees is None:
        assert amount > limit
    else:
        assert frees == 0 or not ring.fits(amount, now + frees - 1)
        assert ring.fits(amount, now + frees)


def test_a_window_empties_when_it_says() -> None:
    ring = ring_of(100)
    ring.add(40, 500)
    ring.add(20, 30_500)

    assert ring.remaining(31_000) == 40
    assert ring.resets_in_ms(31_000) == 60_000
    assert ring.remaining(31_000 + 59_999) == 80
    assert ring.remaining(31_000 + 60_000) == 100
    assert ring.resets_in_ms(31_000 + 60_000) == 0


def test_tokens_are_given_back_to_the_bucket_they_were_admitted_in() -> None:
    ring = ring_of(100)
    index = ring.add(80, 0)
    ring.add(20, 30_000)

    ring.give_back(50, index, 31_000)
    assert ring.remaining(31_000) == 50
    ring.give_back(50, index, 62_000)

    assert ring.remaining(62_000) == 80


def test_a_clock_that_runs_backwards_frees_nothing() -> None:
    ring = ring_of(10, RPM)
    ring.add(10, 3_600_000)

    assert not ring.fits(1, 0)
    assert ring.add(0, 0) == 3_600


@pytest.mark.parametrize("lowered", [0, 30, 59])
def test_a_lowered_limit_admits_nothing_until_there_is_room_below_it(lowered: int) -> None:
    ring = ring_of(100)
    ring.add(60, 0)
    ring.limit = lowered

    assert not ring.fits(1, 59_000)
    assert ring.remaining(59_000) == 0
    assert ring.fits(lowered, 61_000)


@given(STEPS, st.integers(1, 100), st.integers(0, 300))
def test_a_restored_ring_decides_as_the_one_that_was_dumped(
    steps: list[tuple[float, int]], limit: int, overshoot: int
) -> None:
    ring, now = ring_of(limit, SMALL), 0
    for wait, amount in steps:
        now += round(wait * SMALL.length_ms)
        if ring.fits(amount, now):
            ring.add(amount, now)
    ring.owe(overshoot, now)
    other = ring_of(limit, SMALL)
    other.restore(*ring.dump())

    for later in range(now, now + 20_000, 700):
        assert ring.remaining(later) == other.remaining(later)
    assert ring.dump() == other.dump()
