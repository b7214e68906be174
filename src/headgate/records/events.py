"""Reads over ``budget_events``: which budgets passed 50, 80 and 100 % of their limit, newest first."""

from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, RowMapping, select

from headgate.domain.limits import BudgetEvent, LimitedKind
from headgate.records.rows import EVENT_COLUMNS
from headgate.storage.tables import budget_events


class EventFilters(Struct, frozen=True, kw_only=True):
    """Which events to read; a filter that is `None` lets every event through."""

    organization_id: str | None = None
    budget_id: str | None = None
    within: ColumnElement[bool] | None = None
    """What the reader may see, as a condition on the table."""


class PlacedEvent(Struct, frozen=True):
    """An event and its place in the list."""

    seq: int
    event: BudgetEvent


def list_events(
    connection: Connection, filters: EventFilters, *, before_seq: int | None, limit: int
) -> list[PlacedEvent]:
    """Return at most ``limit`` events, newest first, of those before ``before_seq`` (`None`: from the newest)."""
    columns = budget_events.c
    conditions: list[ColumnElement[bool]] = []
    if filters.organization_id is not None:
        conditions.append(columns.organization_id == filters.organization_id)
    if filters.budget_id is not None:
        conditions.append(columns.budget_id == filters.budget_id)
    if filters.within is not None:
        conditions.append(filters.within)
    if before_seq is not None:
        conditions.append(columns.seq < before_seq)
    query = select(budget_events).where(*conditions).order_by(columns.seq.desc()).limit(limit)
    return [PlacedEvent(row[columns.seq], _event(row)) for row in connection.execute(query).mappings()]


def _event(row: RowMapping) -> BudgetEvent:
    values: dict[str, Any] = {name: row[budget_events.c[name]] for name in EVENT_COLUMNS if name != "id"}
    values["kind"] = LimitedKind(values["kind"])
    return BudgetEvent(**values)
