"""Who gets a seat, and how many there are: decided on a clock of the test's own."""

import asyncio
import logging
import random  # noqa: TID251  seeded, so that a failure comes again
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from headgate.domain.access import Priority
from headgate.pipeline import load
from headgate.pipeline.load import LagProbe, LoadGate, Pool, Seat, fair_share
from headgate.upstream.pacing import Pacer

CRITICAL, NORMAL, LOW = Priority.CRITICAL, Priority.NORMAL, Priority.LOW
CALM_S, LATE_S = 0.001, 0.25


def gate(max_in_flight: int = 100) -> LoadGate:
    return LoadGate(max_in_flight, shed_at_lag_s=0.1)


def fill(made: LoadGate, tenant: str = "a", priority: Priority = NORMAL, most: int = 1_000_000) -> list[Seat]:
    """Enter until nobody is let in any more."""
    seats: list[Seat] = []
    while len(seats) < most and (seat := made.enter(tenant, priority)) is not None:
        seats.append(seat)
    return seats


def probe(made: LoadGate, lag_s: float, times: int = 1) -> None:
    for _ in range(times):
        made.probe(lag_s, load.PROBE_S)


def overload(made: LoadGate) -> None:
    """Be late for long enough to have an effect."""
    probe(made, LATE_S, 2)


@pytest.mark.parametrize(("most", "reserved"), [(1, 0), (2, 1), (5, 1), (6, 2), (8, 2), (100, 20), (4096, 820)])
def test_a_fifth_is_kept_for_critical_and_a_tenant_alone_may_have_all_the_rest(most: int, reserved: int) -> None:
    made = gate(most)
    assert len(fill(made)) == most - reserved
    assert len(fill(made, priority=CRITICAL)) == reserved
    assert made.read().in_flight == made.read().limit == most
    assert made.shed == 2


def test_critical_takes_ordinary_seats_where_the_reserve_is_used_up() -> None:
    made = gate(100)
    assert len(fill(made, priority=CRITICAL)) == 100


def test_low_is_refused_while_a_quarter_is_free() -> None:
    made = gate(100)
    assert len(fill(made, priority=LOW)) == 60
    assert made.is_crowded
    assert len(fill(made)) == 20


def test_a_seat_that_is_given_back_is_there_for_the_next() -> None:
    made = gate(100)
    seats = fill(made)
    assert made.enter("a", NORMAL) is None
    made.leave(seats.pop())
    assert made.enter("a", NORMAL) is not None
    assert made.enter("a", NORMAL) is None
    made.leave(None)
    assert made.read().in_flight == 80


@pytest.mark.parametrize("priority", list(Priority))
@pytest.mark.parametrize("taken", [0, 59, 60, 79, 80])
def test_has_room_says_what_enter_does_and_changes_nothing(priority: Priority, taken: int) -> None:
    made = gate(100)
    fill(made, most=taken)
    said = made.has_room("b", priority)
    assert made.read().in_flight == taken
    assert (made.enter("b", priority) is not None) == said


@pytest.mark.parametrize("priority", list(Priority))
@pytest.mark.parametrize("taken", [0, 59, 60, 79, 80])
def test_sheds_counts_as_enter_does_and_takes_no_seat(priority: Priority, taken: int) -> None:
    asked, entered = gate(100), gate(100)
    fill(asked, most=taken)
    fill(entered, most=taken)
    before = asked.shed
    said = asked.sheds("b", priority)
    assert said == (entered.enter("b", priority) is None)
    assert asked.shed == before + said == entered.shed
    assert asked.read().in_flight == taken


