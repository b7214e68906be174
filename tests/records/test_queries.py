"""Search, pages, and usage by group and interval."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, event

from headgate.domain.errors import ValidationFailedError
from headgate.domain.record import Outcome, RequestRecord
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.records.queries import GroupBy, Interval, Reach, RequestFilters, UsageQuery, get, search, usage
from headgate.records.writer import RecordWriter
from headgate.storage.engine import Database
from tests.records.conftest import NOON_MS, MakeRecord

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def store(database: Database, *records: RequestRecord) -> None:
    writer = RecordWriter(database)
    for record in records:
        writer.append(record)
    writer.flush()


def test_search_is_newest_first_and_pages_hold_everything_once(database: Database, make_record: MakeRecord) -> None:
    records = [make_record(started_at_ms=NOON_MS + i // 3) for i in range(25)]
    store(database, *records)
    seen: list[RequestRecord] = []
    cursor: str | None = None
    while True:
        page = search(database, RequestFilters(limit=4, cursor=cursor))
        seen += page.data
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == sorted(records, key=lambda record: (record.started_at_ms, record.id), reverse=True)


@pytest.mark.parametrize(
    "change",
    [
        {"key_id": "key_b"},
        {"end_user": "bob"},
        {"session": "s"},
        {"model": "m"},
        {"provider": "p"},
        {"outcome": Outcome.REFUSED},
    ],
)
def test_each_filter_finds_only_its_own(database: Database, make_record: MakeRecord, change: dict[str, object]) -> None:
    wanted = make_record(**change)
    store(database, make_record(), wanted, make_record())
    assert search(database, RequestFilters(**change)).data == (wanted,)


def test_the_span_excludes_its_end(database: Database, make_record: MakeRecord) -> None:
    first, second = make_record(started_at_ms=NOON_MS), make_record(started_at_ms=NOON_MS + 10)
    store(database, first, second)
    assert search(database, RequestFilters(from_ms=NOON_MS, to_ms=NOON_MS + 10)).data == (first,)


def test_another_organization_is_not_seen(database: Database, make_record: MakeRecord) -> None:
    record = make_record()
    store(database, record)
    assert search(database, RequestFilters(reach=Reach("org_b"))).data == ()
    assert get(database, record.id, Reach("org_b")) is None
    assert get(database, record.id, Reach("org_a")) == record


def plans_of(database: Database, run: Callable[[], object]) -> list[str]:
    """What SQLite says of how it will carry out the statements of ``run``."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        run()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    with database.read() as connection:
        return [
            row.detail
            for statement, parameters in statements
            if statement.lstrip().startswith(("SELECT", "WITH"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


@pytest.mark.parametrize("many", [1, 2000])
def test_the_keys_of_a_team_lead_to_its_records(database: Database, many: int) -> None:
    reach = Reach("org_a", ("team_a",), tuple(f"key_{number}" for number in range(many)))
    searched = plans_of(database, lambda: search(database, RequestFilters(reach=reach)))
    assert [step for step in searched if "ix_requests_key_id_started_at_ms (key_id=?)" in step]
    reported = plans_of(database, lambda: usage(database, day_of_usage(reach=reach)))
    led = "ix_requests_key_id_started_at_ms (key_id=? AND started_at_ms>? AND started_at_ms<?)"
    assert [step for step in reported if led in step]
    for step in (*searched, *reported):
        # No table or index of requests is read from end to end.
        assert not step.startswith(("SCAN requests", "SCAN ours")), step


def test_what_a_key_leads_to_is_judged_by_its_path(database: Database, make_record: MakeRecord) -> None:
    own, foreign = make_record(key_id="key_a"), make_record(key_id="key_a", path=("org_b", "team_b"))
    store(database, own, foreign)
    reach = Reach("org_a", ("team_a",), ("key_a",))
    assert search(database, RequestFilters(reach=reach)).data == (own,)
    assert get(database, foreign.id, reach) is None
    (row,) = usage(database, day_of_usage(reach=reach))
    assert row.requests == 1


@pytest.mark.parametrize("cursor", ["x", "!!!", "bm90aGluZw==", "é"])
def test_a_forged_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(ValidationFailedError) as caught:
        search(database, RequestFilters(cursor=cursor))
    assert caught.value.param == "cursor"


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_limit_out_of_bounds_is_refused(database: Database, limit: int) -> None:
    with pytest.raises(ValidationFailedError):
        search(database, RequestFilters(limit=limit))


def day_of_usage(**changes: object) -> UsageQuery:
    return UsageQuery(**{"from_ms": NOON_MS - 12 * HOUR_MS, "to_ms": NOON_MS + 12 * HOUR_MS, **changes})  # type: ignore[arg-type]


def test_usage_sums_tokens_money_and_errors(database: Database, make_record: MakeRecord) -> None:
    store(
        database,
        make_record(cost_nano_usd=1),
        make_record(cost_nano_usd=2, status=502, outcome=Outcome.UPSTREAM_ERROR),
        make_record(outcome=Outcome.TRUNCATED, usage_quality=UsageQuality.COUNTED),
        make_record(priced=False, cost_nano_usd=0),
    )
    (row,) = usage(database, day_of_usage())
    assert (row.requests, row.errors, row.estimated_requests, row.unpriced_requests) == (4, 2, 1, 1)
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens) == (40, 16, 28)
    assert row.cost_usd == "0.000042503"


def test_usage_groups_by_scope_key_and_model(database: Database, make_record: MakeRecord) -> None:
    store(
        database,
        make_record(path=("org_a", "team_a", "proj_a"), cost_nano_usd=30),
        make_record(path=("org_a", "team_b"), cost_nano_usd=20),
        make_record(path=("org_a",), cost_nano_usd=10),
    )
    rows = usage(database, day_of_usage(group_by=(GroupBy.ORGANIZATION, GroupBy.TEAM, GroupBy.PROJECT)))
    assert [(row.organization, row.team, row.project, row.requests) for row in rows] == [
        ("org_a", "team_a", "proj_a", 1),
        ("org_a", "team_b", None, 1),
        ("org_a", None, None, 1),
    ]


def test_usage_by_tag_counts_a_request_in_the_group_of_each_of_its_tags(
    database: Database, make_record: MakeRecord
) -> None:
    store(
        database,
        make_record(tags=(("team", "search"), ("job", "nightly")), cost_nano_usd=4),
        make_record(tags=(("team", "search"),), cost_nano_usd=2, model="other"),
        make_record(tags=(("team", 'a "b" \\ ü=[]'),), cost_nano_usd=1),
        make_record(tags=(), cost_nano_usd=0),
    )
    rows = usage(database, day_of_usage(group_by=(GroupBy.TAG,)))
    assert [(row.tag, row.requests, row.cost_usd) for row in rows] == [
        ("team=search", 2, "0.000000006"),
        ("job=nightly", 1, "0.000000004"),
        ('team=a "b" \\ ü=[]', 1, "0.000000001"),
        (None, 1, "0"),
    ]
    both = usage(database, day_of_usage(group_by=(GroupBy.MODEL, GroupBy.TAG)))
    assert [(row.tag, row.requests) for row in both if row.model == "other"] == [("team=search", 1)]


def test_a_tag_that_was_sent_twice_counts_its_request_once(database: Database, make_record: MakeRecord) -> None:
    store(database, make_record(tags=(("a", "1"), ("b", "1"), ("a", "1"), ("a", "2"))))
    rows = usage(database, day_of_usage(group_by=(GroupBy.TAG,)))
    assert [(row.tag, row.requests, row.input_tokens) for row in rows] == [
        ("a=1", 1, 10),
        ("a=2", 1, 10),
        ("b=1", 1, 10),
    ]


def test_the_sandbox_is_left_out_unless_asked_for(database: Database, make_record: MakeRecord) -> None:
    store(database, make_record(is_sandbox=True))
    assert usage(database, day_of_usage()) == ()
    assert len(usage(database, day_of_usage(include_sandbox=True))) == 1


def test_a_day_begins_where_the_reader_lives(database: Database, make_record: MakeRecord) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    before = datetime(2025, 11, 23, 23, 59, tzinfo=zone)
    after = datetime(2025, 11, 24, 0, 1, tzinfo=zone)
    store(
        database,
        make_record(started_at_ms=int(before.timestamp() * 1000)),
        make_record(started_at_ms=int(after.timestamp() * 1000)),
    )
    query = UsageQuery(from_ms=NOON_MS - DAY_MS, to_ms=NOON_MS + DAY_MS, tz="Asia/Tokyo")
    assert [(row.interval_start, row.requests) for row in usage(database, query)] == [
        ("2025-11-22T15:00:00Z", 1),
        ("2025-11-23T15:00:00Z", 1),
    ]


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)], ids=["short", "long", "usual"]
)
def test_days_around_the_clock_change_lose_and_repeat_no_request(
    database: Database, make_record: MakeRecord, day: str, hours: int
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    start_ms = int(datetime.fromisoformat(day).replace(tzinfo=zone).timestamp() * 1000)
    store(database, *[make_record(started_at_ms=start_ms + i * HOUR_MS + 60_000) for i in range(hours)])
    span = {"from_ms": start_ms - DAY_MS, "to_ms": start_ms + 3 * DAY_MS, "tz": "Europe/Berlin"}
    (row,) = usage(database, UsageQuery(**span))  # type: ignore[arg-type]
    begins = datetime.fromtimestamp(start_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (row.interval_start, row.requests) == (begins, hours)
    hourly = usage(database, UsageQuery(**span, interval=Interval.HOUR))  # type: ignore[arg-type]
    assert [row.requests for row in hourly] == [1] * hours


def test_months_and_totals(database: Database, make_record: MakeRecord) -> None:
    store(database, make_record(), make_record(started_at_ms=NOON_MS + 30 * DAY_MS))
    span = {"from_ms": NOON_MS - 60 * DAY_MS, "to_ms": NOON_MS + 60 * DAY_MS}
    months = usage(database, UsageQuery(**span, interval=Interval.MONTH))
    assert [row.interval_start[:7] for row in months] == ["2025-11", "2025-12"]
    (total,) = usage(database, UsageQuery(**span, interval=Interval.TOTAL))
    assert total.requests == 2


def test_usage_of_large_sums_is_exact(database: Database, make_record: MakeRecord) -> None:
    large = 4_611_686_018_427_387_903
    store(database, make_record(cost_nano_usd=large), make_record(cost_nano_usd=1, usage=TokenUsage()))
    (row,) = usage(database, day_of_usage())
    assert row.cost_usd == "4611686018.427387904"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        (UsageQuery(from_ms=0, to_ms=0), "to"),
        (UsageQuery(from_ms=0, to_ms=NOON_MS, interval=Interval.HOUR), "interval"),
        (UsageQuery(from_ms=0, to_ms=1, tz="Mars/Olympus"), "tz"),
        (UsageQuery(from_ms=0, to_ms=1, tz="../../etc/passwd"), "tz"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(database: Database, query: UsageQuery, param: str) -> None:
    with pytest.raises(ValidationFailedError) as caught:
        usage(database, query)
    assert caught.value.param == param
