"""The price book: what a provider's model costs and can do, by name.

Two tables at most: the operator's override (``prices.json`` in the data directory) and the one compiled into the
package. The override wins model by model. Each provider is decoded when it is first asked for, and answers are kept:
a lookup in the data plane is one dictionary access.
"""

import os
import re
import tempfile
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Final

from msgspec import Struct

from headgate.catalog.table import (
    ModelRow,
    PriceTable,
    ProviderTable,
    check_table,
    dearest,
    decode_provider,
    parse_table,
    price_of,
    rates_of,
)
from headgate.domain.catalog import Capabilities, Price, PriceTier, Rates

OVERRIDE_FILE: Final = "prices.json"
NOTHING_KNOWN: Final = Capabilities()
# Model names come from callers: neither their length nor their number may grow the book without bound.
_MAX_MODEL_NAME: Final = 256
_MAX_KEPT: Final = 4096
_COMPACT_DATE: Final = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])([0-2]\d|3[01])(?=[-:]|$)")
_STANDARD_TIERS: Final = frozenset({None, "auto", "default", "standard", "standard_only"})


class Finding(Struct, frozen=True):
    """What the tables say about one model."""

    price: Price | None
    """``None``: unpriced."""
    capabilities: Capabilities
    reason: str | None
    """Why there is no price."""


class PriceBook:
    """Prices and capabilities from one or two tables, the first of which wins."""

    def __init__(self, tables: Sequence[PriceTable], multiplier: str = "1") -> None:
        """Look ``tables`` up in their order and multiply what they say by an exact decimal.

        Raises:
            ValueError: ``multiplier`` is not a decimal above zero.
        """
        self._tables = tuple(tables)
        self._scale = _parse_multiplier(multiplier)
        self._suffix = "" if self._scale == (1, 1) else f" x{multiplier}"
        self._providers: dict[tuple[int, str], ProviderTable | None] = {}
        self._found: dict[tuple[str, str, str | None], Finding] = {}

    @property
    def version(self) -> str:
        """The versions of the tables, the winning one first."""
        return ", ".join(table.version for table in self._tables) + self._suffix

    def price(self, price_provider: str, model: str, service_tier: str | None = None) -> Price | None:
        """Return what ``model`` costs at ``price_provider``, ``None`` where that is not known.

        ``service_tier`` is the request's own word (``flex``, ``priority``); a tier without published rates is not
        known, never the standard price.
        """
        return self.find(price_provider, model, service_tier).price

    def capabilities(self, provider: str, model: str) -> Capabilities:
        """Return what ``model`` can do; members that no table knows are ``None`` or empty."""
        return self.find(provider, model).capabilities

    def find(self, provider: str, model: str, service_tier: str | None = None) -> Finding:
        """Return price and capabilities together, and the reason where there is no price."""
        tier = None if service_tier in _STANDARD_TIERS else service_tier
        key = (provider, model, tier)
        found = self._found.get(key)
        if found is None:
            found = self._look_up(provider, model, tier)
            if len(self._found) >= _MAX_KEPT:
                self._found.clear()
            if len(model) <= _MAX_MODEL_NAME:
                self._found[key] = found
        return found

    def ceiling(self) -> Price:
        """Return the dearest known rate of each kind, for ``prices.unpriced: ceiling``.

        Raises:
            LookupError: no table has a single price.
        """
        known = [rates for index in range(len(self._tables)) if (rates := self._table_ceiling(index)) is not None]
        rates = dearest(known)
        if rates is None:
            raise LookupError("no price table has a price, so there is no dearest one")
        return self._scaled(Price(rates=rates, version=f"ceiling of {', '.join(t.version for t in self._tables)}"))

    def _table_ceiling(self, index: int) -> Rates | None:
        table = self._tables[index]
        if table.ceiling is not None:
            return table.ceiling
        tables = (self._provider(index, name) for name in table.providers)
        return dearest([rates for each in tables if each is not None for rates in rates_of(each.models)])

    def _look_up(self, provider: str, model: str, tier: str | None) -> Finding:
        name = model.lower()
        if len(name) > _MAX_MODEL_NAME:
            return Finding(None, NOTHING_KNOWN, f"the model's name is longer than {_MAX_MODEL_NAME} characters")
        # Some routers write a model's date as one number where the vendor writes it with hyphens.
        dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
        for spelling in (name,) if dashed == name else (name, dashed):
            for index, table in enumerate(self._tables):
                row = self._row(index, provider, spelling)
                if row is not None:
                    return self._finding(row, table.version, tier)
        return Finding(None, NOTHING_KNOWN, f"no price table has the model {model!r} of {provider!r}")

    def _row(self, index: int, provider: str, name: str) -> ModelRow | None:
        table = self._provider(index, provider)
        if table is None:
            return None
        for row in table.models:
            if row.matches(name):
                return row
        for fallback in table.fallback:
            other = self._provider(index, fallback)
            for row in other.models if other is not None else ():
                if row.matches(name):
                    return row
        return None

    def _finding(self, row: ModelRow, version: str, tier: str | None) -> Finding:
        if tier is None:
            price, reason = price_of(row, version), row.unpriced
        else:
            variant = next((each for each in row.variants if each.when == {"service_tier": tier}), None)
            price = None if variant is None else price_of(variant, f"{version} {tier}")
            reason = f"no rate is published for service_tier {tier!r}" if variant is None else variant.unpriced
        return Finding(None if price is None else self._scaled(price), row.capabilities(), reason)

    def _provider(self, index: int, name: str) -> ProviderTable | None:
        key = (index, name)
        if key not in self._providers:
            table = self._tables[index]
            if name not in table.providers:
                return None
            self._providers[key] = decode_provider(table, name)
        return self._providers[key]

    def _scaled(self, price: Price) -> Price:
        if self._scale == (1, 1):
            return price
        tiers = tuple(PriceTier(tier.above_input_tokens, _scale(tier.rates, self._scale)) for tier in price.tiers)
        return Price(_scale(price.rates, self._scale), tiers, price.version + self._suffix)


