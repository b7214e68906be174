"""Money is integers, rounded up, and never a float."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.money import MAX_NANO_USD, format_usd, parse_usd, price_tokens


@pytest.mark.parametrize(
    ("text", "nano"),
    [("0", 0), ("2.50", 2_500_000_000), ("0.000000001", 1), ("0.0000000001", 1), ("0.0000000011", 2), ("1e-3", 10**6)],
)
def test_amounts_are_read_exactly_and_rounded_up(text: str, nano: int) -> None:
    assert parse_usd(text) == nano


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e400", "9000000.1", "1,5", "$5", "0x10"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="USD"):
        parse_usd(text)


@given(st.integers(0, MAX_NANO_USD))
def test_what_is_written_reads_back(nano: int) -> None:
    assert parse_usd(format_usd(nano)) == nano


@pytest.mark.parametrize(("nano", "text"), [(0, "0"), (42_500, "0.0000425"), (10**9, "1"), (-5, "-0.000000005")])
def test_amounts_are_written_plainly(nano: int, text: str) -> None:
    assert format_usd(nano) == text


@given(st.integers(0, 10**9), st.integers(0, 10**12))
def test_a_price_is_the_exact_one_rounded_up(tokens: int, rate: int) -> None:
    exact = Decimal(tokens) * rate / 1_000_000
    assert 0 <= price_tokens(tokens, rate) - exact < 1
