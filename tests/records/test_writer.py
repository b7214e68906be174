"""Records reach the disk in batches, and none is lost while the disk fails."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from headgate.domain.limits import BudgetEvent, LimitedKind
from headgate.domain.record import Attempt
from headgate.records.progress import read_progress
from headgate.records.queries import RequestFilters, get, search
from headgate.records.writer import RecordWriter
from headgate.storage.engine import Database, open_database
from tests.records.conftest import NOON_MS, MakeRecord


class FailingDisk:
    """A database whose writes fail until `heal`; reads and successful writes go to the real one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.broken = True
        self.tried = threading.Event()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self.tried.set()
        if self.broken:
            raise OSError(28, "No space left on device")
        with self.database.write() as connection:
            yield connection


def test_flush_writes_what_waits(database: Database, make_record: MakeRecord) -> None:
    writer = RecordWriter(database)
    record = make_record()
    writer.append(record)
    assert get(database, record.id) is None
    writer.flush()
    assert get(database, record.id) == record


def test_the_thread_writes_without_being_asked(database: Database, make_record: MakeRecord) -> None:
    writer = RecordWriter(database, interval_s=0.02)
    writer.start()
    record = make_record()
    writer.append(record)
    deadline = time.monotonic() + 10
    while get(database, record.id) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    writer.close()


def test_close_writes_the_rest(database: Database, make_record: MakeRecord) -> None:
    writer = RecordWriter(database, interval_s=60)
    writer.start()
    for _ in range(5000):
        writer.append(make_record())
    writer.close()
    assert len(search(database, RequestFilters(limit=200)).data) == 200
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM requests").scalar_one() == 5000