def load_price_book(data_dir: Path | None = None, multiplier: str = "1") -> PriceBook:
    """Return the book of the compiled table and, where ``data_dir`` holds one, the operator's override.

    Raises:
        InvalidPriceTableError: the override cannot be read; the compiled table is known to be good.
        ValueError: ``multiplier`` is not a decimal above zero.
    """
    tables = [compiled_table()]
    override = None if data_dir is None else data_dir / OVERRIDE_FILE
    if override is not None and override.is_file():
        tables.insert(0, check_table(override.read_bytes()))
    return PriceBook(tables, multiplier)


def compiled_table() -> PriceTable:
    """Return the table inside the package."""
    return parse_table(resources.files("headgate.catalog").joinpath("data", "catalog.json").read_bytes())


def install_override(data: bytes, data_dir: Path) -> PriceTable:
    """Check a table and put it into ``data_dir``, whole or not at all; return it.

    Raises:
        InvalidPriceTableError: the table is wrong; what was installed before stays.
        OSError: the directory cannot be written.
    """
    table = check_table(data)
    data_dir.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=data_dir, prefix=OVERRIDE_FILE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, data_dir / OVERRIDE_FILE)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return table


def _parse_multiplier(text: str) -> tuple[int, int]:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a decimal") from error
    # The bound keeps "1e999999" from becoming an integer of a million digits.
    if not value.is_finite() or not Decimal("0.000001") <= value <= 1000:
        raise ValueError(f"a price multiplier lies between 0.000001 and 1000, not {text!r}")
    return value.as_integer_ratio()


def _scale(rates: Rates, scale: tuple[int, int]) -> Rates:
    numerator, denominator = scale

    def up(rate: int | None) -> int | None:
        return None if rate is None else -(-rate * numerator // denominator)

    return Rates(
        input=-(-rates.input * numerator // denominator),
        output=-(-rates.output * numerator // denominator),
        cached_input=up(rates.cached_input),
        cache_write=up(rates.cache_write),
        input_audio=up(rates.input_audio),
        output_audio=up(rates.output_audio),
    )