class TestFairness:
    """Tenants share what there is, once there is too little of it."""

    def test_a_tenant_that_comes_late_gets_in_as_soon_as_a_seat_is_free(self) -> None:
        made = gate(100)
        seats = fill(made, "a")
        assert made.enter("b", NORMAL) is None
        made.leave(seats.pop())
        assert made.enter("a", NORMAL) is None
        assert made.enter("b", NORMAL) is not None

    @pytest.mark.parametrize("greed", [1, 10, 100])
    def test_two_who_want_everything_come_to_half_of_it_each(self, greed: int) -> None:
        """However much more often one of them asks."""
        held = self.crowd(gate(100), {"a": greed, "b": 1}, rounds=3000)
        assert held["a"] == pytest.approx(40, abs=6)
        assert held["b"] == pytest.approx(40, abs=6)

    def test_who_wants_little_gets_it_and_the_others_share_the_rest(self) -> None:
        made = gate(100)
        small = [made.enter("small", NORMAL) for _ in range(5)]
        assert None not in small
        held = self.crowd(made, {"a": 20, "b": 5}, rounds=3000)
        assert held["a"] == pytest.approx(35, abs=5)
        assert held["b"] == pytest.approx(35, abs=5)
        for _ in range(5):
            assert made.enter("small", NORMAL) is not None

    def test_a_burst_of_another_tenant_finds_seats_that_the_noisy_one_may_not_take(self) -> None:
        made = gate(100)
        quiet = made.enter("quiet", NORMAL)
        noisy = fill(made, "noisy")
        probe(made, CALM_S)
        made.leave(quiet)
        assert len(noisy) < 80
        assert len(fill(made, "quiet", most=10)) == 10

    def test_tenants_without_number_are_still_bounded_by_what_there_is(self) -> None:
        made = gate(100)
        seats = [made.enter(f"tenant{number}", NORMAL) for number in range(1000)]
        assert sum(seat is not None for seat in seats) <= 80

    def test_the_reserve_is_shared_too(self) -> None:
        made = gate(100)
        assert made.enter("b", CRITICAL) is not None
        fill(made, "a", CRITICAL)
        assert made.enter("b", CRITICAL) is not None

    def test_who_has_left_is_shared_with_no_longer(self) -> None:
        made = gate(100)
        made.leave(made.enter("b", NORMAL))
        assert len(fill(made, "a")) == 70
        probe(made, CALM_S, round(load.REMEMBERED_S / load.PROBE_S) + 50)
        assert len(fill(made, "a")) == 10

    @staticmethod
    def crowd(made: LoadGate, greed: dict[str, int], rounds: int) -> dict[str, int]:
        """Let tenants ask, each so many times a round, while requests end in the order they began in."""
        chance = random.Random(7)
        running: list[Seat] = []
        tenants: dict[str, list[Seat]] = {name: [] for name in greed}
        for turn in range(rounds):
            asked = [name for name, times in greed.items() for _ in range(times)]
            chance.shuffle(asked)
            for name in asked:
                seat = made.enter(name, NORMAL)
                if seat is not None:
                    running.append(seat)
                    tenants[name].append(seat)
            if len(running) > 40:
                ended = running.pop(0)
                made.leave(ended)
                for seats in tenants.values():
                    if ended in seats:
                        seats.remove(ended)
                        break
            if turn % 20 == 0:
                probe(made, CALM_S)
        return {name: seats[0].in_flight for name, seats in tenants.items()}


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 200))
def test_a_fair_share_leaves_nothing_that_somebody_wants(wanted: list[int], seats: int) -> None:
    share = fair_share(wanted, seats)
    given_out = sum(min(want, share) for want in wanted)
    assert given_out <= seats
    # One more for each, and there would not be enough; or everybody has what he wants.
    assert given_out == sum(wanted) or sum(min(want, share + 1) for want in wanted) > seats


