"""The most that a request can cost: token bounds times the dearest rates that can hold for it.

Whatever usage within the bounds a provider reports, `cost_of` is not above this (``tests/catalog/test_bound.py``).
"""

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
    most = _cost_at(price.rates, input_tokens, output_tokens, audio_in, audio_out)
    for tier in price.tiers:
        if most is None:
            return None
        if tier.above_input_tokens < input_tokens:
            cost = _cost_at(tier.rates, input_tokens, output_tokens, audio_in, audio_out)
            most = None if cost is None else max(most, cost)
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


def _cost_at(rates: Rates, input_tokens: int, output_tokens: int, audio_in: bool, audio_out: bool) -> int | None:
    """Return the most that the request can cost at these rates; ``None`` where sound may come and has none."""
    read, write = rates.input, rates.output
    if rates.cached_input is not None and rates.cached_input > read:
        read = rates.cached_input
    if rates.cache_write is not None and rates.cache_write > read:
        read = rates.cache_write
    if audio_in:
        if rates.input_audio is None:
            return None
        read = max(read, rates.input_audio)
    if audio_out:
        if rates.output_audio is None:
            return None
        write = max(write, rates.output_audio)
    return _lines(input_tokens, read, _INPUT_LINES) + _lines(output_tokens, write, _OUTPUT_LINES)


def _lines(tokens: int, rate: int, lines: int) -> int:
    """Return what tokens cost when they stand in several lines, of which each is rounded up to a whole nano-USD."""
    if tokens <= 0 or rate <= 0:
        return 0
    return price_tokens(tokens, rate) + (tokens if tokens < lines else lines) - 1
