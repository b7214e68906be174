"""How often a deployment is asked again after it has failed: a budget, so that retries never make a failure worse."""

from collections.abc import Callable
from typing import Final

RETRY_SHARE: Final = 0.2
"""Of the requests that begin, so many may be retries."""
RETRIES_PER_S: Final = 3.0
"""And so many a second on top."""
KEPT_S: Final = 10.0
"""What is not used is kept for so long."""
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_LONGEST_S: Final = 2.0


class RetryBudget:
    """The retries that one deployment has left. It begins full, with what `KEPT_S` earn without any request."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        """Full."""
        self._left = RETRIES_PER_S * KEPT_S
        self._at: float | None = None

    def earn(self) -> None:
        """A request begins."""
        self._left += RETRY_SHARE

    def take(self, now: float, requests_per_s: float) -> bool:
        """Take one if there is one, at the pace at which requests begin."""
        most = KEPT_S * (RETRIES_PER_S + RETRY_SHARE * requests_per_s)
        if self._at is not None:
            self._left += RETRIES_PER_S * max(0.0, now - self._at)
        self._at = now
        self._left = min(self._left, most)
        if self._left < 1:
            return False
        self._left -= 1
        return True


def backoff_s(attempt: int, draw: Callable[[], float]) -> float:
    """Return how long to wait before a retry: full jitter, for the first ``attempt`` (1) up to 100 ms, at most 2 s.

    ``draw`` gives uniform numbers of [0, 1). Source: Marc Brooker, "Exponential Backoff And Jitter" (AWS, 2015).
    """
    return draw() * min(BACKOFF_LONGEST_S, BACKOFF_FIRST_S * 2 ** min(attempt - 1, 10))
