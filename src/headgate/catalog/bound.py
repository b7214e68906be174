"""The most that a request can cost: token bounds times the dearest rates that can hold for it.

Whatever usage within the bounds a provider reports, `cost_of` is not above this (``tests/catalog/test_bound.py``).
"""

from collections.abc import Iterator
from typing import Final

from headgate.domain.catalog import Price, Rates
from headgate.domain.money import price_tokens

_INPUT_LINES: Final = 4
"""Lines that `cost_of` rounds up each: audio, cache writes, cached, plain."""
_OUTPUT_LINES: Final = 2


def cost_bound(
    price: Price | None,
    input_tokens: int | None,
    output_tokens: int | None,
    *,
    audio_in: bool = False,
    audio_out: bool = False,
) -> int | None:
    """Return the most that a request can cost, in nano-USD, rounded up; ``None`` where a bound or a rate is not known.

    Every token may be of the dearest kind: of the input plain, cached or written to the cache; with ``audio_in`` or
    ``audio_out`` also sound. Every tier counts that an input within the bound can reach.
    """
    if price is None or input_tokens is None or output_tokens is None:
        return None
    most = 0
    for rates in _reachable(price, input_tokens):
        if (audio_in and rates.input_audio is None) or (audio_out and rates.output_audio is None):
            return None
        kinds = (rates.input, rates.cached_input, rates.cache_write, rates.input_audio if audio_in else None)
        read = _lines(input_tokens, max(rate for rate in kinds if rate is not None), _INPUT_LINES)
        write = max(rates.output, (rates.output_audio or 0) if audio_out else 0)
        most = max(most, read + _lines(output_tokens, write, _OUTPUT_LINES))
    return most


def affordable_output(price: Price, input_tokens: int, nano_usd: int, *, most: int, choices: int = 1) -> int:
    """Return the largest maximum of output tokens, at most ``most``, whose request costs ``nano_usd`` at most.

    Each of ``choices`` answers may have so many. Below zero where not even the input can be paid for.
    """
    low, high = -1, most
    while low < high:
        middle = (low + high + 1) // 2
        cost = cost_bound(price, input_tokens, middle * choices)
        if cost is not None and cost <= nano_usd:
            low = middle
        else:
            high = middle - 1
    return low


def _reachable(price: Price, input_tokens: int) -> Iterator[Rates]:
    yield price.rates
    for tier in price.tiers:
        if tier.above_input_tokens < input_tokens:
            yield tier.rates


def _lines(tokens: int, rate: int, lines: int) -> int:
    """Return what tokens cost when they stand in several lines, of which each is rounded up to a whole nano-USD."""
    if tokens <= 0 or rate <= 0:
        return 0
    return price_tokens(tokens, rate) + min(tokens, lines) - 1
