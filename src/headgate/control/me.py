"""Who am I, and what may I do."""

from msgspec import Struct

from headgate.control.plane import Plane, view
from headgate.control.tree import find_scope, path_of
from headgate.control.users import RoleBinding, email_of
from headgate.domain.access import Permission
from headgate.domain.errors import NotFoundError
from headgate.identity.actor import Actor, ActorKind, may, may_somewhere


class Me(Struct, frozen=True, kw_only=True):
    """The caller as the gateway sees it."""

    kind: ActorKind
    id: str
    name: str
    email: str | None
    organization_id: str | None
    """`None`: the operator, who belongs to no organization and sees all."""
    roles: tuple[RoleBinding, ...]
    permissions: tuple[Permission, ...]
    """Everything that the caller may do on some scope at least."""


def get_me(plane: Plane, actor: Actor) -> Me:
    """Describe the caller."""
    permissions = tuple(sorted(held for held in Permission if _holds(actor, held)))
    if actor.kind is not ActorKind.USER:
        return Me(
            kind=actor.kind,
            id=actor.id,
            name=actor.id.capitalize(),
            email=None,
            organization_id=None,
            roles=(),
            permissions=permissions,
        )
    with view(plane, actor, "me.read", "user", actor.id) as access:
        user = find_scope(access.connection, actor.id)
        if user is None or path_of(access.connection, user) is None:
            raise NotFoundError("No such user.")
        return Me(
            kind=actor.kind,
            id=actor.id,
            name=user.name,
            email=email_of(access.connection, actor.id),
            organization_id=actor.organization_id,
            roles=tuple(RoleBinding(scope_id=held.scope_id, role=held.role) for held in actor.bindings),
            permissions=permissions,
        )


def _holds(actor: Actor, permission: Permission) -> bool:
    return may_somewhere(actor, permission) or may(actor, permission, ())
