"""Budgets: so much money in every period, on a scope, a key, or what an organization's requests name."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, or_, select

from headgate.audit.event import Facts
from headgate.control import checks
from headgate.control.checks import LimitedName, Timestamp, Usd
from headgate.control.limit_rows import (
    BudgetRow,
    budgets_on,
    delete_row,
    find_budget,
    find_budgets,
    insert_row,
    update_budget,
)
from headgate.control.limit_targets import (
    LimitsQuery,
    Place,
    Target,
    allow_limiting,
    conditions_of,
    find_target,
    find_target_of,
    place_of,
    publish_limits,
)
from headgate.control.page import Page, check_limit, page_of
from headgate.control.plane import Change, Plane, change, view
from headgate.control.timestamps import format_optional_time, format_time, parse_time
from headgate.control.tree import subtree
from headgate.domain import ids
from headgate.domain.access import ManagedBy, Permission
from headgate.domain.errors import ValidationFailedError
from headgate.domain.limits import BudgetMode, LimitedKind, Override, Period
from headgate.domain.money import format_usd
from headgate.identity.actor import Actor
from headgate.storage.tables import budgets, virtual_keys

P = Permission


class BudgetOverride(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another amount until a moment, such as a raise until Monday."""

    amount_usd: Usd
    until: Timestamp


class Budget(Struct, frozen=True, kw_only=True):
    """So much money in every period."""

    id: str
    organization_id: str
    scope_id: str
    """The scope or the key it hangs on; the organization where an end user, a model or a tag is limited."""
    end_user: str | None
    model: str | None
    tag: str | None
    amount_usd: str
    period: Period
    mode: BudgetMode
    override: BudgetOverride | None
    managed_by: ManagedBy
    created_at: str
    updated_at: str
    version: int


class BudgetCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new budget."""

    scope_id: Annotated[str, Meta(description="The id of a scope or of a key.")]
    amount_usd: Usd
    period: Period
    mode: BudgetMode = BudgetMode.ENFORCE
    override: BudgetOverride | None = None
    end_user: LimitedName | None = None
    model: LimitedName | None = None
    tag: LimitedName | None = None


class BudgetOverridePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change of an override; one that is made anew takes both."""

    amount_usd: Usd | UnsetType = UNSET
    until: Timestamp | UnsetType = UNSET


class BudgetPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; what is absent stays. The period stays: another one is another budget."""

    amount_usd: Usd | UnsetType = UNSET
    mode: BudgetMode | UnsetType = UNSET
    override: BudgetOverridePatch | UnsetType | None = UNSET


class BudgetQuery(LimitsQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which budgets to list."""


def create_budget(plane: Plane, actor: Actor, body: BudgetCreate) -> Budget:
    """Set a budget on a scope, a key, an end user, a model or a tag."""
    with change(plane, actor, "budget.create", "budget") as current:
        place = Place(scope_id=body.scope_id, end_user=body.end_user, model=body.model, tag=body.tag)
        target = find_target(current, place)
        allow_limiting(current, target)
        given = None if body.override is None else (body.override.amount_usd, body.override.until)
        row = add_budget(
            current,
            target,
            amount_nano_usd=checks.check_usd(body.amount_usd, "amount_usd"),
            period=body.period,
            mode=body.mode,
            override=None if given is None else _check_override(*given, current.now_ms),
        )
        check_family(current, row, target)
        return show_budget(row)


def get_budget(plane: Plane, actor: Actor, budget_id: str) -> Budget:
    """Return one budget."""
    with view(plane, actor, "budget.read", "budget", budget_id) as access:
        row = find_budget(access.connection, budget_id)
        find_target_of(access, row, "budget")
        assert row is not None, "without a budget nothing is allowed"
        return show_budget(row)


def list_budgets(plane: Plane, actor: Actor, query: BudgetQuery) -> Page[Budget]:
    """Return the budgets that ``actor`` may read, newest first."""
    limit = check_limit(query.limit)
    conditions = conditions_of(actor, budgets, query)
    with view(plane, actor, "budget.list", "budget") as access:
        rows = find_budgets(access.connection, *conditions, newest=limit + 1)
    return page_of(rows, limit, lambda row: row.id, show_budget)


