"""What a request costs: counts times rates, in whole nano-USD, every line rounded up.

The lines are disjoint. Of the input, audio tokens are taken first, then cache writes, then cached reads; what is left
is plain input. Of the output, audio is taken first. A part is never larger than what its total has left, so a provider
that reports parts larger than their total is billed its total. Usage does not say which *cached* tokens were audio:
audio is billed at the audio rate even where some of it was cached, which errs upwards.
"""

from typing import Final

from headgate.domain.catalog import Price, Rates
from headgate.domain.money import price_tokens
from headgate.domain.usage import TokenUsage

FREE: Final = Price(
    Rates(input=0, output=0, cached_input=0, cache_write=0, input_audio=0, output_audio=0), version="free"
)
"""What ``price: free`` means: known, and nothing."""


class UnpricedUsageError(Exception):
    """Tokens were used of a kind that has no rate and must not be guessed from another's."""

    def __init__(self, kind: str, tokens: int, version: str) -> None:
        """Say which ``kind`` (a field of `TokenUsage`), how many, and which table lacks the rate."""
        super().__init__(f"{tokens} {kind} were used and {version or 'the price'} has no rate for them")
        self.kind = kind
        self.tokens = tokens


def rates_for(price: Price, input_tokens: int) -> Rates:
    """Return the rates that hold for a request of ``input_tokens``: the highest tier it exceeds, else the base."""
    rates = price.rates
    for tier in price.tiers:
        if input_tokens <= tier.above_input_tokens:
            break
        rates = tier.rates
    return rates


def cost_of(price: Price, usage: TokenUsage) -> int:
    """Return the cost of ``usage`` in nano-USD.

    Cached input and cache writes without a rate of their own are billed as plain input, reasoning as output (it is
    part of ``output_tokens`` and no vendor of the catalogue that is priced charges it apart).

    Raises:
        UnpricedUsageError: audio tokens were used and the price has no audio rate.
    """
    rates = price.rates if not price.tiers else rates_for(price, usage.input_tokens)
    if (
        usage.cached_input_tokens <= 0
        and usage.cache_write_tokens <= 0
        and usage.input_audio_tokens <= 0
        and usage.output_audio_tokens <= 0
    ):
        return price_tokens(max(usage.input_tokens, 0), rates.input) + price_tokens(
            max(usage.output_tokens, 0), rates.output
        )
    plain_input = max(usage.input_tokens, 0)
    cost = 0
    audio = _part(usage.input_audio_tokens, plain_input)
    if audio:
        if rates.input_audio is None:
            raise UnpricedUsageError("input_audio_tokens", audio, price.version)
        cost += price_tokens(audio, rates.input_audio)
        plain_input -= audio
    if rates.cache_write is not None:
        written = _part(usage.cache_write_tokens, plain_input)
        cost += price_tokens(written, rates.cache_write)
        plain_input -= written
    if rates.cached_input is not None:
        cached = _part(usage.cached_input_tokens, plain_input)
        cost += price_tokens(cached, rates.cached_input)
        plain_input -= cached
    cost += price_tokens(plain_input, rates.input)
    return cost + _output_cost(rates, usage, price.version)


def _output_cost(rates: Rates, usage: TokenUsage, version: str) -> int:
    plain_output = max(usage.output_tokens, 0)
    audio = _part(usage.output_audio_tokens, plain_output)
    if not audio:
        return price_tokens(plain_output, rates.output)
    if rates.output_audio is None:
        raise UnpricedUsageError("output_audio_tokens", audio, version)
    return price_tokens(audio, rates.output_audio) + price_tokens(plain_output - audio, rates.output)


def _part(count: int, left: int) -> int:
    """Return ``count`` as a part of ``left``: never negative, never more than the total has."""
    return min(max(count, 0), left)
