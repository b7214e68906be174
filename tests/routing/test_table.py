"""Which deployment answers to which name."""

import pytest

from headgate.domain.catalog import Price, Rates
from headgate.domain.errors import ModelNotFoundError
from headgate.routing.table import Deployment, Route, RouteTable

PRICE = Price(rates=Rates(input=1, output=2), version="configuration")


def describe(provider: str, model: str) -> tuple[Deployment, ...]:
    return (Deployment(provider=provider, upstream_model=model, price=None),)


def table(*aliases: Route) -> RouteTable:
    return RouteTable(aliases, ["openai", "vllm", "sandbox"], describe)


def test_an_exact_alias_leads_to_its_deployment() -> None:
    deployment = Deployment(provider="openai", upstream_model="gpt-4o-2024-11-20", price=PRICE)
    assert table(Route("gpt-4o", (deployment,))).resolve("gpt-4o").deployments == (deployment,)


def test_a_configured_provider_answers_without_an_alias() -> None:
    assert table().resolve("openai/gpt-4o") == Route("openai/gpt-4o", describe("openai", "gpt-4o"))


def test_only_the_first_slash_parts_provider_and_model() -> None:
    assert table().resolve("vllm/meta-llama/Llama-4").deployments[0].upstream_model == "meta-llama/Llama-4"


def test_a_glob_passes_the_rest_on_as_the_upstream_model() -> None:
    routes = table(Route("fast-*", (Deployment(provider="vllm", upstream_model="lab/*", price=None, region="eu"),)))
    assert routes.resolve("fast-qwen").deployments == (Deployment("vllm", "lab/qwen", None, region="eu"),)


def test_a_glob_keeps_the_price_its_deployment_was_given() -> None:
    routes = table(Route("fast-*", (Deployment("vllm", "*", PRICE, is_price_stated=True),)))
    assert routes.resolve("fast-qwen").deployments == (Deployment("vllm", "qwen", PRICE, is_price_stated=True),)


def test_an_exact_alias_wins_over_a_glob_and_over_a_provider() -> None:
    exact = Deployment(provider="vllm", upstream_model="exact", price=None)
    routes = table(Route("openai/*", (Deployment("vllm", "*", None),)), Route("openai/gpt-4o", (exact,)))
    assert routes.resolve("openai/gpt-4o").deployments == (exact,)


@pytest.mark.parametrize("name", ["nothing", "nobody/gpt-4o", "openai/", "/gpt-4o", "OPENAI/gpt-4o"])
def test_an_unknown_name_is_not_found(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        table().resolve(name)
    assert caught.value.param == "model"


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-*"])
def test_an_alias_that_is_off_says_why(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        table(Route(name, off="provider openai has no credential")).resolve("gpt-4o")
    assert caught.value.reason == "provider openai has no credential"


def test_a_provider_that_is_not_on_is_named() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        table().resolve("groq/llama")
    assert "`groq`" in (caught.value.reason or "")


def test_names_chosen_by_clients_do_not_fill_the_memory() -> None:
    routes = table()
    for number in range(3 * RouteTable._REMEMBERED):
        routes.resolve(f"openai/m{number}")
    assert len(routes._remembered) <= RouteTable._REMEMBERED


def test_a_long_name_is_shortened_in_the_message() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        table().resolve("x" * 10_000)
    assert len(caught.value.message) < 300
