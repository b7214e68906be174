from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.limits import InvalidLimitError, Period
from headgate.ledger.periods import FOREVER_MS, check_time_zone, span_of

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "America/St_Johns",
         "Asia/Kolkata", "Pacific/Apia", "Africa/Cairo")  # fmt: skip


def ms(text: str, zone: str = "UTC", fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "name", "starts", "ends"),
    [
        (Period.HOUR, "2026-11-24T12Z", "2026-11-24T13:00", "2026-11-24T14:00"),
        (Period.DAY, "2026-11-24", "2026-11-24T00:00", "2026-11-25T00:00"),
        (Period.WEEK, "2026-W48", "2026-11-23T00:00", "2026-11-30T00:00"),
        (Period.MONTH, "2026-11", "2026-11-01T00:00", "2026-12-01T00:00"),
    ],
)
def test_a_period_is_cut_in_the_organizations_zone(period: Period, name: str, starts: str, ends: str) -> None:
    span = span_of(period, ms("2026-11-24T13:07", "Europe/Berlin"), "Europe/Berlin")

    assert (span.id, span.starts_at_ms, span.ends_at_ms) == (
        name,
        ms(starts, "Europe/Berlin"),
        ms(ends, "Europe/Berlin"),
    )


def test_the_total_never_ends() -> None:
    assert span_of(Period.TOTAL, 0, "UTC").ends_at_ms == FOREVER_MS


def test_days_of_a_clock_change_have_23_and_25_hours() -> None:
    spring = span_of(Period.DAY, ms("2026-03-29T12:00", "Europe/Berlin"), "Europe/Berlin")
    autumn = span_of(Period.DAY, ms("2026-10-25T12:00", "Europe/Berlin"), "Europe/Berlin")

    assert (spring.ends_at_ms - spring.starts_at_ms, autumn.ends_at_ms - autumn.starts_at_ms) == (
        23 * 3_600_000,
        25 * 3_600_000,
    )


def test_a_repeated_hour_is_two_periods() -> None:
    first, second = (ms("2026-10-25T02:30", "Europe/Berlin", fold) for fold in (0, 1))

    assert second - first == 3_600_000
    assert span_of(Period.HOUR, first, "Europe/Berlin").id != span_of(Period.HOUR, second, "Europe/Berlin").id


def test_the_first_week_of_a_year_may_begin_in_the_year_before() -> None:
    assert span_of(Period.WEEK, ms("2027-01-01T00:00"), "UTC").id == "2026-W53"
    assert span_of(Period.WEEK, ms("2025-12-31T00:00"), "UTC").id == "2026-W01"


@given(st.integers(ms("1990-01-01"), ms("2035-01-01")), st.sampled_from(ZONES), st.sampled_from(Period))
def test_every_instant_lies_in_its_period_and_the_next_begins_where_it_ends(
    instant: int, zone: str, period: Period
) -> None:
    span = span_of(period, instant, zone)

    assert span.starts_at_ms <= instant < span.ends_at_ms
    if period is not Period.TOTAL:
        following = span_of(period, span.ends_at_ms, zone)
        assert following.id > span.id
        assert following.starts_at_ms == span.ends_at_ms
        assert span_of(period, span.ends_at_ms - 1, zone) == span
        assert span_of(period, span.starts_at_ms, zone) == span


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "a\0b"])
def test_a_zone_that_is_none_is_refused_by_name(zone: str) -> None:
    with pytest.raises(InvalidLimitError) as refusal:
        check_time_zone(zone)

    assert refusal.value.field == "time_zone"


def test_ids_are_dates_of_the_zone_and_not_of_utc() -> None:
    instant = ms("2026-10-31T23:30")

    assert datetime.fromtimestamp(instant / 1000, UTC).month == 10
    assert span_of(Period.MONTH, instant, "Europe/Berlin").id == "2026-11"
