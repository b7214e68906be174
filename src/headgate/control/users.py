"""People of an organization and their roles. Nobody raises anybody above himself, and nobody changes his own roles."""

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import Connection, delete, insert, select

from headgate.audit.event import Facts
from headgate.control import checks
from headgate.control.checks import Email, Name
from headgate.control.page import ListQuery, Page, check_limit, decode_cursor, page_of
from headgate.control.plane import Access, Change, Plane, change, view
from headgate.control.residency import (
    Residency,
    ResidencyPatch,
    check_residency,
    patched,
    refuse_contradiction,
    show_residency,
)
from headgate.control.scopes import facts_of as scope_facts
from headgate.control.scopes import remove_scope, write_scope
from headgate.control.timestamps import format_time
from headgate.control.tree import (
    ScopeRow,
    find_scope,
    holds_anything,
    insert_scope,
    path_of,
    scope_of,
    update_scope,
    visible,
)
from headgate.domain import ids
from headgate.domain.access import ManagedBy, Path, Permission, Role, ScopeKind
from headgate.domain.errors import ConflictError, NotFoundError, PermissionDeniedError
from headgate.identity.actor import Actor, rank_on
from headgate.identity.policy import ROLE_RANK
from headgate.storage.tables import access_tokens, role_bindings, scopes, users

P = Permission


class RoleBinding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role on a scope and on everything below it."""

    scope_id: str
    role: Role


class User(Struct, frozen=True, kw_only=True):
    """A person."""

    id: str
    organization_id: str
    email: str
    name: str
    roles: tuple[RoleBinding, ...]
    blocked: bool
    """No token and no key of this person opens anything."""
    residency: Residency | None
    """Where the data of the keys on this person may go; what is laid on them from above holds too."""
    managed_by: ManagedBy
    created_at: str
    updated_at: str
    version: int


class UserCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new person, without roles yet."""

    organization_id: str
    email: Email
    name: Name
    residency: Residency | None = None


class UserPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; what is absent stays."""

    name: Name | UnsetType = UNSET
    residency: ResidencyPatch | UnsetType | None = UNSET
    """Null takes its own policy away."""


class UserQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which people to list."""

    organization_id: str | None = None
    email: str | None = None


def create_user(plane: Plane, actor: Actor, body: UserCreate) -> User:
    """Add a person to an organization."""
    with change(plane, actor, "user.create", "user") as current:
        organization = find_scope(current.connection, body.organization_id, ScopeKind.ORGANIZATION)
        path = path_of(current.connection, organization)
        current.allow(P.USERS_WRITE, path, noun="organization", seen_by=P.SCOPES_READ)
        assert organization is not None, "without an organization nothing is allowed"
        scope = add_user(current, organization, email=body.email, name=body.name, residency=body.residency)
        return _show(current.connection, scope)


def get_user(plane: Plane, actor: Actor, user_id: str) -> User:
    """Return one person."""
    with view(plane, actor, "user.read", "user", user_id) as access:
        scope, _ = _find(access, user_id, P.USERS_READ)
        return _show(access.connection, scope)


def list_users(plane: Plane, actor: Actor, query: UserQuery) -> Page[User]:
    """Return the people that ``actor`` may read, newest first."""
    limit = check_limit(query.limit)
    place = decode_cursor(query.cursor)
    conditions = [scopes.c.kind == ScopeKind.USER, visible(actor, P.USERS_READ, scopes.c.id)]
    if query.organization_id is not None:
        conditions.append(scopes.c.organization_id == query.organization_id)
    if query.email is not None:
        conditions.append(scopes.c.id.in_(select(users.c.id).where(users.c.email == query.email.lower())))
    if place is not None:
        conditions.append(scopes.c.id < place)
    with view(plane, actor, "user.list", "user") as access:
        found = select(scopes).where(*conditions).order_by(scopes.c.id.desc()).limit(limit + 1)
        rows = [scope_of(row) for row in access.connection.execute(found).mappings()]
        return page_of(rows, limit, lambda row: row.id, lambda row: _show(access.connection, row))


def patch_user(plane: Plane, actor: Actor, user_id: str, body: UserPatch, if_match: int | None = None) -> User:
    """Rename a person, or change where the data of the keys on this person may go."""
    with change(plane, actor, "user.update", "user", user_id) as current:
        scope, _ = _find_for_change(current, user_id, if_match)
        name = scope.name if body.name is UNSET else checks.check_name(body.name)
        residency = patched(scope.residency, body.residency)
        newer = write_scope(current, scope, replace(scope, name=name, residency=residency), "update")
        return _show(current.connection, newer)


def block_user(plane: Plane, actor: Actor, user_id: str, if_match: int | None = None) -> User:
    """Stop every token and every key of a person."""
    return _set_blocked(plane, actor, user_id, blocked=True, if_match=if_match)


