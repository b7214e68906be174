"""What is inserted, what stays, what makes way, and what no database could take."""

import logging

import pytest
from msgspec.structs import replace

from headgate.domain.limits import BudgetEvent, LimitedKind
from headgate.records.inserts import insert_events, insert_records
from headgate.records.queries import get
from headgate.storage.engine import Database
from tests.records.conftest import NOON_MS, MakeRecord

EVENT = BudgetEvent(NOON_MS, "org_a", "tag/org_a/x=1/bud_1/2026", LimitedKind.TAG, "org_a/x=1", "bud_1", 50, 5, 10)


def test_a_record_that_is_there_stays_or_makes_way(database: Database, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(30)]
    changed = [replace(record, cost_nano_usd=1) for record in records]
    more = make_record()
    with database.write() as connection:
        assert insert_records(connection, records) == 30
        assert insert_records(connection, [*changed, more]) == 1
    assert [get(database, record.id) for record in (*records, more)] == [*records, more]
    with database.write() as connection:
        assert insert_records(connection, changed, replace=True) == 30
    assert [get(database, record.id) for record in records] == changed


def test_a_record_that_no_database_takes_is_not_counted(database: Database, make_record: MakeRecord) -> None:
    with database.write() as connection:
        assert insert_records(connection, [make_record(), make_record(cost_nano_usd=2**63), make_record()]) == 2


def test_an_event_that_no_database_takes_is_dropped_alone_and_half_a_character_is_mended(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    account = "tag/org_a/x=\ud83d/bud_2/2026"
    events = [EVENT, replace(EVENT, percent=80, posted_nano_usd=2**63), replace(EVENT, account=account)]
    with caplog.at_level(logging.ERROR), database.write() as connection:
        insert_events(connection, events)
    with database.read() as connection:
        found = connection.exec_driver_sql("SELECT account FROM budget_events ORDER BY seq").scalars().all()
    assert found == [EVENT.account, "tag/org_a/x=\N{REPLACEMENT CHARACTER}/bud_2/2026"]
    assert [(entry.__dict__["budget_id"], entry.__dict__["percent"]) for entry in caplog.records] == [("bud_1", 80)]
