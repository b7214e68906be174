"""Windows of requests and tokens: a ring of sub-buckets that never admits more than the limit in any interval.

A window of length W is cut into N buckets, and the ring has N + 1 of them: the oldest counts whole although part of it
has aged out. So for every interval of length W, wherever it begins, what was admitted in it is at most the limit; the
price is that up to one bucket's worth is admitted late (accounting.md §1.5).

What was used beyond what had been admitted goes into the bucket of the moment as far as the limit leaves room, and
beyond that into ``debt``. Debt never ages: it moves into later buckets as room appears there, at most a limit's worth
per window, and nothing is admitted while any is left. So an overshoot is paid back, however often it happens.

Times are monotonic ms: a wall clock that jumps changes no window.
"""

from typing import Final

from msgspec import Struct


class WindowShape(Struct, frozen=True):
    """A kind of window: so many buckets of so many ms."""

    name: str
    width_ms: int
    buckets: int

    @property
    def length_ms(self) -> int:
        """W: the window's length."""
        return self.width_ms * self.buckets


RPM: Final = WindowShape("rpm", 1_000, 60)
TPM: Final = WindowShape("tpm", 1_000, 60)
TPH: Final = WindowShape("tph", 60_000, 60)
TPD: Final = WindowShape("tpd", 900_000, 96)
SHAPES: Final = {shape.name: shape for shape in (RPM, TPM, TPH, TPD)}


