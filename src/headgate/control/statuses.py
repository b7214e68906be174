"""What the ledger says now: the figures of a key or a budget, corrections of them, and whether all of it adds up."""

import sqlite3
from typing import Annotated

from msgspec import Meta, Struct

from headgate.control import checks
from headgate.control.checks import SignedUsd
from headgate.control.key_rows import KeyRow, find_key
from headgate.control.limit_rows import NAMED, find_budget
from headgate.control.limit_targets import find_target_of
from headgate.control.plane import Access, Plane, change, view
from headgate.control.timestamps import format_optional_time, format_time
from headgate.control.tree import find_scope, path_of
from headgate.domain.access import Path, Permission
from headgate.domain.errors import ConflictError, LedgerUnavailableError, PermissionDeniedError, ValidationFailedError
from headgate.domain.limits import BudgetMode, LimitedKind, Period
from headgate.domain.money import format_usd
from headgate.identity.actor import Actor, may
from headgate.ledger.journal_file import LedgerCorruptError
from headgate.ledger.limit_book import DEFAULT_TIME_ZONE, EACH, BudgetLine, LimitPath
from headgate.ledger.outcomes import AdjustmentError, BudgetStatus, PathStatus, WindowStatus
from headgate.ledger.periods import FOREVER_MS
from headgate.ledger.verify import Report

P = Permission

Reason = Annotated[str, Meta(min_length=1, max_length=256, description="Why, for the journal and the audit log.")]


class AccountStatus(Struct, frozen=True, kw_only=True):
    """One budget's account in the present period."""

    budget_id: str
    account: str
    """Its name in the ledger: kind, id, budget and period."""
    kind: LimitedKind
    scope_id: str
    """What it hangs on; for an end user, model or tag the organization and the name."""
    period: Period
    mode: BudgetMode
    limit_usd: str
    posted_usd: str
    held_usd: str
    """What requests hold that have not ended."""
    free_usd: str
    starts_at: str | None
    """`None` for the whole of time; likewise the next."""
    resets_at: str | None


class WindowFigures(Struct, frozen=True, kw_only=True):
    """One rate limit at this moment, in requests or tokens."""

    kind: LimitedKind
    scope_id: str
    limit_name: str
    """`rpm`, `tpm`, `tph`, `tpd` or `concurrency`."""
    limit: int
    remaining: int
    resets_at: str | None
    """When it is empty; `None` where it is, and for what runs at once."""


class KeyStatus(Struct, frozen=True, kw_only=True):
    """Everything that limits a key, its scopes' limits included. What a request names itself is not known here."""

    key_id: str
    budgets: tuple[AccountStatus, ...]
    windows: tuple[WindowFigures, ...]


class BudgetAccounts(Struct, frozen=True, kw_only=True):
    """A budget's account in the present period: none for a budget that each of many names has for itself."""

    budget_id: str
    accounts: tuple[AccountStatus, ...]


class AdjustmentCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A correction, such as what a provider's bill says beyond what was counted."""

    amount_usd: SignedUsd
    reason: Reason


class Adjustment(Struct, frozen=True, kw_only=True):
    """A correction that was posted, and the accounts after it."""

    key_id: str
    amount_usd: str
    reason: str
    budgets: tuple[AccountStatus, ...]


class LedgerReport(Struct, frozen=True, kw_only=True):
    """Whether the ledger adds up. All but the accounts are counted since the journal's last checkpoint."""

    adds_up: bool
    accounts: int
    """Whose period is not over."""
    batches: int
    rows: int
    intents: int
    posted: int
    """Reservations that ended so; likewise the next two."""
    voided: int
    recovered: int
    open_holds: int
    overrun_usd: str
    problems: tuple[str, ...]
    """At most a hundred."""


def get_key_status(plane: Plane, actor: Actor, key_id: str) -> KeyStatus:
    """Return the figures of every account and window on a key's path."""
    with view(plane, actor, "key.status", "key", key_id) as access:
        key, path = _find_key(access, key_id)
    limits = _path_of(plane, key, path)
    status = plane.ledger.status(limits)
    now_ms = plane.clock_ms()
    return KeyStatus(
        key_id=key.id,
        budgets=_accounts(limits, status),
        windows=tuple(_window(window, now_ms) for window in status.windows),
    )


def get_budget_status(plane: Plane, actor: Actor, budget_id: str) -> BudgetAccounts:
    """Return the figures of a budget's account in the present period."""
    with view(plane, actor, "budget.status", "budget", budget_id) as access:
        row = find_budget(access.connection, budget_id)
        target = find_target_of(access, row, "budget")
        assert row is not None, "without a budget nothing is allowed"
        organization = find_scope(access.connection, target.organization_id)
    if row.kind in NAMED and row.target.partition("/")[2] == EACH:
        return BudgetAccounts(budget_id=row.id, accounts=())
    zone = DEFAULT_TIME_ZONE if organization is None else organization.time_zone or DEFAULT_TIME_ZONE
    limits = LimitPath(f"budget/{row.id}", zone, (BudgetLine(row.kind, row.target, row.budget),))
    return BudgetAccounts(budget_id=row.id, accounts=_accounts(limits, plane.ledger.status(limits)))


