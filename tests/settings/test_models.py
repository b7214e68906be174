"""The ``models`` list: deployments, prices and how an alias chooses."""

from collections.abc import Callable

import pytest

from headgate.domain.catalog import Price, PriceTier, Rates
from headgate.domain.routing import DataHandling, Strategy
from headgate.settings.model import (
    BalanceSettings,
    DeploymentSettings,
    FallbackSettings,
    ModelSettings,
    RuleSettings,
    Settings,
    WhenSettings,
)

Read = Callable[[str], Settings]
Fail = Callable[[str], str]

SANDBOX = "providers: {sandbox: {kind: sandbox}, openai: {kind: openai}}\n"
DEPLOYMENT = "{provider: openai, model: m}"
REAL = f"deployments: [{DEPLOYMENT}]"
BALANCED = f"{REAL}, strategy: balanced"


def test_models_are_read(read: Read) -> None:
    sandbox = "{alias: sandbox/*, deployments: [{provider: sandbox}]}"
    gpt = "{alias: gpt, deployments: [{provider: openai, model: gpt-4o, region: eu, price: free}]}"
    settings = read(f"{SANDBOX}models: [{sandbox}, {gpt}]")

    assert settings.models == (
        ModelSettings(alias="sandbox/*", deployments=(DeploymentSettings(provider="sandbox", model="*"),)),
        ModelSettings(
            alias="gpt",
            deployments=(
                DeploymentSettings(
                    provider="openai",
                    model="gpt-4o",
                    region="eu",
                    price_free=True,
                    handling=DataHandling(region="eu"),
                ),
            ),
        ),
    )


def test_a_price_is_read_into_integers(read: Read) -> None:
    settings = read(
        SANDBOX
        + """
models:
  - alias: gpt
    deployments:
      - provider: openai
        model: gpt-4o
        price:
          input_per_mtok: "2.50"
          cached_input_per_mtok: 1.25
          cache_write_per_mtok: "0.0075"
          output_per_mtok: 10
          input_audio_per_mtok: "40"
          output_audio_per_mtok: "80"
          tiers:
            - {above_input_tokens: 200000, input_per_mtok: "5", output_per_mtok: "20"}
"""
    )

    assert settings.models[0].deployments[0].price == Price(
        rates=Rates(
            input=2_500_000_000,
            output=10_000_000_000,
            cached_input=1_250_000_000,
            cache_write=7_500_000,
            input_audio=40_000_000_000,
            output_audio=80_000_000_000,
        ),
        tiers=(PriceTier(above_input_tokens=200_000, rates=Rates(input=5_000_000_000, output=20_000_000_000)),),
        version="configuration",
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("{deployments: []}", '2: models[0]: the key "alias" is missing'),
        ("{alias: a}", '2: models[0]: the key "deployments" is missing'),
        ("{alias: a, deployments: []}", "2: models[0].deployments: an alias needs a deployment"),
        ("{alias: a, deployments: [{provider: openai}]}", '2: models[0].deployments[0]: the key "model" is missing'),
        ("{alias: a, deployments: [{provider: opnai, model: m}]}",
         '2: models[0].deployments[0].provider: expected "sandbox" or "openai", got "opnai"; did you mean "openai"?'),
        ("{alias: a, deployments: [{provider: openai, model: 'm*'}]}",
         "2: models[0].deployments[0].model: a glob here needs a glob as the alias"),
        ("{alias: a, deployments: [{provider: openai, model: m}, {provider: sandbox, model: echo}]}",
         "2: models[0].deployments: the sandbox stands beside a real provider"),
        ("{alias: a, deployments: [{provider: openai, model: m, price: 3}]}",
         '2: models[0].deployments[0].price: expected "free" or rates'),
        ("{alias: a, deployments: [{provider: openai, model: m, price: {input_per_mtok: 1}}]}",
         '2: models[0].deployments[0].price: the key "output_per_mtok" is missing'),
        ("{alias: a, deployments: [{provider: openai, model: m, price: {input_per_mtok: -1, output_per_mtok: 1}}]}",
         "2: models[0].deployments[0].price.input_per_mtok: expected USD per million tokens"),
        ("{alias: a, deployments: [{provider: openai, model: m, price: {input_per_mtok: 1, output_per_mtok: 1, tiers: "
         "[{above_input_tokens: 2, input_per_mtok: 1, output_per_mtok: 1}, "
         "{above_input_tokens: 2, input_per_mtok: 1, output_per_mtok: 1}]}}]}",
         "2: models[0].deployments[0].price.tiers[1]: tiers stand by rising above_input_tokens"),
    ],
)  # fmt: skip
def test_a_model_fails_at_its_line(fail: Fail, model: str, words: str) -> None:
    assert fail(f"{SANDBOX}models: [{model}]").startswith(words)


