"""A `RequestRecord` as a row of the ``requests`` table, and back; a `BudgetEvent` as one of ``budget_events``."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec.structs import asdict, replace

from headgate.domain.caching import CacheNote
from headgate.domain.limits import BudgetEvent
from headgate.domain.record import Attempt, Outcome, RequestRecord, Spending
from headgate.domain.routing import Considered, RoutingNote
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.storage.tables import budget_events, requests

_Facts = TypeVar("_Facts", RequestRecord, BudgetEvent)

COLUMNS: Final = tuple(requests.columns.keys())
_ROW: Final = f"({', '.join('?' * len(COLUMNS))})"
_INTO: Final = f"INTO requests ({', '.join(COLUMNS)}) VALUES "
EVENT_COLUMNS: Final = tuple(budget_events.columns.keys())[1:]
"""But for ``seq``, which the database gives."""
INSERT_EVENT: Final = (
    f"INSERT OR IGNORE INTO budget_events ({', '.join(EVENT_COLUMNS)}) VALUES ({', '.join('?' * len(EVENT_COLUMNS))})"  # noqa: S608
)
"""Inserts one event; nothing happens where it is there already."""

_encode: Final = msgspec.json.Encoder().encode
_paths: Final = msgspec.json.Decoder(tuple[str, ...])
_tags: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_attempts: Final = msgspec.json.Decoder(tuple[Attempt, ...])
_spending: Final = msgspec.json.Decoder(Spending)
_routing: Final = msgspec.json.Decoder(RoutingNote)
_cache: Final = msgspec.json.Decoder(CacheNote)


@cache
def insert_of(rows: int, *, replace: bool = False) -> str:
    """Return the statement that inserts ``rows`` rows, whose parameters are their values one after the other.

    A row that is there already stays as it is, or makes way where ``replace`` says so: a batch that was committed and
    is tried again after an unclear failure must not count twice.
    """
    return f"INSERT OR {'REPLACE' if replace else 'IGNORE'} {_INTO}" + ", ".join([_ROW] * rows)


def row_of(record: RequestRecord) -> tuple[Any, ...]:
    """Return the values of ``record`` in the order of `COLUMNS`."""
    usage, note = record.usage, record.cache
    return (
        record.id,
        record.started_at_ms,
        record.organization_id,
        _encode(record.path).decode(),
        record.key_id,
        record.end_user,
        record.session,
        _encode(record.tags).decode() if record.tags else "[]",
        record.operation,
        record.wire_format,
        record.model,
        record.provider,
        record.deployment,
        record.upstream_model,
        record.stream,
        _encode(record.attempts).decode(),
        record.outcome,
        record.status,
        record.error_code,
        record.finish_reason,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.input_audio_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.output_audio_tokens,
        record.usage_quality,
        record.cost_nano_usd,
        record.priced,
        record.price_version,
        record.first_event_ms,
        record.duration_ms,
        record.overhead_ms,
        record.is_sandbox,
        _encode(record.spending).decode() if record.spending is not None else None,
        _encode(record.routing).decode() if record.routing is not None else None,
        note.status if note is not None else None,
        _encode(note).decode() if note is not None else None,
        note.saved_nano_usd if note is not None else 0,
    )


def event_row_of(event: BudgetEvent) -> tuple[Any, ...]:
    """Return the values of ``event`` in the order of `EVENT_COLUMNS`."""
    return tuple([getattr(event, name) for name in EVENT_COLUMNS])


def without_lone_surrogates(record: _Facts) -> _Facts:
    """Return ``record`` with U+FFFD for every half of a surrogate pair, which has no UTF-8 and so no place in a row."""
    return replace(record, **{name: _mended(value) for name, value in asdict(record).items()})


def _mended(value: object) -> object:
    if type(value) is str:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, tuple):
        return tuple(map(_mended, cast("tuple[object, ...]", value)))
    if isinstance(value, Attempt | Spending | RoutingNote | Considered | CacheNote):
        return replace(value, **{name: _mended(inner) for name, inner in asdict(value).items()})
    return value


def record_of(row: Mapping[str, Any]) -> RequestRecord:
    """Return the record that `row_of` made ``row`` from."""
    values: dict[str, Any] = dict(row)
    values["usage"] = TokenUsage(**{name: values.pop(name) for name in TokenUsage.__struct_fields__})
    values["path"] = _paths.decode(values["path"])
    values["tags"] = _tags.decode(values["tags"])
    values["attempts"] = _attempts.decode(values["attempts"])
    values["spending"] = _spending.decode(values["spending"]) if values["spending"] is not None else None
    values["routing"] = _routing.decode(values["routing"]) if values["routing"] is not None else None
    values["cache"] = _cache.decode(values["cache"]) if values["cache"] is not None else None
    del values["cache_status"], values["saved_nano_usd"]  # Parts of the note, as columns of their own for reports.
    values["outcome"] = Outcome(values["outcome"])
    values["usage_quality"] = UsageQuality(values["usage_quality"])
    for name in ("stream", "priced", "is_sandbox"):
        values[name] = bool(values[name])
    return RequestRecord(**values)
