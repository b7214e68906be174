"""The audit log in the database: written inside the caller's transaction, read newest first."""

from typing import Any

from msgspec import Struct, json
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, Connection, RowMapping, insert, select

from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.storage.tables import audit_events


class AuditFilters(Struct, frozen=True, kw_only=True):
    """Which events to read; a filter that is `None` lets every event through."""

    organization_ids: frozenset[str] | None = None
    actor_id: str | None = None
    action: str | None = None
    """An action such as ``key.create``, or all of a resource: ``key.*``."""
    object_id: str | None = None
    outcome: AuditOutcome | None = None
    from_ms: int | None = None
    """At this time or later."""
    to_ms: int | None = None
    """Before this time."""


def append(connection: Connection, event: AuditEvent) -> None:
    """Write ``event``; where that fails, the caller's transaction must fail with it."""
    values = asdict(event)
    del values["seq"]
    for side in ("before", "after"):
        if values[side] is not None:
            values[side] = json.encode(values[side], order="sorted").decode()
    connection.execute(insert(audit_events).values(values))


def search(connection: Connection, filters: AuditFilters, *, before_seq: int | None, limit: int) -> list[AuditEvent]:
    """Return at most ``limit`` events, newest first, of those before ``before_seq`` (`None`: from the newest)."""
    conditions = _conditions(filters)
    if before_seq is not None:
        conditions.append(audit_events.c.seq < before_seq)
    query = select(audit_events).where(*conditions).order_by(audit_events.c.seq.desc()).limit(limit)
    return [_event(row) for row in connection.execute(query).mappings()]


def _conditions(filters: AuditFilters) -> list[ColumnElement[bool]]:
    columns = audit_events.c
    conditions: list[ColumnElement[bool]] = []
    if filters.organization_ids is not None:
        conditions.append(columns.organization_id.in_(sorted(filters.organization_ids)))
    for name in ("actor_id", "object_id", "outcome"):
        wanted = getattr(filters, name)
        if wanted is not None:
            conditions.append(columns[name] == wanted)
    if filters.action is not None and filters.action.endswith(".*"):
        conditions.append(columns.action.startswith(filters.action[:-1], autoescape=True))
    elif filters.action is not None:
        conditions.append(columns.action == filters.action)
    if filters.from_ms is not None:
        conditions.append(columns.at_ms >= filters.from_ms)
    if filters.to_ms is not None:
        conditions.append(columns.at_ms < filters.to_ms)
    return conditions


def _event(row: RowMapping) -> AuditEvent:
    values: dict[str, Any] = {name: row[audit_events.c[name]] for name in AuditEvent.__struct_fields__}
    values["outcome"] = AuditOutcome(values["outcome"])
    for side in ("before", "after"):
        if values[side] is not None:
            values[side] = json.decode(values[side])
    return AuditEvent(**values)
