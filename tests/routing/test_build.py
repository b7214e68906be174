"""Settings, providers and prices → deployments with their price."""

import pytest

from headgate.catalog.book import PriceBook, load_price_book
from headgate.catalog.cost import FREE
from headgate.domain.catalog import Price, Rates
from headgate.domain.errors import ModelNotFoundError
from headgate.domain.routing import DataHandling, Strategy
from headgate.providers.build import build_provider
from headgate.providers.provider import Provider
from headgate.providers.sandbox import SANDBOX_PRICE
from headgate.routing.build import build_routes
from headgate.routing.plan import DEFAULT_BALANCE
from headgate.routing.table import RouteTable
from headgate.settings.model import (
    BalanceSettings,
    CredentialSettings,
    DeploymentSettings,
    FallbackSettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    RuleSettings,
    Secret,
    Settings,
    TimeoutSettings,
    WhenSettings,
)

STATED = Price(Rates(input=1, output=2), version="configuration")
OPENAI = ProviderSettings(name="openai", kind="openai", credential=Secret("sk-test"))
VLLM = ProviderSettings(name="vllm", kind="vllm", base_url="http://127.0.0.1:9/v1", allow_private_network=True)
SANDBOX = ProviderSettings(name="sandbox", kind="sandbox")


@pytest.fixture(scope="module")
def prices() -> PriceBook:
    return load_price_book()


def routes_of(
    prices: PriceBook, *models: ModelSettings, unpriced: str = "refuse", free: bool = False, off: bool = False
) -> RouteTable:
    openai = ProviderSettings(name="openai", kind="openai", credential=Secret("sk-test"), price_free=free)
    settings = Settings(providers=(openai, VLLM, SANDBOX), models=models, prices=PriceSettings(unpriced=unpriced))
    providers: dict[str, Provider] = {
        each.name: build_provider(each, TimeoutSettings(), {})
        for each in settings.providers
        if not (off and each.name == "openai")
    }
    return build_routes(settings, providers, {"openai": "no credential"} if off else {}, prices)


def alias(name: str, provider: str, model: str, **changes: object) -> ModelSettings:
    return ModelSettings(name, (DeploymentSettings(provider=provider, model=model, **changes),))  # type: ignore[arg-type]


def test_the_catalogue_prices_a_known_model(prices: PriceBook) -> None:
    deployment = routes_of(prices, alias("fast", "openai", "gpt-4o")).resolve("fast").deployments[0]
    assert deployment.price is not None
    assert deployment.price.rates.input == 2_500_000_000
    assert deployment.capabilities.context_window == 128_000


def test_a_stated_price_wins(prices: PriceBook) -> None:
    assert (
        routes_of(prices, alias("fast", "openai", "gpt-4o", price=STATED)).resolve("fast").deployments[0].price
        == STATED
    )


def test_a_stated_price_of_a_glob_holds_for_what_it_leads_to(prices: PriceBook) -> None:
    routes = routes_of(prices, alias("own-*", "openai", "*", price=STATED))
    assert routes.resolve("own-gpt-4o").deployments[0].price == STATED


def test_a_glob_without_a_price_asks_the_catalogue_for_each_model(prices: PriceBook) -> None:
    deployment = routes_of(prices, alias("o-*", "openai", "*")).resolve("o-gpt-4o").deployments[0]
    assert deployment.upstream_model == "gpt-4o"
    assert deployment.price is not None
    assert deployment.price.rates.output == 10_000_000_000


def test_free_is_known_and_nothing(prices: PriceBook) -> None:
    assert routes_of(prices, free=True).resolve("openai/gpt-4o").deployments[0].price == FREE
    assert routes_of(prices, alias("fast", "openai", "x", price_free=True)).resolve("fast").deployments[0].price == FREE


