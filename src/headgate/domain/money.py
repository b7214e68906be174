"""Money is an integer count of nano-USD (1e-9 USD); a float never holds it.

Why nano: a cached token at 0.0075 USD per million costs 7.5 nano-USD, so rates are kept as nano-USD *per million
tokens* (exact for every published price) and each priced line is rounded up to a whole nano-USD.
"""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final

NANO_PER_USD: Final = 1_000_000_000
TOKENS_PER_RATE: Final = 1_000_000
_USD_DIGITS: Final = 9
"""Behind the point of an amount in USD: a nano-USD is the last of them."""
# Redis' Lua keeps numbers as doubles, exact to 2**53; no account may hold more than this (9 million USD).
MAX_NANO_USD: Final = 9_000_000_000_000_000


def parse_usd(text: str) -> int:
    """Return the nano-USD of a decimal string such as ``"2.50"``, rounded up.

    Raises:
        ValueError: not a plain finite decimal, negative, or above `MAX_NANO_USD`.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not an amount in USD") from error
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{text!r} is not an amount in USD of zero or more")
    if amount > MAX_NANO_USD // NANO_PER_USD:
        raise ValueError(
            f"{text!r} USD is more than {MAX_NANO_USD // NANO_PER_USD} USD, the largest amount kept exactly"
        )
    return int((amount * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING))


def format_usd(nano_usd: int) -> str:
    """Return nano-USD as an exact decimal string in USD without trailing zeros, e.g. ``"0.0000425"``."""
    sign = "-" if nano_usd < 0 else ""
    # Cut out of the digits: to divide, and to format the parts, takes twice as long.
    digits = str(abs(nano_usd)).zfill(_USD_DIGITS + 1)
    return f"{sign}{digits[:-_USD_DIGITS]}.{digits[-_USD_DIGITS:]}".rstrip("0").rstrip(".")


def price_tokens(tokens: int, nano_usd_per_mtok: int) -> int:
    """Return what ``tokens`` cost at a rate in nano-USD per million tokens, rounded up to a whole nano-USD."""
    return -(-tokens * nano_usd_per_mtok // TOKENS_PER_RATE)
