"""How far records follow the ledger: one number, stored with what it promises."""

import pytest
from sqlalchemy.exc import IntegrityError

from headgate.records.progress import read_progress, store_progress
from headgate.storage.engine import Database


def test_nothing_is_recorded_before_anything_was(database: Database) -> None:
    assert read_progress(database) == 0


def test_the_latest_number_counts_also_where_a_journal_begins_anew(database: Database) -> None:
    for seq in (4, 9, 2):
        with database.write() as connection:
            store_progress(connection, seq)
        assert read_progress(database) == seq


def write_half(database: Database) -> None:
    with database.write() as connection:
        store_progress(connection, 3)
        connection.exec_driver_sql("INSERT INTO requests (id) VALUES ('req_1')")


def test_a_transaction_that_fails_takes_its_number_with_it(database: Database) -> None:
    with pytest.raises(IntegrityError):
        write_half(database)
    assert read_progress(database) == 0
