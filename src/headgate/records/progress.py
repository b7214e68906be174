"""How far records follow the ledger: the number of its batch up to which all of them are in ``requests``."""

from typing import Final

from sqlalchemy import Connection, select

from headgate.storage.engine import Database
from headgate.storage.tables import ledger_progress

_STORE: Final = "INSERT OR REPLACE INTO ledger_progress (id, seq) VALUES (1, ?)"


def read_progress(database: Database) -> int:
    """Return the number; 0 where none was stored yet.

    A journal that was made anew or restored begins below it: read from the lower of this and the journal's own end.
    """
    with database.read() as connection:
        return connection.execute(select(ledger_progress.c.seq)).scalar_one_or_none() or 0


def store_progress(connection: Connection, seq: int) -> None:
    """Store the number, in the transaction that completes what it promises."""
    connection.exec_driver_sql(_STORE, (seq,))
