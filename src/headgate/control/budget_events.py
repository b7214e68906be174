"""Which budgets passed a share of their limit, for those who may see them."""

from typing import Final

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, or_, select

from headgate.control.page import ListQuery, Page, check_limit, decode_cursor, page_of
from headgate.control.plane import Plane, view
from headgate.control.timestamps import format_time
from headgate.control.tree import subtree
from headgate.domain.access import Permission
from headgate.domain.errors import ValidationFailedError
from headgate.domain.limits import LimitedKind
from headgate.domain.money import format_usd
from headgate.identity.actor import Actor, grants_of
from headgate.records import events
from headgate.records.events import PlacedEvent
from headgate.storage.tables import budget_events, virtual_keys

_SCOPES: Final = (LimitedKind.ORGANIZATION, LimitedKind.TEAM, LimitedKind.PROJECT, LimitedKind.USER)


class BudgetEventEntry(Struct, frozen=True, kw_only=True):
    """A budget has passed 50, 80 or 100 % of its limit: told once per period and share."""

    id: str
    at: str
    organization_id: str | None
    kind: LimitedKind
    """What the budget hangs on."""
    scope_id: str
    """Of which scope or key; an end user, model or tag has its organization before its name: `org_…/name`."""
    budget_id: str
    account: str
    """The budget in one of its periods."""
    percent: int
    posted_usd: str
    """What was posted when the share was passed."""
    limit_usd: str


class BudgetEventQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events to list."""

    organization_id: str | None = None
    budget_id: str | None = None


def list_budget_events(plane: Plane, actor: Actor, query: BudgetEventQuery) -> Page[BudgetEventEntry]:
    """Return the events of budgets that ``actor`` may see, newest first."""
    limit = check_limit(query.limit)
    place = decode_cursor(query.cursor)
    if place is not None and not (place.isdecimal() and len(place) <= 18):
        raise ValidationFailedError("`cursor` must be the `next_cursor` of the page before.", param="cursor")
    filters = events.EventFilters(
        organization_id=query.organization_id, budget_id=query.budget_id, within=_within(actor)
    )
    before_seq = None if place is None else int(place)
    with view(plane, actor, "budget_event.list", "budget_event") as access:
        found = events.list_events(access.connection, filters, before_seq=before_seq, limit=limit + 1)
    return page_of(found, limit, lambda placed: str(placed.seq), _show)


def _within(actor: Actor) -> ColumnElement[bool] | None:
    """The condition that an event is of a budget within ``actor``'s reach; `None`: he may see all of them."""
    grants = grants_of(actor, Permission.BUDGETS_READ)
    if grants is None:
        return None
    columns = budget_events.c
    own = columns.organization_id == actor.organization_id
    if actor.organization_id in grants:
        return own
    # What an end user, model or tag has used is the whole organization's: a role on a part of it opens none of these.
    below = subtree(sorted(grants))
    keys = select(virtual_keys.c.id).where(virtual_keys.c.scope_id.in_(below))
    on_scopes = and_(columns.kind.in_(_SCOPES), columns.scope_id.in_(below))
    on_keys = and_(columns.kind == LimitedKind.KEY, columns.scope_id.in_(keys))
    return and_(own, or_(on_scopes, on_keys))


def _show(placed: PlacedEvent) -> BudgetEventEntry:
    event = placed.event
    return BudgetEventEntry(
        id=event.id,
        at=format_time(event.at_ms),
        organization_id=event.organization_id,
        kind=event.kind,
        scope_id=event.scope_id,
        budget_id=event.budget_id,
        account=event.account,
        percent=event.percent,
        posted_usd=format_usd(event.posted_nano_usd),
        limit_usd=format_usd(event.limit_nano_usd),
    )
