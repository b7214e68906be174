"""How many requests may be in flight, and whose: the decision, and the timer that tells it how late the loop is.

Requests take a seat in one of two pools. A fifth of ``server.max_in_flight`` is kept for keys of priority ``critical``,
which take ordinary seats where those are used up; the rest is for everybody. Of the ordinary seats, fewer are given out
while the event loop is late: their number falls with how late it is, and rises with the requests that end in time (the
congestion avoidance of TCP, RFC 5681, with a lag in the place of a loss). The critical ones are touched last. Where
streams wait for each other so that the loop is in time (`headgate.upstream.pacing`), it is their lag that counts.

A pool is shared among tenants, which are organizations. One alone may have all of it. Where there are others, and the
pool is nearly full, who holds more than its max-min fair share gets no more, and who holds less still gets in: fairness
costs nothing until there is something to share out.
"""

import logging
import math
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from headgate.domain.access import Priority
from headgate.domain.errors import OverloadedError
from headgate.upstream.pacing import Pacer

PROBE_S: Final = 0.05
"""How often the event loop and the streams are asked how late they are."""
RETRY_AFTER_S: Final = 1.0
"""When a request that was shed may come again."""
SMALLEST_SIZE: Final = 16
"""A pool is not made smaller than this: with so few requests, something else is the reason for the lag."""
GOAL: Final = 0.8
"""Once overloaded, the lag is held to this share of the one at which shedding begins. Mostly it is that of streams; a
refusal does not wait for them. The longer they wait, the more is passed on at once, and the less work that is."""
GROWTH: Final = 1.0
"""Seats added for each request that has ended, where the loop is not late at all; at the goal there are none."""
REMEMBERED_S: Final = 10.0
"""For so long after its last request a tenant counts as one with whom seats are shared."""
RECORDED_PER_S: Final = 100
"""So many requests that were shed get a record of their own; of a flood, the rest are only counted."""
LOGGED_EVERY_S: Final = 10.0

_WINDOW: Final = 3
"""The least lag of so many probes counts: one may be a single large request, or a pause of the garbage collector."""
_SWEEP_S: Final = 1.0
_log: Final = logging.getLogger("headgate.pipeline")


class Load(Struct, frozen=True):
    """The load at one moment, as the operator may read it."""

    in_flight: int
    limit: int
    """Seats that are given out at present, those kept for ``critical`` among them."""
    lag_ms: float
    shed: int
    """Requests refused since the start."""


class Seat:
    """One tenant's part of one pool; a request holds it from `LoadGate.enter` to `LoadGate.leave`."""

    __slots__ = ("idle_s", "in_flight", "pool", "refused")

    def __init__(self, pool: "Pool") -> None:
        """Hold nothing yet."""
        self.pool = pool
        self.in_flight = 0
        self.refused = 0
        """Since the last probe."""
        self.idle_s = 0.0


