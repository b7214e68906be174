"""What LiteLLM's router does, in our words."""

from decimal import Decimal

import pytest

from headgate.domain.routing import Strategy
from headgate.migration.finding import Outcome
from headgate.migration.litellm_routing import Routing, leads_of, share
from tests.migration.reading import migrate, of, written

MODELS = """
model_list:
  - {model_name: big, litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}}
  - {model_name: big, litellm_params: {model: gemini/gemini-2.5-pro, api_key: os.environ/GEMINI_API_KEY}}
  - {model_name: small, litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}}
  - {model_name: openrouter/*, litellm_params: {model: openrouter/*, api_key: os.environ/OPENROUTER_API_KEY}}
"""


def numbers(**facts: str) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in facts.items()}


@pytest.mark.parametrize(
    ("said", "strategy", "outcome"),
    [
        ("simple-shuffle", "weighted", Outcome.TRANSLATED),
        ("cost-based-routing", "cheapest", Outcome.TRANSLATED),
        ("latency-based-routing", "fastest", Outcome.APPROXIMATED),
        ("usage-based-routing", "headroom", Outcome.APPROXIMATED),
        ("usage-based-routing-v2", "headroom", Outcome.APPROXIMATED),
        ("least-busy", "headroom", Outcome.APPROXIMATED),
        ("provider-budget-routing", "weighted", Outcome.REFUSED),
        ("something-new", "weighted", Outcome.REFUSED),
        ("os.environ/STRATEGY", "weighted", Outcome.REFUSED),
    ],
)
def test_the_strategy_holds_for_every_name_with_several_deployments(said: str, strategy: str, outcome: Outcome) -> None:
    migration = migrate(f"{MODELS}router_settings: {{routing_strategy: {said}}}\n")
    big, small, _ = written(migration)["models"]
    assert big["strategy"] == strategy == Strategy(strategy)
    assert "strategy" not in small
    assert of(migration, "router_settings.routing_strategy").outcome is outcome


def test_without_a_strategy_litellm_shuffles() -> None:
    assert written(migrate(MODELS))["models"][0]["strategy"] == "weighted"


@pytest.mark.parametrize(
    ("given", "weights", "words"),
    [
        (("3", "1"), (3, 1), "becomes weight: 3"),
        (("0.9", "0.1"), (9, 1), "becomes weight: 9"),
        (("5000", "1000"), (5, 1), "becomes weight: 5"),
        (("5000", "3"), (1000, 1), "becomes weight: 1000, rounded to whole numbers up to 1000"),
        (("1e-30", "1"), (1, 1000), "becomes weight: 1, rounded"),
        (("1", "1"), (1, 1), "becomes weight: 1"),
        (("0", "0"), (1, 1), "it decides nothing, there as here"),
    ],
)
def test_weights_become_whole_numbers_in_the_same_proportions(
    given: tuple[str, ...], weights: tuple[int, ...], words: str
) -> None:
    shares = share([numbers(weight=text) for text in given], "weighted")
    assert tuple(each.settings.get("weight", 1) for each in shares) == weights
    assert shares[0].verdicts["weight"].reason.startswith(words)


def test_what_litellm_never_chooses_is_tried_last() -> None:
    first, none, zero = share([numbers(weight="2"), {}, numbers(weight="0")], "weighted")
    assert first.settings == {"weight": 2}
    assert none.settings == zero.settings == {"priority": 1}
    assert zero.verdicts["weight"].reason == "a deployment without a share is tried last: priority: 1"


def test_without_weights_the_limits_weigh() -> None:
    first, second = share([numbers(rpm="6000", tpm="400000"), numbers(rpm="900")], "weighted")
    assert first.settings == {"weight": 20, "limits": {"rpm": 6000, "tpm": 400_000}}
    assert second.settings == {"weight": 3, "limits": {"rpm": 900}}
    assert first.verdicts["rpm"].reason.startswith("becomes limits.rpm, and weight: 20 by its share: once used up")
    assert first.verdicts["tpm"].reason.startswith("becomes limits.tpm: once used up, others answer while they can")


def test_with_another_strategy_nothing_weighs() -> None:
    first, _ = share([numbers(weight="3", rpm="5"), numbers(weight="1")], "fastest")
    assert first.settings == {"limits": {"rpm": 5}}
    assert first.verdicts["weight"].outcome is Outcome.TRANSLATED


def test_an_order_becomes_a_priority_and_those_without_come_last() -> None:
    shares = share([numbers(order="7"), {}, numbers(order="2"), numbers(order="7")], "weighted")
    assert [each.settings.get("priority", 0) for each in shares] == [1, 2, 0, 1]
    assert shares[2].verdicts["order"].reason == "becomes priority: 0; 0 is tried first"


