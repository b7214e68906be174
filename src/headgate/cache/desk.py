"""How other threads ask the cache, which belongs to the event loop: one question at a time, answered there.

The admin API's handlers run in worker threads. Figures and a purge take a step of the loop between two requests;
counting looks into the file, which the cache does beside the loop.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

from headgate.cache.exact import CacheStats, ExactCache
from headgate.domain.errors import OverloadedError

TIMEOUT_S: Final = 10.0

T = TypeVar("T")


class CacheDesk:
    """Safe to call from any thread but the event loop's own, which would wait for itself."""

    def __init__(self, cache: ExactCache, loop: asyncio.AbstractEventLoop, timeout_s: float = TIMEOUT_S) -> None:
        """Ask ``cache``, which belongs to ``loop``."""
        self._cache = cache
        self._loop = loop
        self._timeout_s = timeout_s

    def stats(self) -> CacheStats:
        """Return what is kept at this moment, and what the cache has done since the start.

        Raises:
            OverloadedError: the event loop did not answer in time.
        """

        async def ask() -> CacheStats:
            return self._cache.stats()

        return self._ask(ask)

    def count(self, label: str) -> int:
        """Return how many answers bear ``label``.

        Raises:
            OverloadedError: the event loop did not answer in time.
        """

        async def ask() -> int:
            return await self._cache.count(label)

        return self._ask(ask)

    def purge(self, label: str) -> int:
        """See that no answer of before that bears ``label`` is given any more; return how many there were.

        Raises:
            OverloadedError: the event loop did not answer in time. What had begun goes on.
        """

        async def ask() -> int:
            found = await self._cache.count(label)
            self._cache.purge(label)
            return found

        return self._ask(ask)

    def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        given_up = threading.Event()

        async def answer() -> T:
            # Cancelling from another thread comes too late for the first step.
            if given_up.is_set():
                raise asyncio.CancelledError
            return await question()

        coroutine = answer()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:
            coroutine.close()
            raise OverloadedError("The gateway is stopping.") from error
        try:
            return future.result(self._timeout_s)
        except TimeoutError as error:
            given_up.set()
            future.cancel()
            raise OverloadedError("The cache did not answer in time; try again.") from error
        except CancelledError as error:
            raise OverloadedError("The gateway is stopping.") from error
