"""The shape of a price table: the file compiled into the package, and the override an operator installs.

```json
{"source": "genai-prices", "package_version": "0.2.3", "as_of": "2026-11-23",
 "ceiling": {"input": 1, "output": 1},
 "providers": {"openai": {"fallback": [], "models": [
    {"id": "gpt-4o", "match": {"or": [{"equals": "gpt-4o"}, {"starts_with": "gpt-4o-2024"}]},
     "rates": {"input": 2500000000, "output": 10000000000, "cached_input": 1250000000}}]}}}
```

Rates are nano-USD per million tokens. Models are tried in their order and the first whose rule matches is taken. A
model without ``rates`` says in ``unpriced`` why it has none.
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from headgate.domain.catalog import Capabilities, Price, PriceTier, Rates


class InvalidPriceTableError(ValueError):
    """A price table that cannot be read; the message says where it is wrong."""


_MATCH_NAMES: Final = {"any_of": "or", "all_of": "and"}


class Match(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, rename=_MATCH_NAMES):
    """A rule on a lower-cased model name; exactly one member is set. Texts other than ``regex`` are lower case."""

    equals: str | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    regex: str | None = None
    any_of: tuple["Match", ...] | None = None
    all_of: tuple["Match", ...] | None = None

    def matches(self, model: str) -> bool:
        """Whether the rule holds for ``model``, which is lower case."""
        if self.equals is not None:
            return model == self.equals
        if self.any_of is not None:
            return any(rule.matches(model) for rule in self.any_of)
        if self.starts_with is not None:
            return model.startswith(self.starts_with)
        if self.ends_with is not None:
            return model.endswith(self.ends_with)
        if self.contains is not None:
            return self.contains in model
        if self.regex is not None:
            return re.search(self.regex, model) is not None
        return bool(self.all_of) and all(rule.matches(model) for rule in self.all_of or ())


class Variant(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Prices that hold instead where the request asks for another kind of processing."""

    when: dict[str, str]
    """E.g. ``{"service_tier": "flex"}`` or ``{"processing": "batch"}``; all must hold."""
    rates: Rates | None = None
    tiers: tuple[PriceTier, ...] = ()
    unpriced: str | None = None


class ModelRow(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One model of one provider."""

    id: str
    match: Match | None = None
    """``None``: the name equals ``id``."""
    rates: Rates | None = None
    tiers: tuple[PriceTier, ...] = ()
    variants: tuple[Variant, ...] = ()
    unpriced: str | None = None
    """Why there are no ``rates``."""
    note: str | None = None
    """Where the rates err, and in which direction (always upwards)."""
    also_charged: tuple[str, ...] = ()
    """Charges beside tokens that a request may cause, e.g. ``web_searches``; not part of any cost."""
    cache_write_1h: int | None = None
    """The rate of cache writes that live an hour, where it differs from the usual one."""
    context_window: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()

    def matches(self, model: str) -> bool:
        """Whether this row is about ``model``, which is lower case."""
        return self.match.matches(model) if self.match is not None else model == self.id.lower()

    def capabilities(self) -> Capabilities:
        """What the row says the model can do."""
        return Capabilities(
            context_window=self.context_window,
            max_output_tokens=self.max_output_tokens,
            input_modalities=self.input_modalities,
            output_modalities=self.output_modalities,
        )


class ProviderTable(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """All models of one provider."""

    models: tuple[ModelRow, ...]
    fallback: tuple[str, ...] = ()
    """Providers whose models are looked up next, e.g. OpenAI's for Azure; one step only."""


class PriceTable(Struct, frozen=True):
    """A whole table, its providers not yet decoded: a gateway looks at two or three of them."""

    source: str
    package_version: str
    as_of: str
    """The day for which prices that change by date were resolved."""
    providers: dict[str, msgspec.Raw]
    ceiling: Rates | None = None
    """The dearest rate of each kind; worked out from the rows where the file does not say."""

    @property
    def version(self) -> str:
        """The word on every record that was priced from this table."""
        return f"{self.source} {self.package_version} ({self.as_of})"


def parse_table(data: bytes) -> PriceTable:
    """Decode the outside of a table; `decode_provider` reads one provider of it.

    Raises:
        InvalidPriceTableError: not JSON, or not of this shape.
    """
    try:
        return msgspec.json.decode(data, type=PriceTable)
    except msgspec.MsgspecError as error:
        raise InvalidPriceTableError(str(error)) from error


def decode_provider(table: PriceTable, provider: str) -> ProviderTable | None:
    """Decode one provider of ``table``, ``None`` where it has no such provider.

    Raises:
        InvalidPriceTableError: a row is not of this shape.
    """
    raw = table.providers.get(provider)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=ProviderTable)
    except msgspec.MsgspecError as error:
        raise InvalidPriceTableError(f"providers.{provider}: {error}") from error