def test_a_failing_disk_loses_nothing(
    database: Database, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FailingDisk(database)
    writer = RecordWriter(disk, interval_s=0.01, capacity=3)  # type: ignore[arg-type]
    writer.start()
    records = [make_record() for _ in range(3)]
    with caplog.at_level(logging.ERROR):
        for record in records:
            writer.append(record)
        assert disk.tried.wait(10)
        assert writer.is_full
        disk.broken = False
        deadline = time.monotonic() + 10
        while writer.is_full:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        writer.close()
    assert [get(database, record.id) for record in records] == records
    assert "records cannot be written" in caplog.text


BAD: dict[str, dict[str, object]] = {
    "a number beyond 64 bits": {"cost_nano_usd": 2**63},
    "a type that JSON has not": {"tags": ((object(), "x"),)},
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_record_that_no_database_takes_is_dropped_alone(
    database: Database, make_record: MakeRecord, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    writer = RecordWriter(database)
    before = [make_record() for _ in range(30)]
    bad = make_record(**BAD[name])
    after = [make_record() for _ in range(30)]
    for record in (*before, bad, *after):
        writer.append(record)
    with caplog.at_level(logging.ERROR):
        writer.flush()
        writer.flush()
    assert [get(database, record.id) for record in (*before, *after)] == [*before, *after]
    assert get(database, bad.id) is None
    assert [entry.__dict__["request_id"] for entry in caplog.records] == [bad.id]


def test_a_record_with_half_a_character_is_kept_without_it(database: Database, make_record: MakeRecord) -> None:
    writer = RecordWriter(database)
    records = [
        make_record(finish_reason="st\ud83dop"),
        make_record(end_user="\udcff", tags=(("job", "\ud83d"),)),
        make_record(attempts=(Attempt("openai", "d", "m\ud83d", 200, None, 1.0),)),
        make_record(),
    ]
    for record in records:
        writer.append(record)
    writer.flush()
    first, second, third, fourth = (get(database, record.id) for record in records)
    assert first == replace(records[0], finish_reason="st\N{REPLACEMENT CHARACTER}op")
    assert second is not None
    assert (second.end_user, second.tags) == ("\N{REPLACEMENT CHARACTER}", (("job", "\N{REPLACEMENT CHARACTER}"),))
    assert third is not None
    assert third.attempts[0].upstream_model == "m\N{REPLACEMENT CHARACTER}"
    assert fourth == records[3]


def test_a_disk_that_fails_in_the_middle_of_a_batch_loses_nothing(
    database: Database, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    writer = RecordWriter(database)
    records = [make_record() for _ in range(60)]
    for record in records:
        writer.append(record)
    with database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with caplog.at_level(logging.ERROR), pytest.raises(OperationalError, match="full"):
        writer.flush()
    assert caplog.records == []
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    writer.flush()
    assert [get(database, record.id) for record in records] == records


EVENT = BudgetEvent(NOON_MS, "org_a", "team/team_a/bud_1/2026-11", LimitedKind.TEAM, "team_a", "bud_1", 80, 81, 100)


def test_how_far_records_follow_the_ledger_is_stored_with_them(database: Database, make_record: MakeRecord) -> None:
    committed = 0
    writer = RecordWriter(database, interval_s=60, committed_seq=lambda: committed)
    writer.start()
    writer.append(make_record())
    committed = 7
    writer.flush()
    assert (writer.progress, read_progress(database)) == (7, 7)
    committed = 9
    writer.close()
    assert (writer.progress, read_progress(database)) == (9, 9)
    assert RecordWriter(database, committed_seq=lambda: committed).progress == 9


def test_a_batch_that_is_committed_while_records_are_written_does_not_count_yet(
    database: Database, make_record: MakeRecord
) -> None:
    writer: RecordWriter
    late = make_record()

    def committed_seq() -> int:
        # The next request ends and its batch is committed right after the ledger was asked.
        writer.append(late)
        return 4

    writer = RecordWriter(database, interval_s=60, committed_seq=committed_seq)
    writer.start()
    writer.flush()
    assert get(database, late.id) == late
    assert read_progress(database) == 4


def test_progress_goes_only_with_the_last_of_what_waits(database: Database, make_record: MakeRecord) -> None:
    class FailingLater:
        """A disk that takes one transaction and no other."""

        written = 0

        def read(self) -> AbstractContextManager[Connection]:
            return database.read()

        @contextmanager
        def write(self) -> Iterator[Connection]:
            if self.written:
                raise OSError(28, "No space left on device")
            with database.write() as connection:
                yield connection
            self.written += 1

    disk = FailingLater()
    writer = RecordWriter(disk, interval_s=60, committed_seq=lambda: 5)  # type: ignore[arg-type]
    writer.start()
    for _ in range(2_500):
        writer.append(make_record())
    writer.append_event(EVENT)
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    assert (writer.progress, read_progress(database)) == (0, 0)
    disk.written = 0
    writer.close()
    assert (writer.progress, read_progress(database)) == (5, 5)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM requests").scalar_one() == 2_500
        assert connection.exec_driver_sql("SELECT count(*) FROM budget_events").scalar_one() == 1


def test_a_gateway_that_did_not_get_as_far_as_writing_has_caught_up_with_nothing(
    database: Database, make_record: MakeRecord
) -> None:
    writer = RecordWriter(database, committed_seq=lambda: 5)
    writer.append(make_record())
    writer.close()
    assert (writer.progress, read_progress(database)) == (0, 0)


def test_events_are_written_with_the_records_and_each_once(database: Database, make_record: MakeRecord) -> None:
    writer = RecordWriter(database)
    record = make_record()
    writer.append(record)
    writer.append_event(EVENT)
    writer.flush()
    writer.append_event(EVENT)
    writer.flush()
    assert get(database, record.id) == record
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT id, percent, posted_nano_usd FROM budget_events").all()
    assert [tuple(row) for row in rows] == [("team/team_a/bud_1/2026-11/80", 80, 81)]


def test_the_same_record_twice_is_one_row(database: Database, make_record: MakeRecord) -> None:
    writer = RecordWriter(database)
    record = make_record()
    writer.append(record)
    writer.flush()
    writer.append(record)
    writer.flush()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM requests").scalar_one() == 1


def test_records_outlive_the_process(database: Database, make_record: MakeRecord, tmp_path: Path) -> None:
    writer = RecordWriter(database)
    record = make_record()
    writer.append(record)
    writer.flush()
    database.close()
    again = open_database(f"sqlite:///{tmp_path}/headgate.db")
    assert get(again, record.id) == record
    again.close()
