"""Writes records in batches from a thread of its own, so that a request pays for an append and nothing else.

A record is on disk at most `INTERVAL_S` plus one commit after its request ended. While the disk fails, records wait in
memory up to `CAPACITY`; then `is_full` turns true and the pipeline refuses new requests: nothing goes unrecorded. Only
a record that no database could take is dropped, alone and with a word in the log: it must not keep back the others.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError

from headgate.domain.record import RequestRecord
from headgate.records.rows import insert_of, row_of, without_lone_surrogates
from headgate.storage.engine import Database

INTERVAL_S: Final = 0.25
CAPACITY: Final = 100_000
_BATCH: Final = 2_000
_TOGETHER: Final = 25
"""Rows a statement. Python's sqlite3 lets go of the interpreter lock at every statement, and has to get it back."""
_UNFIT: Final = (OverflowError, ValueError, TypeError, DataError, IntegrityError, InterfaceError)
"""What a record's own values cause. All else, such as a full disk, is the database's and will pass."""
_log: Final = logging.getLogger("headgate.records")


class RecordWriter:
    """An append-only buffer in front of the ``requests`` table."""

    def __init__(self, database: Database, *, interval_s: float = INTERVAL_S, capacity: int = CAPACITY) -> None:
        """Write to ``database``; `start` begins."""
        self._database = database
        self._interval_s = interval_s
        self._capacity = capacity
        self._waiting: deque[RequestRecord] = deque()
        self._stopping = threading.Event()
        self._flushing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="headgate-records", daemon=True)
        self.append: Final = self._waiting.append
        """Take a record; never blocks, never fails. Safe from any thread."""

    @property
    def is_full(self) -> bool:
        """Records cannot be written fast enough, or not at all: take no more requests."""
        return len(self._waiting) >= self._capacity

    def start(self) -> None:
        """Begin writing."""
        self._thread.start()

    def flush(self) -> None:
        """Write everything that waits now; for tests and reports that must see the latest. Raises what SQL raises."""
        with self._flushing:
            while self._waiting:
                batch = [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
                with self._database.write() as connection:
                    for start in range(0, len(batch), _TOGETHER):
                        _insert(connection, batch[start : start + _TOGETHER])
                # Only what is committed leaves the buffer.
                for _ in batch:
                    self._waiting.popleft()

    def close(self) -> None:
        """Write what waits and stop the thread. Logs, as nobody is left to answer, what could not be written."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            self.flush()
        except Exception:
            _log.exception("records lost at shutdown", extra={"records": len(self._waiting)})

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            if not self._waiting:
                continue
            try:
                self.flush()
            except Exception:
                _log.exception("records cannot be written; will try again", extra={"waiting": len(self._waiting)})


def _insert(connection: Connection, records: Sequence[RequestRecord]) -> None:
    try:
        values = tuple(chain.from_iterable(map(row_of, records)))
        connection.exec_driver_sql(insert_of(len(records)), values)
    except _UNFIT:
        # A statement that failed has inserted nothing.
        for record in records:
            _insert_alone(connection, record)


def _insert_alone(connection: Connection, record: RequestRecord) -> None:
    try:
        try:
            connection.exec_driver_sql(insert_of(1), row_of(record))
        except UnicodeEncodeError:
            connection.exec_driver_sql(insert_of(1), row_of(without_lone_surrogates(record)))
    except _UNFIT as error:
        _log.error(
            "a record cannot be stored and is dropped",
            extra={"request_id": record.id, "reason": type(error).__name__},
        )
