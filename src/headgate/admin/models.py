"""What clients may send as ``model``: each alias, the provider behind it, its price and its capabilities."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.domain.access import Permission
from headgate.domain.catalog import Capabilities, Price, Rates
from headgate.domain.money import format_usd
from headgate.domain.routing import Strategy
from headgate.routing.health import Healths, HealthView
from headgate.routing.table import Deployment, Route


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


class DeploymentView(Struct, frozen=True):
    """One target of an alias, and how it is doing."""

    name: str
    provider: str
    upstream_model: str
    credential: str
    """The name of the provider's credential; empty where it has one without a name."""
    weight: int
    priority: int
    region: str | None
    jurisdiction: str | None
    retention_days: int | None
    trains: bool | None
    price: PriceView | None
    """Null where none is known."""
    health: HealthView | None
    """Null for a glob, whose deployments are known only once a name is sent."""


class FallbacksView(Struct, frozen=True):
    """Aliases that are tried where the alias' own deployments have failed, by what went wrong."""

    error: tuple[str, ...]
    context_length: tuple[str, ...]
    content_filter: tuple[str, ...]


class ModelView(Struct, frozen=True):
    """One alias. ``off`` says why it leads nowhere at present. Provider to capabilities are its first deployment's."""

    id: str
    strategy: Strategy
    use: str | None
    """The alias that this one stands for."""
    rules: tuple[str, ...]
    """The aliases that its rules lead to."""
    fallbacks: FallbacksView
    deployments: tuple[DeploymentView, ...]
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


def view(route: Route, healths: Healths) -> ModelView:
    """Return ``route`` as the API shows it."""
    target = route.deployments[0] if route.deployments else None
    known = route.fallbacks
    return ModelView(
        id=route.name,
        strategy=route.strategy,
        use=route.use,
        rules=tuple(rule.use for rule in route.rules),
        fallbacks=FallbacksView(known.error, known.context_length, known.content_filter),
        deployments=_deployments(route, healths),
        provider=target.provider if target else None,
        upstream_model=target.upstream_model if target else None,
        region=target.region if target else None,
        off=route.off,
        price=_price(target.price) if target and target.price else None,
        capabilities=target.capabilities if target else None,
        sandbox=target.is_sandbox if target else False,
    )


def _deployments(route: Route, healths: Healths) -> tuple[DeploymentView, ...]:
    is_glob = "*" in route.name
    found: Sequence[HealthView | None] = [None] * len(route.deployments) if is_glob else healths(route.deployments)
    return tuple(_deployment(each, health) for each, health in zip(route.deployments, found, strict=True))


def _deployment(deployment: Deployment, health: HealthView | None) -> DeploymentView:
    handling = deployment.handling
    return DeploymentView(
        name=deployment.name,
        provider=deployment.provider,
        upstream_model=deployment.upstream_model,
        credential=deployment.credential,
        weight=deployment.weight,
        priority=deployment.priority,
        region=deployment.region,
        jurisdiction=handling.jurisdiction,
        retention_days=handling.retention_days,
        trains=handling.trains,
        price=_price(deployment.price) if deployment.price else None,
        health=health,
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
    return ModelList(tuple(view(route, call.site.healths) for route in call.site.snapshots.current.routes.routes))


ENDPOINTS: Final = (
    Endpoint(
        name="list_models",
        method="GET",
        path=f"{ROOT}/models",
        permission=Permission.MODELS_READ,
        handler=_list,
        summary="List model aliases, with their deployments and how each is doing.",
        response=ModelList,
    ),
)
