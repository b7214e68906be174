"""Requests and usage for those who may see them: all of it, an organization's, or that of some scopes and all below."""

from typing import Final

from msgspec.structs import replace
from sqlalchemy import Connection, select

from headgate.control.plane import Plane, view
from headgate.control.tree import subtree
from headgate.domain.access import Permission
from headgate.domain.errors import NotFoundError
from headgate.domain.record import RequestRecord
from headgate.identity.actor import Actor, grants_of
from headgate.records import queries
from headgate.records.queries import Reach, RequestFilters, RequestPage, UsageQuery, UsageRow
from headgate.storage.tables import virtual_keys

MANY_KEYS: Final = 2_000
"""A page takes one look into the index a key, about 0.4 ms; beyond this many, reading through the requests of the
organization, about 1 s a million, is as quick and no longer grows."""


def search_requests(plane: Plane, actor: Actor, filters: RequestFilters) -> RequestPage:
    """Return the requests that match and that ``actor`` may see, newest first."""
    reach = reach_of(plane, actor, Permission.REQUESTS_READ)
    return queries.search(plane.database, replace(filters, reach=reach))


def get_request(plane: Plane, actor: Actor, request_id: str) -> RequestRecord:
    """Return one request.

    Raises:
        NotFoundError: there is none, or none that this actor may see; the refusal is in the audit log.
    """
    reach = reach_of(plane, actor, Permission.REQUESTS_READ)
    with view(plane, actor, "request.read", "request", request_id):
        record = queries.get(plane.database, request_id, reach)
        if record is None:
            raise NotFoundError("There is no such request.", param="id")
        return record


def report_usage(plane: Plane, actor: Actor, query: UsageQuery) -> tuple[UsageRow, ...]:
    """Return what was used where ``actor`` may see it."""
    reach = reach_of(plane, actor, Permission.USAGE_READ)
    return queries.usage(plane.database, replace(query, reach=reach))


def reach_of(plane: Plane, actor: Actor, permission: Permission) -> Reach | None:
    """Return whose records ``actor`` may see by virtue of ``permission``; `None`: everybody's."""
    grants = grants_of(actor, permission)
    if grants is None:
        return None
    # A person has roles within his own organization only; on the organization itself, one covers all others.
    assert actor.organization_id is not None, "a person belongs to an organization"
    if actor.organization_id in grants:
        return Reach(actor.organization_id)
    scope_ids = tuple(sorted(grants))
    with plane.database.read() as connection:
        key_ids = _keys_below(connection, scope_ids)
    return Reach(actor.organization_id, scope_ids, key_ids if len(key_ids) <= MANY_KEYS else None)


def _keys_below(connection: Connection, scope_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids of the keys on these scopes and below, revoked ones included: at most one more than `MANY_KEYS`.

    A key never leaves its scope, nor a scope its parent, and neither is deleted while it has a record.
    """
    query = select(virtual_keys.c.id).where(virtual_keys.c.scope_id.in_(subtree(scope_ids))).limit(MANY_KEYS + 1)
    return tuple(connection.execute(query).scalars())
