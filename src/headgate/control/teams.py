"""Teams of an organization."""

from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import ColumnElement

from headgate.control import scopes
from headgate.control.checks import Name, Slug
from headgate.control.page import ListQuery, Page
from headgate.control.plane import Plane
from headgate.control.residency import Residency, ResidencyPatch, show_residency
from headgate.control.timestamps import format_time
from headgate.control.tree import ScopeRow
from headgate.domain.access import ManagedBy, ScopeKind
from headgate.identity.actor import Actor
from headgate.storage.tables import scopes as scope_table

_KIND = ScopeKind.TEAM


class Team(Struct, frozen=True, kw_only=True):
    """A team."""

    id: str
    organization_id: str
    slug: str
    name: str
    blocked: bool
    """No key below it opens anything."""
    residency: Residency | None
    """Where its data may go; what is laid on it from above holds too."""
    managed_by: ManagedBy
    created_at: str
    updated_at: str
    version: int


class TeamCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new team."""

    organization_id: str
    slug: Slug
    name: Name
    residency: Residency | None = None


class TeamPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; what is absent stays."""

    name: Name | UnsetType = UNSET
    residency: ResidencyPatch | UnsetType | None = UNSET
    """Null takes its own policy away."""


class TeamQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which teams to list."""

    organization_id: str | None = None


def create_team(plane: Plane, actor: Actor, body: TeamCreate) -> Team:
    """Create a team."""
    row = scopes.create(
        plane, actor, _KIND, body.organization_id, slug=body.slug, name=body.name, residency=body.residency
    )
    return _show(row)


def get_team(plane: Plane, actor: Actor, team_id: str) -> Team:
    """Return one team."""
    return _show(scopes.get(plane, actor, _KIND, team_id))


def list_teams(plane: Plane, actor: Actor, query: TeamQuery) -> Page[Team]:
    """Return those that ``actor`` may read, newest first."""
    conditions: list[ColumnElement[bool]] = []
    if query.organization_id is not None:
        conditions.append(scope_table.c.organization_id == query.organization_id)
    page = scopes.search(plane, actor, _KIND, query, *conditions)
    return Page([_show(row) for row in page.data], page.next_cursor)


def patch_team(plane: Plane, actor: Actor, team_id: str, body: TeamPatch, if_match: int | None = None) -> Team:
    """Rename a team, or change where its data may go."""
    changes = scopes.ScopeChanges(name=body.name, residency=body.residency)
    return _show(scopes.patch(plane, actor, _KIND, team_id, changes=changes, if_match=if_match))


def block_team(plane: Plane, actor: Actor, team_id: str, if_match: int | None = None) -> Team:
    """Stop every key of it; takes the right on its organization."""
    return _show(scopes.set_blocked(plane, actor, _KIND, team_id, blocked=True, if_match=if_match))


def unblock_team(plane: Plane, actor: Actor, team_id: str, if_match: int | None = None) -> Team:
    """Let its keys go on; takes the right on its organization."""
    return _show(scopes.set_blocked(plane, actor, _KIND, team_id, blocked=False, if_match=if_match))


def delete_team(plane: Plane, actor: Actor, team_id: str, if_match: int | None = None) -> None:
    """Delete a team without projects and keys; takes the right on its organization."""
    scopes.remove(plane, actor, _KIND, team_id, if_match)


def _show(row: ScopeRow) -> Team:
    return Team(
        id=row.id,
        organization_id=row.organization_id,
        slug=row.slug,
        name=row.name,
        blocked=row.blocked,
        residency=show_residency(row.residency),
        managed_by=row.managed_by,
        created_at=format_time(row.created_at_ms),
        updated_at=format_time(row.updated_at_ms),
        version=row.version,
    )
