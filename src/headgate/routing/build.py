"""Settings, providers and prices → the route table."""

import re
from collections.abc import Mapping
from fnmatch import translate

from msgspec.structs import replace

from headgate.catalog.book import PriceBook
from headgate.catalog.cost import FREE
from headgate.domain.catalog import Capabilities, Price
from headgate.domain.routing import DataHandling, Strategy
from headgate.providers.provider import Provider
from headgate.providers.sandbox import SANDBOX_PRICE
from headgate.routing.table import SANDBOX, Balance, Deployment, Fallbacks, Route, RouteTable, Rule
from headgate.settings.model import (
    BalanceSettings,
    DeploymentSettings,
    ModelSettings,
    ProviderSettings,
    RuleSettings,
    Settings,
)


def build_routes(
    settings: Settings, providers: Mapping[str, Provider], off: Mapping[str, str], prices: PriceBook
) -> RouteTable:
    """Return the table of every alias.

    Deployments whose provider is ``off`` are left out; an alias that has none left says why. A deployment of a
    provider with several credentials becomes one for each.
    """

    def deployments(target: DeploymentSettings) -> tuple[Deployment, ...]:
        stated = FREE if target.price_free else target.price
        described = describe(settings, providers[target.provider], prices, target.model)
        return tuple(_stated(each, target, stated) for each in described)

    def route(model: ModelSettings) -> Route:
        on = tuple(each for target in model.deployments if target.provider not in off for each in deployments(target))
        reason = None if on or model.use is not None else off[model.deployments[0].provider]
        return Route(
            name=model.alias,
            deployments=on,
            off=reason,
            strategy=model.strategy,
            fallbacks=Fallbacks(
                error=model.fallbacks.error,
                context_length=model.fallbacks.context_length,
                content_filter=model.fallbacks.content_filter,
            ),
            balance=_balance(model.balance) if model.strategy is Strategy.BALANCED else None,
            rules=tuple(map(_rule, model.rules)),
            use=model.use,
        )

    return RouteTable(
        map(route, settings.models),
        providers,
        lambda provider, model: describe(settings, providers[provider], prices, model),
    )


def describe(settings: Settings, provider: Provider, prices: PriceBook, model: str) -> tuple[Deployment, ...]:
    """Return the deployments of a provider's model, one for each of its credentials.

    The price is, in this order: nothing where the provider says ``price: free``, the sandbox's own, the catalogue's,
    nothing for servers of the operator's own, and the dearest known one where ``prices.unpriced`` is ``ceiling``; else
    there is none.
    """
    vendor = provider.vendor
    is_sandbox = vendor.kind == SANDBOX
    price: Price | None = None
    capabilities = Capabilities()
    if vendor.price_provider is not None:
        finding = prices.find(vendor.price_provider, model)
        price, capabilities = finding.price, finding.capabilities
    stated = _settings_of(settings.providers, provider.name)
    if stated is not None and stated.price_free:
        price = FREE
    elif is_sandbox:
        price = SANDBOX_PRICE
    elif price is None and vendor.local:
        price = FREE
    elif price is None and settings.prices.unpriced == "ceiling":
        price = prices.ceiling()
    handling = DataHandling() if stated is None else stated.handling
    return tuple(
        Deployment(
            provider=provider.name,
            upstream_model=model,
            price=price,
            capabilities=capabilities,
            region=handling.region,
            is_sandbox=is_sandbox,
            credential=credential.name,
            weight=credential.weight,
            handling=handling,
        )
        for credential in provider.credentials
    )


def _stated(described: Deployment, target: DeploymentSettings, price: Price | None) -> Deployment:
    """Return ``described`` with what the configuration states of the deployment itself."""
    own, shared = target.handling, described.handling
    region = target.region or described.region
    return replace(
        described,
        price=described.price if price is None else price,
        is_price_stated=price is not None,
        region=region,
        weight=target.weight * described.weight,
        priority=target.priority,
        rpm=target.rpm,
        tpm=target.tpm,
        handling=DataHandling(
            region=region,
            jurisdiction=shared.jurisdiction if own.jurisdiction is None else own.jurisdiction,
            retention_days=shared.retention_days if own.retention_days is None else own.retention_days,
            trains=shared.trains if own.trains is None else own.trains,
        ),
    )


def _balance(settings: BalanceSettings) -> Balance:
    whole = settings.cost + settings.latency + settings.capacity + settings.affinity
    return Balance(
        settings.cost / whole, settings.latency / whole, settings.capacity / whole, settings.affinity / whole
    )


def _rule(settings: RuleSettings) -> Rule:
    when = settings.when
    return Rule(
        use=settings.use,
        tags=tuple((name, _glob(value)) for name, value in when.tags),
        user=None if when.user is None else _glob(when.user),
        input_tokens_above=when.input_tokens_above,
        input_tokens_below=when.input_tokens_below,
    )


def _glob(text: str) -> re.Pattern[str]:
    return re.compile(translate(text))


def _settings_of(settings: tuple[ProviderSettings, ...], name: str) -> ProviderSettings | None:
    return next((each for each in settings if each.name == name), None)