def patch_budget(plane: Plane, actor: Actor, budget_id: str, body: BudgetPatch, if_match: int | None = None) -> Budget:
    """Change a budget's amount, mode or override; what was spent in the period stays spent."""
    with change(plane, actor, "budget.update", "budget", budget_id) as current:
        row, target = _find_for_change(current, budget_id, if_match)
        after = row
        if body.amount_usd is not UNSET:
            after = replace(after, amount_nano_usd=checks.check_usd(body.amount_usd, "amount_usd"))
        if body.mode is not UNSET:
            after = replace(after, mode=body.mode)
        if body.override is not UNSET:
            after = _with_override(after, _patched_override(row.override, body.override, current.now_ms))
        if after == row:
            return show_budget(row)
        newer = write_budget(current, row, after)
        check_family(current, newer, target)
        return show_budget(newer)


def delete_budget(plane: Plane, actor: Actor, budget_id: str, if_match: int | None = None) -> None:
    """Take a budget away."""
    with change(plane, actor, "budget.delete", "budget", budget_id) as current:
        row, _ = _find_for_change(current, budget_id, if_match)
        remove_budget(current, row)


def add_budget(
    current: Change,
    target: Target,
    *,
    amount_nano_usd: int,
    period: Period,
    mode: BudgetMode = BudgetMode.ENFORCE,
    override: Override | None = None,
    managed_by: ManagedBy = ManagedBy.API,
) -> BudgetRow:
    """Write, audit and publish a new budget; the caller has checked the right to, and calls `check_family`.

    Raises:
        ConflictError: the thing has a budget of this period and mode already.
    """
    row = BudgetRow(
        id=current.mint_id(ids.BUDGET),
        organization_id=target.organization_id,
        scope_id=target.scope_id,
        kind=target.kind,
        target=target.id,
        amount_nano_usd=amount_nano_usd,
        period=period,
        mode=mode,
        managed_by=managed_by,
        created_at_ms=current.now_ms,
        updated_at_ms=current.now_ms,
    )
    row = _with_override(row, override)
    _refuse_twin(current.connection, row)
    insert_row(current.connection, row)
    publish_limits(current, row.kind, row.target)
    current.record(row.id, row.organization_id, None, facts_of(row), action="budget.create", object_kind="budget")
    return row


def write_budget(current: Change, before: BudgetRow, after: BudgetRow) -> BudgetRow:
    """Write, audit and publish a changed budget; the caller then calls `check_family`.

    Raises:
        ConflictError: the thing has another budget of this period and mode.
    """
    if before == after:
        return before
    _refuse_twin(current.connection, after)
    newer = update_budget(current.connection, after, current.now_ms)
    publish_limits(current, newer.kind, newer.target)
    facts = (facts_of(before), facts_of(newer))
    current.record(newer.id, newer.organization_id, *facts, action="budget.update", object_kind="budget")
    return newer


def remove_budget(current: Change, row: BudgetRow) -> None:
    """Delete a budget, audit it and let the data plane know."""
    delete_row(current.connection, row)
    publish_limits(current, row.kind, row.target)
    current.record(row.id, row.organization_id, facts_of(row), None, action="budget.delete", object_kind="budget")


def remove_budgets_of(current: Change, scope_id: str) -> None:
    """Delete the budgets of a scope that goes, and where it is an organization those of what its requests name."""
    for row in find_budgets(current.connection, budgets.c.scope_id == scope_id):
        remove_budget(current, row)


def check_family(current: Change, row: BudgetRow, target: Target) -> None:
    """See that no budget is larger than that of a thing above it for the same period, upwards and downwards.

    Only budgets that refuse are compared. Those of siblings may add up to more than their parent's: it binds them all.

    Raises:
        ValidationFailedError: ``amount_usd`` or ``override.amount_usd`` is to blame; the other budget is named.
    """
    if row.mode is not BudgetMode.ENFORCE:
        return
    columns = budgets.c
    alike = (columns.period == row.period, columns.mode == BudgetMode.ENFORCE, columns.id != row.id)
    above = target.path[:-1] if target.is_scope else target.path
    parents = columns.target.in_([step.id for step in above])
    for parent in find_budgets(current.connection, parents, *alike):
        field = _exceeding(row, parent, current.now_ms)
        if field is not None:
            raise _too_much(field, parent, "must not be above that of", row.period)
    if not target.is_scope:
        return
    revoked = select(virtual_keys.c.id).where(virtual_keys.c.revoked_at_ms.is_not(None))
    below = (
        columns.scope_id.in_(subtree([target.id])),
        columns.target != target.id,
        or_(columns.kind != LimitedKind.KEY, columns.target.not_in(revoked)),
        _may_exceed(row),
    )
    for child in find_budgets(current.connection, *below, *alike):
        if _exceeding(child, row, current.now_ms) is not None:
            raise _too_much("amount_usd", child, "must not be below that of", row.period)


