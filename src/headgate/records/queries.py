"""Reads over the ``requests`` table: search, one request, usage by group and interval."""

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Struct, UnsetType, field
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    TableValuedAlias,
    Text,
    and_,
    case,
    column,
    exists,
    func,
    not_,
    or_,
    select,
    tuple_,
    values,
)
from sqlalchemy.sql.expression import Label

from headgate.domain.errors import ValidationFailedError
from headgate.domain.money import format_usd
from headgate.domain.record import Outcome, RequestRecord
from headgate.domain.usage import UsageQuality
from headgate.records.rows import record_of
from headgate.storage.engine import Database
from headgate.storage.tables import requests

MAX_LIMIT: Final = 200
MAX_BUCKETS: Final = 10_000
_ESTIMATED: Final = (UsageQuality.COUNTED, UsageQuality.BOUND)


class Reach(Struct, frozen=True):
    """Whose records a reader may see: those of an organization, or of some of its scopes and all below them."""

    organization_id: str
    scope_ids: tuple[str, ...] | None = None
    """A record is within reach where one of these is on its path; ``None``: every record of the organization."""
    key_ids: tuple[str, ...] | None = None
    """Every key below the scopes: the index of keys leads to the records, and each is still judged by its path.

    ``None``: the organization's requests are read through. An index over the path would serve any number of keys alike,
    but cost 5 to 10 µs more at every request; a report is read now and then.
    """


class RequestFilters(Struct, frozen=True):
    """What to search for; ``None`` means any. Times are wall-clock ms, ``to`` exclusive."""

    reach: Reach | None = None
    """What the reader may see; ``None``: everything."""
    key_id: str | None = None
    end_user: str | None = None
    session: str | None = None
    model: str | None = None
    provider: str | None = None
    outcome: Outcome | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    limit: int = 50
    cursor: str | None = None


class RequestPage(Struct, frozen=True):
    """Newest first; ``next_cursor`` leads to the following page."""

    data: tuple[RequestRecord, ...]
    next_cursor: str | None


class GroupBy(StrEnum):
    """What usage can be grouped by."""

    ORGANIZATION = "organization"
    TEAM = "team"
    PROJECT = "project"
    KEY = "key"
    USER = "user"
    MODEL = "model"
    PROVIDER = "provider"
    OPERATION = "operation"
    TAG = "tag"
    """Each tag as ``name=value``. A request counts in the group of every tag it has, so these groups overlap."""


class Interval(StrEnum):
    """Length of a bucket."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class UsageQuery(Struct, frozen=True):
    """A usage report. Times are wall-clock ms; ``tz`` is where a day begins."""

    from_ms: int
    to_ms: int
    group_by: tuple[GroupBy, ...] = ()
    interval: Interval = Interval.DAY
    tz: str = "UTC"
    reach: Reach | None = None
    """What the reader may see; ``None``: everything."""
    include_sandbox: bool = False


class UsageRow(Struct, frozen=True):
    """One group in one bucket. Only the fields that were grouped by are there; null: requests without one."""

    interval_start: str = field()
    """The moment at which the bucket begins, in UTC (RFC 3339); days and months begin where ``tz`` says."""
    requests: int = field()
    errors: int = field()
    input_tokens: int = field()
    cached_input_tokens: int = field()
    output_tokens: int = field()
    cost_usd: str = field()
    saved_usd: str = field()
    """Saved by the gateway's own caches."""
    unpriced_requests: int = field()
    """Requests whose cost is unknown and therefore not in ``cost_usd``."""
    estimated_requests: int = field()
    """Requests whose tokens the provider did not report: counted by us, or the most that they can have been."""
    organization: str | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    project: str | UnsetType | None = UNSET
    key: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    provider: str | UnsetType | None = UNSET
    operation: str | UnsetType | None = UNSET
    tag: str | UnsetType | None = UNSET
    """``name=value``; null: requests without any tag. A request with several tags is in the group of each."""


def search(database: Database, filters: RequestFilters) -> RequestPage:
    """Return records that match, newest first. Raises `ValidationFailedError` for a bad limit or cursor."""
    if not 1 <= filters.limit <= MAX_LIMIT:
        raise ValidationFailedError(f"limit is a number from 1 to {MAX_LIMIT}", param="limit")
    reach = filters.reach
    if reach is None or reach.key_ids is None:
        statement = select(requests).where(*_conditions(requests, filters))
    else:
        # The newest of each key, then of all: a key's index entries are in the order of time, those of many are not.
        keys = listed(reach.key_ids).alias("keys")
        ours = requests.alias("ours")
        newest = select(ours.c.id).where(ours.c.key_id == keys.c.value, *_conditions(ours, filters))
        newest = _newest_first(newest, ours, filters.limit + 1).correlate(keys)
        statement = select(requests).select_from(keys.join(requests, requests.c.id.in_(newest)))
    statement = _newest_first(statement, requests, filters.limit + 1)
    with database.read() as connection:
        rows = connection.execute(statement).mappings().all()
    records = tuple(record_of({str(name): value for name, value in row.items()}) for row in rows[: filters.limit])
    more = len(rows) > filters.limit
    return RequestPage(records, _encode_cursor(records[-1]) if more else None)


