"""Answers in memory, bounded by bytes, with SIEVE as what goes first.

Source: Zhang, Yang, Yue, Vigfusson, Rashmi, "SIEVE is Simpler than LRU" (NSDI 2024). A hit sets one bit and moves
nothing; a hand goes from the oldest to the newest, takes the bit from what was asked for since it last came by, and
evicts what was not.
"""

from collections.abc import Iterable
from typing import Final

from headgate.cache.entry import Entry

ENTRY_BYTES: Final = 1024
"""What an entry weighs beside its payload: objects, labels, its place here."""


class Kept:
    """An answer in memory, with what was made of it."""

    __slots__ = ("entry", "fresh_until", "newer", "older", "renditions", "seq", "was_asked_for", "weight")

    def __init__(self, entry: Entry, seq: int, fresh_until: float) -> None:
        """Keep ``entry``; ``fresh_until`` is monotonic seconds."""
        self.entry: Final = entry
        self.seq: Final = seq
        """Its number in the order of keeping; purges go by it."""
        self.fresh_until: Final = fresh_until
        """A wall clock that is set back makes nothing fresh again."""
        self.renditions: dict[tuple[object, ...], object] = {}
        """Its payload in the forms in which it was given, for whoever wants it so next."""
        self.weight = ENTRY_BYTES + len(entry.payload)
        # Its place in `Memory`, which alone acts on the rest.
        self.was_asked_for = False
        self.newer: Kept | None = None
        self.older: Kept | None = None

    def left_ms(self, now_ms: int, now: float) -> int:
        """Return for how many ms it is fresh yet; not at all where negative. ``now`` is monotonic seconds."""
        return min(self.entry.expires_at_ms - now_ms, int((self.fresh_until - now) * 1000))


class Memory:
    """Answers by their keys. Belongs to the event loop."""

    __slots__ = ("_by_key", "_hand", "_most_bytes", "_newest", "_oldest", "evictions", "size")

    def __init__(self, most_bytes: int) -> None:
        """Begin with nothing."""
        self._most_bytes = most_bytes
        self._by_key: dict[bytes, Kept] = {}
        self._newest: Kept | None = None
        self._oldest: Kept | None = None
        self._hand: Kept | None = None
        self.size = 0
        """What all of it weighs, in bytes."""
        self.evictions = 0

    def __len__(self) -> int:
        """How many answers there are."""
        return len(self._by_key)

    def find(self, key: bytes) -> Kept | None:
        """Return the answer of ``key``, and remember that it was asked for."""
        kept = self._by_key.get(key)
        if kept is not None:
            kept.was_asked_for = True
        return kept

    def put(self, kept: Kept) -> None:
        """Keep an answer, in place of one with the same key; one that is larger than the whole is not kept."""
        self.drop(kept.entry.key)
        if kept.weight > self._most_bytes:
            return
        self._by_key[kept.entry.key] = kept
        kept.older = self._newest
        if self._newest is not None:
            self._newest.newer = kept
        self._newest = kept
        if self._oldest is None:
            self._oldest = kept
        self.size += kept.weight
        self._make_room(kept)

    def charge(self, key: bytes, more_bytes: int) -> None:
        """Say that what was made of an answer weighs so much more."""
        kept = self._by_key.get(key)
        if kept is not None:
            kept.weight += more_bytes
            self.size += more_bytes
            self._make_room(kept)

    def drop(self, key: bytes) -> None:
        """Forget an answer; nothing happens where there is none."""
        kept = self._by_key.pop(key, None)
        if kept is None:
            return
        self.size -= kept.weight
        older, newer = kept.older, kept.newer
        if self._hand is kept:
            self._hand = newer
        if older is None:
            self._oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self._newest = older
        else:
            newer.older = older
        kept.older = kept.newer = None

    def all(self) -> Iterable[Kept]:
        """Return every answer."""
        return self._by_key.values()

    def _make_room(self, but: Kept) -> None:
        """Evict until it fits. What has just come, or grown, goes only where nothing else is left."""
        while self.size > self._most_bytes and self._by_key:
            victim = self._hand or self._oldest
            while victim is not None and (victim.was_asked_for or (victim is but and len(self._by_key) > 1)):
                victim.was_asked_for = False
                victim = victim.newer or self._oldest
            assert victim is not None, "a round of the hand finds one"
            self._hand = victim.newer
            self.evictions += 1
            self.drop(victim.entry.key)
