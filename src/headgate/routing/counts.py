"""Two counts over a sliding window: a ring of buckets, of which the oldest drops out whole.

At any moment the counts cover the window's length less at most one bucket's width.
"""


class SlidingCounts:
    """Two counts that forget. Times are monotonic seconds; where a clock runs backwards the newest bucket stays."""

    __slots__ = ("_first", "_last", "_second", "_size", "_width_s", "ends_at", "first", "second")

    def __init__(self, width_s: float, buckets: int) -> None:
        """A window of so many ``buckets``, each ``width_s`` wide."""
        self.first = 0
        """As of the last `add` or `advance`."""
        self.second = 0
        self._width_s = width_s
        self._size = buckets
        self._first = [0] * buckets
        self._second = [0] * buckets
        self._last = 0
        self.ends_at = width_s
        """When the newest bucket ends: before that there is nothing to forget."""

    def add(self, now: float, first: int, second: int) -> None:
        """Count something that happens now."""
        if now >= self.ends_at:
            self._age(now)
        slot = self._last % self._size
        self._first[slot] += first
        self._second[slot] += second
        self.first += first
        self.second += second

    def advance(self, now: float) -> None:
        """Forget what has left the window."""
        if now >= self.ends_at:
            self._age(now)

    def clear(self) -> None:
        """Forget everything."""
        if self.first or self.second:
            self._first = [0] * self._size
            self._second = [0] * self._size
            self.first = self.second = 0

    def _age(self, now: float) -> None:
        index = int(now / self._width_s)
        if index - self._last >= self._size:
            self.clear()
        else:
            for step in range(self._last + 1, index + 1):
                slot = step % self._size
                self.first -= self._first[slot]
                self.second -= self._second[slot]
                self._first[slot] = self._second[slot] = 0
        self._last = index
        self.ends_at = (index + 1) * self._width_s