def check_table(data: bytes) -> PriceTable:
    """Decode all of a table and check what types cannot say: no negative rate, tiers that rise, rules that compile.

    Raises:
        InvalidPriceTableError: with the provider and the model that are wrong.
    """
    table = parse_table(data)
    if not table.source.strip() or not table.package_version.strip() or not table.as_of.strip():
        raise InvalidPriceTableError("source, package_version and as_of must say where the prices come from")
    for name in table.providers:
        rows = decode_provider(table, name)
        assert rows is not None
        for row in rows.models:
            try:
                _check_row(row)
            except ValueError as error:
                raise InvalidPriceTableError(f"providers.{name}, model {row.id!r}: {error}") from error
    return table


def _check_row(row: ModelRow) -> None:
    if (row.rates is None) == (row.unpriced is None):
        raise ValueError("a model has either rates or a reason in unpriced")
    if row.match is not None:
        _check_match(row.match)
    _check_rates(row.rates, row.tiers)
    for variant in row.variants:
        if not variant.when or (variant.rates is None) == (variant.unpriced is None):
            raise ValueError("a variant says when it holds, and has either rates or a reason in unpriced")
        _check_rates(variant.rates, variant.tiers)


def _check_match(match: Match) -> None:
    members = [getattr(match, name) for name in match.__struct_fields__]
    if sum(member is not None for member in members) != 1:
        raise ValueError("a match rule has exactly one member")
    for text in (match.equals, match.starts_with, match.ends_with, match.contains):
        if text is not None and text != text.lower():
            raise ValueError(f"a match rule is in lower case, not {text!r}")
    if match.regex is not None:
        try:
            re.compile(match.regex)
        except re.error as error:
            raise ValueError(f"the regex {match.regex!r} does not compile: {error}") from error
    for rule in (*(match.any_of or ()), *(match.all_of or ())):
        _check_match(rule)


def _check_rates(rates: Rates | None, tiers: tuple[PriceTier, ...]) -> None:
    if tiers and rates is None:
        raise ValueError("tiers need rates")
    below = -1
    for tier in tiers:
        if tier.above_input_tokens <= below:
            raise ValueError("tiers must rise")
        below = tier.above_input_tokens
    for each in (rates, *(tier.rates for tier in tiers)):
        if each is not None and any(value is not None and value < 0 for value in _values(each)):
            raise ValueError("a rate is negative")


def _values(rates: Rates) -> tuple[int | None, ...]:
    return tuple(getattr(rates, name) for name in rates.__struct_fields__)


def dearest(rates: list[Rates]) -> Rates | None:
    """Return the dearest rate of each kind; a kind counts as its total's rate where it has none of its own.

    The parts of the result are at least their total's rate, so a bill at these rates is never below a real one.
    """
    if not rates:
        return None
    top_input = max(rate.input for rate in rates)
    top_output = max(rate.output for rate in rates)
    return Rates(
        input=top_input,
        output=top_output,
        cached_input=max(top_input, *(rate.cached_input or 0 for rate in rates)),
        cache_write=max(top_input, *(rate.cache_write or 0 for rate in rates)),
        input_audio=max(top_input, *(rate.input_audio or 0 for rate in rates)),
        output_audio=max(top_output, *(rate.output_audio or 0 for rate in rates)),
    )


def rates_of(rows: tuple[ModelRow, ...]) -> list[Rates]:
    """Return every rate of the rows, tiers and variants included."""
    found: list[Rates] = []
    for row in rows:
        for holder in (row, *row.variants):
            if holder.rates is not None:
                found.append(holder.rates)
                found.extend(tier.rates for tier in holder.tiers)
    return found


def price_of(row: ModelRow | Variant, version: str) -> Price | None:
    """Return the row's price under the table's ``version``, ``None`` where it is unpriced."""
    return None if row.rates is None else Price(rates=row.rates, tiers=row.tiers, version=version)
