"""Rows of budgets and rate limits, and what hangs together on one limited thing."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, delete, insert, select, update

from headgate.domain.access import ManagedBy
from headgate.domain.limits import Budget, BudgetMode, LimitedKind, Override, Period, RateLimits, WindowMode
from headgate.ledger.limit_book import Limits
from headgate.storage.tables import budgets, rate_limits

NAMED: Final = (LimitedKind.END_USER, LimitedKind.MODEL, LimitedKind.TAG)
"""What a request names itself; its limits belong to an organization."""


class BudgetRow(Struct, frozen=True, kw_only=True):
    """One row of ``budgets``."""

    id: str
    organization_id: str
    scope_id: str
    """Where it may be read: the scope it hangs on, that of its key, or the organization of what a request names."""
    kind: LimitedKind
    target: str
    """As `headgate.ledger.limit_book.Limits.id`."""
    amount_nano_usd: int
    period: Period
    mode: BudgetMode = BudgetMode.ENFORCE
    override_amount_nano_usd: int | None = None
    override_until_ms: int | None = None
    managed_by: ManagedBy = ManagedBy.API
    created_at_ms: int
    updated_at_ms: int
    version: int = 1

    @property
    def override(self) -> Override | None:
        """Another amount for a while, where there is one."""
        if self.override_amount_nano_usd is None or self.override_until_ms is None:
            return None
        return Override(self.override_amount_nano_usd, self.override_until_ms)

    @property
    def budget(self) -> Budget:
        """This row as the ledger knows it."""
        return Budget(self.id, self.amount_nano_usd, self.period, self.mode, self.override, self.version)


class RateRow(Struct, frozen=True, kw_only=True):
    """One row of ``rate_limits``."""

    id: str
    organization_id: str
    scope_id: str
    """As a budget's; likewise the next two."""
    kind: LimitedKind
    target: str
    rpm: int | None = None
    tpm: int | None = None
    tph: int | None = None
    tpd: int | None = None
    concurrency: int | None = None
    tpm_mode: WindowMode = WindowMode.SMOOTH
    tph_mode: WindowMode = WindowMode.STRICT
    tpd_mode: WindowMode = WindowMode.STRICT
    managed_by: ManagedBy = ManagedBy.API
    created_at_ms: int
    updated_at_ms: int
    """Rises with every change, whatever the clock says."""
    version: int = 1

    @property
    def rates(self) -> RateLimits:
        """This row as the ledger knows it.

        The ledger knows rate limits by what they hang on, so those that were made anew must not begin at 1 again: the
        time of the change is their version.
        """
        return RateLimits(
            rpm=self.rpm,
            tpm=self.tpm,
            tph=self.tph,
            tpd=self.tpd,
            concurrency=self.concurrency,
            tpm_mode=self.tpm_mode,
            tph_mode=self.tph_mode,
            tpd_mode=self.tpd_mode,
            version=self.updated_at_ms,
        )

    @property
    def is_empty(self) -> bool:
        """Whether it limits nothing."""
        return all(value is None for value in (self.rpm, self.tpm, self.tph, self.tpd, self.concurrency))


def budget_of(row: RowMapping) -> BudgetRow:
    """Read a row of ``select(budgets)``."""
    values = _read(row, budgets, BudgetRow)
    values["period"] = Period(values["period"])
    values["mode"] = BudgetMode(values["mode"])
    return BudgetRow(**values)


def rates_of(row: RowMapping) -> RateRow:
    """Read a row of ``select(rate_limits)``."""
    values = _read(row, rate_limits, RateRow)
    for name in ("tpm_mode", "tph_mode", "tpd_mode"):
        values[name] = WindowMode(values[name])
    return RateRow(**values)


def find_budget(connection: Connection, budget_id: str) -> BudgetRow | None:
    """Return the budget of this id."""
    row = connection.execute(select(budgets).where(budgets.c.id == budget_id)).mappings().one_or_none()
    return None if row is None else budget_of(row)