class TestLag:
    """The event loop's lag decides how many seats are given out."""

    def test_a_loop_that_is_on_time_gives_out_everything(self) -> None:
        made = gate(1000)
        fill(made)
        probe(made, 0.09, 100)
        assert not made.is_overloaded
        assert made.read().limit == 1000

    def test_one_late_probe_is_nothing(self) -> None:
        made = gate(1000)
        fill(made, most=500)
        for _ in range(10):
            probe(made, CALM_S, 2)
            probe(made, 0.5)
        assert not made.is_overloaded
        assert made.enter("a", NORMAL) is not None

    def test_two_late_probes_let_nobody_in_beyond_those_who_are_there(self) -> None:
        made = gate(1000)
        seats = fill(made, most=500)
        overload(made)
        assert made.is_overloaded
        assert made.enter("a", NORMAL) is None
        made.leave(seats.pop())
        assert made.enter("a", NORMAL) is not None

    def test_while_it_is_late_there_are_fewer_and_fewer(self) -> None:
        made = gate(1000)
        seats = fill(made)
        overload(made)
        sizes = [made.ordinary.size]
        for _ in range(20):
            probe(made, LATE_S, 3)
            sizes.append(made.ordinary.size)
            while made.ordinary.in_flight > made.ordinary.size:
                made.leave(seats.pop())
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] == load.SMALLEST_SIZE

    def test_nothing_is_taken_before_the_last_decision_has_had_its_effect(self) -> None:
        made = gate(1000)
        fill(made)
        overload(made)
        probe(made, LATE_S, 3)
        size = made.ordinary.size
        assert size < 800
        probe(made, LATE_S, 30)
        assert made.ordinary.size == size

    def test_it_recovers_with_the_requests_that_end_in_time(self) -> None:
        made = gate(1000)
        seats = fill(made, most=500)
        overload(made)
        probe(made, LATE_S, 3)
        before = made.ordinary.size
        while made.ordinary.in_flight > before:
            made.leave(seats.pop())
        for _ in range(40):
            # A tenth of them end, others come at once, and more would.
            for _ in range(made.ordinary.in_flight // 10):
                made.leave(seats.pop())
            seats += fill(made)
            probe(made, CALM_S, 3)
        assert made.ordinary.size > 2 * before or not made.is_overloaded

    def test_it_forgets_an_overload_that_nobody_makes_any_more(self) -> None:
        made = gate(1000)
        seats = fill(made, most=500)
        overload(made)
        probe(made, LATE_S, 3)
        for seat in seats:
            made.leave(seat)
        probe(made, CALM_S, 200)
        assert not made.is_overloaded
        assert len(fill(made)) == 800

    def test_critical_is_let_in_when_all_others_are_refused(self) -> None:
        made = gate(1000)
        fill(made, most=100)
        overload(made)
        probe(made, LATE_S, 3)
        assert made.enter("a", NORMAL) is None
        assert len(fill(made, priority=CRITICAL)) == 200

    def test_the_reserve_shrinks_when_nothing_else_is_left(self) -> None:
        made = gate(1000)
        seats = fill(made, priority=CRITICAL, most=200)
        overload(made)
        for _ in range(40):
            probe(made, LATE_S, 3)
            while made.critical.in_flight > made.critical.size:
                made.leave(seats.pop())
        assert (made.ordinary.size, made.critical.size) == (load.SMALLEST_SIZE, load.SMALLEST_SIZE)
        probe(made, CALM_S, 400)
        assert made.read().limit == 1000

    def test_a_tenant_below_its_share_gets_in_while_the_noisy_one_is_held_down(self) -> None:
        made = gate(1000)
        assert made.enter("quiet", NORMAL) is not None
        fill(made, "noisy", most=400)
        overload(made)
        probe(made, LATE_S, 3)
        assert made.enter("noisy", NORMAL) is None
        assert len(fill(made, "quiet", most=20)) == 20

    def test_of_a_flood_so_many_are_recorded_a_second(self) -> None:
        made = gate(1)
        assert sum(made.takes_record() for _ in range(1000)) == load.RECORDED_PER_S
        probe(made, CALM_S, round(0.5 / load.PROBE_S))
        assert sum(made.takes_record() for _ in range(1000)) == pytest.approx(load.RECORDED_PER_S / 2, abs=2)


class Crowd(RuleBasedStateMachine):
    """Whatever comes and goes, and however late the loop is."""

    def __init__(self) -> None:
        super().__init__()
        self.made = gate(30)
        self.seats: list[Seat] = []
        self.shed = 0

    @rule(tenant=st.sampled_from("abcd"), priority=st.sampled_from(Priority), times=st.integers(1, 40))
    def come(self, tenant: str, priority: Priority, times: int) -> None:
        for _ in range(times):
            expected = self.made.has_room(tenant, priority)
            seat = self.made.enter(tenant, priority)
            assert (seat is not None) == expected
            if seat is None:
                self.shed += 1
            else:
                self.seats.append(seat)

    @precondition(lambda self: self.seats)
    @rule(data=st.data(), count=st.integers(1, 20))
    def go(self, data: Any, count: int) -> None:
        for _ in range(min(count, len(self.seats))):
            self.made.leave(self.seats.pop(data.draw(st.integers(0, len(self.seats) - 1))))

    @rule(lag_s=st.sampled_from([0.0, 0.03, 0.05, 0.2, 2.0]), times=st.integers(1, 10))
    def look(self, lag_s: float, times: int) -> None:
        probe(self.made, lag_s, times)

    @invariant()
    def no_more_than_there_may_be(self) -> None:
        for pool in (self.made.ordinary, self.made.critical):
            assert 0 <= pool.in_flight <= pool.most
            assert min(load.SMALLEST_SIZE, pool.most) <= pool.size <= pool.most
        read = self.made.read()
        assert read.in_flight == len(self.seats)
        assert read.shed == self.shed

    @invariant()
    def critical_has_its_reserve(self) -> None:
        critical = self.made.critical
        if critical.in_flight == 0:
            assert self.made.has_room("somebody new", CRITICAL)


def test_whatever_comes_and_goes_nobody_takes_more_than_there_is_nor_the_reserve() -> None:
    run_state_machine_as_test(Crowd, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


def test_a_pool_without_seats_lets_nobody_in() -> None:
    pool = Pool(0)
    assert not pool.has_room("a")
    pool.refuse("a")
    pool.refuse("b")
    pool.probe()
    assert not pool.has_room("c")


async def test_the_probe_tells_how_late_the_loop_is(caplog: pytest.LogCaptureFixture) -> None:
    made = gate(1)
    fill(made)
    told: list[tuple[float, float]] = []
    heard = asyncio.Event()
    decide = made.probe

    class Listening(LoadGate):
        def probe(self, lag_s: float, passed_s: float) -> None:
            told.append((lag_s, passed_s))
            decide(lag_s, passed_s)
            if len(told) >= 3:
                heard.set()

    listening = Listening(1, shed_at_lag_s=0.1)
    listening.shed = 3
    loop = asyncio.get_running_loop()
    watch = LagProbe(loop, listening, Pacer(loop, time.perf_counter), time.perf_counter)
    with caplog.at_level(logging.WARNING):
        watch.start()
        # Not a wait but the load: nothing else runs meanwhile.
        until = time.perf_counter() + 0.2
        while time.perf_counter() < until:
            pass
        await asyncio.wait_for(heard.wait(), 10)
        watch.close()
    assert told[0][0] >= 0.14
    assert all(passed_s >= load.PROBE_S * 0.9 for _, passed_s in told)
    (line,) = [each for each in caplog.records if each.message == "requests are shed"]
    assert line.__dict__["requests"] == 3
