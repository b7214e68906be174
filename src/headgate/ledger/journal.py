"""The journal's writer: rows queue up on the event loop's side, one thread commits them.

Group commit without a timer: an idle writer commits what one turn of the event loop asks for, and what queues meanwhile
is the next group. Rows that nobody waits for go with the next group, or after `LAZY_S` on their own. Order is kept in
every case, so what is on disk is always a prefix of what happened.

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
from itertools import islice
from typing import Final, cast

from msgspec import Struct

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

_TICKS: Final = 4
"""How finely the time-out is measured: a waiter is refused after it, and at most a quarter of it later."""

Waiter = asyncio.Future[None]


class Saving(Struct, frozen=True):
    """A checkpoint in its place among the rows."""

    checkpoint: Checkpoint
    asked: int
    """How many had asked for durability by then: they wait for the rows before it alone."""


Queued = list[Row | Saving]


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
    """Rows in, durability out. `rows`, `durable`, `nudge` and `save` belong to the event loop's thread.

    The two threads share a list and a count and no lock: the loop's thread alone appends, the writer alone takes from
    the front, and each does so in one step of the interpreter. A row is appended before its waiter is counted, and the
    writer looks at the count first, so every row of those whom it counted is among those that it takes.
    """

    def __init__(
        self,
        file: JournalFile,
        rows: Queued,
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
            rows: the queue: what is to be written, in order.
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
        self.committed_seq = last_seq
        """The newest batch of the file: all of it is durable. Read from any thread; the writer alone sets it."""
        self.rows: Final = rows
        self.failure: str | None = None
        """Why the last commit failed; ``None`` while commits succeed."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0
        """How often durability was asked for; the loop's thread counts."""
        self._answered = 0
        """How many of them the writer has answered."""
        self._told = 0
        """How many of them have heard of it; the waiters from here on are ``_waiting``."""
        self._waiting: Final[deque[Waiter]] = deque()
        self._asked_by_tick: Final[deque[int]] = deque(maxlen=_TICKS + 1)
        self._savings_in = 0
        self._savings_out = 0
        self._light_sleep = False
        self._deep_sleep = False
        self._stopping: Final = threading.Event()
        self._wake: Final[queue.SimpleQueue[None]] = queue.SimpleQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="headgate-ledger", daemon=True)

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
        self._waiting.append(waiter)
        self._asked += 1
        if self._light_sleep or self._deep_sleep:
            self._light_sleep = self._deep_sleep = False
            # Behind all that this turn of the loop still asks for: woken at once, the writer would be given the core
            # and wait there for the interpreter, and what the others ask for would be a group of its own.
            loop.call_soon(self._wake.put, None)
        if self._timer is None:
            self._timer = loop.call_later(self._commit_timeout_s / _TICKS, self._tick)
        return waiter

    def nudge(self) -> None:
        """Say that rows were queued for which nobody waits."""
        if self._deep_sleep:
            self._deep_sleep = False
            self._wake.put(None)

    def save(self, checkpoint: Checkpoint) -> None:
        """Queue a checkpoint behind the rows that led to it."""
        self._savings_in += 1
        self.rows.append(Saving(checkpoint, self._asked))
        self.nudge()

    def first_seq(self) -> int:
        """The oldest batch that is kept, over a connection of its own that only reads."""
        reader = JournalFile(self._file.path, writable=False)
        try:
            return reader.first_seq()
        finally:
            reader.close()

    def read(self, after_seq: int) -> Iterator[tuple[int, list[Row]]]:
        """Yield the committed batches after ``after_seq``, over a connection of its own that only reads."""
        reader = JournalFile(self._file.path, writable=False)
        try:
            yield from reader.batches(after_seq)
        finally:
            reader.close()

    # --- On the event loop, called back -----------------------------------------------------------------------------

    def _tick(self) -> None:
        """Refuse who has waited for all the ticks of the time-out; comes as long as anybody waits."""
        loop = self._loop
        assert loop is not None
        self._timer = None
        ticks = self._asked_by_tick
        if self._told == self._asked:
            ticks.clear()
            return
        ticks.append(self._asked)
        if len(ticks) > _TICKS:
            for waiter in islice(self._waiting, max(0, ticks[0] - self._told)):
                if not waiter.done():
                    waiter.set_exception(unavailable("commit_timeout"))
        self._timer = loop.call_later(self._commit_timeout_s / _TICKS, self._tick)

    def _tell(self, answered: int, failure: str | None) -> None:
        waiting = self._waiting
        for _ in range(answered - self._told):
            waiter = waiting.popleft()
            if not waiter.done():
                if failure is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(unavailable(failure))
        self._told = answered

    # --- In the writer's thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                if self._asked != self._answered:
                    self._write_group()
                elif self._stopping.is_set():
                    if not self.rows:
                        return
                    self._write_group()
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
        if self._asked == self._answered and not self._stopping.is_set():
            try:
                self._wake.get(timeout=LAZY_S)
            except queue.Empty:
                self._light_sleep = False
                return False
        self._light_sleep = False
        return True

    def _sleep(self) -> None:
        self._deep_sleep = True
        if not self.rows and self._asked == self._answered and not self._stopping.is_set():
            self._wake.get()
        self._deep_sleep = False

    def _write_group(self) -> None:
        rows, asked, saving = self._take()
        if rows:
            body, seq = encode_rows(rows), self.committed_seq + 1
            self._surely(lambda: self._commit(seq, body), asked)
            self._fold.take(rows)
        else:
            self._answer(asked, None)
        if saving is not None:
            self._savings_out += 1
            self._save(saving.checkpoint)

    def _take(self) -> tuple[list[Row], int, Saving | None]:
        """Take the next group out of the queue, and say whom it answers and what is to be saved behind it."""
        queue, asked = self.rows, self._asked
        queued = len(queue)
        group, saving = queue[:_MOST_TOGETHER], None
        if len(group) < queued:
            asked = self._answered
        # Rare enough to be looked for. It is counted before it is queued, so none is ever taken for a row.
        if self._savings_in != self._savings_out:
            for place, each in enumerate(group):
                if isinstance(each, Saving):
                    group, saving, asked = group[:place], each, max(self._answered, each.asked)
                    break
        del queue[: len(group) + (saving is not None)]
        return cast("list[Row]", group), asked, saving

    def _commit(self, seq: int, body: bytes) -> None:
        self._append(seq, body)
        # Before anybody is told: who was told may ask for it.
        self.committed_seq = seq

    def _save(self, checkpoint: Checkpoint) -> None:
        seq, sums = self.committed_seq, self._fold.posted
        retain_after = seq if self._retain_after is None else self._retain_after()
        self._surely(lambda: self._file.save(checkpoint, seq, sums, retain_after), self._answered)
        self._fold = Fold(checkpoint.holds)

    def _surely(self, commit: Callable[[], None], asked: int) -> None:
        """Commit, however often it takes; who waits for it hears of the first failure and is not kept waiting."""
        pause_s = FIRST_RETRY_S
        while True:
            try:
                commit()
            except _FAILURES as error:
                if self.failure is None:
                    _log.error("the ledger's journal cannot be written; will try again", extra={"reason": str(error)})
                self.failure = f"{type(error).__name__}: {error}"
                self._answer(asked, self.failure)
                self._file.reopen()
                if self._stopping.wait(pause_s):
                    raise _AbandonedError(str(error)) from error
                pause_s = min(LAST_RETRY_S, pause_s * 2)
            else:
                if self.failure is not None:
                    _log.warning("the ledger's journal can be written again")
                    self.failure = None
                self._answer(asked, None)
                return

    def _answer(self, asked: int, failure: str | None) -> None:
        """Let everybody up to the one of this number know, once."""
        if asked == self._answered:
            return
        self._answered = asked
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, asked, failure)
