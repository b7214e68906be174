import math
from decimal import Decimal

import pytest

from headgate.domain.limits import (
    AccountKey,
    Budget,
    BudgetMode,
    InvalidLimitError,
    LimitedKind,
    Override,
    Period,
    RateLimits,
    WindowMode,
    check_amount,
    check_budget,
    check_rate_limits,
)
from headgate.domain.money import MAX_NANO_USD

NO_AMOUNTS = [-1, True, 1.0, 0.5, math.nan, math.inf, "1", "1e400", None, Decimal(1), MAX_NANO_USD + 1, 2**53 + 10**16]


@pytest.mark.parametrize("value", NO_AMOUNTS, ids=repr)
def test_i10_what_is_no_amount_is_refused_by_the_name_of_its_field(value: object) -> None:
    with pytest.raises(InvalidLimitError) as refusal:
        check_amount(value, "tpm")

    assert refusal.value.field == "tpm"
    assert str(refusal.value).startswith("tpm: must")


@pytest.mark.parametrize("value", [0, 1, MAX_NANO_USD])
def test_whole_amounts_up_to_what_every_store_keeps_exactly_are_taken(value: int) -> None:
    assert check_amount(value, "x") == value


@pytest.mark.parametrize("value", NO_AMOUNTS, ids=repr)
def test_a_budget_names_the_amount_that_is_wrong(value: object) -> None:
    with pytest.raises(InvalidLimitError, match=r"^amount_nano_usd: "):
        check_budget(Budget("bud_1", value, Period.DAY))
    with pytest.raises(InvalidLimitError, match=r"^override\.amount_nano_usd: "):
        check_budget(Budget("bud_1", 1, Period.DAY, override=Override(value, 0)))


def test_a_budget_names_the_word_that_is_wrong() -> None:
    with pytest.raises(InvalidLimitError, match=r"^period: must be one of hour, day, week, month, total"):
        check_budget(Budget("bud_1", 1, "fortnight"))
    with pytest.raises(InvalidLimitError, match=r"^mode: "):
        check_budget(Budget("bud_1", 1, Period.DAY, "maybe"))
    with pytest.raises(InvalidLimitError, match=r"^id: "):
        check_budget(Budget("", 1, Period.DAY))


@pytest.mark.parametrize("field", ["rpm", "tpm", "tph", "tpd", "concurrency"])
@pytest.mark.parametrize("value", [value for value in NO_AMOUNTS if value is not None], ids=repr)
def test_rate_limits_name_the_field_that_is_wrong(field: str, value: object) -> None:
    with pytest.raises(InvalidLimitError, match=f"^{field}: "):
        check_rate_limits(RateLimits(**{field: value}))


def test_limits_that_can_be_kept_are_taken() -> None:
    budget = Budget("bud_1", 0, Period.TOTAL, BudgetMode.AUDIT, Override(5, 10))
    rates = RateLimits(rpm=0, tpm=1, tpm_mode=WindowMode.STRICT)

    assert check_budget(budget) is budget
    assert check_rate_limits(rates) is rates
    with pytest.raises(InvalidLimitError, match=r"^tpd_mode: "):
        check_rate_limits(RateLimits(tpd_mode="loose"))


def test_an_account_is_named_by_what_it_hangs_on_its_budget_and_its_period() -> None:
    assert AccountKey(LimitedKind.TEAM, "team_42", "bud_7", "2026-11").name == "team/team_42/bud_7/2026-11"
