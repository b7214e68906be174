"""One answer as it is kept: opaque bytes, how long they are good for, and what they can be purged by."""

from typing import Final

from msgspec import Struct

FUTURE_MS: Final = 60_000
"""An answer that was kept this much later than now was kept by a clock that was wrong: it is none."""


class Entry(Struct, frozen=True, gc=False):
    """One answer. Times are wall-clock ms since the epoch."""

    key: bytes
    """As `headgate.cache.key` makes it."""
    labels: tuple[str, ...]
    """What it can be purged by; the first is its organization."""
    created_at_ms: int
    expires_at_ms: int
    """Until then it is fresh."""
    stale_until_ms: int
    """Until then it may be given where every provider fails; then it is gone."""
    payload: bytes

    def is_there(self, now_ms: int) -> bool:
        """Whether it may be given at all, fresh or stale."""
        return self.created_at_ms - FUTURE_MS <= now_ms < self.stale_until_ms
