"""Writes records in batches from a thread of its own, so that a request pays for an append and nothing else.

A record is on disk at most `INTERVAL_S` plus one commit after its request ended. While the disk fails, records wait in
memory up to `CAPACITY`; then `is_full` turns true and the pipeline refuses new requests: nothing goes unrecorded. Only
a record that no database could take is dropped, alone and with a word in the log: it must not keep back the others.

What a limit was on is in the ledger's journal too. With every write goes the number of the journal's batch up to which
all records are in the table, so that the next start reads the rest from there (`headgate.records.catch_up`).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from headgate.domain.limits import BudgetEvent
from headgate.domain.record import RequestRecord
from headgate.records.inserts import insert_events, insert_records
from headgate.records.progress import read_progress, store_progress
from headgate.storage.engine import Database

INTERVAL_S: Final = 0.25
CAPACITY: Final = 100_000
_BATCH: Final = 2_000
_log: Final = logging.getLogger("headgate.records")
T = TypeVar("T")


class RecordWriter:
    """An append-only buffer in front of ``requests`` and ``budget_events``."""

    def __init__(
        self,
        database: Database,
        *,
        interval_s: float = INTERVAL_S,
        capacity: int = CAPACITY,
        committed_seq: Callable[[], int] | None = None,
    ) -> None:
        """Write to ``database``; `start` begins.

        Args:
            database: where to.
            interval_s: how often.
            capacity: so many records may wait.
            committed_seq: the ledger's latest batch that is on disk; called from the writing thread. Whoever hands a
                record to the ledger calls `append` first, or a batch could count as recorded before its record waits.
        """
        self._database = database
        self._interval_s = interval_s
        self._capacity = capacity
        self._committed_seq = committed_seq
        self._progress = 0 if committed_seq is None else read_progress(database)
        self._waiting: deque[RequestRecord] = deque()
        self._events: deque[BudgetEvent] = deque()
        self._stopping = threading.Event()
        self._flushing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="headgate-records", daemon=True)
        self.append: Final = self._waiting.append
        """Take a record; never blocks, never fails. Safe from any thread."""
        self.append_event: Final = self._events.append
        """Take an event of a budget; as `append`."""

    @property
    def is_full(self) -> bool:
        """Records cannot be written fast enough, or not at all: take no more requests."""
        return len(self._waiting) >= self._capacity

    @property
    def progress(self) -> int:
        """The records of all the ledger's batches up to this one are in the table. Safe from any thread."""
        return self._progress

    def start(self) -> None:
        """Begin writing. Catch up first: from here on, what the ledger has committed counts as recorded."""
        self._thread.start()

    def flush(self) -> None:
        """Write everything that waits now; for tests and reports that must see the latest. Raises what SQL raises."""
        with self._flushing:
            # Before looking at what waits: the records of these batches wait already, or are in the table.
            seq = self._next_progress()
            left, events = len(self._waiting), _first(self._events, len(self._events))
            if not left and not events and seq == self._progress:
                return
            while left > _BATCH:
                left -= self._write(_first(self._waiting, _BATCH))
            self._write(_first(self._waiting, left), events, seq)
            self._progress = seq

    def close(self) -> None:
        """Write what waits and stop the thread. Logs, as nobody is left to answer, what could not be written."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            self.flush()
        except Exception:
            lost = {"records": len(self._waiting), "budget_events": len(self._events)}
            _log.exception("records lost at shutdown", extra=lost)

    def _next_progress(self) -> int:
        # A gateway that failed before it had caught up must not say that it had.
        if self._committed_seq is None or self._thread.ident is None:
            return self._progress
        return self._committed_seq()

    def _write(self, records: list[RequestRecord], events: list[BudgetEvent] | None = None, seq: int = 0) -> int:
        """Commit these, and with the last of them how far they reach. Only what is committed leaves the buffer."""
        with self._database.write() as connection:
            insert_records(connection, records)
            if events is not None:
                insert_events(connection, events)
                if seq != self._progress:
                    store_progress(connection, seq)
        for _ in records:
            self._waiting.popleft()
        for _ in events or ():
            self._events.popleft()
        return len(records)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                self.flush()
            except Exception:
                _log.exception("records cannot be written; will try again", extra={"waiting": len(self._waiting)})


def _first(waiting: deque[T], count: int) -> list[T]:
    # By index: others append meanwhile, and an iterator would break.
    return [waiting[i] for i in range(count)]
