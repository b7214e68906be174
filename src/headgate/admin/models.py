"""What clients may send as ``model``: each alias, the provider behind it, its price and its capabilities."""

from typing import Final

from msgspec import Struct

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.domain.access import Permission
from headgate.domain.catalog import Capabilities, Price, Rates
from headgate.domain.money import format_usd
from headgate.routing.table import Route


class RatesView(Struct, frozen=True):
    """USD per million tokens; null where no rate is published for that kind."""

    input_per_mtok: str
    output_per_mtok: str
    cached_input_per_mtok: str | None
    cache_write_per_mtok: str | None
    input_audio_per_mtok: str | None
    output_audio_per_mtok: str | None


class TierView(Struct, frozen=True):
    """Rates for a whole request whose input is larger than ``above_input_tokens``."""

    above_input_tokens: int
    rates: RatesView


class PriceView(Struct, frozen=True):
    """A price, and the table that says so."""

    version: str
    rates: RatesView
    tiers: tuple[TierView, ...]


class ModelView(Struct, frozen=True):
    """One route. ``off`` says why it leads nowhere at present; ``price`` is null where none is known."""

    id: str
    provider: str | None
    upstream_model: str | None
    region: str | None
    off: str | None
    price: PriceView | None
    capabilities: Capabilities | None
    sandbox: bool


class ModelList(Struct, frozen=True):
    """Every alias, in the order of the configuration file."""

    data: tuple[ModelView, ...]
    next_cursor: str | None = None


def view(route: Route) -> ModelView:
    """Return ``route`` as the API shows it."""
    target = route.deployments[0] if route.deployments else None
    return ModelView(
        id=route.name,
        provider=target.provider if target else None,
        upstream_model=target.upstream_model if target else None,
        region=target.region if target else None,
        off=route.off,
        price=_price(target.price) if target and target.price else None,
        capabilities=target.capabilities if target else None,
        sandbox=target.is_sandbox if target else False,
    )


def _price(price: Price) -> PriceView:
    tiers = tuple(TierView(tier.above_input_tokens, _rates(tier.rates)) for tier in price.tiers)
    return PriceView(price.version, _rates(price.rates), tiers)


def _rates(rates: Rates) -> RatesView:
    return RatesView(
        input_per_mtok=format_usd(rates.input),
        output_per_mtok=format_usd(rates.output),
        cached_input_per_mtok=_usd(rates.cached_input),
        cache_write_per_mtok=_usd(rates.cache_write),
        input_audio_per_mtok=_usd(rates.input_audio),
        output_audio_per_mtok=_usd(rates.output_audio),
    )


def _usd(rate: int | None) -> str | None:
    return None if rate is None else format_usd(rate)


def _list(call: Call[None, None]) -> ModelList:
    return ModelList(tuple(map(view, call.site.snapshots.current.routes.routes)))


ENDPOINTS: Final = (
    Endpoint(
        name="list_models",
        method="GET",
        path=f"{ROOT}/models",
        permission=Permission.MODELS_READ,
        handler=_list,
        summary="List model aliases.",
        response=ModelList,
    ),
)
