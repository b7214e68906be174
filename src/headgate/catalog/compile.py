"""Compile the ``genai-prices`` package into ``catalog/data/catalog.json``: ``python -m headgate.catalog.compile``.

A build-time tool: nothing else imports ``genai_prices``, and nothing is fetched. Decimals become nano-USD per million
tokens (rounded up where a converted currency has more digits); prices that change by date are resolved for one day;
prices that change by the hour are taken at their dearest. What integers per token cannot express leaves the model
*unpriced* with the reason, never at zero and never at its standard price.
"""

import argparse
import datetime
import importlib.metadata
import sys
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from genai_prices import data, types

from headgate.catalog.table import Match, ModelRow, ProviderTable, Variant, dearest, rates_of
from headgate.domain.catalog import PriceTier, Rates
from headgate.domain.money import NANO_PER_USD

PACKAGE: Final = "genai-prices"
OUTPUT: Final = Path(__file__).parent / "data" / "catalog.json"
CAPABILITIES: Final = Path(__file__).parent / "data" / "capabilities.json"
"""What the package does not know: maxima of output tokens and modalities, kept by hand with their source."""

Prices = Mapping[str, Decimal | types.TieredPrices]

_KINDS: Final = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
}
# Charges per use of a server-side tool: they come beside the tokens, so the tokens can be priced all the same.
_BESIDE: Final = {
    "web_searches_kcount": "web_searches",
    "social_searches_kcount": "social_searches",
    "storage_searches_kcount": "storage_searches",
    "code_executions_kcount": "code_executions",
}
# Kinds that `TokenUsage` does not tell apart, with the kind they are billed as; allowed only where that errs upwards.
_BILLED_AS: Final = {
    "cache_audio_read_mtok": "input_audio_mtok",
    "cache_image_read_mtok": "input_mtok",
    "input_text_mtok": "input_mtok",
    "input_image_mtok": "input_mtok",
    "input_video_mtok": "input_mtok",
    "output_text_mtok": "output_mtok",
    "output_image_mtok": "output_mtok",
    "output_video_mtok": "output_mtok",
    "output_reasoning_mtok": "output_mtok",
    "output_citation_mtok": "output_mtok",
}
_HOUR_WRITE: Final = "cache_write_1h_mtok"
# Models that make vectors or scores and no tokens; for any other model a missing output rate is not a price of nothing.
_NO_OUTPUT: Final = ("embed", "bge-", "gte-", "voyage-", "rerank")
_NOTE_HOUR: Final = "the price changes by the hour; the dearest is taken"
_NOTE_KINDS: Final = "billed at the rate of the total: {}"


class _Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    max_output_tokens: int
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]


class _CapabilityFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    providers: dict[str, dict[str, _Known]]


class InexpressibleError(ValueError):
    """A price that integers per token cannot express."""


def compile_catalog(as_of: datetime.date) -> bytes:
    """Return the file's bytes for the prices that hold on ``as_of``; equal inputs give equal bytes."""
    providers: dict[str, Any] = {}
    found: list[Rates] = []
    known = msgspec.json.decode(CAPABILITIES.read_bytes(), type=_CapabilityFile).providers
    for source in sorted(data.providers, key=lambda provider: provider.id):
        rows = _with_capabilities(
            tuple(_row(source, model, as_of) for model in source.models), known.pop(source.id, {})
        )
        found.extend(rates_of(rows))
        table = ProviderTable(models=rows, fallback=tuple(source.fallback_model_providers or ()))
        providers[source.id] = _without_nulls(msgspec.to_builtins(table))
    head = {
        "source": PACKAGE,
        "package_version": importlib.metadata.version(PACKAGE),
        "as_of": as_of.isoformat(),
        "ceiling": _without_nulls(msgspec.to_builtins(dearest(found))),
    }
    if known:
        raise ValueError(f"{CAPABILITIES.name} names providers that the package does not have: {', '.join(known)}")
    # One model a line: a new version of the package then shows as a readable difference.
    parts = [msgspec.json.encode(head)[:-1] + b',"providers":{']
    for index, (name, table) in enumerate(providers.items()):
        models = b",\n".join(msgspec.json.encode(row) for row in table.pop("models"))
        outside = msgspec.json.encode(table)[1:-1]
        parts.append((b",\n" if index else b"\n") + msgspec.json.encode(name) + b":{" + outside)
        parts.append((b"," if outside else b"") + b'"models":[\n' + models + b"\n]}")
    parts.append(b"\n}}\n")
    return b"".join(parts)


def _with_capabilities(rows: tuple[ModelRow, ...], known: dict[str, _Known]) -> tuple[ModelRow, ...]:
    unknown = known.keys() - {row.id for row in rows}
    if unknown:
        raise ValueError(f"{CAPABILITIES.name} names models that the package does not have: {', '.join(unknown)}")
    return tuple(
        msgspec.structs.replace(row, **msgspec.structs.asdict(known[row.id])) if row.id in known else row
        for row in rows
    )


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        members = cast(dict[str, Any], value)
        return {name: _without_nulls(member) for name, member in members.items() if member is not None}
    if isinstance(value, (list, tuple)):
        return [_without_nulls(member) for member in cast(list[Any], value)]
    return value


def _row(provider: types.Provider, model: types.ModelInfo, as_of: datetime.date) -> ModelRow:
    match = _match(model.match)
    prices, hourly = _resolve(model.prices, as_of)
    row = ModelRow(
        id=model.id,
        match=None if match == Match(equals=model.id.lower()) else match,
        context_window=model.context_window,
        also_charged=tuple(sorted(_BESIDE[key] for key in prices if key in _BESIDE)),
        cache_write_1h=_hour_write(prices),
    )
    try:
        rates, tiers, note = _rates(provider.id, model.id, prices)
    except InexpressibleError as error:
        return msgspec.structs.replace(row, unpriced=str(error))
    notes = [text for text in (_NOTE_HOUR if hourly else None, note) if text]
    return msgspec.structs.replace(
        row,
        rates=rates,
        tiers=tiers,
        note="; ".join(notes) or None,
        variants=_variants(provider.id, model, prices, as_of),
    )


