"""A real cache on an event loop of its own thread: what worker threads ask at a desk."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from headgate.cache.desk import CacheDesk
from headgate.cache.entry import Entry
from headgate.cache.exact import ExactCache
from headgate.cache.file import open_cache_file
from headgate.cache.key import entry_id
from headgate.cache.labels import labels_of
from headgate.domain.access import ScopeKind, ScopeRef, VirtualKey

T = TypeVar("T")
MIB = 1024 * 1024
HOUR_MS = 3_600_000


class ThreadedCache:
    """The desk, and the cache behind it for what only the loop may do."""

    def __init__(
        self, desk: CacheDesk, cache: ExactCache, loop: asyncio.AbstractEventLoop, clock_ms: Callable[[], int]
    ) -> None:
        self.desk = desk
        self.cache = cache
        self.loop = loop
        self.clock_ms = clock_ms
        self.kept = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def keep(
        self, *path: str, key: str = "key_1", model: str = "gpt-4o", tags: tuple[tuple[str, str], ...] = ()
    ) -> str:
        """Keep one more answer of the scopes of ``path``, organization first; return its name."""
        self.kept += 1
        kinds = (ScopeKind.ORGANIZATION, ScopeKind.TEAM, ScopeKind.PROJECT)
        steps = tuple(ScopeRef(kind, each, each) for kind, each in zip(kinds, path, strict=False))
        virtual_key = VirtualKey(id=key, name=key, path=steps, models=("*",))
        now_ms, cache_key = self.clock_ms(), self.kept.to_bytes(32)
        entry = Entry(
            key=cache_key,
            labels=labels_of(virtual_key, model, tags, cache_key),
            created_at_ms=now_ms,
            expires_at_ms=now_ms + HOUR_MS,
            stale_until_ms=now_ms + 2 * HOUR_MS,
            payload=b"{}",
        )

        async def keep() -> None:
            self.cache.keep(entry)

        self.run(keep())
        return entry_id(cache_key)


@contextmanager
def threaded_cache(clock_ms: Callable[[], int], path: Path | None = None) -> Iterator[ThreadedCache]:
    """A cache in memory, and behind it in a file where ``path`` says one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def open_cache() -> ExactCache:
        file = None if path is None else open_cache_file(path, most_bytes=64 * MIB, clock_ms=clock_ms)
        return ExactCache(file, most_bytes=16 * MIB, clock=time.perf_counter, clock_ms=clock_ms)

    async def close(cache: ExactCache) -> None:
        cache.close()

    try:
        cache = asyncio.run_coroutine_threadsafe(open_cache(), loop).result(30)
        threaded = ThreadedCache(CacheDesk(cache, loop), cache, loop, clock_ms)
        try:
            yield threaded
        finally:
            threaded.run(close(cache))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
