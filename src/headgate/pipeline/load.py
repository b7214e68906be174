"""How many requests may be in flight, and whose: the decision, and the timer that tells it how late the loop is.

Requests take a seat in one of two pools. A fifth of ``server.max_in_flight`` is kept for keys of priority ``critical``,
which take ordinary seats where those are used up; the rest is for everybody. Of the ordinary seats, fewer are given out
while the event loop is late: the size of the pool falls by a tenth at a time and rises in small steps (AIMD: Chiu and
Jain, "Analysis of the increase and decrease algorithms", 1989). The critical ones are touched last.

A pool is shared among tenants, which are organizations. One alone may have all of it. Where there are others, and the
pool is nearly full, who holds more than its max-min fair share gets no more, and who holds less still gets in: fairness
costs nothing until there is something to share out.
"""

import logging
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from headgate.domain.access import Priority

PROBE_S: Final = 0.05
"""How often the event loop is asked how late it is."""
RETRY_AFTER_S: Final = 1.0
"""When a request that was shed may come again."""
SMALLEST_SIZE: Final = 16
"""A pool is not made smaller than this: with so few requests, something else is the reason for the lag."""
REMEMBERED_S: Final = 10.0
"""For so long after its last request a tenant counts as one with whom seats are shared."""
RECORDED_PER_S: Final = 100
"""So many requests that were shed get a record of their own; of a flood, the rest are only counted."""
LOGGED_EVERY_S: Final = 10.0

_SUSTAINED: Final = 2
"""So many probes in a row must be late: one may be a single large request, or a pause of the garbage collector."""
_log: Final = logging.getLogger("headgate.pipeline")