def get(database: Database, request_id: str, reach: Reach | None = None) -> RequestRecord | None:
    """Return one record, or ``None`` where there is none within reach (``None``: anywhere)."""
    statement = select(requests).where(requests.c.id == request_id, *within(requests, reach))
    with database.read() as connection:
        row = connection.execute(statement).mappings().one_or_none()
    return record_of({str(name): value for name, value in row.items()}) if row is not None else None


def usage(database: Database, query: UsageQuery) -> tuple[UsageRow, ...]:
    """Return the report, oldest bucket first, groups by falling cost. Money is summed as integers.

    Raises:
        ValidationFailedError: unknown time zone, an empty span, or more than `MAX_BUCKETS` buckets.
    """
    zone = _zone(query.tz)
    if query.to_ms <= query.from_ms:
        raise ValidationFailedError("`to` must be later than `from`", param="to")
    starts = {_ms(start): (start, _ms(end)) for start, end in _buckets(query, zone)}
    statement = _usage_statement(query, [(start_ms, end_ms) for start_ms, (_, end_ms) in starts.items()])
    with database.read() as connection:
        groups = connection.execute(statement).mappings().all()
    return tuple(_usage_row(starts[group["start_ms"]][0], dict(group), query.group_by) for group in groups)


def within(table: FromClause, reach: Reach | None) -> Iterable[ColumnElement[bool]]:
    """Conditions that a row of ``requests``, perhaps by another name, is within reach."""
    if reach is None:
        return
    if reach.key_ids is None:
        # Else SQLite, which has no statistics, takes the index of organizations and not that of keys.
        yield table.c.organization_id == reach.organization_id
    if reach.scope_ids is not None:
        steps = func.json_each(table.c.path).table_valued("value").alias("steps")
        yield exists().select_from(steps).where(steps.c.value.in_(reach.scope_ids))


def listed(texts: tuple[str, ...]) -> TableValuedAlias:
    """Return texts as a table with the column ``value``."""
    # One parameter however many there are: SQLite bounds the number of parameters.
    return func.json_each(msgspec.json.encode(texts).decode()).table_valued("value")


def _newest_first(statement: Select[Any], table: FromClause, limit: int) -> Select[Any]:
    return statement.order_by(table.c.started_at_ms.desc(), table.c.id.desc()).limit(limit)


def _conditions(table: FromClause, filters: RequestFilters) -> Iterable[ColumnElement[bool]]:
    columns = table.c
    yield from within(table, filters.reach)
    if filters.cursor is not None:
        yield tuple_(columns.started_at_ms, columns.id) < tuple_(*_decode_cursor(filters.cursor))
    for field_column, wanted in (
        (columns.key_id, filters.key_id),
        (columns.end_user, filters.end_user),
        (columns.session, filters.session),
        (columns.model, filters.model),
        (columns.provider, filters.provider),
        (columns.outcome, filters.outcome),
    ):
        if wanted is not None:
            yield field_column == wanted
    if filters.from_ms is not None:
        yield columns.started_at_ms >= filters.from_ms
    if filters.to_ms is not None:
        yield columns.started_at_ms < filters.to_ms


def _encode_cursor(record: RequestRecord) -> str:
    return base64.urlsafe_b64encode(f"{record.started_at_ms}:{record.id}".encode()).decode()


def _decode_cursor(cursor: str) -> tuple[int, str]:
    try:
        started_at_ms, _, request_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        return int(started_at_ms), request_id
    except ValueError as error:
        raise ValidationFailedError("cursor is not one that this list returned", param="cursor") from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationFailedError(f"{name!r} is not an IANA time zone such as Europe/Berlin", param="tz") from error


def _buckets(query: UsageQuery, zone: ZoneInfo) -> Iterable[tuple[datetime, datetime]]:
    """Yield the spans of the report, cut at local hour, day or month boundaries (days of 23 or 25 hours included)."""
    begin = datetime.fromtimestamp(query.from_ms / 1000, zone)
    end = datetime.fromtimestamp(query.to_ms / 1000, zone)
    if query.interval is Interval.TOTAL:
        yield begin, end
        return
    count = 0
    while begin.timestamp() < end.timestamp():
        count += 1
        if count > MAX_BUCKETS:
            raise ValidationFailedError(f"this span has more than {MAX_BUCKETS} intervals", param="interval")
        following = _next_boundary(begin, query.interval, zone)
        yield begin, min(following, end, key=datetime.timestamp)
        begin = following


