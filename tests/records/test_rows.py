"""A record survives its row."""

import sqlite3
from contextlib import closing

from hypothesis import given

from headgate.domain.record import Outcome, RequestRecord, Spending
from headgate.domain.usage import UsageQuality
from headgate.records.rows import COLUMNS, record_of, row_of
from tests.records.arbitrary import RECORDS
from tests.records.conftest import MakeRecord


def test_a_row_has_a_value_for_every_column(make_record: MakeRecord) -> None:
    assert len(row_of(make_record())) == len(COLUMNS)


def test_a_record_comes_back_as_it_was(make_record: MakeRecord) -> None:
    record = make_record(outcome=Outcome.TRUNCATED, usage_quality=UsageQuality.COUNTED, is_sandbox=True)
    assert record_of(dict(zip(COLUMNS, row_of(record), strict=True))) == record


def test_a_refused_request_comes_back_as_it_was(make_record: MakeRecord) -> None:
    record = make_record(model=None, provider=None, attempts=(), tags=(), path=(), first_event_ms=None, priced=False)
    assert record_of(dict(zip(COLUMNS, row_of(record), strict=True))) == record


def test_what_limits_decided_comes_back_as_it_was_and_null_where_none_did(make_record: MakeRecord) -> None:
    spending = Spending(9, 12, "anchor", 4096, 1.5, 2, "key/key_1/tpm", ("team/team_a/bud_1/2026-11",))
    row = dict(zip(COLUMNS, row_of(make_record(spending=spending)), strict=True))
    assert record_of(row).spending == spending
    row = dict(zip(COLUMNS, row_of(make_record(spending=None)), strict=True))
    assert (row["spending"], record_of(row).spending) == (None, None)


@given(record=RECORDS)
def test_every_record_survives_sqlite(record: RequestRecord) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t ({', '.join(COLUMNS)})")
        connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(COLUMNS))})", row_of(record))
        (row,) = connection.execute("SELECT * FROM t").fetchall()
    assert record_of(dict(zip(COLUMNS, row, strict=True))) == record