def test_an_alias_is_given_once(fail: Fail) -> None:
    model = "{alias: a, deployments: [{provider: openai, model: m}]}"

    assert fail(f"{SANDBOX}models:\n- {model}\n- {model}") == (
        '4: models[1]: the alias "a" is given twice; it first stands on line 3'
    )


def test_an_alias_is_read_with_every_key(read: Read) -> None:
    settings = read("""
        providers: {openai: {kind: openai}, azure_eu: {kind: azure}}
        models:
          - alias: gpt-4o
            strategy: balanced
            balance: {cost: 3, latency: 0.25, affinity: 0}
            deployments:
              - {provider: openai, model: gpt-4o, weight: 3, priority: 1, limits: {tpm: 2000000, rpm: 10000}}
              - {provider: azure_eu, model: gpt-4o, region: eu, jurisdiction: eu, retention_days: 0, trains: false}
            fallbacks: {error: [small, openai/o3], context_length: [small], content_filter: []}
            rules:
              - when: {tags: {tier: free, "cost center": 4*}, user: "bot-*"}
                use: small
              - {when: {input_tokens_above: 100000, input_tokens_below: 500000}, use: openai/gpt-4.1}
          - alias: small
            deployments: [{provider: openai, model: gpt-4o-mini}]
          - alias: gpt-4
            use: gpt-4o
            rules: [{when: {input_tokens_above: 0}, use: small}]
        """)

    assert settings.models == (
        ModelSettings(
            alias="gpt-4o",
            deployments=(
                DeploymentSettings("openai", "gpt-4o", weight=3, priority=1, rpm=10_000, tpm=2_000_000),
                DeploymentSettings(
                    "azure_eu",
                    "gpt-4o",
                    region="eu",
                    handling=DataHandling(region="eu", jurisdiction="eu", retention_days=0, trains=False),
                ),
            ),
            strategy=Strategy.BALANCED,
            balance=BalanceSettings(cost=3, latency=0.25, capacity=1, affinity=0),
            fallbacks=FallbackSettings(error=("small", "openai/o3"), context_length=("small",)),
            rules=(
                RuleSettings(WhenSettings(tags=(("tier", "free"), ("cost center", "4*")), user="bot-*"), "small"),
                RuleSettings(WhenSettings(input_tokens_above=100_000, input_tokens_below=500_000), "openai/gpt-4.1"),
            ),
        ),
        ModelSettings(alias="small", deployments=(DeploymentSettings("openai", "gpt-4o-mini"),)),
        ModelSettings(alias="gpt-4", use="gpt-4o", rules=(RuleSettings(WhenSettings(input_tokens_above=0), "small"),)),
    )


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy_is_read(read: Read, strategy: Strategy) -> None:
    settings = read(f"{SANDBOX}models: [{{alias: a, strategy: {strategy}, {REAL}}}]")

    assert settings.models[0].strategy is strategy


