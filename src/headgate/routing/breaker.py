"""The circuit breaker of one deployment: a table of transitions, and the counts that make its events.

It is judged by how attempts ended, at the end of the stream. An attempt that began before the breaker last opened says
nothing about whether the provider is well again; its end changes nothing here.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from headgate.routing.counts import SlidingCounts

TRIP_IN_A_ROW: Final = 5
"""So many failures one after the other open it."""
TRIP_SHARE: Final = 0.5
"""So large a share of failures opens it, of `TRIP_LEAST` outcomes or more in `WINDOW_S`."""
TRIP_LEAST: Final = 20
WINDOW_S: Final = 30.0
OPEN_S: Final = 5.0
"""How long it is open the first time; twice that the next, and never longer than `LONGEST_OPEN_S`."""
LONGEST_OPEN_S: Final = 10.0
SHORTEST_SHARE: Final = 0.8
"""Jitter only shortens: open times are drawn from this share to the whole, so that replicas do not probe at once."""
PROBES_FIRST: Final = 1
"""How many probes may run at a time while it is half open and none has succeeded yet."""
PROBES: Final = 3
"""How many once one has; when so many more have succeeded, it closes."""
PLACE_S: Final = 10.0
"""A probe that has not ended for so long no longer keeps the next one waiting: a stalled one would for minutes."""
EARLY_PROBE_S: Final = 1.0
"""Where nothing else is left, an open breaker lets a probe through so often."""
SILENT_FAILURE_S: Final = 0.5
"""An attempt that failed later than this, without any content, has kept its caller waiting for nothing."""
SILENT_PROBE_S: Final = 5.0
"""After `TRIP_IN_A_ROW` such failures one after the other, one caller in so long is made to wait, to find out."""
MOST_WAITING: Final = 100
"""So many attempts wait at most at a deployment whose breaker is open, before one of them has succeeded."""


class BreakerState(StrEnum):
    """Whether requests may go to a deployment."""

    CLOSED = "closed"
    """They may."""
    OPEN = "open"
    """They may not, for a while."""
    HALF_OPEN = "half_open"
    """A few may, to find out."""


class BreakerEvent(StrEnum):
    """What can happen to a breaker."""

    SUCCESS = "success"
    """An attempt succeeded."""
    RECOVERED = "recovered"
    """An attempt succeeded, and enough have now."""
    FAILURE = "failure"
    """An attempt failed."""
    TRIPPED = "tripped"
    """An attempt failed, and too many have now."""
    ELAPSED = "elapsed"
    """The time for which it opened is over."""


_CLOSED: Final = BreakerState.CLOSED
_OPEN: Final = BreakerState.OPEN
_HALF_OPEN: Final = BreakerState.HALF_OPEN

TRANSITIONS: Final[Mapping[BreakerState, Mapping[BreakerEvent, BreakerState]]] = MappingProxyType(
    {
        _CLOSED: MappingProxyType(
            {
                BreakerEvent.SUCCESS: _CLOSED,
                BreakerEvent.RECOVERED: _CLOSED,
                BreakerEvent.FAILURE: _CLOSED,
                BreakerEvent.TRIPPED: _OPEN,
                BreakerEvent.ELAPSED: _CLOSED,
            }
        ),
        _OPEN: MappingProxyType(
            {
                # Only an early probe ends in here. One that fails does not put off the end of the open time.
                BreakerEvent.SUCCESS: _HALF_OPEN,
                BreakerEvent.RECOVERED: _CLOSED,
                BreakerEvent.FAILURE: _OPEN,
                BreakerEvent.TRIPPED: _OPEN,
                BreakerEvent.ELAPSED: _HALF_OPEN,
            }
        ),
        _HALF_OPEN: MappingProxyType(
            {
                BreakerEvent.SUCCESS: _HALF_OPEN,
                BreakerEvent.RECOVERED: _CLOSED,
                BreakerEvent.FAILURE: _OPEN,
                BreakerEvent.TRIPPED: _OPEN,
                BreakerEvent.ELAPSED: _HALF_OPEN,
            }
        ),
    }
)


class Breaker:
    """The breaker of one deployment. Times are monotonic seconds; ``draw`` gives uniform numbers of [0, 1).

    ``began`` is when an attempt began; ``None`` is taken for one that began since the breaker last opened.
    """

    __slots__ = (
        "_draw",
        "_opened_at",
        "_openings",
        "_outcomes",
        "_probe_at",
        "_proven",
        "_silences",
        "consecutive",
        "probes",
        "state",
        "until",
    )

    def __init__(self, draw: Callable[[], float]) -> None:
        """Closed, and nothing has happened yet."""
        self.state = _CLOSED
        self.until = 0.0
        """Until when it is open, where it is."""
        self.consecutive = 0
        """Failures since the last success."""
        self.probes = 0
        """Attempts that began since it opened and have not ended."""
        self._draw = draw
        self._outcomes = SlidingCounts(WINDOW_S / 10, 10)
        self._opened_at = float("-inf")
        self._openings = 0
        """In a row, without closing in between."""
        self._probe_at = float("-inf")
        self._proven = 0
        """Probes that have succeeded since it opened."""
        self._silences = 0
        """Failures one after the other that kept their callers waiting, and no word of the provider since."""

    def admits(self, now: float) -> bool:
        """Whether an attempt may begin."""
        if self.state is _CLOSED:
            return True
        if self.state is _OPEN:
            return now >= self.until
        allowed = PROBES if self._proven else PROBES_FIRST
        return self.probes < allowed or now - self._probe_at >= PLACE_S

    def is_probe_due(self, now: float) -> bool:
        """Whether an open breaker may be probed before its time, where nothing else is left."""
        if self.is_silent:
            return self._silent_for_s(now) <= 0
        return self.state is _OPEN and now - self._probe_at >= EARLY_PROBE_S

    @property
    def is_silent(self) -> bool:
        """Whether it is not closed, and all that attempts have met with lately is waiting."""
        return self._silences >= TRIP_IN_A_ROW and self.state is not _CLOSED

    def refuses_s(self, now: float) -> float | None:
        """Return after how many seconds it is worth trying again, where another attempt would only wait with others.

        ``None`` where it is worth trying now, if nothing else is left: failures that come at once cost next to nothing,
        and no breaker that is closed refuses anything here.
        """
        if self.is_silent:
            left_s = self._silent_for_s(now)
            if left_s <= 0:
                return None
            return max(0.0, min(left_s, self.until - now)) if self.state is _OPEN else left_s
        is_full = self.state is not _CLOSED and self.probes >= MOST_WAITING and not self._proven
        return EARLY_PROBE_S if is_full else None

    def heard(self) -> None:
        """Content has come: whatever becomes of the attempt, the provider is not silent."""
        self._silences = 0

    def begin(self, now: float) -> None:
        """An attempt begins, whether or not it was admitted."""
        if self.state is _CLOSED:
            return
        if self.state is _OPEN and now >= self.until:
            self._take(BreakerEvent.ELAPSED, now)
        self.probes += 1
        self._probe_at = now

    def succeed(self, now: float, began: float | None = None) -> None:
        """An attempt succeeded."""
        if began is not None and began < self._opened_at:
            return
        self._outcomes.add(now, 1, 0)
        self.consecutive = self._silences = 0
        if self.state is _CLOSED:
            return
        self._leave()
        self._proven += 1
        enough = self._proven >= PROBES_FIRST + PROBES
        self._take(BreakerEvent.RECOVERED if enough else BreakerEvent.SUCCESS, now)

    def fail(self, now: float, began: float | None = None, *, heard: bool = True) -> None:
        """An attempt failed in a way that speaks against the provider; ``heard``: not without a word of content."""
        if began is not None and began < self._opened_at:
            return
        outcomes = self._outcomes
        outcomes.add(now, 0, 1)
        self.consecutive += 1
        is_silence = not heard and began is not None and now - began >= SILENT_FAILURE_S
        self._silences = self._silences + 1 if is_silence else 0
        self._leave()
        total = outcomes.first + outcomes.second
        is_tripped = self.consecutive >= TRIP_IN_A_ROW or (
            total >= TRIP_LEAST and outcomes.second >= TRIP_SHARE * total
        )
        self._take(BreakerEvent.TRIPPED if is_tripped else BreakerEvent.FAILURE, now, began)

    def neutral(self, began: float | None = None) -> None:
        """An attempt ended in a way that says nothing about the provider; a probe's place is free again."""
        if began is None or began >= self._opened_at:
            self._leave()

    def outcomes(self, now: float) -> tuple[int, int]:
        """Return successes and failures in the window."""
        self._outcomes.advance(now)
        return self._outcomes.first, self._outcomes.second

    def _silent_for_s(self, now: float) -> float:
        """Return how long nobody else is to wait at a silent one; it counts from the last who was made to."""
        return max(self._opened_at, self._probe_at) + SILENT_PROBE_S - now

    def _leave(self) -> None:
        if self.probes:
            self.probes -= 1

    def _take(self, event: BreakerEvent, now: float, began: float | None = None) -> None:
        before, after = self.state, TRANSITIONS[self.state][event]
        if after is before:
            return
        self.state = after
        if after is _OPEN:
            longest = min(LONGEST_OPEN_S, OPEN_S * 2**self._openings)
            # What a probe says is as old as its beginning: one that stalled for a minute is no reason to wait longer.
            since = now if began is None or before is _CLOSED else began
            self.until = max(now, since + longest * (SHORTEST_SHARE + (1 - SHORTEST_SHARE) * self._draw()))
            # Bounded, so that a provider that is down for a week makes no huge number.
            self._openings = min(self._openings + 1, 10)
            self._opened_at = now
            self.probes = self._proven = 0
        elif after is _CLOSED:
            self._openings = self.consecutive = self.probes = 0
            self._outcomes.clear()
