"""The start after a crash: records are made equal to the ledger's journal, before anything new is written."""

from collections.abc import Iterator
from typing import Any

from headgate.ledger.embedded import EmbeddedLedger
from headgate.ledger.rows import END, NOTE
from headgate.records.catch_up import Recovered, catch_up, store_recovered
from headgate.records.progress import read_progress
from headgate.storage.engine import Database


def recover_records(ledger: EmbeddedLedger, database: Database) -> None:
    """Write the records that the process before did not; call it before the ledger and the writer of records start.

    Raises:
        LedgerCorruptError: the journal is damaged.
    """
    # A journal that was made anew, or restored, ends before what was recorded of the one before it.
    after_seq = min(read_progress(database), ledger.committed_seq)
    # Where an old database was put beside the journal, records between the two are lost; that is logged, and no reason
    # to answer nobody.
    after_seq = max(after_seq, ledger.first_seq() - 1)
    catch_up(database, _payloads(ledger, after_seq))
    lost = ledger.recovery.recovered
    store_recovered(
        database,
        [Recovered(each.settlement.rid, each.memo, each.settlement.posted_nano_usd) for each in lost],
    )


def _payloads(ledger: EmbeddedLedger, after_seq: int) -> Iterator[tuple[int, list[Any]]]:
    for seq, rows in ledger.read(after_seq):
        yield seq, [row[-1] for row in rows if row[0] in (END, NOTE) and row[-1] is not None]
