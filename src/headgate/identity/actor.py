"""Who acts on the control plane, and what he may do where. Virtual keys are no actors: they infer, and nothing else."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from headgate.domain.access import Path, Permission, Role
from headgate.identity.policy import ROLE_PERMISSIONS, ROLE_RANK

_RANK_OF_ALL: Final = max(ROLE_RANK.values()) + 1


class ActorKind(StrEnum):
    """How an actor came by his rights."""

    OPERATOR = "operator"
    """Holds the admin token: everything but inference, in every organization."""
    USER = "user"
    """A person with role bindings."""
    SYSTEM = "system"
    """The gateway itself, carrying out its configuration file."""


class Binding(Struct, frozen=True):
    """A role on a scope, and so on everything below it."""

    scope_id: str
    role: Role


class Actor(Struct, frozen=True, kw_only=True):
    """Somebody who acts, with the facts about the request through which he does."""

    kind: ActorKind
    id: str
    """The user's id; ``operator`` or the name of the part of the gateway otherwise."""
    organization_id: str | None = None
    """A user's organization; ``None`` for those who belong to none."""
    bindings: tuple[Binding, ...] = ()
    request_id: str | None = None
    source_address: str | None = None


def may(actor: Actor, permission: Permission, path: Path) -> bool:
    """Whether ``actor`` may do this on the scope that ``path`` ends in.

    An empty path stands for the installation itself, where only the operator acts.
    """
    if permission is Permission.PUBLIC:
        return True
    if permission is Permission.INFER:
        return False
    if actor.kind is not ActorKind.USER:
        return True
    if permission is Permission.ME_READ:
        return True
    held = _scopes_granting(actor, permission)
    return any(step.id in held for step in path)


def may_somewhere(actor: Actor, permission: Permission) -> bool:
    """Whether there is any scope on which ``actor`` may do this: the question before the object is known."""
    grants = grants_of(actor, permission)
    return grants is None or bool(grants) or may(actor, permission, ())


def grants_of(actor: Actor, permission: Permission) -> frozenset[str] | None:
    """The scopes that give ``actor`` this permission on themselves and all below them; ``None``: every scope."""
    if permission is Permission.INFER:
        return frozenset()
    if actor.kind is not ActorKind.USER:
        return None
    return _scopes_granting(actor, permission)


def rank_on(actor: Actor, path: Path) -> int:
    """The rank (`policy.ROLE_RANK`) of the highest role ``actor`` has on ``path``; 0 without any."""
    if actor.kind is not ActorKind.USER:
        return _RANK_OF_ALL
    on_path = {step.id for step in path}
    return max((ROLE_RANK[binding.role] for binding in actor.bindings if binding.scope_id in on_path), default=0)


def _scopes_granting(actor: Actor, permission: Permission) -> frozenset[str]:
    return frozenset(binding.scope_id for binding in actor.bindings if permission in ROLE_PERMISSIONS[binding.role])