def test_a_single_deployment_keeps_its_limits_alone() -> None:
    (only,) = share([numbers(order="7", weight="3", rpm="5")], "weighted")
    assert only.settings == {"limits": {"rpm": 5}}
    assert only.verdicts["weight"].outcome is only.verdicts["order"].outcome is Outcome.TRANSLATED


def test_more_orders_than_priorities_share_the_last_one() -> None:
    shares = share([numbers(order=str(number)) for number in range(150)], "weighted")
    assert shares[-1].settings["priority"] == 100


def test_fallbacks_are_written_by_class_of_failure() -> None:
    migration = migrate(
        MODELS
        + """
litellm_settings:
  fallbacks: [{big: [small, openrouter/x]}, {"*": [big]}]
  context_window_fallbacks: [{small: [big]}]
  content_policy_fallbacks: {big: small}
"""
    )
    big, small, glob = written(migration)["models"]
    assert big["fallbacks"] == {"error": ["small", "openrouter/x"], "content_filter": ["small"]}
    assert small["fallbacks"] == {"error": ["big"], "context_length": ["big"]}
    assert glob["fallbacks"] == {"error": ["big"]}
    assert of(migration, "litellm_settings.fallbacks").outcome is Outcome.APPROXIMATED
    assert of(migration, "litellm_settings.context_window_fallbacks").reason == "becomes fallbacks.context_length"


def test_default_fallbacks_are_for_those_that_name_none() -> None:
    migration = migrate(
        MODELS
        + "litellm_settings: {fallbacks: [{big: [openrouter/x]}]}\nrouter_settings: {default_fallbacks: [small]}\n"
    )
    big, small, glob = written(migration)["models"]
    assert big["fallbacks"] == {"error": ["openrouter/x"]}
    assert "fallbacks" not in small
    assert glob["fallbacks"] == {"error": ["small"]}
    assert of(migration, "router_settings.default_fallbacks").reason == (
        "becomes fallbacks.error of every alias that has none of its own"
    )


@pytest.mark.parametrize(
    ("option", "said", "outcome", "lost"),
    [
        ("fallbacks", "[{big: [small, gone]}, {lost: [big]}]", Outcome.APPROXIMATED, "lost, gone"),
        ("fallbacks", "[{lost: [big]}]", Outcome.REFUSED, "lost"),
        ("fallbacks", "[{big: [big, big-alias]}]", Outcome.REFUSED, "big, big-alias"),
        ("fallbacks", "[{big: [openrouter/*]}]", Outcome.REFUSED, "openrouter/*"),
        ("fallbacks", "[{openrouter/*: [openrouter/x]}]", Outcome.REFUSED, "openrouter/x"),
        ("default_fallbacks", "[gone, small]", Outcome.APPROXIMATED, "gone"),
        ("default_fallbacks", "[gone]", Outcome.REFUSED, "gone"),
        ("fallbacks", "[{big: [{model: small}]}]", Outcome.REFUSED, "what stands in for big is no list of models"),
        ("fallbacks", "often", Outcome.REFUSED, "expected [{MODEL: [MODEL, …]}]"),
        ("default_fallbacks", "{a: b}", Outcome.REFUSED, "expected a list of models"),
    ],
)
def test_what_stands_in_for_nothing_is_named(option: str, said: str, outcome: Outcome, lost: str) -> None:
    migration = migrate(f"{MODELS}router_settings: {{model_group_alias: {{big-alias: big}}, {option}: {said}}}\n")
    finding = of(migration, f"router_settings.{option}")
    assert finding.outcome is outcome
    assert finding.reason.endswith(lost)


def test_further_names_may_lead_through_a_glob_and_stand_in_for_models() -> None:
    migration = migrate(
        MODELS
        + "router_settings: {model_group_alias: {cheap: openrouter/x, tiny: small, chain: tiny}, "
        + "fallbacks: [{big: [tiny]}]}\n"
    )
    big, *_, cheap, tiny = written(migration)["models"]
    assert (cheap, tiny) == ({"alias": "cheap", "use": "openrouter/x"}, {"alias": "tiny", "use": "small"})
    assert big["fallbacks"] == {"error": ["tiny"]}
    assert of(migration, "router_settings.model_group_alias").reason.endswith("stand in for itself: chain")


def test_further_names_never_lead_to_each_other() -> None:
    leads = leads_of(Routing(aliases=(("a", "g/1"), ("g/1", "g/2"))), ["g/*"])
    assert leads.further == {"g/1": "g/2"}
    assert leads.lost["routing.aliases"] == ("a",)


@pytest.mark.parametrize("name", ["weight", "order", "rpm", "tpm"])
def test_what_is_no_number_is_refused(name: str) -> None:
    params = f"{{model: openai/gpt-4o, {name}: many}}"
    migration = migrate(f"model_list: [{{model_name: a, litellm_params: {params}}}]\n")
    assert of(migration, f"model_list[0].litellm_params.{name}").outcome is Outcome.REFUSED
