"""What the response cache did for requests, and what it saved: one read over the ``requests`` table."""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnElement, Integer, RowMapping, case, func, select

from headgate.domain.caching import CacheStatus
from headgate.domain.errors import ValidationFailedError
from headgate.records.queries import Reach, listed, within
from headgate.storage.engine import Database
from headgate.storage.tables import requests

_COUNTS: Final = ("requests", "stored", "stale", "saved_nano_usd", "saved_input_tokens", "saved_output_tokens")


class CacheQuery(Struct, frozen=True):
    """Whose requests, and of what time. Times are wall-clock ms, ``to`` exclusive."""

    from_ms: int
    to_ms: int
    organization_id: str | None = None
    """Only this organization's; ``None``: of all that is within reach."""
    reach: Reach | None = None
    """What the reader may see; ``None``: everything."""


class ReasonCount(Struct, frozen=True):
    """How many requests had this reason, one of the words of `headgate.domain.caching.CacheNote`."""

    reason: str
    requests: int


class CacheFigures(Struct, frozen=True, kw_only=True):
    """What the cache did. Every request is one of hit, coalesced, miss, bypass, or was none of the cache's business."""

    requests: int
    """All, those of models that are not cached among them."""
    hits_exact: int
    stale: int
    """Hits that were past their time, given because every provider had failed."""
    coalesced: int
    misses: int
    bypasses: int
    stored: int
    """Requests whose answer was kept."""
    saved_nano_usd: int
    saved_input_tokens: int
    saved_output_tokens: int
    bypass_reasons: tuple[ReasonCount, ...]
    """Why requests were not looked for, the most frequent first."""
    not_kept_reasons: tuple[ReasonCount, ...]
    """Why the answers of misses were not kept, likewise."""


def cache_figures(database: Database, query: CacheQuery) -> CacheFigures:
    """Return the figures of the requests that began within the time.

    Raises:
        ValidationFailedError: the time is empty.
    """
    if query.to_ms <= query.from_ms:
        raise ValidationFailedError("`to` must be later than `from`", param="to")
    columns = requests.c
    reason = func.json_extract(columns.cache, "$.reason")
    statement = (
        select(
            columns.cache_status,
            reason.label("reason"),
            func.count().label("requests"),
            _total(func.json_extract(columns.cache, "$.is_stored")).label("stored"),
            _total(func.json_extract(columns.cache, "$.is_stale")).label("stale"),
            _total(columns.saved_nano_usd).label("saved_nano_usd"),
            _total(func.json_extract(columns.cache, "$.saved_input_tokens")).label("saved_input_tokens"),
            _total(func.json_extract(columns.cache, "$.saved_output_tokens")).label("saved_output_tokens"),
        )
        .where(*_conditions(query))
        .group_by(columns.cache_status, reason)
    )
    with database.read() as connection:
        rows = connection.execute(statement).mappings().all()
    return _figures(rows)


def _conditions(query: CacheQuery) -> Iterable[ColumnElement[bool]]:
    columns = requests.c
    yield columns.started_at_ms >= query.from_ms
    yield columns.started_at_ms < query.to_ms
    yield from within(requests, query.reach)
    if query.reach is not None and query.reach.key_ids is not None:
        yield columns.key_id.in_(select(listed(query.reach.key_ids).c.value))
    if query.organization_id is not None:
        yield columns.organization_id == query.organization_id


def _total(values: ColumnElement[Any]) -> ColumnElement[int]:
    """Add up what is a number, or true; what a note does not say counts nothing."""
    return func.sum(case((values.is_(None), 0), else_=values), type_=Integer)


def _figures(rows: Iterable[RowMapping]) -> CacheFigures:
    totals = dict.fromkeys(_COUNTS, 0)
    by_status = dict.fromkeys(CacheStatus, 0)
    reasons: dict[CacheStatus, list[ReasonCount]] = {CacheStatus.BYPASS: [], CacheStatus.MISS: []}
    for row in rows:
        for name in _COUNTS:
            totals[name] += row[name]
        if row["cache_status"] is None:
            continue
        status = CacheStatus(row["cache_status"])
        by_status[status] += row["requests"]
        if row["reason"] is not None and status in reasons:
            reasons[status].append(ReasonCount(row["reason"], row["requests"]))
    return CacheFigures(
        **totals,
        hits_exact=by_status[CacheStatus.HIT_EXACT],
        coalesced=by_status[CacheStatus.COALESCED],
        misses=by_status[CacheStatus.MISS],
        bypasses=by_status[CacheStatus.BYPASS],
        bypass_reasons=_by_count(reasons[CacheStatus.BYPASS]),
        not_kept_reasons=_by_count(reasons[CacheStatus.MISS]),
    )


def _by_count(found: Iterable[ReasonCount]) -> tuple[ReasonCount, ...]:
    return tuple(sorted(found, key=lambda each: (-each.requests, each.reason)))
