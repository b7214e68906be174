"""Projects of a team."""

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

_KIND = ScopeKind.PROJECT


class Project(Struct, frozen=True, kw_only=True):
    """A project."""

    id: str
    organization_id: str
    team_id: str
    slug: str
    name: str
    blocked: bool
    """No key of it opens anything."""
    residency: Residency | None
    """Where its data may go; what is laid on it from above holds too."""
    managed_by: ManagedBy
    created_at: str
    updated_at: str
    version: int


class ProjectCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new project."""

    team_id: str
    slug: Slug
    name: Name
    residency: Residency | None = None


class ProjectPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; what is absent stays."""

    name: Name | UnsetType = UNSET
    residency: ResidencyPatch | UnsetType | None = UNSET
    """Null takes its own policy away."""


class ProjectQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which projects to list."""

    organization_id: str | None = None
    team_id: str | None = None


def create_project(plane: Plane, actor: Actor, body: ProjectCreate) -> Project:
    """Create a project."""
    row = scopes.create(plane, actor, _KIND, body.team_id, slug=body.slug, name=body.name, residency=body.residency)
    return _show(row)


def get_project(plane: Plane, actor: Actor, project_id: str) -> Project:
    """Return one project."""
    return _show(scopes.get(plane, actor, _KIND, project_id))


def list_projects(plane: Plane, actor: Actor, query: ProjectQuery) -> Page[Project]:
    """Return those that ``actor`` may read, newest first."""
    conditions: list[ColumnElement[bool]] = []
    if query.organization_id is not None:
        conditions.append(scope_table.c.organization_id == query.organization_id)
    if query.team_id is not None:
        conditions.append(scope_table.c.parent_id == query.team_id)
    page = scopes.search(plane, actor, _KIND, query, *conditions)
    return Page([_show(row) for row in page.data], page.next_cursor)


def patch_project(
    plane: Plane, actor: Actor, project_id: str, body: ProjectPatch, if_match: int | None = None
) -> Project:
    """Rename a project, or change where its data may go."""
    changes = scopes.ScopeChanges(name=body.name, residency=body.residency)
    return _show(scopes.patch(plane, actor, _KIND, project_id, changes=changes, if_match=if_match))


def block_project(plane: Plane, actor: Actor, project_id: str, if_match: int | None = None) -> Project:
    """Stop every key of it; takes the right on its team."""
    return _show(scopes.set_blocked(plane, actor, _KIND, project_id, blocked=True, if_match=if_match))


def unblock_project(plane: Plane, actor: Actor, project_id: str, if_match: int | None = None) -> Project:
    """Let its keys go on; takes the right on its team."""
    return _show(scopes.set_blocked(plane, actor, _KIND, project_id, blocked=False, if_match=if_match))


def delete_project(plane: Plane, actor: Actor, project_id: str, if_match: int | None = None) -> None:
    """Delete a project without keys; takes the right on its team."""
    scopes.remove(plane, actor, _KIND, project_id, if_match)


def _show(row: ScopeRow) -> Project:
    assert row.parent_id is not None, "a project hangs on a team"
    return Project(
        id=row.id,
        organization_id=row.organization_id,
        team_id=row.parent_id,
        slug=row.slug,
        name=row.name,
        blocked=row.blocked,
        residency=show_residency(row.residency),
        managed_by=row.managed_by,
        created_at=format_time(row.created_at_ms),
        updated_at=format_time(row.updated_at_ms),
        version=row.version,
    )
