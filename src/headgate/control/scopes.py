"""What organizations, teams and projects have in common: they are one tree.

Whoever may write a scope may rename it. Blocking, unblocking and deleting change it from above: they take the right
on its parent, so that nobody lifts a block that was laid on him.
"""

from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import ColumnElement, delete, select

from headgate.audit.event import Facts
from headgate.control import checks
from headgate.control.budgets import remove_budgets_of
from headgate.control.page import ListQuery, Page, check_limit, decode_cursor, page_of
from headgate.control.plane import Change, Plane, change, view
from headgate.control.rate_limits import remove_rates_of
from headgate.control.residency import (
    Residency,
    ResidencyPatch,
    check_residency,
    facts_of_residency,
    patched,
    refuse_contradiction,
)
from headgate.control.tree import (
    ScopeRow,
    find_by_slug,
    find_scope,
    holds_anything,
    insert_scope,
    path_of,
    scope_of,
    update_scope,
    visible,
)
from headgate.domain import ids
from headgate.domain.access import ManagedBy, Path, Permission, ScopeKind
from headgate.domain.errors import ConflictError, PermissionDeniedError
from headgate.identity.actor import Actor, may
from headgate.storage.tables import role_bindings, scopes

P = Permission

ID_PREFIX: Final = {
    ScopeKind.ORGANIZATION: ids.ORGANIZATION,
    ScopeKind.TEAM: ids.TEAM,
    ScopeKind.PROJECT: ids.PROJECT,
    ScopeKind.USER: ids.USER,
}
PARENT: Final = {ScopeKind.TEAM: ScopeKind.ORGANIZATION, ScopeKind.PROJECT: ScopeKind.TEAM}
"""Of which kind a scope's parent is; organizations have none."""
WRITE: Final = {
    ScopeKind.ORGANIZATION: P.ORGANIZATIONS_WRITE,
    ScopeKind.TEAM: P.SCOPES_WRITE,
    ScopeKind.PROJECT: P.SCOPES_WRITE,
}


class ScopeChanges(Struct, frozen=True, kw_only=True):
    """What a patch may set. The slug stays: the file and `headgate apply` know a scope by it."""

    name: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    residency: ResidencyPatch | UnsetType | None = UNSET


def facts_of(scope: ScopeRow) -> Facts:
    """What the audit log keeps of a scope."""
    facts = {"slug": scope.slug, "name": scope.name, "blocked": scope.blocked, "managed_by": scope.managed_by.value}
    further = {"time_zone": scope.time_zone, "residency": facts_of_residency(scope.residency)}
    return facts | {name: value for name, value in further.items() if value is not None}


def add_scope(
    current: Change,
    kind: ScopeKind,
    parent: ScopeRow | None,
    *,
    slug: str,
    name: str,
    time_zone: str | None = None,
    residency: Residency | None = None,
    managed_by: ManagedBy = ManagedBy.API,
) -> ScopeRow:
    """Write, audit and publish a new scope; the caller has checked the right to.

    Raises:
        ValidationFailedError: a field is malformed.
        ConflictError: the slug is taken below this parent.
    """
    parent_id = None if parent is None else parent.id
    taken = find_by_slug(current.connection, parent_id, kind, checks.check_slug(slug)) is not None
    checks.refuse_conflict(taken, f"There is a {kind} `{slug}` already.", "slug")
    scope_id = current.mint_id(ID_PREFIX[kind])
    scope = ScopeRow(
        id=scope_id,
        kind=kind,
        parent_id=parent_id,
        organization_id=scope_id if parent is None else parent.organization_id,
        slug=slug,
        name=checks.check_name(name),
        time_zone=None if time_zone is None else checks.check_time_zone(time_zone),
        residency=check_residency(residency),
        managed_by=managed_by,
        created_at_ms=current.now_ms,
        updated_at_ms=current.now_ms,
    )
    _refuse_contradiction(current, scope)
    insert_scope(current.connection, scope)
    current.keys = current.keys.with_scope(scope.entry)
    if scope.time_zone is not None:
        current.limits = current.limits.with_time_zone(scope.id, scope.time_zone)
    current.record(scope.id, scope.organization_id, None, facts_of(scope), action=f"{kind}.create", object_kind=kind)
    return scope


def write_scope(current: Change, before: ScopeRow, after: ScopeRow, verb: str) -> ScopeRow:
    """Write, audit and publish a changed scope; nothing where nothing differs.

    Raises:
        ValidationFailedError: a new policy lists only what one further up forbids.
    """
    if before == after:
        return before
    if after.residency != before.residency:
        _refuse_contradiction(current, after)
    newer = update_scope(current.connection, after, current.now_ms)
    if newer.entry != before.entry:
        current.keys = current.keys.with_scope(newer.entry)
    if newer.time_zone is not None and newer.time_zone != before.time_zone:
        current.limits = current.limits.with_time_zone(newer.id, newer.time_zone)
    kind = before.kind
    current.record(
        newer.id,
        newer.organization_id,
        facts_of(before),
        facts_of(newer),
        action=f"{kind}.{verb}",
        object_kind=kind,
    )
    return newer


def remove_scope(current: Change, scope: ScopeRow) -> None:
    """Delete a scope that nothing hangs on, with the roles on it and its limits.

    Raises:
        ConflictError: scopes or keys hang on it.
    """
    if holds_anything(current.connection, scope):
        raise ConflictError(f"Scopes or keys, perhaps revoked ones, hang on this {scope.kind}; block it instead.")
    remove_budgets_of(current, scope.id)
    remove_rates_of(current, scope.id)
    current.connection.execute(delete(role_bindings).where(role_bindings.c.scope_id == scope.id))
    current.connection.execute(delete(scopes).where(scopes.c.id == scope.id))
    current.keys = current.keys.without_scope(scope.id)
    kind = scope.kind
    current.record(scope.id, scope.organization_id, facts_of(scope), None, action=f"{kind}.delete", object_kind=kind)


