"""A record survives its row."""

from headgate.domain.record import Outcome
from headgate.domain.usage import UsageQuality
from headgate.records.rows import COLUMNS, record_of, row_of
from tests.records.conftest import MakeRecord


def test_a_row_has_a_value_for_every_column(make_record: MakeRecord) -> None:
    assert len(row_of(make_record())) == len(COLUMNS)


def test_a_record_comes_back_as_it_was(make_record: MakeRecord) -> None:
    record = make_record(outcome=Outcome.TRUNCATED, usage_quality=UsageQuality.COUNTED, is_sandbox=True)
    assert record_of(dict(zip(COLUMNS, row_of(record), strict=True))) == record


def test_a_refused_request_comes_back_as_it_was(make_record: MakeRecord) -> None:
    record = make_record(model=None, provider=None, attempts=(), tags=(), path=(), first_event_ms=None, priced=False)
    assert record_of(dict(zip(COLUMNS, row_of(record), strict=True))) == record
