"""The journal's writer: rows queue up on the event loop's side, one thread commits them.

Group commit without a timer: an idle writer commits at once, and what queues meanwhile is the next group. Rows that
nobody waits for go with the next group, or after `LAZY_S` on their own. Order is kept in every case, so what is on disk
is always a prefix of what happened.

While commits fail, everything stays queued and is tried again: the ledger refuses what needs the journal
(`failure` says why), and heals by itself when the disk does.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from headgate.domain.errors import LedgerUnavailableError
from headgate.ledger.fold import Fold
from headgate.ledger.journal_file import JournalFile, encode_rows
from headgate.ledger.replay import Checkpoint
from headgate.ledger.rows import Row

LAZY_S: Final = 0.02
"""How long rows that nobody waits for may lie in memory."""
CAPACITY: Final = 200_000
"""Rows that may queue; then `is_full` turns true."""
FIRST_RETRY_S: Final = 0.05
LAST_RETRY_S: Final = 1.0
RETRY_AFTER_S: Final = 2
"""What a refused caller is told (accounting.md §1.7)."""
_MOST_TOGETHER: Final = 4_096
_FAILURES: Final = (sqlite3.Error, OSError)
_log: Final = logging.getLogger("headgate.ledger")

Waiter = asyncio.Future[None]


class _AbandonedError(Exception):
    """The journal is closed while its disk fails."""


def unavailable(reason: str) -> LedgerUnavailableError:
    """The refusal of everything that needs the journal."""
    return LedgerUnavailableError(
        "The gateway cannot write its ledger at present, so nothing with a budget is sent.",
        reason=reason,
        retry_after_s=RETRY_AFTER_S,
    )


class Journal:
    """Rows in, durability out. `rows`, `durable` and `nudge` belong to the event loop's thread."""

    def __init__(
        self,
        file: JournalFile,
        rows: "deque[Row | Waiter | Checkpoint]",
        *,
        last_seq: int,
        fold: Fold,
        commit_timeout_s: float = 0.5,
        append: Callable[[int, bytes], None] | None = None,
        retain_after: Callable[[], int] | None = None,
    ) -> None:
        """Write to ``file`` after batch ``last_seq``.

        Args:
            file: used by the writer's thread alone from `start` on.
            rows: the queue: what is to be written, in order; a waiter in it wants all before it to be durable.
            last_seq: the newest batch of the file.
            fold: has taken in the rows since the last checkpoint.
            commit_timeout_s: how long a caller waits for durability before it is refused.
            append: commits a batch instead of ``file.append``; a test's slow disk.
            retain_after: batches after the one it returns outlive checkpoints, for whoever still reads them.
        """
        self._file = file
        self._append = append or file.append
        self._retain_after = retain_after
        self._commit_timeout_s = commit_timeout_s
        self._fold = fold
        self._seq = last_seq
        self.rows: Final = rows
        self.failure: str | None = None
        """Why the last commit failed; ``None`` while commits succeed."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters_in = 0
        self._waiters_out = 0
        self._light_sleep = False
        self._deep_sleep = False
        self._stopping: Final = threading.Event()
        self._wake: Final[queue.SimpleQueue[None]] = queue.SimpleQueue()
        self._deadlines: Final[deque[tuple[float, Waiter]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="headgate-ledger", daemon=True)

    @property
    def committed_seq(self) -> int:
        """The last batch that was committed; from any thread."""
        return self._seq

    @property
    def is_full(self) -> bool:
        """Rows cannot be written fast enough, or not at all: take no more requests."""
        return len(self.rows) >= CAPACITY

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin writing; waiters are told on ``loop``."""
        self._loop = loop
        self._thread.start()

    def close(self) -> None:
        """Write what is queued, stop the thread and close the file. Blocks; logs what could not be written."""
        self._stopping.set()
        self._wake.put(None)
        if self._thread.ident is not None:
            self._thread.join()
        if self._timer is not None:
            self._timer.cancel()
        self._file.close()

    def check(self) -> None:
        """Raise `LedgerUnavailableError` where a commit would fail anyway."""
        if self.failure is not None:
            raise unavailable(self.failure)
        if self.is_full:
            raise unavailable("journal_full")

    def durable(self) -> Waiter:
        """Return what is done when every row so far is committed.

        It fails with `LedgerUnavailableError` where the commit fails or takes longer than the time-out. Cancelling it
        only stops the waiting.
        """
        loop = self._loop
        assert loop is not None, "the journal has been started"
        waiter: Waiter = loop.create_future()
        self.rows.append(waiter)
        self._waiters_in += 1
        if self._light_sleep or self._deep_sleep:
            self._light_sleep = self._deep_sleep = False
            self._wake.put(None)
        deadline = loop.time() + self._commit_timeout_s
        self._deadlines.append((deadline, waiter))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire)
        return waiter

    def nudge(self) -> None:
        """Say that rows were queued for which nobody waits."""
        if self._deep_sleep:
            self._deep_sleep = False
            self._wake.put(None)

    def read(self, after_seq: int) -> Iterator[tuple[int, list[Row]]]:
        """Yield the committed batches after ``after_seq``, over a connection of its own that only reads."""
        reader = JournalFile(self._file.path, writable=False)
        try:
            yield from reader.batches(after_seq)
        finally:
            reader.close()

    # --- On the event loop, called back -----------------------------------------------------------------------------

    def _expire(self) -> None:
        self._timer = None
        loop = self._loop
        assert loop is not None
        now = loop.time()
        while self._deadlines:
            deadline, waiter = self._deadlines[0]
            if not waiter.done():
                if deadline > now:
                    self._timer = loop.call_at(deadline, self._expire)
                    return
                waiter.set_exception(unavailable("commit_timeout"))
            self._deadlines.popleft()

    def _tell(self, waiters: list[Waiter], failure: str | None) -> None:
        for waiter in waiters:
            if not waiter.done():
                if failure is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(unavailable(failure))
        while self._deadlines and self._deadlines[0][1].done():
            self._deadlines.popleft()

    # --- In the writer's thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                if self._waiters_in != self._waiters_out or self._stopping.is_set():
                    if self.rows:
                        self._write_group()
                    elif self._stopping.is_set():
                        return
                elif not self._was_woken():
                    if self.rows:
                        self._write_group()
                    else:
                        self._sleep()
        except _AbandonedError as error:
            _log.error("ledger rows lost at shutdown", extra={"reason": str(error)})
        except Exception:
            # A defect: whoever waits is refused by the time-out, and so is whoever comes later.
            self.failure = "the journal's writer has failed"
            _log.exception("the journal's writer has failed")

    def _was_woken(self) -> bool:
        """Wait until somebody asks for durability, and say whether that was before `LAZY_S`."""
        self._light_sleep = True
        # Looked at again after the flag was set: whoever came in between saw no sleeper to wake.
        if self._waiters_in == self._waiters_out and not self._stopping.is_set():
            try:
                self._wake.get(timeout=LAZY_S)
            except queue.Empty:
                self._light_sleep = False
                return False
        self._light_sleep = False
        return True

    def _sleep(self) -> None:
        self._deep_sleep = True
        if not self.rows and not self._stopping.is_set():
            self._wake.get()
        self._deep_sleep = False

    def _write_group(self) -> None:
        rows: list[Row] = []
        waiters: list[Waiter] = []
        checkpoint: Checkpoint | None = None
        for _ in range(min(len(self.rows), _MOST_TOGETHER)):
            item = self.rows.popleft()
            if type(item) is tuple:
                rows.append(item)
            elif isinstance(item, Checkpoint):
                checkpoint = item
                break
            elif isinstance(item, asyncio.Future):
                waiters.append(item)
        self._waiters_out += len(waiters)
        if rows:
            body, seq = encode_rows(rows), self._seq + 1
            self._surely(lambda: self._append(seq, body), waiters)
            self._seq = seq
            self._fold.take(rows)
        elif waiters:
            self._call_back(waiters, None)
        if checkpoint is not None:
            self._save(checkpoint)

    def _save(self, checkpoint: Checkpoint) -> None:
        seq, sums = self._seq, self._fold.posted
        retain_after = seq if self._retain_after is None else self._retain_after()
        self._surely(lambda: self._file.save(checkpoint, seq, sums, retain_after), [])
        self._fold = Fold(checkpoint.holds)

    def _surely(self, commit: Callable[[], None], waiters: list[Waiter]) -> None:
        """Commit, however often it takes; who waits for it hears of the first failure and is not kept waiting."""
        pause_s = FIRST_RETRY_S
        while True:
            try:
                commit()
            except _FAILURES as error:
                if self.failure is None:
                    _log.error("the ledger's journal cannot be written; will try again", extra={"reason": str(error)})
                self.failure = f"{type(error).__name__}: {error}"
                self._call_back(waiters, self.failure)
                waiters = []
                self._file.reopen()
                if self._stopping.wait(pause_s):
                    raise _AbandonedError(str(error)) from error
                pause_s = min(LAST_RETRY_S, pause_s * 2)
            else:
                if self.failure is not None:
                    _log.warning("the ledger's journal can be written again")
                    self.failure = None
                self._call_back(waiters, None)
                return

    def _call_back(self, waiters: list[Waiter], failure: str | None) -> None:
        if waiters and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, waiters, failure)