def adjust_key(
    plane: Plane, actor: Actor, key_id: str, body: AdjustmentCreate, if_match: int | None = None
) -> Adjustment:
    """Post a correction on every account of a key's path in the present period, as a new row of the ledger.

    Raises:
        ConflictError: no budget is on the path, or an account has posted less than is to be taken back.
    """
    with change(plane, actor, "key.adjust", "key", key_id) as current:
        key, path = _find_key(current, key_id)
        if not may(actor, P.BUDGETS_WRITE, path[:1]):
            raise PermissionDeniedError(f"This takes the permission {P.BUDGETS_WRITE} on the organization.")
        checks.check_version(if_match, key.version)
        delta = checks.check_usd(body.amount_usd, "amount_usd", signed=True)
        if not delta:
            raise ValidationFailedError("`amount_usd` must not be zero.", param="amount_usd")
        reason = checks.check_line(body.reason, "reason")
        limits = _path_of(plane, key, path)
        if not limits.budgets:
            raise ConflictError("No budget is on the path of this key: there is nothing to correct.")
        try:
            adjusted = plane.ledger.adjust(limits, delta, reason)
        except AdjustmentError as error:
            words = f"No more can be taken back than was posted in this period: {error}."
            raise ConflictError(words, param="amount_usd") from error
        amount = format_usd(delta)
        facts = {"amount_usd": amount, "reason": reason, "accounts": list(adjusted.accounts)}
        current.record(key.id, key.organization_id, None, facts)
    budgets = _accounts(limits, plane.ledger.status(limits))
    return Adjustment(key_id=key.id, amount_usd=amount, reason=reason, budgets=budgets)


def verify_ledger(plane: Plane, actor: Actor) -> LedgerReport:
    """Add the whole ledger up again. A journal that is damaged is a report too: it does not add up."""
    with view(plane, actor, "ledger.verify", "ledger") as access:
        access.allow(P.OPERATE, (), noun="installation", seen_by=P.OPERATE)
    try:
        report = plane.ledger.verify()
    except LedgerCorruptError as error:
        nothing = Report(0, 0, 0, 0, 0, 0, 0, 0, 0, (f"the journal is damaged: {error}",))
        return _report(nothing)
    except sqlite3.Error as error:
        raise LedgerUnavailableError("The ledger's journal cannot be read.") from error
    return _report(report)


def _find_key(access: Access, key_id: str) -> tuple[KeyRow, Path]:
    key = find_key(access.connection, key_id)
    scope = None if key is None else find_scope(access.connection, key.scope_id)
    path = path_of(access.connection, scope)
    access.allow(P.KEYS_READ, path, noun="key", seen_by=P.KEYS_READ)
    assert key is not None, "without a key nothing is allowed"
    assert path is not None, "without a key nothing is allowed"
    return key, path


def _path_of(plane: Plane, key: KeyRow, path: Path) -> LimitPath:
    return plane.publisher.limits.path(path, key.id, tags=key.tags)


def _accounts(path: LimitPath, status: PathStatus) -> tuple[AccountStatus, ...]:
    periods = {line.budget.id: line.budget.period for line in path.budgets}
    return tuple(_account(budget, periods[budget.budget_id]) for budget in status.budgets)


def _account(budget: BudgetStatus, period: Period) -> AccountStatus:
    return AccountStatus(
        budget_id=budget.budget_id,
        account=budget.account,
        kind=budget.kind,
        scope_id=budget.scope_id,
        period=period,
        mode=BudgetMode.ENFORCE if budget.enforced else BudgetMode.AUDIT,
        limit_usd=format_usd(budget.limit),
        posted_usd=format_usd(budget.posted),
        held_usd=format_usd(budget.held),
        free_usd=format_usd(budget.free),
        starts_at=None if budget.starts_at_ms <= -FOREVER_MS else format_time(budget.starts_at_ms),
        resets_at=format_optional_time(budget.resets_at_ms),
    )


def _window(window: WindowStatus, now_ms: int) -> WindowFigures:
    return WindowFigures(
        kind=window.kind,
        scope_id=window.scope_id,
        limit_name=window.limit_name,
        limit=window.limit,
        remaining=window.remaining,
        resets_at=format_time(now_ms + window.resets_in_ms) if window.resets_in_ms else None,
    )


def _report(report: Report) -> LedgerReport:
    return LedgerReport(
        adds_up=report.adds_up,
        accounts=report.accounts,
        batches=report.batches,
        rows=report.rows,
        intents=report.intents,
        posted=report.posted,
        voided=report.voided,
        recovered=report.recovered,
        open_holds=report.open_holds,
        overrun_usd=format_usd(report.overrun_nano_usd),
        problems=report.problems,
    )
