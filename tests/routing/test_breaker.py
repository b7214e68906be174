"""The breaker: every state with every event, and what holds of any history."""

import itertools
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headgate.routing.breaker import (
    EARLY_PROBE_S,
    LONGEST_OPEN_S,
    MOST_WAITING,
    PLACE_S,
    PROBES,
    PROBES_FIRST,
    SILENT_FAILURE_S,
    SILENT_PROBE_S,
    TRANSITIONS,
    TRIP_IN_A_ROW,
    TRIP_LEAST,
    Breaker,
    BreakerEvent,
    BreakerState,
)

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
SUCCESS, RECOVERED, FAILURE = BreakerEvent.SUCCESS, BreakerEvent.RECOVERED, BreakerEvent.FAILURE
TRIPPED, ELAPSED = BreakerEvent.TRIPPED, BreakerEvent.ELAPSED

TABLE = [
    (CLOSED, SUCCESS, CLOSED),
    (CLOSED, RECOVERED, CLOSED),
    (CLOSED, FAILURE, CLOSED),
    (CLOSED, TRIPPED, OPEN),
    (CLOSED, ELAPSED, CLOSED),
    (OPEN, SUCCESS, HALF_OPEN),
    (OPEN, RECOVERED, CLOSED),
    (OPEN, FAILURE, OPEN),
    (OPEN, TRIPPED, OPEN),
    (OPEN, ELAPSED, HALF_OPEN),
    (HALF_OPEN, SUCCESS, HALF_OPEN),
    (HALF_OPEN, RECOVERED, CLOSED),
    (HALF_OPEN, FAILURE, OPEN),
    (HALF_OPEN, TRIPPED, OPEN),
    (HALF_OPEN, ELAPSED, HALF_OPEN),
]


def breaker(draw: float = 0.5) -> Breaker:
    return Breaker(lambda: draw)


def tripped(now: float = 100.0, draw: float = 0.5) -> Breaker:
    made = breaker(draw)
    for _ in range(TRIP_IN_A_ROW):
        made.begin(now)
        made.fail(now)
    assert made.state is OPEN
    return made


def half_open(now: float = 100.0) -> Breaker:
    """Half open, with one probe under way that began at the end of the open time."""
    made = tripped(now)
    made.begin(made.until)
    assert made.state is HALF_OPEN
    return made


@pytest.mark.parametrize(("before", "event", "after"), TABLE)
def test_the_table_of_transitions(before: BreakerState, event: BreakerEvent, after: BreakerState) -> None:
    assert TRANSITIONS[before][event] is after


def test_the_table_is_whole() -> None:
    pairs = {(state, event) for state in TRANSITIONS for event in TRANSITIONS[state]}
    assert pairs == {(state, event) for state in BreakerState for event in BreakerEvent}
    assert len(TABLE) == len(pairs)


def test_five_failures_in_a_row_open_it() -> None:
    made = breaker()
    for _ in range(TRIP_IN_A_ROW - 1):
        made.fail(1.0)
    assert made.admits(1.0)
    made.fail(1.0)
    assert not made.admits(1.0)


def test_a_success_between_them_starts_the_row_anew() -> None:
    made = breaker()
    for _ in range(3):
        for _ in range(TRIP_IN_A_ROW - 1):
            made.fail(1.0)
        made.succeed(1.0)
        made.succeed(1.0)
    assert made.consecutive == 0
    assert made.state is CLOSED


def test_half_of_twenty_open_it_and_of_nineteen_do_not() -> None:
    made = breaker()
    for number in range(TRIP_LEAST - 1):
        (made.fail if number % 2 else made.succeed)(float(number))
    assert made.state is CLOSED
    made.fail(TRIP_LEAST - 1.0)
    assert made.state is OPEN


def test_failures_of_half_a_minute_ago_no_longer_count() -> None:
    made = breaker()
    for _ in range(8):
        made.fail(0.0)
        made.succeed(0.0)
    for _ in range(4):
        made.fail(31.0)
    assert made.outcomes(31.0) == (0, 4)
    assert made.state is CLOSED


@pytest.mark.parametrize(("draw", "open_s"), [(0.0, 4.0), (0.5, 4.5), (0.999, 4.999)])
def test_jitter_only_shortens_the_open_time(draw: float, open_s: float) -> None:
    assert tripped(100.0, draw).until == pytest.approx(100.0 + open_s)


def test_the_open_time_doubles_once_and_never_exceeds_ten_seconds() -> None:
    made = tripped(100.0, 0.999999)
    lengths = []
    for _ in range(40):
        now = made.until
        made.begin(now)
        made.fail(now, began=now)
        lengths.append(made.until - now)
    assert lengths == pytest.approx([LONGEST_OPEN_S] * 40, abs=0.001)
    assert max(lengths) <= LONGEST_OPEN_S