def find_budgets(
    connection: Connection, *conditions: ColumnElement[bool], newest: int | None = None
) -> list[BudgetRow]:
    """Return the budgets that meet all conditions, in order of their ids; with ``newest`` so many from the end."""
    found = connection.execute(_query(budgets, conditions, newest)).mappings()
    return [budget_of(row) for row in found]


def budgets_on(connection: Connection, kind: LimitedKind, target: str) -> list[BudgetRow]:
    """Return the budgets that hang on one thing."""
    return find_budgets(connection, budgets.c.kind == kind, budgets.c.target == target)


def find_rates(connection: Connection, rates_id: str) -> RateRow | None:
    """Return the rate limits of this id."""
    row = connection.execute(select(rate_limits).where(rate_limits.c.id == rates_id)).mappings().one_or_none()
    return None if row is None else rates_of(row)


def find_all_rates(
    connection: Connection, *conditions: ColumnElement[bool], newest: int | None = None
) -> list[RateRow]:
    """Return the rate limits that meet all conditions, ordered as `find_budgets` does."""
    found = connection.execute(_query(rate_limits, conditions, newest)).mappings()
    return [rates_of(row) for row in found]


def rates_on(connection: Connection, kind: LimitedKind, target: str) -> RateRow | None:
    """Return the rate limits of one thing: it has at most one row of them."""
    found = find_all_rates(connection, rate_limits.c.kind == kind, rate_limits.c.target == target)
    return found[0] if found else None


def limits_on(connection: Connection, kind: LimitedKind, target: str) -> Limits:
    """Return everything that limits one thing."""
    rates = rates_on(connection, kind, target)
    found = budgets_on(connection, kind, target)
    return Limits(kind, target, tuple(row.budget for row in found), None if rates is None else rates.rates)


def all_limits(connection: Connection) -> Iterator[Limits]:
    """Yield everything that is limited at all."""
    rates = {(row.kind, row.target): row.rates for row in find_all_rates(connection)}
    hanging: dict[tuple[LimitedKind, str], list[Budget]] = {place: [] for place in rates}
    for row in find_budgets(connection):
        hanging.setdefault((row.kind, row.target), []).append(row.budget)
    for place, found in hanging.items():
        yield Limits(*place, tuple(found), rates.get(place))


def insert_row(connection: Connection, row: BudgetRow | RateRow) -> None:
    """Write a new row."""
    connection.execute(insert(_table(row)).values(asdict(row)))


def update_budget(connection: Connection, row: BudgetRow, now_ms: int) -> BudgetRow:
    """Write a changed row as its next version and return it."""
    newer = replace(row, updated_at_ms=now_ms, version=row.version + 1)
    _update(connection, newer)
    return newer


def update_rates(connection: Connection, row: RateRow, now_ms: int) -> RateRow:
    """Write a changed row as its next version and return it."""
    newer = replace(row, updated_at_ms=max(now_ms, row.updated_at_ms + 1), version=row.version + 1)
    _update(connection, newer)
    return newer


def delete_row(connection: Connection, row: BudgetRow | RateRow) -> None:
    """Take a row out."""
    table = _table(row)
    connection.execute(delete(table).where(table.c.id == row.id))


def _query(table: Table, conditions: Sequence[ColumnElement[bool]], newest: int | None) -> Select[*tuple[Any, ...]]:
    query = select(table).where(*conditions)
    return query.order_by(table.c.id) if newest is None else query.order_by(table.c.id.desc()).limit(newest)


def _update(connection: Connection, row: BudgetRow | RateRow) -> None:
    table = _table(row)
    values = asdict(row)
    del values["id"]
    connection.execute(update(table).where(table.c.id == row.id).values(values))


def _table(row: BudgetRow | RateRow) -> Table:
    return budgets if isinstance(row, BudgetRow) else rate_limits


def _read(row: RowMapping, table: Table, shape: type[Struct]) -> dict[str, Any]:
    values: dict[str, Any] = {name: row[table.c[name]] for name in shape.__struct_fields__}
    values["kind"] = LimitedKind(values["kind"])
    values["managed_by"] = ManagedBy(values["managed_by"])
    return values
