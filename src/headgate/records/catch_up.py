"""At a start: records that the process before had in the ledger's journal and not yet in the table.

Two kinds. A request that ended has its record in its terminal row, and is read from there. One that was running when
the process died has only a memo, made when its money was held: the ledger posts the whole hold, and its record says so.
Both can be done twice and change nothing the second time.
"""

import logging
import time
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from headgate.domain.record import RequestRecord
from headgate.records.codec import RecordDecodeError, decode_record, recovered_record
from headgate.records.inserts import insert_records
from headgate.records.progress import read_progress, store_progress
from headgate.storage.engine import Database

_TOGETHER: Final = 2_000
"""Records a transaction."""
_log: Final = logging.getLogger("headgate.records")


class CaughtUp(Struct, frozen=True):
    """What `catch_up` found."""

    seq: int | None
    """The last batch that was read; ``None`` where there was none."""
    records: int
    """Records in these batches."""
    new: int
    """Those that were not in the table."""
    unreadable: int
    """Payloads that are no record."""
    missing: int
    """Batches that should have come and did not: their records are lost, unless a writer had written them."""


class Recovered(Struct, frozen=True):
    """A request that the process before left open, as the ledger ended it."""

    request_id: str
    memo: object
    """The `headgate.domain.record.RequestMemo` of it, as the journal gives it back."""
    posted_nano_usd: int
    """All that was posted for it."""


def catch_up(database: Database, batches: Iterable[tuple[int, Iterable[object]]]) -> CaughtUp:
    """Write the records of ``batches`` that the table lacks, and how far they reach.

    Args:
        database: where to; no writer may follow the ledger yet.
        batches: by sequence, what lies after `headgate.records.progress.read_progress`: the payloads of each batch's
            terminal rows and notes. Where reading them fails, what came before is written, and the error goes on.
    """
    began = time.perf_counter()
    waiting: list[RequestRecord] = []
    seq: int | None = None
    last = read_progress(database)
    found = new = unreadable = missing = 0

    def write() -> int:
        if seq is None:
            return 0
        with database.write() as connection:
            inserted = insert_records(connection, waiting)
            store_progress(connection, seq)
        waiting.clear()
        return inserted

    try:
        for number, payloads in batches:
            records = [_read(payload, number) for payload in payloads]
            waiting += [record for record in records if record is not None]
            if number > last + 1:
                missing += number - last - 1
                _log.error("batches of the ledger's journal are missing", extra={"after": last, "before": number})
            seq = last = number
            found += len(records)
            unreadable += records.count(None)
            if len(waiting) >= _TOGETHER:
                new += write()
    finally:
        new += write()
    if found:
        took_ms = round((time.perf_counter() - began) * 1000)
        counts = {"records": found - unreadable, "new": new, "unreadable": unreadable, "took_ms": took_ms}
        _log.info("records were caught up with the ledger", extra=counts)
    return CaughtUp(seq, found - unreadable, new, unreadable, missing)


def store_recovered(database: Database, recovered: Iterable[Recovered]) -> int:
    """Write the records of requests that a start ended; return how many. Call it before the ledger writes those ends.

    A record that is there already makes way. It was written while its terminal row was not yet durable; the row was
    lost with the process, the ledger has posted the whole hold instead, and the two must say the same.
    """
    records: list[RequestRecord] = []
    for each in recovered:
        try:
            records.append(recovered_record(each.memo, each.posted_nano_usd))
        except RecordDecodeError as error:
            _log.error(
                "a request that was recovered has no record",
                extra={"request_id": each.request_id, "posted_nano_usd": each.posted_nano_usd, "reason": str(error)},
            )
    if records:
        with database.write() as connection:
            insert_records(connection, records, replace=True)
        _log.info("requests that were running when the gateway died are recorded", extra={"records": len(records)})
    return len(records)


def _read(payload: object, seq: int) -> RequestRecord | None:
    try:
        return decode_record(payload)
    except RecordDecodeError as error:
        _log.error("a record in the ledger's journal cannot be read", extra={"seq": seq, "reason": str(error)})
        return None