@pytest.mark.parametrize(
    ("key", "number", "read_number"),
    [("weight", "1", 1), ("weight", "1000", 1000), ("priority", "0", 0), ("priority", "100", 100)],
)
def test_weights_and_priorities_reach_their_bounds(read: Read, key: str, number: str, read_number: int) -> None:
    settings = read(f"{SANDBOX}models: [{{alias: a, deployments: [{{provider: openai, model: m, {key}: {number}}}]}}]")

    assert getattr(settings.models[0].deployments[0], key) == read_number


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("weight: 0", ".weight: a weight is at least 1; remove the deployment, or give it a later priority so that"),
        ("weight: 1001", ".weight: must lie between 1 and 1000"),
        ("weight: 0.5", ".weight: expected a whole number"),
        ("weight: -1", ".weight: expected a whole number"),
        ("priority: 101", ".priority: must lie between 0 and 100"),
        ("priority: first", ".priority: expected a whole number"),
        ("limits: {}", ".limits: limits nothing: give rpm or tpm"),
        ("limits: {rpm: 0}", ".limits.rpm: must lie between 1 and"),
        ("limits: {tpm: 2M}", ".limits.tpm: expected a whole number"),
        ("limits: {tph: 1}", ".limits.tph: unknown key"),
        ("jurisdiction: e", ".jurisdiction: expected a jurisdiction of 2 to 16 of a-z"),
        ("retention_days: -1", ".retention_days: expected a whole number of days"),
        ("trains: 0", ".trains: expected true or false"),
        ("pritority: 1", '.pritority: unknown key; did you mean "priority"?'),
    ],
)
def test_a_deployment_fails_at_its_line(fail: Fail, inside: str, words: str) -> None:
    text = f"{SANDBOX}models:\n- alias: a\n  deployments:\n  - {{provider: openai, model: m, {inside}}}"

    assert fail(text).startswith(f"5: models[0].deployments[0]{words}")


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("use: b, deployments: []", ".deployments: stands beside use"),
        ("use: b, strategy: weighted", ".strategy: stands beside use; give it to the alias that has the deployments"),
        ("use: b, fallbacks: {}", ".fallbacks: stands beside use"),
        ("use: b, balance: {}", ".balance: stands beside use"),
        ("rules: []", ': the key "deployments" is missing: such as [{provider: openai, model: "gpt-4o"}]; or use, for'),
        (f"{REAL}, strategy: balnced", '.strategy: expected "priority" or "weighted" or "cheapest"'),
        (f"deployments: [{DEPLOYMENT}, {DEPLOYMENT}]", '.deployments[1]: is the same model of the same provider'),
        (f"{REAL}, balance: {{}}", '.balance: the strategy "priority" weighs nothing; it belongs to "balanced"'),
        (f"{BALANCED}, balance: {{cost: -1}}", ".balance.cost: expected a number of at least 0"),
        (f"{BALANCED}, balance: {{cost: .nan}}", ".balance.cost: expected a number of at least 0"),
        (f"{BALANCED}, balance: {{cost: .inf}}", ".balance.cost: expected a number of at least 0"),
        (f"{BALANCED}, balance: {{cost: 1000001}}", ".balance.cost: must lie between 0 and 1000000"),
        (f"{BALANCED}, balance: {{cost: 0, latency: 0, capacity: 0, affinity: 0.0}}",
         ".balance: at least one number is above 0"),
        (f"{BALANCED}, balance: {{price: 1}}", ".balance.price: unknown key"),
        (f"{REAL}, fallbacks: [b]", ".fallbacks: expected a block of keys such as {error: …}, got a list"),
        (f"{REAL}, fallbacks: {{error: b}}", ".fallbacks.error: expected a list of aliases such as [claude"),
        (f"{REAL}, fallbacks: {{errors: [b]}}", '.fallbacks.errors: unknown key; did you mean "error"?'),
        (f"{REAL}, fallbacks: {{error: [b, b]}}", '.fallbacks.error[1]: stands in the list twice'),
        (f"{REAL}, fallbacks: {{error: ['b*']}}", '.fallbacks.error[0]: names one model, so it holds no "*"'),
        (f"{REAL}, rules: {{}}", ".rules: expected a list of rules such as"),
        (f"{REAL}, rules: [{{use: b}}]", '.rules[0]: the key "when" is missing: such as {tags: {tier: free}}'),
        (f"{REAL}, rules: [{{when: {{user: x}}}}]", '.rules[0]: the key "use" is missing: another alias such as'),
        (f"{REAL}, rules: [{{when: {{}}, use: b}}]", ".rules[0].when: always holds: give at least one of tags"),
        (f"{REAL}, rules: [{{when: {{tags: {{}}}}, use: b}}]", ".rules[0].when: always holds"),
        (f"{REAL}, rules: [{{when: {{tags: {{tier: [a]}}}}, use: b}}]", ".rules[0].when.tags.tier: expected a text or"),
        (f"{REAL}, rules: [{{when: {{tags: {{'': a}}}}, use: b}}]", ".rules[0].when.tags.: a tag's name is 1 to 200"),
        (f"{REAL}, rules: [{{when: {{user: 'bot-?'}}, use: b}}]", '.rules[0].when.user: a glob knows "*" alone'),
        (f"{REAL}, rules: [{{when: {{team: x}}, use: b}}]", ".rules[0].when.team: unknown key"),
        (f"{REAL}, rules: [{{when: {{input_tokens_above: 1e5}}, use: b}}]",
         ".rules[0].when.input_tokens_above: expected a count of tokens such as 200000"),
        (f"{REAL}, rules: [{{when: {{input_tokens_below: 0}}, use: b}}]",
         ".rules[0].when.input_tokens_below: must lie between 1 and"),
        (f"{REAL}, rules: [{{when: {{input_tokens_above: 9, input_tokens_below: 9}}, use: b}}]",
         ".rules[0].when: never holds: no count of tokens lies above"),
        (f"{REAL}, rules: [{{when: {{input_tokens_above: 9, input_tokens_below: 10}}, use: b}}]",
         ".rules[0].when: never holds: no count of tokens lies above"),
        (f"{REAL}, rulse: []", '.rulse: unknown key; did you mean "rules"?'),
    ],
)  # fmt: skip
def test_how_an_alias_chooses_fails_at_its_line(fail: Fail, inside: str, words: str) -> None:
    text = f"{SANDBOX}models:\n- {{alias: b, {REAL}}}\n- {{alias: a, {inside}}}"

    assert fail(text).startswith(f"4: models[1]{words}")
