"""The exact tier: answers by the key of the whole request, in memory and behind it on the disk.

Belongs to the event loop, which never waits for the disk: what is not in memory is looked for on the disk only where
it is known to be there, by another thread, and not for long.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from msgspec import Struct

from headgate.cache.entry import Entry
from headgate.cache.file import PREFIX_BYTES, CacheFile, Keep, Purge, Put
from headgate.cache.key import KEY_BYTES
from headgate.cache.memory import Kept, Memory

LOAD_BUDGET_S: Final = 0.05
"""The longest that a request waits for the disk; then it is a miss."""
PAUSE_S: Final = 1.0
"""How long the disk is left alone after it was too slow or failed."""


class CacheStats(Struct, frozen=True):
    """How the store of the cache is doing, since the start."""

    entries_in_memory: int
    bytes_in_memory: int
    evictions_from_memory: int
    entries_on_disk: int
    bytes_on_disk: int
    evictions_from_disk: int
    writes_dropped: int
    """Not written because too many waited, or the disk refused them."""
    errors: int
    timeouts: int
    """Times that the disk was too slow for a request, which then went on without."""
    corrupt: int
    """Rows that were not what had been written; they are gone."""


class ExactCache:
    """Answers by their keys. Belongs to the event loop."""

    def __init__(
        self,
        file: CacheFile | None,
        *,
        most_bytes: int,
        clock: Callable[[], float],
        clock_ms: Callable[[], int],
        load_budget_s: float = LOAD_BUDGET_S,
    ) -> None:
        """Begin with what ``file`` holds; ``None`` keeps nothing beyond the process. ``clock`` is monotonic seconds."""
        self._file = file
        self._clock = clock
        self._clock_ms = clock_ms
        self._load_budget_s = load_budget_s
        self._memory = Memory(most_bytes)
        self._secrets: dict[str, bytes] = {}
        self._purges: dict[str, int] = {}
        self._seq = 0
        self._on_disk: set[bytes] = set()
        self._paused_until = 0.0
        self._timeouts = 0
        self._errors = 0
        self._reading: ThreadPoolExecutor | None = None
        self._scanning: ThreadPoolExecutor | None = None
        if file is not None:
            contents = file.contents
            self._secrets.update(contents.secrets)
            self._purges.update(contents.purges)
            self._seq = contents.last_seq
            loop = asyncio.get_running_loop()
            self._reading = ThreadPoolExecutor(1, "headgate-cache-reader")
            file.start(lambda gone: _tell(loop, self._forget_on_disk, gone))
            # What looks through all of the file has a thread of its own: who looks for one row does not wait for it.
            self._scanning = ThreadPoolExecutor(1, "headgate-cache-scanner")
            self._scanning.submit(lambda: _tell(loop, self._on_disk.update, file.keys()))

    def secret_of(self, organization_id: str) -> bytes:
        """Return what the keys of an organization are made with; made at its first use."""
        secret = self._secrets.get(organization_id)
        if secret is None:
            secret = self._secrets[organization_id] = os.urandom(KEY_BYTES)
            if self._file is not None:
                # Where this is lost, so is what was kept under it: nobody finds it, and it ends with its time.
                self._file.put(Keep(organization_id, secret))
        return secret

    def find(self, key: bytes, now_ms: int) -> Kept | None:
        """Return an answer from memory, fresh or stale."""
        kept = self._memory.find(key)
        if kept is None:
            return None
        if not kept.entry.is_there(now_ms) or self._is_purged(kept):
            self._memory.drop(key)
            return None
        return kept

    def is_on_disk(self, key: bytes) -> bool:
        """Whether `load` is worth while."""
        return key[:PREFIX_BYTES] in self._on_disk and self._clock() >= self._paused_until

    async def load(self, key: bytes, now_ms: int) -> Kept | None:
        """Return an answer from the disk, fresh or stale, and keep it in memory; ``None`` where that takes too long."""
        file, reading = self._file, self._reading
        if file is None or reading is None:
            return None
        try:
            async with asyncio.timeout(self._load_budget_s):
                found = await asyncio.get_running_loop().run_in_executor(reading, file.read, key)
        except TimeoutError:
            self._timeouts += 1
            self._paused_until = self._clock() + PAUSE_S
            return None
        except sqlite3.Error:
            self._errors += 1
            self._paused_until = self._clock() + PAUSE_S
            return None
        if found is None:
            return None
        kept = self._kept(*found)
        if not kept.entry.is_there(now_ms) or self._is_purged(kept):
            return None
        self._memory.put(kept)
        return kept

    @property
    def moment(self) -> int:
        """Where in the order of keeping and purging it is now; see `keep`."""
        return self._seq

    def keep(self, entry: Entry, asked_at: int | None = None) -> None:
        """Keep an answer, in place of the one that has its key.

        ``asked_at`` is the `moment` at which it was asked for: what was purged since is not kept.
        """
        if asked_at is not None and any(self._purges.get(label, -1) > asked_at for label in entry.labels):
            return
        self._seq += 1
        self._memory.put(self._kept(entry, self._seq))
        if self._file is not None and self._file.put(Put(entry, self._seq)):
            self._on_disk.add(entry.key[:PREFIX_BYTES])

    def charge(self, key: bytes, more_bytes: int) -> None:
        """Say that what was made of an answer in memory weighs so much."""
        self._memory.charge(key, more_bytes)

    def purge(self, label: str) -> None:
        """Forget, from now on, every answer that has ``label``; what is asked for and kept later stays."""
        self._seq += 1
        self._purges[label] = self._seq
        if self._file is not None:
            self._file.put(Purge(label, self._seq))

    async def count(self, label: str) -> int:
        """Return how many answers a purge would forget: those on the disk, or in memory where there is no disk."""
        after = self._purges.get(label, -1)
        if self._file is None or self._scanning is None:
            now_ms = self._clock_ms()
            there = [each for each in self._memory.all() if each.entry.is_there(now_ms) and not self._is_purged(each)]
            return sum(label in each.entry.labels for each in there)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._scanning, self._file.count, label, after)
        except sqlite3.Error:
            self._errors += 1
            return 0

    def stats(self) -> CacheStats:
        """Return how the store is doing."""
        memory, file = self._memory, self._file
        return CacheStats(
            entries_in_memory=len(memory),
            bytes_in_memory=memory.size,
            evictions_from_memory=memory.evictions,
            entries_on_disk=len(self._on_disk),
            bytes_on_disk=0 if file is None else file.size,
            evictions_from_disk=0 if file is None else file.evictions,
            writes_dropped=0 if file is None else file.dropped,
            errors=self._errors + (0 if file is None else file.errors),
            timeouts=self._timeouts,
            corrupt=0 if file is None else file.corrupt,
        )

    def close(self) -> None:
        """Write what waits and close the file."""
        for threads in (self._reading, self._scanning):
            if threads is not None:
                threads.shutdown(wait=True, cancel_futures=True)
        if self._file is not None:
            self._file.close()

    def _kept(self, entry: Entry, seq: int) -> Kept:
        left_s = (entry.expires_at_ms - self._clock_ms()) / 1000
        return Kept(entry, seq, self._clock() + left_s)

    def _is_purged(self, kept: Kept) -> bool:
        purges = self._purges
        return bool(purges) and any(purges.get(label, -1) >= kept.seq for label in kept.entry.labels)

    def _forget_on_disk(self, gone: Iterable[bytes] | None) -> None:
        if gone is not None:
            self._on_disk.difference_update(gone)
            return
        # The file was begun anew; what it must know of before holds all the same.
        self._on_disk.clear()
        file = self._file
        if file is not None:
            for organization_id, secret in self._secrets.items():
                file.put(Keep(organization_id, secret))
            for label, seq in self._purges.items():
                file.put(Purge(label, seq))


def _tell(loop: asyncio.AbstractEventLoop, told: Callable[[Any], object], keys: Iterable[bytes] | None) -> None:
    """Tell the event loop of keys, from another thread; at the end of the process there is nobody to tell."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(told, keys)
