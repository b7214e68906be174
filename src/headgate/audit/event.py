"""What one line of the audit log says. No secret and no digest ever enters ``before`` or ``after``."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

Facts = Mapping[str, Any]
"""The fields of a resource as JSON values."""


class AuditOutcome(StrEnum):
    """What became of an action."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """The actor may not do it, or may not know of its object."""
    FAILED = "failed"
    """Permitted, but it contradicts the present state."""


class AuditEvent(Struct, frozen=True, kw_only=True):
    """One management action, done or refused."""

    id: str
    at_ms: int
    actor_kind: str
    actor_id: str
    action: str
    """``key.create``: the resource and what was done to it."""
    object_kind: str
    object_id: str | None = None
    organization_id: str | None = None
    """The tenant that may read this event: that of the object, or of the actor where he was refused."""
    outcome: AuditOutcome = AuditOutcome.ALLOWED
    reason: str | None = None
    """The error's code, where there was one."""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    request_id: str | None = None
    source_address: str | None = None
    seq: int = 0
    """Its place in the log, given by the database."""


def difference(before: Facts, after: Facts) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both sides cut down to the fields that differ."""
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before.get(name) for name in changed}, {name: after.get(name) for name in changed}