def unblock_user(plane: Plane, actor: Actor, user_id: str, if_match: int | None = None) -> User:
    """Let a blocked person go on."""
    return _set_blocked(plane, actor, user_id, blocked=False, if_match=if_match)


def delete_user(plane: Plane, actor: Actor, user_id: str, if_match: int | None = None) -> None:
    """Delete a person without keys, with all his roles and tokens."""
    with change(plane, actor, "user.delete", "user", user_id) as current:
        scope, _ = _find_for_change(current, user_id, if_match)
        _refuse_self_and_superiors(current, user_id)
        if holds_anything(current.connection, scope):
            raise ConflictError("Keys, perhaps revoked ones, hang on this user; block it instead.")
        for table in (access_tokens, role_bindings):
            current.connection.execute(delete(table).where(table.c.user_id == user_id))
        current.connection.execute(delete(users).where(users.c.id == user_id))
        remove_scope(current, scope)


def grant_role(plane: Plane, actor: Actor, user_id: str, body: RoleBinding, if_match: int | None = None) -> User:
    """Give a person of the same organization a role on a scope; one that he has already changes nothing."""
    with change(plane, actor, "user.grant_role", "user", user_id) as current:
        scope, path = _find_binding_scope(current, user_id, body.scope_id, if_match)
        refuse_unfit_grant(current.actor, user_id, path, body.role)
        if body in bindings_of(current.connection, user_id):
            return _show(current.connection, scope)
        add_binding(current, scope, body)
        return _show(current.connection, update_scope(current.connection, scope, current.now_ms))


def revoke_role(plane: Plane, actor: Actor, user_id: str, binding: RoleBinding, if_match: int | None = None) -> User:
    """Take a role away."""
    with change(plane, actor, "user.revoke_role", "user", user_id) as current:
        scope, path = _find_binding_scope(current, user_id, binding.scope_id, if_match)
        refuse_unfit_grant(current.actor, user_id, path, binding.role)
        if binding not in bindings_of(current.connection, user_id):
            raise NotFoundError("No such role binding.")
        remove_binding(current, scope, binding)
        return _show(current.connection, update_scope(current.connection, scope, current.now_ms))


def add_user(
    current: Change,
    organization: ScopeRow,
    *,
    email: str,
    name: str,
    residency: Residency | None = None,
    managed_by: ManagedBy = ManagedBy.API,
) -> ScopeRow:
    """Write, audit and publish a new person; the caller has checked the right to.

    Raises:
        ValidationFailedError: a field is malformed.
        ConflictError: somebody of the organization has this e-mail address.
    """
    email = checks.check_email(email)
    taken = find_user_by_email(current.connection, organization.id, email) is not None
    checks.refuse_conflict(taken, f"There is a user `{email}` already.", "email")
    user_id = current.mint_id(ids.USER)
    scope = ScopeRow(
        id=user_id,
        kind=ScopeKind.USER,
        parent_id=organization.id,
        organization_id=organization.id,
        # Paths end up in records and labels, where an e-mail address has no place.
        slug=user_id,
        name=checks.check_name(name),
        residency=check_residency(residency),
        managed_by=managed_by,
        created_at_ms=current.now_ms,
        updated_at_ms=current.now_ms,
    )
    refuse_contradiction(current.keys.residency_of(organization.id), scope.residency)
    insert_scope(current.connection, scope)
    values = {"id": user_id, "organization_id": organization.id, "email": email}
    current.connection.execute(insert(users).values(values))
    current.keys = current.keys.with_scope(scope.entry)
    facts: Facts = {**scope_facts(scope), "email": email}
    current.record(user_id, organization.id, None, facts, action="user.create", object_kind="user")
    return scope


