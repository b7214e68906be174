"""Prices and capabilities of a model, as integers with their source."""

from msgspec import Struct


class Rates(Struct, frozen=True):
    """Nano-USD per million tokens of each kind. ``None``: no rate is published for that kind.

    A kind without a rate of its own is billed at its total's rate where vendors do so (cached input, reasoning,
    cache writes); audio without an audio rate makes the request unpriced, never free.
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None


class PriceTier(Struct, frozen=True):
    """Rates that hold for the whole request once its input exceeds ``above_input_tokens``."""

    above_input_tokens: int
    rates: Rates


class Price(Struct, frozen=True):
    """What a model costs, and which table says so."""

    rates: Rates
    tiers: tuple[PriceTier, ...] = ()
    """By rising ``above_input_tokens``."""
    version: str = ""
    """E.g. ``genai-prices 0.2.3 (2026-11-10)`` or ``configuration``; stored on every record."""


class Capabilities(Struct, frozen=True):
    """What a model can take and make. ``None`` means not known."""

    context_window: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
