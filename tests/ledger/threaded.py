"""A real ledger on an event loop of its own thread: what worker threads ask at a desk."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from headgate.ledger.desk import LedgerDesk
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.ledger.outcomes import Moment

T = TypeVar("T")


class Threaded:
    """The desk, and the ledger behind it for what only the loop may do."""

    def __init__(self, desk: LedgerDesk, ledger: EmbeddedLedger, loop: asyncio.AbstractEventLoop) -> None:
        self.desk = desk
        self.ledger = ledger
        self.loop = loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


@contextmanager
def threaded_ledger(file: Path, clock_ms: Callable[[], int], **options: Any) -> Iterator[Threaded]:
    """A ledger whose clocks both read ``clock_ms``."""

    def clock() -> Moment:
        return Moment(clock_ms(), clock_ms())

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    options = {"durability": "os", "commit_timeout_s": 30, **options}
    ledger = open_ledger(file, clock=clock, **options)
    threaded = Threaded(LedgerDesk(ledger, file, loop), ledger, loop)

    async def start() -> None:
        ledger.start()

    try:
        threaded.run(start())
        yield threaded
        threaded.run(ledger.aclose())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