def test_closing_makes_the_next_open_time_the_first_again() -> None:
    made = half_open()
    now = made.until
    made.fail(now)
    now = made.until
    for _ in range(PROBES_FIRST + PROBES):
        made.begin(now)
        made.succeed(now)
    assert made.state is CLOSED
    for _ in range(TRIP_IN_A_ROW):
        made.fail(now)
    assert made.until - now == pytest.approx(4.5)


def test_half_open_lets_one_probe_through_and_after_its_success_three() -> None:
    made = half_open()
    now = made.until
    assert not made.admits(now)
    made.succeed(now)
    for _ in range(PROBES):
        assert made.admits(now)
        made.begin(now)
    assert not made.admits(now)
    for _ in range(PROBES):
        assert made.state is HALF_OPEN
        made.succeed(now)
    assert made.state is CLOSED
    assert made.outcomes(now) == (0, 0)


def test_a_failed_probe_opens_it_again() -> None:
    made = half_open()
    began = made.until
    made.fail(began + 1, began=began)
    assert made.state is OPEN
    assert made.until == pytest.approx(began + 9.0)


def test_a_probe_that_stalled_for_long_does_not_keep_the_next_one_waiting_again() -> None:
    made = half_open()
    began = made.until
    made.fail(began + 60, began=began)
    assert made.state is OPEN
    assert made.admits(began + 60)


def test_a_neutral_end_frees_the_probes_place_and_says_nothing() -> None:
    made = half_open()
    now = made.until
    made.neutral(began=now)
    assert made.state is HALF_OPEN
    assert made.admits(now)
    assert made.outcomes(now) == (0, TRIP_IN_A_ROW)


def test_a_probe_that_never_ends_keeps_the_next_one_waiting_for_ten_seconds_at_most() -> None:
    made = half_open()
    now = made.until
    assert not made.admits(now + PLACE_S - 0.01)
    assert made.admits(now + PLACE_S)


@pytest.mark.parametrize("is_probing", [False, True])
def test_what_began_before_it_opened_neither_opens_nor_closes_it(is_probing: bool) -> None:
    made = half_open() if is_probing else tripped()
    before = made.state, made.until, made.probes, made.outcomes(made.until)
    now = made.until
    made.fail(now, began=50.0)
    made.succeed(now, began=50.0)
    made.neutral(began=50.0)
    assert (made.state, made.until, made.probes, made.outcomes(made.until)) == before


def test_an_early_probe_that_succeeds_ends_the_open_time() -> None:
    made = tripped(100.0)
    assert made.is_probe_due(100.0)
    made.begin(100.5)
    assert not made.is_probe_due(100.5 + EARLY_PROBE_S / 2)
    made.succeed(100.8, began=100.5)
    assert made.state is HALF_OPEN
    assert made.admits(100.8)


def test_an_early_probe_that_fails_does_not_put_off_the_end_of_the_open_time() -> None:
    made = tripped(100.0)
    until = made.until
    for step in range(3):
        made.begin(101.0 + step)
        made.fail(101.5 + step, began=101.0 + step)
    assert made.until == until
    assert made.is_probe_due(104.0)


def silent(now: float = 100.0, waited_s: float = SILENT_FAILURE_S, times: int = TRIP_IN_A_ROW) -> Breaker:
    made = breaker()
    for _ in range(times):
        made.begin(now - waited_s)
        made.fail(now, began=now - waited_s, heard=False)
    return made


def test_a_silent_one_lets_one_caller_wait_in_five_seconds_whatever_becomes_of_him() -> None:
    made, now = silent(), 100.0
    assert made.is_silent
    let_through: list[float] = []
    while now < 160.0:
        if made.admits(now) or made.refuses_s(now) is None:
            assert made.admits(now) or made.is_probe_due(now)
            let_through.append(now)
            made.begin(now)
        else:
            assert not made.is_probe_due(now)
        now += 0.25
    pauses = [after - before for before, after in itertools.pairwise(let_through)]
    assert min(pauses) > SILENT_PROBE_S / 4
    assert max(pauses) <= SILENT_PROBE_S
    assert len(let_through) <= 60 / SILENT_PROBE_S + 6


def test_what_a_silent_one_says_of_its_next_probe_is_true() -> None:
    made = silent(100.0)
    refuses_s = made.refuses_s(101.0)
    assert refuses_s is not None
    assert not made.admits(101.0)
    assert made.admits(101.0 + refuses_s) or made.refuses_s(101.0 + refuses_s) is None
    assert made.refuses_s(101.0 + refuses_s - 0.01) is not None


