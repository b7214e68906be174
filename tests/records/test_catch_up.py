"""A start writes the records that the journal has and the table lacks, however often, and whatever is broken in it."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from headgate.domain.record import Outcome, RequestMemo, RequestRecord
from headgate.domain.usage import UsageQuality
from headgate.records.catch_up import CaughtUp, Recovered, catch_up, store_recovered
from headgate.records.codec import RecordDecodeError, recovered_record
from headgate.records.progress import read_progress
from headgate.records.queries import Interval, RequestFilters, UsageQuery, get, search, usage
from headgate.records.writer import RecordWriter
from headgate.storage.engine import Database
from tests.records.arbitrary import payload_of
from tests.records.conftest import NOON_MS, MakeRecord


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM requests").scalar_one()


def batches_of(records: list[RequestRecord], first: int = 1, size: int = 3) -> list[tuple[int, list[Any]]]:
    """The journal's batches that carry these records, ``size`` in each."""
    return [
        (first + index, [payload_of(record) for record in records[start : start + size]])
        for index, start in enumerate(range(0, len(records), size))
    ]


def test_what_the_table_lacks_is_written_and_twice_is_once(
    database: Database, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    records = [make_record() for _ in range(8)]
    writer = RecordWriter(database)
    writer.append(records[0])
    writer.flush()
    with caplog.at_level(logging.INFO):
        assert catch_up(database, batches_of(records)) == CaughtUp(3, 8, 7, 0, 0)
    assert [get(database, record.id) for record in records] == records
    assert read_progress(database) == 3
    assert "caught up" in caplog.text
    assert catch_up(database, batches_of(records)) == CaughtUp(3, 8, 0, 0, 0)
    assert (count(database), read_progress(database)) == (8, 3)


def test_a_record_in_the_table_is_not_written_over(database: Database, make_record: MakeRecord) -> None:
    record = make_record()
    writer = RecordWriter(database)
    writer.append(record)
    writer.flush()
    catch_up(database, batches_of([replace(record, cost_nano_usd=1)]))
    assert get(database, record.id) == record


def test_nothing_to_read_changes_nothing_and_says_nothing(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert catch_up(database, []) == CaughtUp(None, 0, 0, 0, 0)
        assert catch_up(database, [(1, []), (2, [])]) == CaughtUp(2, 0, 0, 0, 0)
    assert (caplog.records, read_progress(database)) == ([], 2)


def test_more_than_one_transaction_holds_is_written_whole(database: Database, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(4_100)]
    assert catch_up(database, batches_of(records, size=7)).new == 4_100
    assert (count(database), read_progress(database)) == (4_100, -(-4_100 // 7))


def test_a_payload_that_was_cut_is_said_and_keeps_nothing_else_back(
    database: Database, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    before, cut, after = make_record(), make_record(), make_record()
    payloads = [payload_of(before), payload_of(cut)[:5], b"", payload_of(after)]
    with caplog.at_level(logging.ERROR):
        assert catch_up(database, [(1, payloads)]) == CaughtUp(1, 2, 2, 2, 0)
    assert [get(database, record.id) for record in (before, cut, after)] == [before, None, after]
    assert [entry.__dict__["seq"] for entry in caplog.records] == [1, 1]


def test_batches_that_are_missing_are_said_and_what_is_there_is_written(
    database: Database, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = make_record(), make_record()
    with caplog.at_level(logging.ERROR):
        caught = catch_up(database, [(1, [payload_of(first)]), (5, [payload_of(second)])])
    assert caught == CaughtUp(5, 2, 2, 0, 3)
    (entry,) = caplog.records
    assert (entry.__dict__["after"], entry.__dict__["before"]) == (1, 5)
    assert catch_up(database, [(9, [])]).missing == 3


def test_a_journal_that_began_anew_lacks_nothing(database: Database, make_record: MakeRecord) -> None:
    catch_up(database, batches_of([make_record() for _ in range(9)]))
    assert catch_up(database, [(1, [payload_of(make_record())])]) == CaughtUp(1, 1, 1, 0, 0)
    assert read_progress(database) == 1


def test_a_journal_that_breaks_off_leaves_what_was_read_before(database: Database, make_record: MakeRecord) -> None:
    record = make_record()

    def broken() -> Iterator[tuple[int, list[Any]]]:
        yield 1, [payload_of(record)]
        raise RuntimeError("batch 2 is not what was written")

    with pytest.raises(RuntimeError, match="batch 2"):
        catch_up(database, broken())
    assert (get(database, record.id), read_progress(database)) == (record, 1)


def memo_of(record: RequestRecord) -> Any:
    """What the pipeline leaves with a hold, as the journal gives it back."""
    names = RequestMemo.__struct_fields__
    return payload_of(RequestMemo(**{name: getattr(record, name) for name in names}))


def test_a_request_that_was_running_cost_what_was_posted(make_record: MakeRecord) -> None:
    record = make_record()
    found = recovered_record(memo_of(record), 77)
    assert (found.id, found.outcome, found.usage_quality) == (record.id, Outcome.RECOVERED, UsageQuality.BOUND)
    assert (found.cost_nano_usd, found.priced, found.path, found.tags) == (77, True, record.path, record.tags)
    with pytest.raises(RecordDecodeError):
        recovered_record(b"", 77)


def test_recovered_requests_are_recorded_and_a_second_start_changes_nothing(
    database: Database, make_record: MakeRecord
) -> None:
    records = [make_record() for _ in range(3)]
    recovered = [Recovered(record.id, memo_of(record), 100 + place) for place, record in enumerate(records)]
    assert store_recovered(database, recovered) == 3
    first = search(database, RequestFilters(outcome=Outcome.RECOVERED)).data
    assert sorted(record.cost_nano_usd for record in first) == [100, 101, 102]
    assert store_recovered(database, recovered) == 3
    assert search(database, RequestFilters()).data == first
    query = UsageQuery(from_ms=NOON_MS, to_ms=NOON_MS + 1_000, interval=Interval.TOTAL)
    (row,) = usage(database, query)
    assert (row.requests, row.cost_usd, row.estimated_requests) == (3, "0.000000303", 3)


def test_a_record_whose_terminal_row_was_lost_makes_way_for_what_the_ledger_posted(
    database: Database, make_record: MakeRecord
) -> None:
    record = make_record(cost_nano_usd=5)
    writer = RecordWriter(database)
    writer.append(record)
    writer.flush()
    store_recovered(database, [Recovered(record.id, memo_of(record), 900)])
    found = get(database, record.id)
    assert found is not None
    assert (found.outcome, found.cost_nano_usd, count(database)) == (Outcome.RECOVERED, 900, 1)


def test_a_request_without_a_memo_is_said_and_keeps_nothing_else_back(
    database: Database, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    record = make_record()
    with caplog.at_level(logging.ERROR):
        assert store_recovered(database, [Recovered("req_x", b"", 9), Recovered(record.id, memo_of(record), 1)]) == 1
    assert [entry.__dict__["request_id"] for entry in caplog.records] == ["req_x"]
    assert count(database) == 1
