"""What a limit hangs on, who may set it there, and handing it to the data plane.

Nobody raises his own limit: one on a scope takes the right on the scope's parent, one on a key the right on the key's
scope, and one on what a request names (an end user, a model, a tag) the right on the organization.
"""

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Table, and_, or_

from headgate.control import checks
from headgate.control.key_rows import KeyRow, find_key
from headgate.control.limit_rows import NAMED, BudgetRow, RateRow, limits_on
from headgate.control.page import ListQuery, decode_cursor
from headgate.control.plane import Access, Change
from headgate.control.tree import ScopeRow, find_scope, path_of, visible
from headgate.domain.access import Path, Permission
from headgate.domain.errors import ConflictError, PermissionDeniedError, ValidationFailedError
from headgate.domain.limits import LimitedKind
from headgate.identity.actor import Actor, may
from headgate.ledger.limit_book import named_id

P = Permission


class Target(Struct, frozen=True, kw_only=True):
    """One limited thing."""

    kind: LimitedKind
    id: str
    """As `headgate.ledger.limit_book.Limits.id`."""
    path: Path
    """Whoever may read budgets here may read this one's."""
    above: Path
    """Where the right to limit it is taken from; empty for the installation."""

    @property
    def organization_id(self) -> str:
        """The tenant."""
        return self.path[0].id

    @property
    def scope_id(self) -> str:
        """The scope whose readers see its limits."""
        return self.path[-1].id

    @property
    def is_scope(self) -> bool:
        """Whether it is a scope of the tree, with others below it."""
        return self.kind is not LimitedKind.KEY and self.kind not in NAMED


class Place(Struct, frozen=True, kw_only=True):
    """A limited thing as the outside names it."""

    scope_id: str
    """A scope's or a key's id."""
    end_user: str | None
    model: str | None
    tag: str | None


def target_of_scope(connection: Connection, scope: ScopeRow) -> Target:
    """The target that a scope is."""
    path = path_of(connection, scope)
    assert path is not None, "a scope has a path"
    return Target(kind=LimitedKind(scope.kind.value), id=scope.id, path=path, above=path[:-1])


def target_of_key(connection: Connection, key: KeyRow) -> Target:
    """The target that a key is."""
    path = path_of(connection, find_scope(connection, key.scope_id))
    assert path is not None, "a key hangs on a scope"
    return Target(kind=LimitedKind.KEY, id=key.id, path=path, above=path)


def target_of_name(organization: ScopeRow, kind: LimitedKind, name: str) -> Target:
    """The target that a name in an organization's requests is: of an end user, a model or a tag."""
    check_limited_name(kind, name)
    path = (organization.ref,)
    return Target(kind=kind, id=named_id(organization.id, name), path=path, above=path)


def check_limited_name(kind: LimitedKind, name: str) -> str:
    """Return ``name``, or raise `ValidationFailedError`."""
    checks.check_line(name, kind.value)
    if kind is LimitedKind.TAG and name != "*" and not all(name.partition("=")[::2]):
        raise ValidationFailedError("`tag` must be name=value, or * for each of them.", param="tag")
    return name


def find_target(access: Access, place: Place) -> Target:
    """Find what is to be limited, as far as the actor may know of it.

    Raises:
        NotFoundError: there is no such scope or key, or none that this actor may know of.
        ValidationFailedError: more than one name, or one beside a scope that is no organization.
        ConflictError: the key is revoked.
    """
    connection = access.connection
    scope = find_scope(connection, place.scope_id)
    key = find_key(connection, place.scope_id) if scope is None else None
    owner = scope if key is None else find_scope(connection, key.scope_id)
    access.allow(P.BUDGETS_READ, path_of(connection, owner), noun="scope or key", seen_by=P.BUDGETS_READ)
    given = ((LimitedKind.END_USER, place.end_user), (LimitedKind.MODEL, place.model), (LimitedKind.TAG, place.tag))
    names = [(kind, name) for kind, name in given if name is not None]
    if len(names) > 1:
        words = "Give one of `end_user`, `model` and `tag`: a limit hangs on one thing."
        raise ValidationFailedError(words, param=names[1][0].value)
    if names:
        kind, name = names[0]
        if scope is None or scope.parent_id is not None:
            words = f"`{kind}` goes with the id of an organization as `scope_id`."
            raise ValidationFailedError(words, param=kind.value)
        return target_of_name(scope, kind, name)
    if key is not None:
        if key.revoked_at_ms is not None:
            raise ConflictError("The key is revoked: nothing can be spent with it.", param="scope_id")
        return target_of_key(connection, key)
    assert scope is not None, "without a scope and a key nothing is allowed"
    return target_of_scope(connection, scope)


def find_target_of(access: Access, row: BudgetRow | RateRow | None, noun: str) -> Target:
    """Return what a row's limit hangs on, where the actor may read it. Raises `NotFoundError` otherwise."""
    scope = None if row is None else find_scope(access.connection, row.scope_id)
    path = path_of(access.connection, scope)
    access.allow(P.BUDGETS_READ, path, noun=noun, seen_by=P.BUDGETS_READ)
    assert row is not None, "without a row nothing is allowed"
    assert path is not None, "without a row nothing is allowed"
    on_scope = row.kind is not LimitedKind.KEY and row.kind not in NAMED
    return Target(kind=row.kind, id=row.target, path=path, above=path[:-1] if on_scope else path)


def allow_limiting(access: Access, target: Target) -> None:
    """Let the actor set limits on ``target``, which he knows of. Raises `PermissionDeniedError` otherwise."""
    access.organization_id = target.organization_id
    if not may(access.actor, P.BUDGETS_WRITE, target.above):
        above = target.above[-1].kind.value if target.above else "installation"
        raise PermissionDeniedError(f"This takes the permission {P.BUDGETS_WRITE} on the {above}.")


def place_of(row: BudgetRow | RateRow) -> Place:
    """Return what a row's limit hangs on, as the outside names it."""
    if row.kind not in NAMED:
        return Place(scope_id=row.target, end_user=None, model=None, tag=None)
    organization_id, _, name = row.target.partition("/")
    return Place(
        scope_id=organization_id,
        end_user=name if row.kind is LimitedKind.END_USER else None,
        model=name if row.kind is LimitedKind.MODEL else None,
        tag=name if row.kind is LimitedKind.TAG else None,
    )


class LimitsQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which limits to list."""

    organization_id: str | None = None
    scope_id: str | None = None


def conditions_of(actor: Actor, table: Table, query: LimitsQuery) -> list[ColumnElement[bool]]:
    """The conditions that a row of ``table`` is wanted, may be read, and stands behind the query's cursor."""
    place = decode_cursor(query.cursor)
    conditions = [visible(actor, P.BUDGETS_READ, table.c.scope_id)]
    if query.organization_id is not None:
        conditions.append(table.c.organization_id == query.organization_id)
    if query.scope_id is not None:
        conditions.append(is_at(table, query.scope_id))
    if place is not None:
        conditions.append(table.c.id < place)
    return conditions


def is_at(table: Table, scope_id: str) -> ColumnElement[bool]:
    """The condition that a row's `Place.scope_id` is this one."""
    named = and_(table.c.kind.in_(NAMED), table.c.organization_id == scope_id)
    return or_(table.c.target == scope_id, named)


def publish_limits(current: Change, kind: LimitedKind, target: str) -> None:
    """Let the data plane see what limits one thing by now."""
    current.limits = current.limits.with_limits(limits_on(current.connection, kind, target))
