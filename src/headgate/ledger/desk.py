"""How other threads ask the ledger, which belongs to the event loop: one question at a time, answered there.

The admin API's handlers run in worker threads. What they ask takes a step of the loop between two requests; what is
slow, such as reading the whole journal, stays in the thread that asked.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from headgate.domain.errors import LedgerUnavailableError
from headgate.ledger.embedded import EmbeddedLedger
from headgate.ledger.limit_book import LimitPath
from headgate.ledger.outcomes import PathStatus, Threshold
from headgate.ledger.verify import Report, verify_journal

TIMEOUT_S: Final = 10.0
ATTEMPTS: Final = 5
"""Requests go on while a ledger is verified, so a figure in memory may be ahead of the journal that is read."""

T = TypeVar("T")


class Adjusted(Struct, frozen=True):
    """A correction that was posted."""

    accounts: tuple[str, ...]
    thresholds: tuple[Threshold, ...]


class LedgerDesk:
    """Safe to call from any thread but the event loop's own, which would wait for itself."""

    def __init__(
        self, ledger: EmbeddedLedger, path: Path, loop: asyncio.AbstractEventLoop, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Ask ``ledger``, which was started on ``loop`` and whose journal lies at ``path``."""
        self._ledger = ledger
        self._path = path
        self._loop = loop
        self._timeout_s = timeout_s

    def status(self, path: LimitPath) -> PathStatus:
        """Return every account and window of ``path`` as of now.

        Raises:
            LedgerUnavailableError: the event loop did not answer in time.
        """

        async def ask() -> PathStatus:
            return self._ledger.status(path)

        return self._ask(ask)

    def adjust(self, path: LimitPath, delta_nano_usd: int, reason: str) -> Adjusted:
        """Post a correction on every account of ``path`` in its present period; durable when this returns.

        Raises:
            AdjustmentError: an account would be left below zero; nothing was changed.
            LedgerUnavailableError: the journal cannot be written, or there was no answer in time. Where the words say
                so, the correction may have been posted all the same.
        """

        async def ask() -> Adjusted:
            if self._ledger.unavailable is not None:
                raise LedgerUnavailableError("The ledger's journal cannot be written; nothing was posted.")
            # The status opens accounts that no request has touched in this period.
            accounts = tuple(budget.account for budget in self._ledger.status(path).budgets)
            thresholds = self._ledger.adjust(accounts, delta_nano_usd, reason)
            try:
                await self._ledger.flushed()
            except LedgerUnavailableError as error:
                words = "The correction is posted, and its row waits for a disk that does not answer."
                raise LedgerUnavailableError(f"{words} Look at the figures before you try again.") from error
            return Adjusted(accounts, thresholds)

        return self._ask(ask)

    def verify(self) -> Report:
        """Add the journal up again and compare it with the figures in memory.

        What is wrong is wrong each time: a difference that another look does not show was a request in between.

        Raises:
            LedgerCorruptError: the journal is damaged.
            LedgerUnavailableError: what is queued could not be written, or there was no answer in time.
            sqlite3.Error: the journal cannot be read.
        """

        async def ask() -> dict[str, tuple[int, int]]:
            await self._ledger.flushed()
            return self._ledger.balances()

        report = verify_journal(self._path, self._ask(ask))
        problems = report.problems
        for _ in range(ATTEMPTS - 1):
            if not problems:
                break
            report = verify_journal(self._path, self._ask(ask))
            problems = tuple(problem for problem in problems if problem in report.problems)
        return replace(report, problems=problems)

    def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        given_up = threading.Event()

        async def answer() -> T:
            # Cancelling from another thread comes too late for the first step, which is the one that posts.
            if given_up.is_set():
                raise asyncio.CancelledError
            return await question()

        coroutine = answer()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:
            coroutine.close()
            raise LedgerUnavailableError("The gateway is stopping.") from error
        try:
            return future.result(self._timeout_s)
        except TimeoutError as error:
            given_up.set()
            future.cancel()
            words = "The ledger did not answer in time; look at the figures before you try again."
            raise LedgerUnavailableError(words) from error
        except CancelledError as error:
            raise LedgerUnavailableError("The gateway is stopping.") from error
