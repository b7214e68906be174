"""Settings, providers and prices → the route table."""

from collections.abc import Mapping

from msgspec.structs import replace

from headgate.catalog.book import PriceBook
from headgate.catalog.cost import FREE
from headgate.domain.catalog import Capabilities, Price
from headgate.providers.provider import Provider
from headgate.providers.sandbox import SANDBOX_PRICE
from headgate.routing.table import SANDBOX, Alias, Deployment, RouteTable
from headgate.settings.model import DeploymentSettings, ProviderSettings, Settings


def build_routes(
    settings: Settings, providers: Mapping[str, Provider], off: Mapping[str, str], prices: PriceBook
) -> RouteTable:
    """Return the table of every alias; those whose provider is ``off`` answer with the reason."""

    def alias(name: str, target: DeploymentSettings) -> Alias:
        if target.provider in off:
            return Alias(name, None, off[target.provider])
        deployment = describe(settings, providers[target.provider], prices, target.model, target.region)
        stated = FREE if target.price_free else target.price
        if stated is not None:
            deployment = replace(deployment, price=stated, is_price_stated=True)
        return Alias(name, deployment)

    return RouteTable(
        [alias(each.alias, each.deployments[0]) for each in settings.models],
        providers,
        lambda provider, model, region: describe(settings, providers[provider], prices, model, region),
    )


def describe(
    settings: Settings, provider: Provider, prices: PriceBook, model: str, region: str | None = None
) -> Deployment:
    """Return the deployment of a provider's model.

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
    if _is_free(settings.providers, provider.name):
        price = FREE
    elif is_sandbox:
        price = SANDBOX_PRICE
    elif price is None and vendor.local:
        price = FREE
    elif price is None and settings.prices.unpriced == "ceiling":
        price = prices.ceiling()
    return Deployment(
        provider=provider.name,
        upstream_model=model,
        price=price,
        capabilities=capabilities,
        region=region,
        is_sandbox=is_sandbox,
    )


def _is_free(settings: tuple[ProviderSettings, ...], name: str) -> bool:
    return any(each.name == name and each.price_free for each in settings)