class Load(Struct, frozen=True):
    """The load at one moment, as its operator may read it."""

    in_flight: int
    limit: int
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

    __slots__ = ("_crowded_at", "_refused", "_seats", "_share", "in_flight", "low_at", "most", "size")

    def __init__(self, most: int) -> None:
        """Give out all there is until `resize` says otherwise."""
        self.most = most
        self.size = most
        """What is given out at present. More may be in flight: those that were there, and tenants below their share."""
        self.in_flight = 0
        self.low_at = most
        """From here on, what is of priority ``low`` is refused."""
        self._seats: dict[str, Seat] = {}
        self._refused = 0
        self._crowded_at = most
        self._share = most
        self._share_out()

    def enter(self, tenant: str) -> Seat | None:
        """Take a seat; ``None`` where there is none for this tenant."""
        seat = self._seats.get(tenant)
        if seat is None:
            seat = self._welcome(tenant)
        in_flight = self.in_flight
        if in_flight >= self._crowded_at and (seat.in_flight >= self._share or in_flight >= self.most):
            self.refuse(seat)
            return None
        self.in_flight = in_flight + 1
        seat.in_flight += 1
        return seat

    def refuse(self, seat: Seat) -> None:
        """Note that a tenant wants more than it has."""
        seat.refused += 1
        self._refused += 1

    def seat_of(self, tenant: str) -> Seat:
        """The part of a tenant."""
        return self._seats.get(tenant) or self._welcome(tenant)

    @property
    def is_used_up(self) -> bool:
        """Whether somebody was refused since the last probe, or would be now."""
        return self._refused > 0 or self.in_flight >= self._crowded_at

    def resize(self, size: int) -> None:
        """Give out ``size`` seats from now on."""
        self.size = min(self.most, max(min(SMALLEST_SIZE, self.most), size))

    def probe(self, passed_s: float) -> None:
        """Share the seats out anew by what was asked for since the last probe, and forget who has left."""
        gone: list[str] = []
        for tenant, seat in self._seats.items():
            if seat.in_flight or seat.refused:
                seat.idle_s = 0.0
            else:
                seat.idle_s += passed_s
                if seat.idle_s > REMEMBERED_S:
                    gone.append(tenant)
        for tenant in gone:
            del self._seats[tenant]
        self._share_out()
        if self._refused:
            self._refused = 0
            for seat in self._seats.values():
                seat.refused = 0

    def _share_out(self) -> None:
        size = self.size
        self.low_at = max(1, size * 3 // 4)
        if len(self._seats) < 2:
            self._crowded_at = self._share = size
            return
        # An eighth stays free of those who hold much already: the others need not wait for one of theirs to end.
        crowded_at = self._crowded_at = min(size, max(1, size - -(-size // 8)))
        self._share = crowded_at
        if self.in_flight + self._refused >= crowded_at:
            self._share = fair_share((seat.in_flight + seat.refused for seat in self._seats.values()), crowded_at)

    def _welcome(self, tenant: str) -> Seat:
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
        "_late",
        "_records_left",
        "_shed_at_lag_s",
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
        """The event loop was late for a while and has not been on time with all seats given out since."""
        self.lag_s = 0.0
        self.shed = 0
        self._shed_at_lag_s = shed_at_lag_s
        # Once overloaded, aim lower: a refusal that takes as long as the limit allows is a slow one.
        self._goal_s = shed_at_lag_s / 4
        self._late = 0
        self._records_left = float(RECORDED_PER_S)

    def enter(self, tenant: str, priority: Priority) -> Seat | None:
        """Take a seat; ``None`` where the request is shed. `leave` gives it back."""
        ordinary = self.ordinary
        if priority is not Priority.NORMAL:
            if priority is Priority.CRITICAL:
                seat = self.critical.enter(tenant)
                if seat is not None:
                    return seat
            elif ordinary.in_flight >= ordinary.low_at:
                ordinary.refuse(ordinary.seat_of(tenant))
                self.shed += 1
                return None
        seat = ordinary.enter(tenant)
        if seat is None:
            self.shed += 1
        return seat

    @staticmethod
    def leave(seat: Seat | None) -> None:
        """Give a seat back; ``None`` is what a request has that was shed, or refused before it was asked for."""
        if seat is not None:
            seat.in_flight -= 1
            seat.pool.in_flight -= 1

    def takes_record(self) -> bool:
        """Whether this request that is shed gets a record of its own."""
        if self._records_left < 1:
            return False
        self._records_left -= 1
        return True

    def probe(self, lag_s: float, passed_s: float) -> None:
        """Learn that the event loop was ``lag_s`` late, ``passed_s`` after the last probe."""
        self.lag_s = lag_s
        self._records_left = min(RECORDED_PER_S, self._records_left + passed_s * RECORDED_PER_S)
        self._late = self._late + 1 if lag_s > self._shed_at_lag_s else 0
        if self._late >= _SUSTAINED:
            self.is_overloaded = True
        ordinary, critical = self.ordinary, self.critical
        if self.is_overloaded:
            if lag_s > self._goal_s:
                # The reserve is touched only where nothing else is left to refuse.
                _shrink(ordinary if max(ordinary.in_flight, ordinary.size) > SMALLEST_SIZE else critical)
            else:
                _grow(critical if critical.size < critical.most else ordinary)
                self.is_overloaded = ordinary.size < ordinary.most
        ordinary.probe(passed_s)
        critical.probe(passed_s)

    def read(self) -> Load:
        """Return the load at this moment."""
        ordinary, critical = self.ordinary, self.critical
        return Load(
            ordinary.in_flight + critical.in_flight,
            ordinary.size + critical.size,
            int(self.lag_s * 10_000) / 10,
            self.shed,
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


def _shrink(pool: Pool) -> None:
    # What was decided last takes effect only as requests end: until then there is nothing new to learn.
    if pool.in_flight <= pool.size:
        pool.resize(pool.in_flight * 9 // 10)


def _grow(pool: Pool) -> None:
    size = pool.size
    # Nobody wants more: then there is no harm in offering it.
    pool.resize(size + max(1, size // 32 if pool.is_used_up else size // 8))


class LagProbe:
    """Asks the event loop now and then how late it is: one timer, however many requests there are."""

    def __init__(self, loop: AbstractEventLoop, gate: LoadGate, clock: Callable[[], float]) -> None:
        """Tell ``gate``; `start` begins. ``clock`` is monotonic seconds."""
        self._loop = loop
        self._gate = gate
        self._clock = clock
        self._due = 0.0
        self._timer: TimerHandle | None = None
        self._logged_at = 0.0
        self._logged_shed = 0

    def start(self) -> None:
        """Begin to ask."""
        self._logged_at = self._clock() - LOGGED_EVERY_S
        self._due = self._clock() + PROBE_S
        self._timer = self._loop.call_later(PROBE_S, self._tick)

    def close(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now = self._clock()
        lag_s = max(0.0, now - self._due)
        gate = self._gate
        gate.probe(lag_s, PROBE_S + lag_s)
        if gate.shed != self._logged_shed and now - self._logged_at >= LOGGED_EVERY_S:
            load = gate.read()
            _log.warning(
                "requests are shed",
                extra={
                    "shed": load.shed - self._logged_shed,
                    "in_flight": load.in_flight,
                    "limit": load.limit,
                    "lag_ms": load.lag_ms,
                },
            )
            self._logged_at, self._logged_shed = now, load.shed
        self._due = self._clock() + PROBE_S
        self._timer = self._loop.call_later(PROBE_S, self._tick)