def find_user_by_email(connection: Connection, organization_id: str, email: str) -> ScopeRow | None:
    """Return the person of this address, written in lower case."""
    joined = scopes.join(users, users.c.id == scopes.c.id)
    query = (
        select(*scopes.c).select_from(joined).where(users.c.organization_id == organization_id, users.c.email == email)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else scope_of(row)


def email_of(connection: Connection, user_id: str) -> str:
    """Return the address of a person who exists."""
    return connection.execute(select(users.c.email).where(users.c.id == user_id)).scalar_one()


def bindings_of(connection: Connection, user_id: str) -> tuple[RoleBinding, ...]:
    """Return a person's roles, ordered by scope and rank."""
    columns = role_bindings.c
    rows = connection.execute(select(columns.scope_id, columns.role).where(columns.user_id == user_id))
    found = [RoleBinding(scope_id=scope_id, role=Role(role)) for scope_id, role in rows]
    return tuple(sorted(found, key=lambda binding: (binding.scope_id, -ROLE_RANK[binding.role])))


def add_binding(current: Change, user: ScopeRow, binding: RoleBinding) -> None:
    """Write and audit a role; the caller has checked the right to."""
    values = {
        "user_id": user.id,
        "scope_id": binding.scope_id,
        "role": binding.role,
        "created_at_ms": current.now_ms,
    }
    current.connection.execute(insert(role_bindings).values(values))
    facts = {"scope_id": binding.scope_id, "role": binding.role.value}
    current.record(user.id, user.organization_id, None, facts, action="user.grant_role", object_kind="user")


def remove_binding(current: Change, user: ScopeRow, binding: RoleBinding) -> None:
    """Take a role away and audit it; the caller has checked the right to."""
    columns = role_bindings.c
    current.connection.execute(
        delete(role_bindings).where(
            columns.user_id == user.id, columns.scope_id == binding.scope_id, columns.role == binding.role
        )
    )
    facts = {"scope_id": binding.scope_id, "role": binding.role.value}
    current.record(user.id, user.organization_id, facts, None, action="user.revoke_role", object_kind="user")


def refuse_unfit_grant(actor: Actor, user_id: str, path: Path, role: Role) -> None:
    """Raise `PermissionDeniedError` where ``actor`` would change his own roles or one that ranks above his own."""
    if actor.id == user_id:
        raise PermissionDeniedError("Nobody changes his own roles.")
    if ROLE_RANK[role] > rank_on(actor, path):
        raise PermissionDeniedError(f"The role {role} ranks above your own on this scope.")


def refuse_superiors(access: Access, user_id: str) -> None:
    """Raise `PermissionDeniedError` where the person has a role that ranks above the actor's own on its scope."""
    for binding in bindings_of(access.connection, user_id):
        path = path_of(access.connection, find_scope(access.connection, binding.scope_id)) or ()
        if ROLE_RANK[binding.role] > rank_on(access.actor, path):
            raise PermissionDeniedError("This user has a role that ranks above your own.")


def _refuse_self_and_superiors(current: Change, user_id: str) -> None:
    if current.actor.id == user_id:
        raise PermissionDeniedError("Nobody blocks, unblocks or deletes himself.")
    refuse_superiors(current, user_id)


def _set_blocked(plane: Plane, actor: Actor, user_id: str, *, blocked: bool, if_match: int | None) -> User:
    verb = "block" if blocked else "unblock"
    with change(plane, actor, f"user.{verb}", "user", user_id) as current:
        scope, _ = _find_for_change(current, user_id, if_match)
        _refuse_self_and_superiors(current, user_id)
        newer = write_scope(current, scope, replace(scope, blocked=blocked), verb)
        return _show(current.connection, newer)


def _find(access: Access, user_id: str, permission: Permission) -> tuple[ScopeRow, Path]:
    scope = find_scope(access.connection, user_id, ScopeKind.USER)
    path = path_of(access.connection, scope)
    access.allow(permission, path, noun="user", seen_by=P.USERS_READ)
    assert scope is not None, "without a user nothing is allowed"
    assert path is not None, "without a user nothing is allowed"
    return scope, path


def _find_for_change(current: Change, user_id: str, if_match: int | None) -> tuple[ScopeRow, Path]:
    scope, path = _find(current, user_id, P.USERS_WRITE)
    checks.refuse_file_managed(scope.managed_by)
    checks.check_version(if_match, scope.version)
    return scope, path


def _find_binding_scope(current: Change, user_id: str, scope_id: str, if_match: int | None) -> tuple[ScopeRow, Path]:
    """Return the person and the path of the scope his role is on: the right to change it is taken from there."""
    scope = find_scope(current.connection, scope_id)
    path = path_of(current.connection, scope)
    current.allow(P.USERS_WRITE, path, noun="scope", seen_by=P.SCOPES_READ)
    user = find_scope(current.connection, user_id, ScopeKind.USER)
    assert scope is not None, "without a scope nothing is allowed"
    assert path is not None, "without a scope nothing is allowed"
    if user is None or user.organization_id != scope.organization_id:
        raise NotFoundError("No such user.")
    checks.refuse_file_managed(user.managed_by)
    checks.check_version(if_match, user.version)
    return user, path


def _show(connection: Connection, scope: ScopeRow) -> User:
    return User(
        id=scope.id,
        organization_id=scope.organization_id,
        email=email_of(connection, scope.id),
        name=scope.name,
        roles=bindings_of(connection, scope.id),
        blocked=scope.blocked,
        residency=show_residency(scope.residency),
        managed_by=scope.managed_by,
        created_at=format_time(scope.created_at_ms),
        updated_at=format_time(scope.updated_at_ms),
        version=scope.version,
    )
