"""Making the limits what a desired tree says of the things it names.

A list that is given is all that this manager wants of them on that thing: what it owns beyond that is deleted, since
limits are no history. What others own stays, but for a budget of the same period and mode, and rate limits, which it
takes over; the file's are nobody else's to change. That no budget is above its parent's is looked at in the end, so
that a file may lower both.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import asdict, replace

from headgate.control import checks
from headgate.control.budgets import add_budget, check_family, remove_budget, write_budget
from headgate.control.desired import (
    DesiredBudget,
    DesiredKey,
    DesiredNamedLimits,
    DesiredOrganization,
    DesiredProject,
    DesiredRateLimits,
    DesiredTeam,
    DesiredUser,
)
from headgate.control.key_rows import KeyRow, find_key
from headgate.control.limit_rows import (
    NAMED,
    BudgetRow,
    RateRow,
    budgets_on,
    find_all_rates,
    find_budgets,
    rates_on,
)
from headgate.control.limit_targets import (
    Target,
    allow_limiting,
    find_target_of,
    target_of_key,
    target_of_name,
    target_of_scope,
)
from headgate.control.plane import Change
from headgate.control.planned import ChangeAction, PlannedChange
from headgate.control.rate_limits import add_rates, remove_rates, write_rates
from headgate.control.tree import ScopeRow, find_scope, path_of, visible
from headgate.control.users import email_of
from headgate.domain.access import ManagedBy, Permission, ScopeKind
from headgate.domain.errors import ValidationFailedError
from headgate.domain.limits import BudgetMode, LimitedKind
from headgate.storage.tables import budgets, rate_limits

P = Permission
DesiredScope = DesiredOrganization | DesiredTeam | DesiredProject | DesiredUser

RowT = TypeVar("RowT", BudgetRow, RateRow)


class LimitReconciler:
    """The limits' part of one run over one desired tree."""

    def __init__(
        self, current: Change, manager: ManagedBy, note: Callable[[PlannedChange], None], at: Callable[[str], None]
    ) -> None:
        """Work within ``current``, own rows as ``manager``, ``note`` each step; ``at`` is told where the run is."""
        self._current = current
        self._manager = manager
        self._note = note
        self._at = at
        self._touched: dict[str, tuple[Target, str]] = {}
        """Budgets that were written, by id."""
        self._things: set[tuple[LimitedKind, str]] = set()
        """What the tree names."""

    def scope(self, scope: ScopeRow, desired: DesiredScope, path: str) -> None:
        """Make the limits of a scope what ``desired`` says, and of what an organization's requests name."""
        self._thing(target_of_scope(self._current.connection, scope), desired.budgets, desired.rate_limits, path)
        if isinstance(desired, DesiredOrganization):
            self._named(scope, LimitedKind.END_USER, desired.end_users, f"{path}/end_users")
            self._named(scope, LimitedKind.MODEL, desired.models, f"{path}/models")
            self._named(scope, LimitedKind.TAG, desired.tags, f"{path}/tags")

    def key(self, key: KeyRow, desired: DesiredKey, path: str) -> None:
        """Make the limits of a key what ``desired`` says."""
        self._thing(target_of_key(self._current.connection, key), desired.budgets, desired.rate_limits, path)

    def finish(self, *, end_absent: bool) -> None:
        """Delete the limits of what the tree names no more, where asked to, and compare each budget with its kin."""
        if end_absent:
            self._end_absent()
        connection = self._current.connection
        for budget_id, (target, path) in self._touched.items():
            self._at(path)
            for row in find_budgets(connection, budgets.c.id == budget_id):
                check_family(self._current, row, target)

    def _named(
        self,
        organization: ScopeRow,
        kind: LimitedKind,
        desired: Sequence[DesiredNamedLimits] | None,
        path: str,
    ) -> None:
        if desired is None:
            return
        wanted: set[str] = set()
        for limits in desired:
            self._at(place := f"{path}/{limits.name}")
            target = target_of_name(organization, kind, limits.name)
            if target.id in wanted:
                raise ValidationFailedError(f"`{limits.name}` is there twice.", param="name")
            wanted.add(target.id)
            self._thing(target, limits.budgets, limits.rate_limits, place)
        for table, found in ((budgets, find_budgets), (rate_limits, find_all_rates)):
            columns = table.c
            conditions = (
                columns.organization_id == organization.id,
                columns.kind == kind,
                columns.managed_by == self._manager,
                columns.target.not_in(wanted),
            )
            for row in found(self._current.connection, *conditions):
                target = Target(kind=kind, id=row.target, path=(organization.ref,), above=(organization.ref,))
                self._remove(row, target, f"{path}/{row.target.partition('/')[2]}")

    def _thing(
        self,
        target: Target,
        wanted: Sequence[DesiredBudget] | None,
        rates: DesiredRateLimits | None,
        path: str,
    ) -> None:
        self._things.add((target.kind, target.id))
        if wanted is not None:
            self._budgets(target, wanted, path)
        if rates is not None:
            self._rates(target, rates, path)

    def _budgets(self, target: Target, wanted: Sequence[DesiredBudget], path: str) -> None:
        present = {(row.period, row.mode): row for row in budgets_on(self._current.connection, target.kind, target.id)}
        desired = {(budget.period, budget.mode): budget for budget in wanted}
        self._at(path)
        if len(desired) < len(wanted):
            raise ValidationFailedError("There are two budgets of one period and mode.", param="budgets")
        # Deleted first: what is deleted stands in nobody's way.
        for place, row in present.items():
            if place not in desired and row.managed_by is self._manager:
                self._remove(row, target, path)
        for place, budget in desired.items():
            self._budget(target, present.get(place), budget, path)

    def _budget(self, target: Target, present: BudgetRow | None, desired: DesiredBudget, path: str) -> None:
        self._at(place := f"{path}/{_name_of(desired)}")
        amount = checks.check_usd(desired.amount_usd, "amount_usd")
        if present is None:
            allow_limiting(self._current, target)
            made = add_budget(
                self._current,
                target,
                amount_nano_usd=amount,
                period=desired.period,
                mode=desired.mode,
                managed_by=self._manager,
            )
            self._touched[made.id] = (target, place)
            self._step(ChangeAction.CREATE, made, place)
            return
        after = replace(present, amount_nano_usd=amount)
        if self._manager is ManagedBy.FILE:
            # Nobody could take an override out again of what is read-only elsewhere.
            after = replace(after, override_amount_nano_usd=None, override_until_ms=None)
        newer = self._owned(present, after)
        if newer != present:
            allow_limiting(self._current, target)
            write_budget(self._current, present, newer)
            self._touched[present.id] = (target, place)
            self._step(ChangeAction.UPDATE, present, place, _differing(present, newer))

    def _rates(self, target: Target, desired: DesiredRateLimits, path: str) -> None:
        self._at(path)
        present = rates_on(self._current.connection, target.kind, target.id)
        wanted = asdict(desired)
        is_empty = all(getattr(desired, name) is None for name in ("rpm", "tpm", "tph", "tpd", "concurrency"))
        if present is None:
            if not is_empty:
                allow_limiting(self._current, target)
                made = add_rates(self._current, target, desired, self._manager)
                self._step(ChangeAction.CREATE, made, path)
            return
        if is_empty:
            if present.managed_by is self._manager:
                self._remove(present, target, path)
            return
        newer = self._owned(present, replace(present, **wanted))
        if newer != present:
            allow_limiting(self._current, target)
            write_rates(self._current, present, newer)
            self._step(ChangeAction.UPDATE, present, path, _differing(present, newer))

    def _owned(self, present: RowT, after: RowT) -> RowT:
        if present.managed_by is ManagedBy.FILE and self._manager is not ManagedBy.FILE:
            # What stands there as desired is fine, whoever keeps it so.
            if after != present:
                checks.refuse_file_managed(present.managed_by)
            return present
        return replace(after, managed_by=self._manager)

    def _end_absent(self) -> None:
        """What the tree does not name: of the file all, since it blocks the thing too; of `apply` those of ended keys.

        A scope that `apply` could only block may be unblocked by others, and must not come back without its limits.
        """
        current = self._current
        rows: list[BudgetRow | RateRow] = []
        for table, found in ((budgets, find_budgets), (rate_limits, find_all_rates)):
            columns = table.c
            seen = visible(current.actor, P.APPLY, columns.scope_id)
            rows += found(current.connection, columns.managed_by == self._manager, seen)
        for row in rows:
            if (row.kind, row.target) in self._things:
                continue
            key = find_key(current.connection, row.target) if row.kind is LimitedKind.KEY else None
            ended = key is not None and key.revoked_at_ms is not None
            if self._manager is ManagedBy.FILE or ended:
                self._remove(row, find_target_of(current, row, "limit"), self._path_of(row, key))

    def _path_of(self, row: BudgetRow | RateRow, key: KeyRow | None) -> str:
        connection = self._current.connection
        steps = path_of(connection, find_scope(connection, row.scope_id)) or ()
        words = [email_of(connection, step.id) if step.kind is ScopeKind.USER else step.slug for step in steps]
        if key is not None:
            words.append(key.name)
        elif row.kind in NAMED:
            words += [f"{row.kind}s", row.target.partition("/")[2]]
        return "/".join(words)

    def _remove(self, row: BudgetRow | RateRow, target: Target, path: str) -> None:
        place = f"{path}/{_name_of(row)}" if isinstance(row, BudgetRow) else path
        self._at(place)
        allow_limiting(self._current, target)
        if isinstance(row, BudgetRow):
            remove_budget(self._current, row)
        else:
            remove_rates(self._current, row)
        self._step(ChangeAction.PRUNE, row, place)

    def _step(self, action: ChangeAction, row: BudgetRow | RateRow, path: str, fields: tuple[str, ...] = ()) -> None:
        kind = "budget" if isinstance(row, BudgetRow) else "rate_limits"
        self._note(PlannedChange(action=action, kind=kind, path=path, fields=fields, id=row.id))


def _name_of(budget: DesiredBudget | BudgetRow) -> str:
    return budget.period.value if budget.mode is BudgetMode.ENFORCE else f"{budget.period.value}/{budget.mode.value}"


def _differing(before: BudgetRow | RateRow, after: BudgetRow | RateRow) -> tuple[str, ...]:
    ours, theirs = asdict(before), asdict(after)
    names = [name for name in ours if ours[name] != theirs[name]]
    shown = ["override" if name.startswith("override_") else name.replace("_nano_usd", "_usd") for name in names]
    return tuple(dict.fromkeys(shown))