def _next_boundary(moment: datetime, interval: Interval, zone: ZoneInfo) -> datetime:
    if interval is Interval.HOUR:
        # Hours follow UTC, so that a repeated local hour is not merged with its twin.
        utc = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return utc.astimezone(zone)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if interval is Interval.DAY:
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


# One row a tag, as a pair that is JSON text again; NULL where a request has none.
_TAG: Final = func.json_each(requests.c.tags).table_valued("key", "value").alias("tag")
_TAG_TEXT: Final = (
    func.json_extract(_TAG.c.value, "$[0]", type_=Text) + "=" + func.json_extract(_TAG.c.value, "$[1]", type_=Text)
)


def _tags_of_requests() -> FromClause:
    """Return requests beside each of their tags; a tag that was sent twice is one, or its request would count twice."""
    earlier = func.json_each(requests.c.tags).table_valued("key", "value").alias("earlier")
    repeated = exists().select_from(earlier).where(earlier.c.key < _TAG.c.key, earlier.c.value == _TAG.c.value)
    return requests.outerjoin(_TAG, not_(repeated))


def _group_columns(group_by: Sequence[GroupBy]) -> list[Label[Any]]:
    columns = requests.c
    expressions: dict[GroupBy, ColumnElement[Any]] = {
        GroupBy.ORGANIZATION: columns.organization_id,
        GroupBy.TEAM: _scope_of_kind("team"),
        GroupBy.PROJECT: _scope_of_kind("proj"),
        GroupBy.KEY: columns.key_id,
        GroupBy.USER: columns.end_user,
        GroupBy.MODEL: columns.model,
        GroupBy.PROVIDER: columns.provider,
        GroupBy.OPERATION: columns.operation,
        GroupBy.TAG: _TAG_TEXT,
    }
    return [expressions[group].label(group.value) for group in group_by]


def _scope_of_kind(prefix: str) -> ColumnElement[Any]:
    """The id of that kind on the request's path: ids carry their kind, and a path has at most one of each."""
    path = requests.c.path
    start = func.instr(path, f'"{prefix}_')
    rest = func.substr(path, start + 1)
    return case((start > 0, func.substr(rest, 1, func.instr(rest, '"') - 1)), else_=None)


def _usage_statement(query: UsageQuery, spans: Sequence[tuple[int, int]]) -> Select[Any]:
    columns = requests.c
    groups = _group_columns(query.group_by)
    # One statement for all buckets: each is one range of the index.
    buckets = values(column("start_ms", BigInteger), column("end_ms", BigInteger)).data(spans).cte("buckets")
    conditions = [columns.started_at_ms >= buckets.c.start_ms, columns.started_at_ms < buckets.c.end_ms]
    conditions += within(requests, query.reach)
    if query.reach is not None and query.reach.key_ids is not None:
        conditions.append(columns.key_id.in_(select(listed(query.reach.key_ids).c.value)))
    if not query.include_sandbox:
        conditions.append(columns.is_sandbox.is_(False))
    failed = or_(columns.status >= 400, columns.outcome != Outcome.OK)
    statement = select(
        buckets.c.start_ms,
        *groups,
        func.count().label("requests"),
        func.sum(case((failed, 1), else_=0)).label("errors"),
        func.sum(columns.input_tokens).label("input_tokens"),
        func.sum(columns.cached_input_tokens).label("cached_input_tokens"),
        func.sum(columns.output_tokens).label("output_tokens"),
        func.sum(columns.cost_nano_usd).label("cost_nano_usd"),
        func.sum(columns.saved_nano_usd).label("saved_nano_usd"),
        func.sum(case((columns.priced.is_(False), 1), else_=0)).label("unpriced_requests"),
        func.sum(case((columns.usage_quality.in_(_ESTIMATED), 1), else_=0)).label("estimated_requests"),
    ).where(and_(*conditions))
    if GroupBy.TAG in query.group_by:
        statement = statement.select_from(buckets, _tags_of_requests())
    return statement.group_by(buckets.c.start_ms, *groups).order_by(
        buckets.c.start_ms, func.sum(columns.cost_nano_usd).desc(), *groups
    )


def _usage_row(start: datetime, group: dict[Any, Any], group_by: Sequence[GroupBy]) -> UsageRow:
    return UsageRow(
        interval_start=start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        requests=group["requests"],
        errors=group["errors"],
        input_tokens=group["input_tokens"],
        cached_input_tokens=group["cached_input_tokens"],
        output_tokens=group["output_tokens"],
        cost_usd=format_usd(group["cost_nano_usd"]),
        saved_usd=format_usd(group["saved_nano_usd"]),
        unpriced_requests=group["unpriced_requests"],
        estimated_requests=group["estimated_requests"],
        **{name.value: group[name.value] for name in group_by},
    )