@pytest.mark.parametrize(("waited_s", "times"), [(SILENT_FAILURE_S - 0.01, TRIP_IN_A_ROW), (120.0, TRIP_IN_A_ROW - 1)])
def test_what_fails_at_once_and_what_failed_a_few_times_is_not_silent(waited_s: float, times: int) -> None:
    made = silent(1000.0, waited_s, times)
    if made.state is CLOSED:
        made.fail(1000.0)
    assert made.state is OPEN
    assert not made.is_silent
    assert made.refuses_s(1000.0) is None
    assert made.is_probe_due(1000.0 + EARLY_PROBE_S)


def test_a_closed_one_never_refuses_however_long_its_answers_take() -> None:
    made = breaker()
    for _ in range(10 * MOST_WAITING):
        made.begin(0.0)
    assert made.refuses_s(600.0) is None
    for _ in range(TRIP_IN_A_ROW - 1):
        made.fail(600.0, began=0.0, heard=False)
    assert made.refuses_s(600.0) is None
    made.succeed(600.0, began=0.0)
    made.fail(600.0, began=0.0, heard=False)
    assert made.refuses_s(600.0) is None


@pytest.mark.parametrize("word", ["content", "a success", "a failure at once", "a failure after content"])
def test_any_word_ends_the_silence(word: str) -> None:
    made = silent(100.0)
    made.begin(100.0)
    if word == "content":
        made.heard()
    elif word == "a success":
        made.succeed(140.0, began=100.0)
    elif word == "a failure at once":
        made.fail(100.1, began=100.0, heard=False)
    else:
        made.fail(140.0, began=100.0, heard=True)
    assert not made.is_silent
    assert made.refuses_s(140.0) is None


def test_of_those_that_wait_at_an_open_one_there_are_a_bounded_number_until_one_succeeds() -> None:
    made = tripped(100.0)
    for _ in range(MOST_WAITING):
        assert made.refuses_s(101.0) is None
        made.begin(101.0)
    assert made.refuses_s(102.0) == EARLY_PROBE_S
    made.succeed(130.0, began=101.0)
    assert made.refuses_s(130.0) is None


class AnyHistory(RuleBasedStateMachine):
    """Attempts begin where they are admitted, and end at any time in any way."""

    ENDS: ClassVar = st.sampled_from(["success", "failure", "neutral"])

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.made = Breaker(lambda: 0.999)
        self.running: list[float] = []
        self.probe_begins: list[float] = []
        self.opened_at = 0.0

    @rule(wait_s=st.sampled_from([0.0, 0.1, 1.0, 5.0, 10.0, 40.0]))
    def wait(self, wait_s: float) -> None:
        self.now += wait_s

    @rule()
    def begin(self) -> None:
        self.now += 0.001  # No two things happen at once.
        if not self.made.admits(self.now):
            return
        self.made.begin(self.now)
        self.running.append(self.now)
        if self.made.state is HALF_OPEN:
            self.probe_begins.append(self.now)

    @precondition(lambda self: self.running)
    @rule(end=ENDS, data=st.data())
    def end(self, end: str, data: st.DataObject) -> None:
        self.now += 0.001
        began = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before = self.made.state
        if end == "success":
            self.made.succeed(self.now, began)
        elif end == "failure":
            self.made.fail(self.now, began)
        else:
            self.made.neutral(began)
        if self.made.state is OPEN and before is not OPEN:
            self.opened_at = self.now
            self.probe_begins.clear()

    @invariant()
    def it_is_never_open_for_longer_than_ten_seconds(self) -> None:
        if self.made.state is OPEN:
            assert self.made.until - self.opened_at <= LONGEST_OPEN_S

    @invariant()
    def probes_are_bounded(self) -> None:
        if self.made.state is HALF_OPEN:
            assert sum(1 for at in self.running if at >= self.opened_at) == self.made.probes
            # A place that a stalled probe has lost is given once in ten seconds: never more than these in any.
            recent = [at for at in self.running if at in self.probe_begins and at > self.now - PLACE_S]
            assert len(recent) <= PROBES + 1

    @invariant()
    def ten_seconds_after_the_last_failure_something_may_try(self) -> None:
        last = max([self.opened_at, *self.probe_begins])
        assert self.made.admits(max(self.now, last + LONGEST_OPEN_S + 0.001))


AnyHistory.TestCase.settings = settings(max_examples=200, stateful_step_count=60)
TestAnyHistory = AnyHistory.TestCase