def test_the_operators_own_servers_are_free_unless_priced(prices: PriceBook) -> None:
    assert routes_of(prices).resolve("vllm/anything").deployments[0].price == FREE
    assert routes_of(prices, alias("q", "vllm", "qwen", price=STATED)).resolve("q").deployments[0].price == STATED


def test_an_unknown_model_has_no_price_or_the_dearest(prices: PriceBook) -> None:
    assert routes_of(prices).resolve("openai/unheard-of").deployments[0].price is None
    assert routes_of(prices, unpriced="ceiling").resolve("openai/unheard-of").deployments[0].price == prices.ceiling()


def test_the_sandbox_has_its_own_price_and_is_marked(prices: PriceBook) -> None:
    deployment = routes_of(prices, alias("sandbox/*", "sandbox", "*")).resolve("sandbox/echo").deployments[0]
    assert (deployment.price, deployment.is_sandbox, deployment.upstream_model) == (SANDBOX_PRICE, True, "echo")


def test_an_alias_whose_provider_is_off_says_so(prices: PriceBook) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        routes_of(prices, alias("fast", "openai", "gpt-4o"), off=True).resolve("fast")
    assert caught.value.reason == "no credential"


def test_a_deployment_becomes_one_for_each_credential_of_its_provider(prices: PriceBook) -> None:
    openai = ProviderSettings(
        name="openai",
        kind="openai",
        credentials=(CredentialSettings("main", Secret("sk-1"), weight=3), CredentialSettings("spare", Secret("sk-2"))),
        handling=DataHandling(jurisdiction="us", retention_days=30),
    )
    target = DeploymentSettings("openai", "gpt-4o", region="us-east", weight=2, handling=DataHandling(retention_days=0))
    settings = Settings(providers=(openai,), models=(ModelSettings("fast", (target,)),))
    provider = build_provider(openai, TimeoutSettings(), {})
    route = build_routes(settings, {"openai": provider}, {}, prices).resolve("fast")
    assert [(each.name, each.weight) for each in route.deployments] == [
        ("openai/gpt-4o#main", 6),
        ("openai/gpt-4o#spare", 2),
    ]
    assert route.deployments[0].handling == DataHandling("us-east", "us", 0, None)
    assert provider.headers_of("spare") != provider.headers_of("main")
    assert not route.is_single


def test_an_alias_keeps_what_is_on_and_is_off_only_without_any(prices: PriceBook) -> None:
    both = ModelSettings("fast", (DeploymentSettings("openai", "gpt-4o"), DeploymentSettings("vllm", "qwen")))
    route = routes_of(prices, both, off=True).resolve("fast")
    assert [each.provider for each in route.deployments] == ["vllm"]


def test_balanced_without_weights_of_its_own_weighs_as_the_plan_does_by_default(prices: PriceBook) -> None:
    model = ModelSettings("fast", (DeploymentSettings("openai", "gpt-4o"),), strategy=Strategy.BALANCED)
    assert routes_of(prices, model).resolve("fast").balance in (None, DEFAULT_BALANCE)


def test_fallbacks_rules_and_the_shares_of_balance_come_from_the_settings(prices: PriceBook) -> None:
    model = ModelSettings(
        "fast",
        (DeploymentSettings("openai", "gpt-4o"),),
        strategy=Strategy.BALANCED,
        fallbacks=FallbackSettings(error=("other",)),
        balance=BalanceSettings(cost=3, latency=1, capacity=0, affinity=0),
        rules=(RuleSettings(WhenSettings(tags=(("tier", "fr*"),), user="bot-*", input_tokens_above=9), "other"),),
    )
    route = routes_of(prices, model, alias("other", "vllm", "qwen"), ModelSettings("old", use="fast")).resolve("fast")
    assert route.balance is not None
    assert (route.balance.cost, route.balance.latency) == (0.75, 0.25)
    assert route.fallbacks.error == ("other",)
    (rule,) = route.rules
    assert rule.user is not None
    assert rule.user.match("bot-1")
    assert rule.tags[0][1].match("free")
