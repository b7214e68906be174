"""Rows of limits, and what each is to the ledger."""

import pytest
from msgspec.structs import replace
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from headgate.control.limit_rows import (
    BudgetRow,
    RateRow,
    all_limits,
    delete_row,
    find_budget,
    find_budgets,
    find_rates,
    insert_row,
    limits_on,
    update_budget,
    update_rates,
)
from headgate.domain.limits import Budget, BudgetMode, LimitedKind, Override, Period, RateLimits, WindowMode
from headgate.storage.tables import budgets

KEY = LimitedKind.KEY


@pytest.fixture
def budget(world) -> BudgetRow:
    acme = world.organization()
    return BudgetRow(
        id="bud_1",
        organization_id=acme.id,
        scope_id=acme.id,
        kind=KEY,
        target="key_1",
        amount_nano_usd=9_000_000_000_000_000,
        period=Period.MONTH,
        mode=BudgetMode.AUDIT,
        override_amount_nano_usd=7,
        override_until_ms=99,
        created_at_ms=1,
        updated_at_ms=2,
    )


def rates_like(budget: BudgetRow, **fields: object) -> RateRow:
    return RateRow(
        id="lim_1",
        organization_id=budget.organization_id,
        scope_id=budget.scope_id,
        kind=budget.kind,
        target=budget.target,
        created_at_ms=1,
        updated_at_ms=2,
        **fields,
    )


def test_a_row_comes_back_as_it_was_written(world, budget):
    rates = rates_like(budget, rpm=1, tpd=2, tpm_mode=WindowMode.STRICT)
    with world.database.write() as connection:
        insert_row(connection, budget)
        insert_row(connection, rates)
        assert find_budget(connection, "bud_1") == budget
        assert find_rates(connection, "lim_1") == rates
        assert (find_budget(connection, "bud_2"), find_rates(connection, "lim_2")) == (None, None)


def test_the_ledger_is_told_all_that_a_row_says(budget):
    override = Override(7, 99)
    expected = Budget("bud_1", 9_000_000_000_000_000, Period.MONTH, BudgetMode.AUDIT, override, version=1)
    assert budget.budget == expected
    assert replace(budget, override_amount_nano_usd=None, override_until_ms=None).budget.override is None
    rates = rates_like(budget, tpm=5)
    assert rates.rates == RateLimits(tpm=5, version=2)
    assert not rates.is_empty
    assert rates_like(budget).is_empty


def test_everything_of_one_thing_is_found_together(world, budget):
    other = replace(budget, id="bud_2", period=Period.DAY)
    elsewhere = replace(budget, id="bud_3", target="key_2")
    rates = rates_like(budget, rpm=1)
    with world.database.write() as connection:
        for row in (elsewhere, other, budget, rates):
            insert_row(connection, row)
        found = limits_on(connection, KEY, "key_1")
        assert (found.budgets, found.rates) == ((budget.budget, other.budget), rates.rates)
        assert {each.id: len(each.budgets) for each in all_limits(connection)} == {"key_1": 2, "key_2": 1}
        assert [row.id for row in find_budgets(connection, newest=2)] == ["bud_3", "bud_2"]
        delete_row(connection, rates)
        assert limits_on(connection, KEY, "key_1").rates is None


def test_versions_rise_even_where_the_clock_stands_or_runs_back(world, budget):
    rates = rates_like(budget, rpm=1)
    with world.database.write() as connection:
        insert_row(connection, budget)
        insert_row(connection, rates)
        assert update_budget(connection, budget, now_ms=0).budget.version == 2
        newer = update_rates(connection, rates, now_ms=0)
        assert (newer.version, newer.rates.version) == (2, 3)
        assert update_rates(connection, newer, now_ms=1000).rates.version == 1000
        assert find_rates(connection, "lim_1").rates.version == 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "bud_2"},
        {"id": "bud_2", "target": "key_2", "amount_nano_usd": -1},
        {"id": "bud_2", "target": "key_2", "amount_nano_usd": 9_000_000_000_000_001},
        {"id": "bud_2", "target": "key_2", "override_until_ms": None},
        {"id": "bud_2", "target": "key_2", "scope_id": "nobody"},
    ],
    ids=["twin", "negative", "too much", "half an override", "unknown scope"],
)
def test_what_cannot_be_is_refused_by_the_database_itself(world, budget, wrong):
    with world.database.write() as connection:
        insert_row(connection, budget)
        with pytest.raises(IntegrityError):
            connection.execute(insert(budgets).values({**_values(budget), **wrong}))


def _values(budget: BudgetRow) -> dict[str, object]:
    return {name: getattr(budget, name) for name in budget.__struct_fields__}