def create(
    plane: Plane,
    actor: Actor,
    kind: ScopeKind,
    parent_id: str | None,
    *,
    slug: str,
    name: str,
    time_zone: str | None = None,
    residency: Residency | None = None,
) -> ScopeRow:
    """Create a scope below ``parent_id``, or an organization below none."""
    with change(plane, actor, f"{kind}.create", kind) as current:
        if parent_id is None:
            parent = None
            current.allow(WRITE[kind], (), noun="installation", seen_by=P.SCOPES_READ)
        else:
            parent = find_scope(current.connection, parent_id, PARENT[kind])
            path = path_of(current.connection, parent)
            current.allow(WRITE[kind], path, noun=PARENT[kind], seen_by=P.SCOPES_READ)
        return add_scope(current, kind, parent, slug=slug, name=name, time_zone=time_zone, residency=residency)


def get(plane: Plane, actor: Actor, kind: ScopeKind, scope_id: str) -> ScopeRow:
    """Return one scope."""
    with view(plane, actor, f"{kind}.read", kind, scope_id) as access:
        scope = find_scope(access.connection, scope_id, kind)
        path = path_of(access.connection, scope)
        access.allow(P.SCOPES_READ, path, noun=kind, seen_by=P.SCOPES_READ)
        assert scope is not None, "without a scope nothing is allowed"
        return scope


def search(
    plane: Plane, actor: Actor, kind: ScopeKind, query: ListQuery, *conditions: ColumnElement[bool]
) -> Page[ScopeRow]:
    """Return the scopes of a kind that ``actor`` may read, newest first."""
    limit = check_limit(query.limit)
    place = decode_cursor(query.cursor)
    with view(plane, actor, f"{kind}.list", kind) as access:
        select_scopes = select(scopes).where(
            scopes.c.kind == kind, visible(actor, P.SCOPES_READ, scopes.c.id), *conditions
        )
        if place is not None:
            select_scopes = select_scopes.where(scopes.c.id < place)
        rows = access.connection.execute(select_scopes.order_by(scopes.c.id.desc()).limit(limit + 1)).mappings().all()
    return page_of([scope_of(row) for row in rows], limit, lambda scope: scope.id, lambda scope: scope)


def patch(
    plane: Plane,
    actor: Actor,
    kind: ScopeKind,
    scope_id: str,
    *,
    changes: ScopeChanges,
    if_match: int | None = None,
) -> ScopeRow:
    """Rename a scope, move its time zone, or change where its data may go."""
    with change(plane, actor, f"{kind}.update", kind, scope_id) as current:
        scope, path = _find(current, kind, scope_id)
        current.allow(WRITE[kind], path, noun=kind, seen_by=P.SCOPES_READ)
        checks.refuse_file_managed(scope.managed_by)
        checks.check_version(if_match, scope.version)
        after = scope
        if changes.name is not UNSET:
            after = replace(after, name=checks.check_name(changes.name))
        if changes.time_zone is not UNSET:
            after = replace(after, time_zone=checks.check_time_zone(changes.time_zone))
        after = replace(after, residency=patched(after.residency, changes.residency))
        return write_scope(current, scope, after, "update")


def set_blocked(
    plane: Plane, actor: Actor, kind: ScopeKind, scope_id: str, *, blocked: bool, if_match: int | None = None
) -> ScopeRow:
    """Block a scope, and so every key below it, or let it go on."""
    verb = "block" if blocked else "unblock"
    with change(plane, actor, f"{kind}.{verb}", kind, scope_id) as current:
        scope, path = _find(current, kind, scope_id)
        _allow_from_above(current, kind, path)
        checks.refuse_file_managed(scope.managed_by)
        checks.check_version(if_match, scope.version)
        return write_scope(current, scope, replace(scope, blocked=blocked), verb)


def remove(plane: Plane, actor: Actor, kind: ScopeKind, scope_id: str, if_match: int | None = None) -> None:
    """Delete a scope that nothing hangs on."""
    with change(plane, actor, f"{kind}.delete", kind, scope_id) as current:
        scope, path = _find(current, kind, scope_id)
        _allow_from_above(current, kind, path)
        checks.refuse_file_managed(scope.managed_by)
        checks.check_version(if_match, scope.version)
        remove_scope(current, scope)


def _find(current: Change, kind: ScopeKind, scope_id: str) -> tuple[ScopeRow, Path]:
    scope = find_scope(current.connection, scope_id, kind)
    path = path_of(current.connection, scope)
    # Whoever may not even see it is turned away here; what he may do to it is the caller's question.
    current.allow(P.SCOPES_READ, path, noun=kind, seen_by=P.SCOPES_READ)
    assert scope is not None, "without a scope nothing is allowed"
    assert path is not None, "without a scope nothing is allowed"
    return scope, path


def _allow_from_above(current: Change, kind: ScopeKind, path: Path) -> None:
    # The scope itself is known to the actor by now, so what is refused is the right and not the knowledge.
    if not may(current.actor, WRITE[kind], path[:-1]):
        above = "installation" if kind is ScopeKind.ORGANIZATION else PARENT[kind]
        raise PermissionDeniedError(f"This takes the permission {WRITE[kind]} on the {above}.")


def _refuse_contradiction(current: Change, scope: ScopeRow) -> None:
    if scope.parent_id is not None:
        refuse_contradiction(current.keys.residency_of(scope.parent_id), scope.residency)