def facts_of(row: BudgetRow) -> Facts:
    """What the audit log keeps of a budget."""
    place = place_of(row)
    named = {"end_user": place.end_user, "model": place.model, "tag": place.tag}
    override = row.override
    return {
        "scope_id": place.scope_id,
        **{name: value for name, value in named.items() if value is not None},
        "amount_usd": format_usd(row.amount_nano_usd),
        "period": row.period.value,
        "mode": row.mode.value,
        "override_amount_usd": None if override is None else format_usd(override.amount_nano_usd),
        "override_until": None if override is None else format_time(override.until_ms),
        "managed_by": row.managed_by.value,
    }


def show_budget(row: BudgetRow) -> Budget:
    """The budget as the outside sees it."""
    place = place_of(row)
    override = None
    if row.override is not None:
        amount, until = format_usd(row.override.amount_nano_usd), format_time(row.override.until_ms)
        override = BudgetOverride(amount_usd=amount, until=until)
    return Budget(
        id=row.id,
        organization_id=row.organization_id,
        scope_id=place.scope_id,
        end_user=place.end_user,
        model=place.model,
        tag=place.tag,
        amount_usd=format_usd(row.amount_nano_usd),
        period=row.period,
        mode=row.mode,
        override=override,
        managed_by=row.managed_by,
        created_at=format_time(row.created_at_ms),
        updated_at=format_time(row.updated_at_ms),
        version=row.version,
    )


def _find_for_change(current: Change, budget_id: str, if_match: int | None) -> tuple[BudgetRow, Target]:
    row = find_budget(current.connection, budget_id)
    target = find_target_of(current, row, "budget")
    assert row is not None, "without a budget nothing is allowed"
    allow_limiting(current, target)
    checks.refuse_file_managed(row.managed_by)
    checks.check_version(if_match, row.version)
    return row, target


def _refuse_twin(connection: Connection, row: BudgetRow) -> None:
    for other in budgets_on(connection, row.kind, row.target):
        taken = other.id != row.id and (other.period, other.mode) == (row.period, row.mode)
        words = f"There is a budget per {row.period} in mode {row.mode} here already: {other.id}."
        checks.refuse_conflict(taken, words, "period")


def _check_override(amount_usd: str, until: str, now_ms: int) -> Override:
    amount = checks.check_usd(amount_usd, "override.amount_usd")
    until_ms = parse_time(until, "override.until")
    if until_ms <= now_ms:
        raise ValidationFailedError("`override.until` must lie in the future.", param="override.until")
    return Override(amount, until_ms)


def _patched_override(present: Override | None, patch: BudgetOverridePatch | None, now_ms: int) -> Override | None:
    if patch is None:
        return None
    amount = patch.amount_usd
    until = patch.until
    if amount is UNSET:
        if present is None:
            raise ValidationFailedError("The field `amount_usd` is missing.", param="override.amount_usd")
        amount = format_usd(present.amount_nano_usd)
    if until is UNSET:
        if present is None:
            raise ValidationFailedError("The field `until` is missing.", param="override.until")
        until = format_time(present.until_ms)
    return _check_override(amount, until, now_ms)


def _with_override(row: BudgetRow, override: Override | None) -> BudgetRow:
    if override is None:
        return replace(row, override_amount_nano_usd=None, override_until_ms=None)
    return replace(row, override_amount_nano_usd=override.amount_nano_usd, override_until_ms=override.until_ms)


def _exceeding(child: BudgetRow, parent: BudgetRow, now_ms: int) -> str | None:
    """Name the field by which ``child`` is above ``parent``; an override may go as high as the parent's goes."""
    if child.amount_nano_usd > parent.amount_nano_usd:
        return "amount_usd"
    most = max(parent.amount_nano_usd, _overridden(parent, now_ms))
    return "override.amount_usd" if _overridden(child, now_ms) > most else None


def _overridden(row: BudgetRow, now_ms: int) -> int:
    override = row.override
    return 0 if override is None or override.until_ms <= now_ms else override.amount_nano_usd


def _may_exceed(parent: BudgetRow) -> ColumnElement[bool]:
    columns = budgets.c
    most = parent.amount_nano_usd
    return or_(columns.amount_nano_usd > most, columns.override_amount_nano_usd > most)


def _too_much(field: str, other: BudgetRow, words: str, period: Period) -> ValidationFailedError:
    override = format_optional_time(other.override_until_ms)
    until = "" if override is None else f", with an override until {override}"
    amount = format_usd(other.amount_nano_usd)
    whose = f"{other.id} ({other.kind} {other.target}: {amount} USD per {period}{until})"
    return ValidationFailedError(f"`{field}` {words} the budget {whose}.", param=field)
