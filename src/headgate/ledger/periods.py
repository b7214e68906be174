"""Which period an instant belongs to, in the organization's time zone.

Rollover needs no job: an instant after the end of a period belongs to the next one, whose account begins empty. Every
instant belongs to exactly one period of a kind, also where a zone's clocks are changed: days are cut at the first
local midnight, so they may have 23 or 25 hours.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from headgate.domain.limits import InvalidLimitError, Period

FOREVER_MS: Final = 2**53
"""The end of what never ends, as ms since the epoch: year 287396, and still exact in a double."""
_HOUR_MS: Final = 3_600_000


class Span(Struct, frozen=True):
    """One period: from ``starts_at_ms`` (inclusive) to ``ends_at_ms`` (exclusive), wall-clock ms."""

    id: str
    """Such as ``2026-11-24T13Z``, ``2026-11-24``, ``2026-W48``, ``2026-11`` or ``total``."""
    starts_at_ms: int
    ends_at_ms: int


_TOTAL: Final = Span("total", -FOREVER_MS, FOREVER_MS)


def check_time_zone(name: str) -> str:
    """Return ``name`` where it is an IANA time zone. Raises `InvalidLimitError` otherwise."""
    try:
        zone_of(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidLimitError("time_zone", f"{name!r} is not an IANA time zone such as Europe/Berlin") from error
    return name


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """Return the zone of this name."""
    return ZoneInfo(name)


def span_of(period: Period, wall_ms: int, time_zone: str) -> Span:
    """Return the period of this kind that ``wall_ms`` lies in.

    Hours follow UTC, so that a local hour that is repeated in autumn is not merged with its twin.
    """
    if period is Period.TOTAL:
        return _TOTAL
    if period is Period.HOUR:
        start = wall_ms // _HOUR_MS * _HOUR_MS
        moment = datetime.fromtimestamp(start / 1000, UTC)
        return Span(moment.strftime("%Y-%m-%dT%HZ"), start, start + _HOUR_MS)
    zone = zone_of(time_zone)
    first = _first_day(period, _local_date(wall_ms, zone))
    following = _following(period, first)
    # Where midnight itself was repeated, the wall calendar runs back over a boundary; the first midnight is the one.
    while wall_ms >= _midnight_ms(following, zone):
        first, following = following, _following(period, following)
    return Span(_id_of(period, first), _midnight_ms(first, zone), _midnight_ms(following, zone))


def _local_date(wall_ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(wall_ms / 1000, zone).date()


def _first_day(period: Period, day: date) -> date:
    if period is Period.WEEK:
        return day - timedelta(days=day.weekday())
    if period is Period.MONTH:
        return day.replace(day=1)
    return day


def _following(period: Period, first: date) -> date:
    if period is Period.DAY:
        return first + timedelta(days=1)
    if period is Period.WEEK:
        return first + timedelta(days=7)
    return (first.replace(day=1) + timedelta(days=32)).replace(day=1)


def _id_of(period: Period, first: date) -> str:
    if period is Period.DAY:
        return first.isoformat()
    if period is Period.MONTH:
        return first.isoformat()[:7]
    year, week, _ = first.isocalendar()
    return f"{year}-W{week:02d}"


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    # fold=0 is the first of two midnights; a midnight that was skipped is read with the offset before the change,
    # which is the instant of the change itself (PEP 495).
    return round(datetime(day.year, day.month, day.day, tzinfo=zone, fold=0).timestamp() * 1000)