def _resolve(prices: types.ModelPrice | list[types.ConditionalPrice], as_of: datetime.date) -> tuple[Prices, bool]:
    """Return the prices of the day, and whether they are the dearest of several hours."""
    if isinstance(prices, types.ModelPrice):
        return _set_prices(prices), False
    standing = prices[0].prices
    hours: list[types.ModelPrice] = []
    for conditional in prices:
        constraint = conditional.constraint
        if isinstance(constraint, types.TimeOfDateConstraint):
            hours.append(conditional.prices)
        elif constraint is None or constraint.start_date <= as_of:
            standing = conditional.prices
    candidates = [_set_prices(price) for price in (standing, *hours)]
    return max(candidates, key=lambda each: _at(each.get("output_mtok", Decimal(0)), 0)), bool(hours)


def _set_prices(prices: types.ModelPrice) -> Prices:
    members = cast(dict[str, Decimal | types.TieredPrices | None], vars(prices))
    return {key: value for key, value in members.items() if value is not None}


def _variants(provider: str, model: types.ModelInfo, standard: Prices, as_of: datetime.date) -> tuple[Variant, ...]:
    rows: list[Variant] = []
    for variant in model.price_variants or ():
        constraint = variant.constraint
        if isinstance(constraint, types.StartDateConstraint) and constraint.start_date > as_of:
            continue
        if variant.when == {"service_tier": "default"}:
            continue
        try:
            rates, tiers, _ = _rates(provider, model.id, {**standard, **_set_prices(variant.prices)})
        except InexpressibleError as error:
            rows.append(Variant(when=variant.when, unpriced=str(error)))
        else:
            rows.append(Variant(when=variant.when, rates=rates, tiers=tiers))
    return tuple(rows)


def _rates(provider: str, model: str, prices: Prices) -> tuple[Rates, tuple[PriceTier, ...], str | None]:
    if not prices and provider == "openrouter" and model.endswith(":free"):
        return Rates(input=0, output=0), (), None
    if not prices:
        raise InexpressibleError("no rate is published")
    strange = sorted(key for key in prices if key not in {*_KINDS, *_BESIDE, *_BILLED_AS, _HOUR_WRITE})
    if strange:
        raise InexpressibleError(f"billed by other units than tokens: {', '.join(strange)}")
    if "input_mtok" not in prices:
        raise InexpressibleError("no input rate is published")
    if "output_mtok" not in prices and not any(word in model.lower() for word in _NO_OUTPUT):
        raise InexpressibleError("no output rate is published")
    starts = sorted(
        {tier.start for value in prices.values() if isinstance(value, types.TieredPrices) for tier in value.tiers}
    )
    billed_as_total = sorted(key for key in prices if key in _BILLED_AS)
    for key in billed_as_total:
        for start in (0, *starts):
            total = prices.get(_BILLED_AS[key])
            if total is None or _at(prices[key], start + 1) > _at(total, start + 1):
                raise InexpressibleError(f"{key} is dearer than the kind that usage reports")
    note = _NOTE_KINDS.format(", ".join(billed_as_total)) if billed_as_total else None
    tiers = tuple(PriceTier(above_input_tokens=start, rates=_rates_at(prices, start + 1)) for start in starts)
    return _rates_at(prices, 0), tiers, note


def _rates_at(prices: Prices, input_tokens: int) -> Rates:
    integers = {name: _nano(_at(prices[key], input_tokens)) for key, name in _KINDS.items() if key in prices}
    integers.setdefault("output", 0)
    return Rates(**integers)


def _at(price: Decimal | types.TieredPrices, input_tokens: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    holding = price.base
    for tier in price.tiers:
        if input_tokens > tier.start:
            holding = tier.price
    return holding


def _nano(usd: Decimal) -> int:
    return int((usd * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING))


def _hour_write(prices: Prices) -> int | None:
    price = prices.get(_HOUR_WRITE)
    return None if price is None else _nano(_at(price, 0))


def _match(clause: Any) -> Match:
    match clause:
        case types.ClauseEquals(equals=text):
            return Match(equals=text.lower())
        case types.ClauseStartsWith(starts_with=text):
            return Match(starts_with=text.lower())
        case types.ClauseEndsWith(ends_with=text):
            return Match(ends_with=text.lower())
        case types.ClauseContains(contains=text):
            return Match(contains=text.lower())
        case types.ClauseRegex(regex=text):
            return Match(regex=text)
        case types.ClauseOr(or_=clauses):
            return Match(any_of=tuple(_match(each) for each in clauses))
        case types.ClauseAnd(and_=clauses):
            return Match(all_of=tuple(_match(each) for each in clauses))
        case _:
            raise TypeError(f"genai-prices has a new kind of match rule: {type(clause).__name__}")


def main(arguments: list[str] | None = None) -> None:
    """Write the file; ``--as-of`` takes another day than today, ``--output`` another place."""
    parser = argparse.ArgumentParser(prog="python -m headgate.catalog.compile", description=__doc__)
    today = datetime.datetime.now(datetime.UTC).date()
    parser.add_argument("--as-of", type=datetime.date.fromisoformat, default=today)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    body = compile_catalog(options.as_of)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(body)
    sys.stdout.write(f"{options.output}: {len(body)} bytes\n")


if __name__ == "__main__":
    main()