class Pool:
    """Requests in flight, at most ``most``, shared among tenants."""

    __slots__ = ("_crowded_at", "_refused", "_seats", "_share", "ended", "in_flight", "low_at", "most", "size")

    def __init__(self, most: int) -> None:
        """Give out all there is until `resize` says otherwise."""
        self.most = most
        self.size = most
        """What is given out at present. More may be in flight: those that were there, and tenants below their share."""
        self.in_flight = 0
        self.ended = 0
        """Seats given back since `LoadGate` last looked."""
        self.low_at = most
        """From here on, what is of priority ``low`` is refused."""
        self._seats: dict[str, Seat] = {}
        self._refused = 0
        self._crowded_at = most
        self._share = most
        self._share_out()

    def has_room(self, tenant: str) -> bool:
        """Whether there is a seat for this tenant."""
        in_flight = self.in_flight
        if in_flight < self._crowded_at:
            return True
        return in_flight < self.most and self._seat_of(tenant).in_flight < self._share

    def take(self, tenant: str) -> Seat:
        """Take a seat, whether or not there is room."""
        seat = self._seat_of(tenant)
        self.in_flight += 1
        seat.in_flight += 1
        seat.idle_s = 0.0
        return seat

    def refuse(self, tenant: str) -> None:
        """Note that a tenant wants more than it gets."""
        seat = self._seat_of(tenant)
        self._refused += 1
        seat.refused += 1
        seat.idle_s = 0.0

    @property
    def is_used_up(self) -> bool:
        """Whether somebody was refused since the last probe, or would be now."""
        return self._refused > 0 or self.in_flight >= self._crowded_at

    def resize(self, size: int) -> None:
        """Give out ``size`` seats from the next probe on."""
        self.size = min(self.most, max(SMALLEST_SIZE, size))

    def probe(self) -> None:
        """Share the seats out anew by what was asked for since the last probe."""
        self._share_out()
        if self._refused:
            self._refused = 0
            for seat in self._seats.values():
                seat.refused = 0

    def sweep(self, passed_s: float) -> None:
        """Forget the tenants that have left, ``passed_s`` after the last sweep."""
        gone: list[str] = []
        for tenant, seat in self._seats.items():
            if seat.in_flight == 0:
                seat.idle_s += passed_s
                if seat.idle_s > REMEMBERED_S:
                    gone.append(tenant)
        for tenant in gone:
            del self._seats[tenant]

    def _share_out(self) -> None:
        size = self.size
        self.low_at = max(1, size * 3 // 4)
        if len(self._seats) < 2:
            self._crowded_at = self._share = size
            return
        # An eighth stays free of those who hold much already: the others need not wait for one of theirs to end.
        crowded_at = self._crowded_at = self._share = min(size, max(1, size - -(-size // 8)))
        if self.in_flight + self._refused >= crowded_at:
            self._share = fair_share((seat.in_flight + seat.refused for seat in self._seats.values()), crowded_at)

    def _seat_of(self, tenant: str) -> Seat:
        seat = self._seats.get(tenant)
        if seat is None:
            seat = self._seats[tenant] = Seat(self)
            count = len(self._seats)
            if count == 2:
                self._share_out()
            # Until the next probe looks closely.
            self._share = min(self._share, self._crowded_at // count)
        return seat


class LoadGate:
    """Lets requests in, or not. Belongs to the event loop."""

    __slots__ = (
        "_goal_s",
        "_least_lag_s",
        "_probes",
        "_records_left",
        "_shed_at_lag_s",
        "_unswept_s",
        "critical",
        "is_overloaded",
        "lag_s",
        "ordinary",
        "shed",
    )

    def __init__(self, max_in_flight: int, *, shed_at_lag_s: float) -> None:
        """Start without a request.

        Args:
            max_in_flight: requests at once, all priorities together.
            shed_at_lag_s: how late the event loop may be before fewer requests are let in.
        """
        reserved = min(-(-max_in_flight // 5), max_in_flight - 1)
        self.critical: Final = Pool(reserved)
        self.ordinary: Final = Pool(max_in_flight - reserved)
        self.is_overloaded = False
        """Fewer seats are given out than there are, because the event loop was late."""
        self.lag_s = 0.0
        self.shed = 0
        self._shed_at_lag_s = shed_at_lag_s
        self._goal_s = shed_at_lag_s * GOAL
        self._least_lag_s = math.inf
        self._probes = 0
        self._records_left = float(RECORDED_PER_S)
        self._unswept_s = 0.0

    def enter(self, tenant: str, priority: Priority) -> Seat | None:
        """Take a seat; ``None`` where the request is shed. `leave` gives it back."""
        ordinary = self.ordinary
        if priority is Priority.CRITICAL and self.critical.has_room(tenant):
            return self.critical.take(tenant)
        if (priority is Priority.LOW and self.is_crowded) or not ordinary.has_room(tenant):
            ordinary.refuse(tenant)
            self.shed += 1
            return None
        return ordinary.take(tenant)

    def sheds(self, tenant: str, priority: Priority) -> bool:
        """Whether `enter` would let nobody in; if so, that is counted like a request that it refused."""
        if self.has_room(tenant, priority):
            return False
        self.ordinary.refuse(tenant)
        self.shed += 1
        return True

    @property
    def is_crowded(self) -> bool:
        """Whether anybody at all would be refused at this moment."""
        return self.ordinary.in_flight >= self.ordinary.low_at

    @property
    def is_tight(self) -> bool:
        """Whether seats run out: at such times they are taken before a request's task begins."""
        return self.is_overloaded or self.ordinary.in_flight >= self.ordinary.low_at

    def has_room(self, tenant: str, priority: Priority) -> bool:
        """Whether `enter` would let a request in."""
        if priority is Priority.CRITICAL and self.critical.has_room(tenant):
            return True
        return not (priority is Priority.LOW and self.is_crowded) and self.ordinary.has_room(tenant)

    @staticmethod
    def leave(seat: Seat | None) -> None:
        """Give a seat back; ``None`` is what a request has that was shed, or refused before it asked for one."""
        if seat is not None:
            pool = seat.pool
            seat.in_flight -= 1
            pool.in_flight -= 1
            pool.ended += 1

    def takes_record(self) -> bool:
        """Whether this request, which is shed, gets a record of its own."""
        if self._records_left < 1:
            return False
        self._records_left -= 1
        return True

    def probe(self, lag_s: float, passed_s: float) -> None:
        """Learn that the event loop or its streams were ``lag_s`` late, ``passed_s`` after the last probe."""
        before_s, self.lag_s = self.lag_s, lag_s
        self._records_left = min(RECORDED_PER_S, self._records_left + passed_s * RECORDED_PER_S)
        self._least_lag_s = min(self._least_lag_s, lag_s)
        self._probes += 1
        ordinary, critical = self.ordinary, self.critical
        if not self.is_overloaded:
            if lag_s > self._shed_at_lag_s and before_s > self._goal_s:
                # No more than there are already; whether that is too many, the next probes show.
                self.is_overloaded = True
                ordinary.resize(ordinary.in_flight)
                self._look_again()
        elif self._probes >= _WINDOW:
            self._decide(self._least_lag_s)
            self._look_again()
        self._unswept_s += passed_s
        if self._unswept_s >= _SWEEP_S:
            ordinary.sweep(self._unswept_s)
            critical.sweep(self._unswept_s)
            self._unswept_s = 0.0
        ordinary.probe()
        critical.probe()

    def read(self) -> Load:
        """Return the load at this moment."""
        ordinary, critical = self.ordinary, self.critical
        lag_ms = int(self.lag_s * 10_000) / 10
        return Load(ordinary.in_flight + critical.in_flight, ordinary.size + critical.size, lag_ms, self.shed)

    def _look_again(self) -> None:
        self._least_lag_s, self._probes = math.inf, 0
        self.ordinary.ended = self.critical.ended = 0

    def _decide(self, lag_s: float) -> None:
        """Give out fewer seats or more: throughout the last probes, the loop was at least ``lag_s`` late."""
        ordinary, critical, goal_s = self.ordinary, self.critical, self._goal_s
        if lag_s > goal_s:
            # The reserve is touched only where nothing else is left to refuse.
            pool = ordinary if max(ordinary.in_flight, ordinary.size) > SMALLEST_SIZE else critical
            # What was decided last takes effect only as requests end: until then there is nothing new to learn.
            if pool.in_flight <= pool.size:
                pool.resize(int(pool.in_flight * max(0.5, math.sqrt(goal_s / lag_s))))
            return
        pool = critical if critical.size < critical.most else ordinary
        # Where nobody wants more, there is no harm in offering it.
        more = pool.ended * GROWTH * (1 - lag_s / goal_s) if pool.is_used_up else pool.size / 8
        pool.resize(pool.size + max(1, int(more)))
        self.is_overloaded = ordinary.size < ordinary.most


def shed_error() -> OverloadedError:
    """What a request hears that is shed."""
    return OverloadedError(
        "The gateway has as many requests as it can answer. Try again in a second.",
        retry_after_s=RETRY_AFTER_S,
        reason="shed",
    )


def fair_share(wanted: Iterable[int], seats: int) -> int:
    """Return the largest share that each can have of ``seats`` where nobody gets more than it wants (max-min)."""
    left = seats
    ascending = sorted(wanted)
    for place, want in enumerate(ascending):
        share = left // (len(ascending) - place)
        if want > share:
            return share
        left -= want
    return seats


class LagProbe:
    """Asks the event loop now and then how late it is: one timer, however many requests there are."""

    def __init__(self, loop: AbstractEventLoop, gate: LoadGate, pacer: Pacer, clock: Callable[[], float]) -> None:
        """Tell ``gate`` and ``pacer``; `start` begins. ``clock`` is monotonic seconds."""
        self._loop = loop
        self._gate = gate
        self._pacer = pacer
        self._clock = clock
        self._due = self._fired = self._turn_began = self._told = 0.0
        self._timer: TimerHandle | None = None
        self._logged = -math.inf
        self._logged_shed = 0

    def start(self) -> None:
        """Begin to ask."""
        self._told = self._clock()
        self._arm()

    def close(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._due = self._clock() + PROBE_S
        self._timer = self._loop.call_later(PROBE_S, self._tick)

    def _tick(self) -> None:
        """The timer has fired. How late is a matter of luck: it is due somewhere in a turn of the loop."""
        self._fired = self._clock()
        self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._turn_began = self._clock()
        self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """A whole turn has passed: that long does a thing wait at most that becomes due."""
        now = self._clock()
        gate = self._gate
        late_s = max(self._fired - self._due, now - self._turn_began)
        pacer = self._pacer
        pacer.probe(late_s)
        gate.probe(max(late_s, pacer.late_s), now - self._told)
        self._told = now
        if gate.shed != self._logged_shed and now - self._logged >= LOGGED_EVERY_S:
            load = gate.read()
            facts = {"in_flight": load.in_flight, "limit": load.limit, "lag_ms": load.lag_ms}
            _log.warning("requests are shed", extra={"requests": load.shed - self._logged_shed, **facts})
            self._logged, self._logged_shed = now, load.shed
        self._arm()
