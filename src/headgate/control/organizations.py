"""Organizations: the tenants."""

from msgspec import UNSET, Struct, UnsetType

from headgate.control import scopes
from headgate.control.checks import Name, Slug, TimeZone
from headgate.control.page import ListQuery, Page
from headgate.control.plane import Plane
from headgate.control.residency import Residency, ResidencyPatch, show_residency
from headgate.control.timestamps import format_time
from headgate.control.tree import ScopeRow
from headgate.domain.access import ManagedBy, ScopeKind
from headgate.identity.actor import Actor

_KIND = ScopeKind.ORGANIZATION


class Organization(Struct, frozen=True, kw_only=True):
    """A tenant. Nothing of one organization is ever shown to another."""

    id: str
    slug: str
    name: str
    time_zone: str
    """Where its days and months begin."""
    blocked: bool
    """No key below it opens anything, and its people may do nothing."""
    residency: Residency | None
    """Where its data may go, and that of everything below it; null: anywhere."""
    managed_by: ManagedBy
    created_at: str
    updated_at: str
    version: int


class OrganizationCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new organization."""

    slug: Slug
    name: Name
    time_zone: TimeZone = "UTC"
    residency: Residency | None = None


class OrganizationPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; what is absent stays."""

    name: Name | UnsetType = UNSET
    time_zone: TimeZone | UnsetType = UNSET
    residency: ResidencyPatch | UnsetType | None = UNSET
    """Null takes the whole policy away."""


def create_organization(plane: Plane, actor: Actor, body: OrganizationCreate) -> Organization:
    """Create an organization; only the operator may."""
    row = scopes.create(
        plane,
        actor,
        _KIND,
        None,
        slug=body.slug,
        name=body.name,
        time_zone=body.time_zone,
        residency=body.residency,
    )
    return _show(row)


def get_organization(plane: Plane, actor: Actor, organization_id: str) -> Organization:
    """Return one organization."""
    return _show(scopes.get(plane, actor, _KIND, organization_id))


def list_organizations(plane: Plane, actor: Actor, query: ListQuery) -> Page[Organization]:
    """Return those that ``actor`` may read, newest first."""
    page = scopes.search(plane, actor, _KIND, query)
    return Page([_show(row) for row in page.data], page.next_cursor)


def patch_organization(
    plane: Plane, actor: Actor, organization_id: str, body: OrganizationPatch, if_match: int | None = None
) -> Organization:
    """Rename an organization, move its time zone, or change where its data may go; an owner may."""
    changes = scopes.ScopeChanges(name=body.name, time_zone=body.time_zone, residency=body.residency)
    return _show(scopes.patch(plane, actor, _KIND, organization_id, changes=changes, if_match=if_match))


def block_organization(plane: Plane, actor: Actor, organization_id: str, if_match: int | None = None) -> Organization:
    """Stop every key and every person of it; only the operator may."""
    return _show(scopes.set_blocked(plane, actor, _KIND, organization_id, blocked=True, if_match=if_match))


def unblock_organization(plane: Plane, actor: Actor, organization_id: str, if_match: int | None = None) -> Organization:
    """Let it go on; only the operator may."""
    return _show(scopes.set_blocked(plane, actor, _KIND, organization_id, blocked=False, if_match=if_match))


def delete_organization(plane: Plane, actor: Actor, organization_id: str, if_match: int | None = None) -> None:
    """Delete an organization without teams, people and keys; only the operator may."""
    scopes.remove(plane, actor, _KIND, organization_id, if_match)


def _show(row: ScopeRow) -> Organization:
    return Organization(
        id=row.id,
        slug=row.slug,
        name=row.name,
        time_zone=row.time_zone or "UTC",
        blocked=row.blocked,
        residency=show_residency(row.residency),
        managed_by=row.managed_by,
        created_at=format_time(row.created_at_ms),
        updated_at=format_time(row.updated_at_ms),
        version=row.version,
    )
