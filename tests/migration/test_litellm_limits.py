"""Amounts, durations and counts of LiteLLM."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.migration import litellm_limits as limits
from headgate.migration.finding import Outcome
from headgate.settings.values import parse_amount


@pytest.mark.parametrize(
    ("duration", "period"),
    [
        (None, "total"),
        ("", "total"),
        *(("1h", "hour"), ("60m", "hour"), ("3600s", "hour")),
        *(("1d", "day"), ("24h", "day"), ("86400s", "day")),
        *(("7d", "week"), ("1w", "week"), ("168h", "week")),
        *(("30d", "month"), ("1mo", "month"), ("720h", "month")),
        *(("15d", None), ("2mo", None), ("28d", None), ("0d", None), ("1y", None), ("soon", None), ([], None)),
    ],
)
def test_a_duration_is_a_period_where_the_two_mean_the_same(duration: Any, period: str | None) -> None:
    assert limits.period_of(duration) == period


@pytest.mark.parametrize(
    ("amount", "kept"), [("50.0", "50"), ("0", "0"), ("0.0000000019", "0.000000001"), ("1e-3", "0.001"), (7, "7")]
)
def test_an_amount_is_written_as_our_files_have_it(amount: Any, kept: str) -> None:
    verdict = limits.budget("max_budget", amount, "1d", "enforce")
    assert verdict.puts == (("budget.day.enforce", kept),)
    assert verdict.outcome is Outcome.APPROXIMATED


@given(st.decimals(0, 9_000_000, places=12))
def test_a_budget_never_grows_on_its_way(amount: Decimal) -> None:
    ((_, kept),) = limits.budget("max_budget", str(amount), None, "enforce").puts
    assert 0 <= amount - Decimal(kept) < Decimal("1e-9")
    assert parse_amount(kept) == int(Decimal(kept) * 10**9)


@pytest.mark.parametrize("amount", ["", "much", "-1", "NaN", "inf", None, True, [], {}])
def test_what_is_no_amount_raises(amount: Any) -> None:
    with pytest.raises(limits.LimitError, match="max_budget"):
        limits.budget("max_budget", amount, None, "enforce")


def test_more_than_can_be_kept_is_refused_and_said() -> None:
    assert limits.budget("max_budget", "9000001", None, "enforce").outcome is Outcome.REFUSED
    assert limits.rate("tpm_limit", "9000000000000001", "tpm").outcome is Outcome.REFUSED


def test_counts() -> None:
    assert limits.rate("tpm_limit", "100000", "tpm").puts == (("rate_limits.tpm", 100000),)
    assert limits.rate("rpm_limit", "60.0", "rpm").puts == (("rate_limits.rpm", 60),)
    for value in ("", "x", "-1", "1.5", True, None, []):
        with pytest.raises(limits.LimitError, match="rpm_limit"):
            limits.rate("rpm_limit", value, "rpm")


def test_a_duration_alone_limits_nothing() -> None:
    assert limits.duration_of({"budget_duration": "1d"}).outcome is Outcome.TRANSLATED
    assert limits.duration_of({"budget_duration": "1d", "max_budget": "1"}).outcome is Outcome.APPROXIMATED


@pytest.mark.parametrize("value", [None, "x", {}, [], [1], [{}], [{"max_budget": "1"}, {"max_budget": "2"}]])
def test_windows_that_are_none_raise(value: Any) -> None:
    with pytest.raises(limits.LimitError, match="budget_limits"):
        limits.windows("budget_limits", value)


def test_nothing_limited_writes_nothing() -> None:
    assert limits.written({"name": "x"}) == {}
