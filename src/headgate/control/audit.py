"""Reading the audit log."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from headgate.audit import log
from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.control.checks import Timestamp
from headgate.control.page import ListQuery, Page, check_limit, decode_cursor, page_of
from headgate.control.plane import Plane, view
from headgate.control.timestamps import format_time, parse_time
from headgate.domain.access import Permission
from headgate.domain.errors import PermissionDeniedError, ValidationFailedError
from headgate.identity.actor import Actor, grants_of


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One management action, done or refused."""

    id: str
    seq: int
    """Its place in the log; no number is given twice."""
    at: str
    actor_kind: str
    actor_id: str
    action: str
    object_kind: str
    object_id: str | None
    organization_id: str | None
    outcome: AuditOutcome
    reason: str | None
    """The error's code, where the action was refused."""
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None
    source_address: str | None


class AuditQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events to list."""

    organization_id: str | None = None
    actor_id: str | None = None
    action: Annotated[str, Meta(description="Such as `key.create`, or `key.*`.")] | None = None
    object_id: str | None = None
    outcome: AuditOutcome | None = None
    since: Timestamp | None = None
    """At this time or later."""
    until: Timestamp | None = None
    """Before this time."""


def list_events(plane: Plane, actor: Actor, query: AuditQuery) -> Page[AuditEntry]:
    """Return the events of the organizations whose log ``actor`` may read, newest first."""
    limit = check_limit(query.limit)
    place = decode_cursor(query.cursor)
    if place is not None and not (place.isdecimal() and len(place) <= 18):
        raise ValidationFailedError("`cursor` must be the `next_cursor` of the page before.", param="cursor")
    with view(plane, actor, "audit.list", "audit") as access:
        # An event is its organization's: a role on a team alone opens none.
        grants = grants_of(actor, Permission.AUDIT_READ)
        if grants is not None and actor.organization_id not in grants:
            raise PermissionDeniedError("Reading the audit log takes a role on the organization.")
        filters = log.AuditFilters(
            organization_ids=_organizations(actor, grants, query.organization_id),
            actor_id=query.actor_id,
            action=query.action,
            object_id=query.object_id,
            outcome=query.outcome,
            from_ms=None if query.since is None else parse_time(query.since, "since"),
            to_ms=None if query.until is None else parse_time(query.until, "until"),
        )
        before_seq = None if place is None else int(place)
        found = log.search(access.connection, filters, before_seq=before_seq, limit=limit + 1)
    return page_of(found, limit, lambda event: str(event.seq), _show)


def _organizations(actor: Actor, grants: frozenset[str] | None, wanted: str | None) -> frozenset[str] | None:
    if grants is None:
        return None if wanted is None else frozenset({wanted})
    own = frozenset({actor.organization_id}) if actor.organization_id is not None else frozenset[str]()
    return own if wanted is None else own & {wanted}


def _show(event: AuditEvent) -> AuditEntry:
    return AuditEntry(
        id=event.id,
        seq=event.seq,
        at=format_time(event.at_ms),
        actor_kind=event.actor_kind,
        actor_id=event.actor_id,
        action=event.action,
        object_kind=event.object_kind,
        object_id=event.object_id,
        organization_id=event.organization_id,
        outcome=event.outcome,
        reason=event.reason,
        before=event.before,
        after=event.after,
        request_id=event.request_id,
        source_address=event.source_address,
    )
