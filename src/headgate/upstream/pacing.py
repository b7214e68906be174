"""Streams take turns at being read where there is more to read than can be passed on.

An event loop reads whatever is ready before it does anything else, so with a thousand streams each turn of it takes a
tenth of a second, and whatever is new, even if only to be refused, waits as long. Here a stream that was read rests
until those before it have had their turn, and so many are woken at a time that a turn of the loop stays short. What a
stream's provider sends meanwhile waits in the kernel and is passed on in one piece, which costs less than one by one.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Final

BEGIN_AT_S: Final = 0.02
"""Where a turn of the loop takes longer, twice running, streams begin to rest."""
REST_S: Final = 0.05
"""How long a stream rests then at the least."""
AT_ONCE: Final = 16
"""So many streams are woken in one turn of the loop: some two milliseconds of work."""
CALM_S: Final = 1.0
"""Where for so long none had to rest for longer than the least, they rest no more."""


class Pacer:
    """Whose turn it is. For one event loop."""

    __slots__ = ("_calm_since", "_clock", "_is_armed", "_loop", "_resting", "_was_late", "is_on")

    def __init__(self, loop: AbstractEventLoop, clock: Callable[[], float]) -> None:
        """Let every stream run free. ``clock`` is monotonic seconds."""
        self.is_on = False
        """Whether a stream that was read is to `rest`."""
        self._loop = loop
        self._clock = clock
        self._resting: deque[tuple[float, Callable[[], object]]] = deque()
        self._is_armed = False
        self._calm_since = 0.0
        self._was_late = False

    def rest(self, go_on: Callable[[], object]) -> None:
        """Call ``go_on`` when the stream is to be read again."""
        self._resting.append((self._clock() + REST_S, go_on))
        if not self._is_armed:
            self._is_armed = True
            self._loop.call_later(REST_S, self._wake)

    @property
    def late_s(self) -> float:
        """How much longer than the least the stream has rested whose turn is next."""
        return max(0.0, self._clock() - self._resting[0][0]) if self._resting else 0.0

    def probe(self, turn_s: float) -> None:
        """Learn that a turn of the loop took ``turn_s``."""
        is_late = turn_s > BEGIN_AT_S
        now = self._clock()
        if self.is_on:
            if is_late or self.late_s > REST_S:
                self._calm_since = now
            elif now - self._calm_since > CALM_S:
                self.is_on = False
        elif is_late and self._was_late:
            self.is_on = True
            self._calm_since = now
        self._was_late = is_late

    def close(self) -> None:
        """Let every stream run free for good."""
        self.is_on = False
        while self._resting:
            self._resting.popleft()[1]()

    def _wake(self) -> None:
        resting = self._resting
        now = self._clock()
        for _ in range(AT_ONCE):
            if not resting:
                self._is_armed = False
                return
            due, go_on = resting[0]
            if due > now:
                self._loop.call_later(due - now, self._wake)
                return
            resting.popleft()
            go_on()
        self._loop.call_soon(self._wake)
