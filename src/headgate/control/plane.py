"""What every use case is given, and the two ways to touch the database: `view` and `change`.

A change is one transaction: authorisation, the rows, their audit event; then, after the commit and still in its turn,
the new key directory and limits. What is refused leaves an audit event of its own behind.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from msgspec import Struct
from sqlalchemy import Connection

from headgate.audit import log
from headgate.audit.event import AuditEvent, AuditOutcome, Facts, difference
from headgate.control.publish import Publisher
from headgate.domain import ids
from headgate.domain.access import Path, Permission
from headgate.domain.errors import HeadgateError, NotFoundError, PermissionDeniedError
from headgate.identity.actor import Actor, ActorKind, may
from headgate.identity.directory import KeyDirectory
from headgate.identity.secrets import KEY_PREFIX
from headgate.ledger.desk import LedgerDesk
from headgate.ledger.limit_book import LimitBook
from headgate.snapshot import Configured
from headgate.storage.engine import Database


class Plane(Struct, frozen=True):
    """The control plane's surroundings."""

    database: Database
    publisher: Publisher
    ledger: LedgerDesk
    clock_ms: Callable[[], int]
    """Wall-clock ms since the epoch."""
    entropy: Callable[[int], bytes]
    """That many random bytes, e.g. `os.urandom`."""
    key_prefix: str = KEY_PREFIX
    """What minted virtual keys begin with."""


class Access:
    """A connection on behalf of somebody, and the question whether he may."""

    def __init__(self, connection: Connection, actor: Actor) -> None:
        self.connection = connection
        self.actor = actor
        self.organization_id: str | None = None
        """The tenant of what was last allowed: it owns the audit event of a later failure."""

    def allow(self, permission: Permission, path: Path | None, *, noun: str, seen_by: Permission) -> None:
        """Let the action go on, or refuse it.

        Args:
            permission: what the action takes.
            path: of the object; empty for the installation, `None` where no such object exists.
            noun: what the object is called in the refusal.
            seen_by: the permission by which the actor may know of the object at all.

        Raises:
            NotFoundError: there is no such object, or none that this actor may know of.
            PermissionDeniedError: he may know of it, and not do this to it.
        """
        if path is None:
            raise NotFoundError(f"No such {noun}.")
        if not may(self.actor, permission, path):
            if not path or may(self.actor, seen_by, path):
                raise PermissionDeniedError(f"This takes the permission {permission} on the {noun}.")
            raise NotFoundError(f"No such {noun}.")
        if path:
            self.organization_id = path[0].id


class Change(Access):
    """A change in progress."""

    def __init__(self, connection: Connection, actor: Actor, plane: Plane, action: str, object_kind: str) -> None:
        super().__init__(connection, actor)
        self.plane = plane
        self.action = action
        self.object_kind = object_kind
        self.now_ms = plane.clock_ms()
        self.keys: KeyDirectory = plane.publisher.keys
        """The directory as it will be published; use cases replace it by its successors."""
        self.limits: LimitBook = plane.publisher.limits
        """Likewise the limits."""
        self.configured: Configured | None = None
        """A new configuration to be published in the same swap."""

    def mint_id(self, prefix: str) -> str:
        """Return a new id of this moment."""
        return ids.mint(prefix, self.now_ms, self.plane.entropy(10))

    def record(
        self,
        object_id: str | None,
        organization_id: str | None,
        before: Facts | None,
        after: Facts | None,
        *,
        action: str | None = None,
        object_kind: str | None = None,
    ) -> None:
        """Write the audit event of what was just done, within the transaction.

        What concerns the whole installation has no organization, so only the operator reads of it.
        Where both sides are given, only the fields that differ are kept.
        """
        if before is not None and after is not None:
            before, after = difference(before, after)
        event = AuditEvent(
            id=self.mint_id(ids.AUDIT_EVENT),
            at_ms=self.now_ms,
            actor_kind=self.actor.kind,
            actor_id=self.actor.id,
            action=action or self.action,
            object_kind=object_kind or self.object_kind,
            object_id=object_id,
            organization_id=organization_id,
            before=None if before is None else dict(before),
            after=None if after is None else dict(after),
            request_id=self.actor.request_id,
            source_address=self.actor.source_address,
        )
        log.append(self.connection, event)


@contextmanager
def change(
    plane: Plane, actor: Actor, action: str, object_kind: str, object_id: str | None = None
) -> Generator[Change]:
    """Make one change; it is committed, audited and published when the block ends, and undone where it raises."""
    current: Change | None = None
    try:
        with plane.publisher.turn():
            with plane.database.write() as connection:
                current = Change(connection, actor, plane, action, object_kind)
                yield current
            plane.publisher.publish(current.keys, current.limits, current.configured)
    except HeadgateError as error:
        outcome = _outcome_of(error, actor)
        organization_id = None if current is None else current.organization_id
        if outcome is AuditOutcome.DENIED or organization_id is None:
            organization_id = actor.organization_id
        record_refusal(
            plane,
            actor,
            action,
            error,
            object_kind=object_kind,
            object_id=object_id,
            outcome=outcome,
            organization_id=organization_id,
        )
        raise


@contextmanager
def view(plane: Plane, actor: Actor, action: str, object_kind: str, object_id: str | None = None) -> Generator[Access]:
    """Read; a refusal is audited, and nothing else is."""
    try:
        with plane.database.read() as connection:
            yield Access(connection, actor)
    except HeadgateError as error:
        outcome = _outcome_of(error, actor)
        if outcome is AuditOutcome.DENIED:
            record_refusal(plane, actor, action, error, object_kind=object_kind, object_id=object_id)
        raise


def record_refusal(
    plane: Plane,
    actor: Actor,
    action: str,
    error: HeadgateError,
    *,
    object_kind: str,
    object_id: str | None = None,
    outcome: AuditOutcome = AuditOutcome.DENIED,
    organization_id: str | None = None,
) -> None:
    """Write the audit event of an action that was refused, in a transaction of its own."""
    now_ms = plane.clock_ms()
    event = AuditEvent(
        id=ids.mint(ids.AUDIT_EVENT, now_ms, plane.entropy(10)),
        at_ms=now_ms,
        actor_kind=actor.kind,
        actor_id=actor.id,
        action=action,
        object_kind=object_kind,
        object_id=object_id,
        organization_id=organization_id or actor.organization_id,
        outcome=outcome,
        reason=error.code,
        request_id=actor.request_id,
        source_address=actor.source_address,
    )
    with plane.database.write() as connection:
        log.append(connection, event)


def _outcome_of(error: HeadgateError, actor: Actor) -> AuditOutcome:
    # An unknown id and another tenant's look the same from outside, so both are kept as the same refusal.
    if isinstance(error, PermissionDeniedError):
        return AuditOutcome.DENIED
    if isinstance(error, NotFoundError) and actor.kind is ActorKind.USER:
        return AuditOutcome.DENIED
    return AuditOutcome.FAILED
