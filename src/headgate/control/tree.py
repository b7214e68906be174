"""Rows of the scope tree: finding, writing, and which of them an actor may see."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, exists, insert, or_, select, true, update

from headgate.control.residency import decode_residency, encode_residency
from headgate.domain.access import ManagedBy, Path, Permission, ScopeKind, ScopeRef
from headgate.domain.residency import ResidencyPolicy
from headgate.identity.actor import Actor, grants_of
from headgate.identity.directory import ScopeEntry
from headgate.storage.tables import scopes, virtual_keys


class ScopeRow(Struct, frozen=True, kw_only=True):
    """One row of ``scopes``."""

    id: str
    kind: ScopeKind
    parent_id: str | None
    organization_id: str
    slug: str
    name: str
    time_zone: str | None = None
    blocked: bool = False
    residency: ResidencyPolicy | None = None
    managed_by: ManagedBy
    created_at_ms: int
    updated_at_ms: int
    version: int = 1

    @property
    def ref(self) -> ScopeRef:
        """This scope as a step of a path."""
        return ScopeRef(self.kind, self.id, self.slug)

    @property
    def entry(self) -> ScopeEntry:
        """This scope as the key directory keeps it."""
        return ScopeEntry(self.id, self.kind, self.slug, self.parent_id, self.blocked, self.residency)


def scope_of(row: RowMapping) -> ScopeRow:
    """Read a row of ``select(scopes)``."""
    values: dict[str, Any] = {name: row[scopes.c[name]] for name in ScopeRow.__struct_fields__}
    values["kind"] = ScopeKind(values["kind"])
    values["managed_by"] = ManagedBy(values["managed_by"])
    values["residency"] = decode_residency(values["residency"])
    return ScopeRow(**values)


def find_scope(connection: Connection, scope_id: str, kind: ScopeKind | None = None) -> ScopeRow | None:
    """Return the scope of this id, and of this kind where one is given."""
    row = connection.execute(select(scopes).where(scopes.c.id == scope_id)).mappings().one_or_none()
    scope = None if row is None else scope_of(row)
    return scope if scope is None or kind is None or scope.kind is kind else None


def find_by_slug(connection: Connection, parent_id: str | None, kind: ScopeKind, slug: str) -> ScopeRow | None:
    """Return the scope of this slug below ``parent_id``; organizations are below `None`."""
    parent = scopes.c.parent_id.is_(None) if parent_id is None else scopes.c.parent_id == parent_id
    query = select(scopes).where(parent, scopes.c.kind == kind, scopes.c.slug == slug)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else scope_of(row)


def path_of(connection: Connection, scope: ScopeRow | None) -> Path | None:
    """Return the scope's path, itself last; `None` for no scope."""
    if scope is None:
        return None
    steps = [scope.ref]
    parent_id = scope.parent_id
    while parent_id is not None:
        columns = scopes.c
        query = select(columns.kind, columns.id, columns.slug, columns.parent_id).where(columns.id == parent_id)
        kind, scope_id, slug, parent_id = connection.execute(query).one()
        steps.append(ScopeRef(ScopeKind(kind), scope_id, slug))
    return tuple(reversed(steps))


def insert_scope(connection: Connection, scope: ScopeRow) -> None:
    """Write a new row."""
    connection.execute(insert(scopes).values(_values(scope)))


def update_scope(connection: Connection, scope: ScopeRow, now_ms: int) -> ScopeRow:
    """Write a changed row as its next version and return it."""
    newer = replace(scope, updated_at_ms=now_ms, version=scope.version + 1)
    values = _values(newer)
    del values["id"]
    connection.execute(update(scopes).where(scopes.c.id == scope.id).values(values))
    return newer


def holds_anything(connection: Connection, scope: ScopeRow) -> bool:
    """Whether a scope or a key, revoked ones included, hangs on this scope."""
    below = exists().where(scopes.c.parent_id == scope.id)
    keys = exists().where(virtual_keys.c.scope_id == scope.id)
    return bool(connection.execute(select(or_(below, keys))).scalar_one())


def visible(actor: Actor, permission: Permission, column: ColumnElement[str]) -> ColumnElement[bool]:
    """The condition that ``column``, a scope id, is of a scope on which ``actor`` holds ``permission``."""
    grants = grants_of(actor, permission)
    if grants is None:
        return true()
    return column.in_(subtree(sorted(grants)))


def subtree(scope_ids: Sequence[str]) -> Select[tuple[str]]:
    """Ids of these scopes and of all below them."""
    tree = select(scopes.c.id).where(scopes.c.id.in_(scope_ids)).cte("subtree", recursive=True)
    tree = tree.union(select(scopes.c.id).where(and_(scopes.c.parent_id == tree.c.id)))
    return select(tree.c.id)


def _values(scope: ScopeRow) -> dict[str, Any]:
    return {**asdict(scope), "residency": encode_residency(scope.residency)}
