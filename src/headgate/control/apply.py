"""``headgate apply``: the tree as a document. A plan is the same run, undone at its end."""

from msgspec import Struct
from msgspec.structs import replace

from headgate.control.desired import DesiredOrganization
from headgate.control.plane import Plane, change
from headgate.control.planned import ChangeAction, PlannedChange
from headgate.control.reconcile import Absent, Reconciler
from headgate.domain.access import ManagedBy
from headgate.identity.actor import Actor


class ApplyDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that ``apply`` is to own."""

    organizations: tuple[DesiredOrganization, ...]


class ApplyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document, and what to do with it."""

    document: ApplyDocument
    plan: bool = False
    """Say what would change, and change nothing."""
    prune: bool = False
    """End what an earlier document made and this one does not name: keys are revoked, scopes deleted, or blocked
    where something still hangs on them."""


class ApplyResult(Struct, frozen=True, kw_only=True):
    """What changed, or would."""

    applied: bool
    changes: tuple[PlannedChange, ...]


class _PlanOnly(Exception):  # noqa: N818  no error: it undoes the run of a plan
    pass


def apply(plane: Plane, actor: Actor, body: ApplyRequest) -> ApplyResult:
    """Make the rows what the document says, in one transaction, or plan it."""
    changes: tuple[PlannedChange, ...] = ()
    absent = Absent.PRUNE if body.prune else Absent.LEAVE
    try:
        with change(plane, actor, "apply", "installation") as current:
            changes = Reconciler(current, ManagedBy.APPLY, absent).run(body.document.organizations)
            if body.plan:
                raise _PlanOnly
    except _PlanOnly:
        return ApplyResult(applied=False, changes=tuple(_as_planned(step) for step in changes))
    return ApplyResult(applied=True, changes=changes)


def _as_planned(step: PlannedChange) -> PlannedChange:
    # The run made ids and secrets for what it created, and they are gone with it.
    created = step.action is ChangeAction.CREATE
    return replace(step, id=None, secret=None) if created else step