class Ring:
    """One window of one limited thing. Everything is O(1) but for buckets that age, each of which ages once."""

    __slots__ = (
        "_buckets",
        "_last",
        "_next_ms",
        "_size",
        "_width_ms",
        "debt",
        "dirty",
        "limit",
        "name",
        "number",
        "shape",
        "smooth",
        "total",
        "touched",
    )

    def __init__(
        self,
        number: int,
        name: str,
        shape: WindowShape,
        limit: int,
        touched: "list[Ring]",
        *,
        smooth: bool = False,
    ) -> None:
        """An empty window.

        ``number`` and ``name`` are what a journal knows it by; ``touched`` is where it puts itself when it changes.
        """
        self.number = number
        self.name = name
        self.shape = shape
        self.limit = limit
        self.smooth = smooth
        self.total = 0
        """Sum of the live buckets."""
        self.debt = 0
        self.touched = touched
        self.dirty = False
        """Changed since it was last saved, and therefore in ``touched``."""
        self._width_ms = shape.width_ms
        self._size = shape.buckets + 1
        self._buckets = [0] * self._size
        self._last = -self._size
        self._next_ms = (self._last + 1) * self._width_ms
        """When the bucket after the current one begins: before that there is nothing to age."""

    def touch(self) -> None:
        """Say that it changes; to be called where ``dirty`` is false."""
        self.dirty = True
        self.touched.append(self)

    def advance(self, mono_ms: int) -> int:
        """Age the buckets up to this moment, pay debt as far as room appeared, and return the current bucket's index.

        An index grows for ever; where a clock runs backwards the newest bucket stays the current one.
        """
        if mono_ms < self._next_ms:
            return self._last
        index = mono_ms // self._width_ms
        last = self._last
        size = self._size
        if index - last >= size and not (self.debt and self.limit):
            if self.total:
                self._buckets = [0] * size
                self.total = 0
        else:
            self._age(last, index)
        self._last = index
        self._next_ms = (index + 1) * self._width_ms
        return index

    def _age(self, last: int, index: int) -> None:
        buckets, size, limit = self._buckets, self._size, self.limit
        step = last + 1
        while step <= index:
            slot = step % size
            self.total -= buckets[slot]
            # Debt is paid in the bucket in which the room appeared, not in that of the call that notices it.
            paid = min(self.debt, max(0, limit - self.total))
            buckets[slot] = paid
            self.total += paid
            self.debt -= paid
            if not self.total and not self.debt:
                return
            step += 1
            if limit and self.total == limit and self.debt >= limit:
                # While debt fills every room at once, a whole turn of the ring pays one limit and changes no bucket.
                turns = min((index + 1 - step) // size, self.debt // limit)
                self.debt -= turns * limit
                step += turns * size

    def fits(self, amount: int, mono_ms: int) -> bool:
        """Whether ``amount`` may be admitted at this moment."""
        if mono_ms >= self._next_ms:
            self.advance(mono_ms)
        return self.total + self.debt + amount <= self.limit

    def add(self, amount: int, mono_ms: int) -> int:
        """Admit ``amount``, which fits, and return the index of its bucket."""
        index = self.advance(mono_ms)
        self._buckets[index % self._size] += amount
        self.total += amount
        return index

    def add_now(self, amount: int) -> int:
        """As `add`, at the moment at which `fits` has just said yes."""
        last = self._last
        self._buckets[last % self._size] += amount
        self.total += amount
        if not self.dirty:
            self.touch()
        return last

    def correct(self, admitted: int, used: int, index: int, mono_ms: int) -> None:
        """Make the window count ``used`` for what was ``admitted`` in the bucket ``index``."""
        if used <= admitted:
            self.give_back(admitted - used, index, mono_ms)
        else:
            self.owe(used - admitted, mono_ms)
        if not self.dirty:
            self.touch()

    def give_back(self, amount: int, index: int, mono_ms: int) -> None:
        """Take ``amount`` out of the bucket it was admitted in; nothing happens where that has aged out."""
        if mono_ms >= self._next_ms:
            self.advance(mono_ms)
        size = self._size
        if self._last - index >= size:
            return
        buckets, slot = self._buckets, index % size
        there = buckets[slot]
        taken = amount if amount < there else there
        buckets[slot] = there - taken
        self.total -= taken

    def owe(self, amount: int, mono_ms: int) -> None:
        """Count what was used beyond what had been admitted: in the current bucket, else as debt."""
        index = self.advance(mono_ms)
        room = min(amount, max(0, self.limit - self.total))
        self._buckets[index % self._size] += room
        self.total += room
        self.debt += amount - room

    def remaining(self, mono_ms: int) -> int:
        """How much would be admitted at this moment."""
        self.advance(mono_ms)
        return max(0, self.limit - self.total - self.debt)

    def frees_in_ms(self, amount: int, mono_ms: int) -> int | None:
        """How long until ``amount`` fits, if nothing else is admitted; ``None`` where it never does."""
        if amount > self.limit:
            return None
        now = self.advance(mono_ms)
        missing = self.total + self.debt + amount - self.limit
        if missing <= 0:
            return 0
        waited = 0
        # What is paid of the debt takes up the room that ageing makes, a limit's worth per window.
        if missing > self.total:
            rounds = (missing - self.total - 1) // max(1, self.limit) + 1
            waited = rounds * self.shape.length_ms
            missing = max(1, missing - rounds * self.limit)
        freed = 0
        for index in range(now - self._size + 1, now + 1):
            freed += self._buckets[index % self._size]
            if freed >= missing:
                return waited + (index + self._size) * self._width_ms - mono_ms
        return waited + self._size * self._width_ms

    def resets_in_ms(self, mono_ms: int) -> int:
        """How long until the window is empty again, if nothing else is admitted."""
        now = self.advance(mono_ms)
        owed = -(-self.debt // max(1, self.limit)) * self.shape.length_ms if self.debt else 0
        for index in range(now, now - self._size, -1):
            if self._buckets[index % self._size]:
                return owed + (index + self._size) * self._width_ms - mono_ms
        return owed

    @property
    def is_empty(self) -> bool:
        """Nothing is counted and nothing owed, as of the last moment the window was asked."""
        return not self.total and not self.debt

    def dump(self) -> tuple[int, tuple[int, ...], int]:
        """The newest bucket's index, the buckets from the oldest on, and the debt."""
        last = self._last
        return (
            last,
            tuple(self._buckets[index % self._size] for index in range(last - self._size + 1, last + 1)),
            (self.debt),
        )

    def restore(self, last: int, buckets: tuple[int, ...], debt: int) -> None:
        """Take over what `dump` returned."""
        self._last = last
        self._next_ms = (last + 1) * self._width_ms
        for index, amount in zip(range(last - self._size + 1, last + 1), buckets, strict=True):
            self._buckets[index % self._size] = amount
        self.total = sum(buckets)
        self.debt = debt


class Counter:
    """How many requests of one limited thing run at this moment."""

    __slots__ = ("limit", "running")

    def __init__(self, limit: int) -> None:
        """Nothing runs."""
        self.limit = limit
        self.running = 0
