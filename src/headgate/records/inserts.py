"""Inserting records and events: many in a statement, and what no database could take dropped alone."""

import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError

from headgate.domain.limits import BudgetEvent
from headgate.domain.record import RequestRecord
from headgate.records.rows import INSERT_EVENT, event_row_of, insert_of, row_of, without_lone_surrogates

_TOGETHER: Final = 25
"""Rows a statement. Python's sqlite3 lets go of the interpreter lock at every statement, and has to get it back."""
_UNFIT: Final = (OverflowError, ValueError, TypeError, DataError, IntegrityError, InterfaceError)
"""What a record's own values cause. All else, such as a full disk, is the database's and will pass."""
_log: Final = logging.getLogger("headgate.records")


def insert_records(connection: Connection, records: Sequence[RequestRecord], *, replace: bool = False) -> int:
    """Insert ``records`` and return how many are new; one whose id is there stays, or makes way with ``replace``.

    Raises what SQL raises, but for what a record's own values cause: that one is dropped and logged.
    """
    new = 0
    for start in range(0, len(records), _TOGETHER):
        some = records[start : start + _TOGETHER]
        try:
            values = tuple(chain.from_iterable(map(row_of, some)))
            new += connection.exec_driver_sql(insert_of(len(some), replace=replace), values).rowcount
        except _UNFIT:
            # A statement that failed has inserted nothing.
            new += sum([_insert_alone(connection, record, replace=replace) for record in some])
    return new


def insert_events(connection: Connection, events: Iterable[BudgetEvent]) -> None:
    """Insert ``events``; one that is there already is not told a second time. Otherwise as `insert_records`."""
    for event in events:
        try:
            try:
                connection.exec_driver_sql(INSERT_EVENT, event_row_of(event))
            except UnicodeEncodeError:
                connection.exec_driver_sql(INSERT_EVENT, event_row_of(without_lone_surrogates(event)))
        except _UNFIT as error:
            _log.error(
                "an event of a budget cannot be stored and is dropped",
                extra={"budget_id": event.budget_id, "percent": event.percent, "reason": type(error).__name__},
            )


def _insert_alone(connection: Connection, record: RequestRecord, *, replace: bool) -> int:
    try:
        statement = insert_of(1, replace=replace)
        try:
            return connection.exec_driver_sql(statement, row_of(record)).rowcount
        except UnicodeEncodeError:
            return connection.exec_driver_sql(statement, row_of(without_lone_surrogates(record))).rowcount
    except _UNFIT as error:
        _log.error(
            "a record cannot be stored and is dropped",
            extra={"request_id": record.id, "reason": type(error).__name__},
        )
        return 0
