"""The blocks of the file, but for the organizations."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import UNSET

from headgate.domain.catalog import Price, PriceTier, Rates
from headgate.settings.model import (
    DeploymentSettings,
    KeySettings,
    LedgerSettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Secret,
    ServerSettings,
    Settings,
    StorageSettings,
    TimeoutSettings,
    TlsSettings,
    UpstreamTlsSettings,
)

Read = Callable[[str], Settings]
Fail = Callable[[str], str]

SANDBOX = "providers: {sandbox: {kind: sandbox}, openai: {kind: openai}}\n"


def test_an_empty_file_is_the_defaults(read: Read) -> None:
    assert read("") == Settings()


def test_the_server_block_is_read(read: Read, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("x")
    (tmp_path / "key.pem").write_text("x")

    settings = read("""
        server:
          listen: "[::1]:8080"
          admin_listen: 127.0.0.1:8081
          admin_token: 0123456789abcdef
          drain: 0s
          max_body: 1MiB
          header_timeout: 500ms
          max_connections: 50
          max_in_flight: 200
          shed_at_lag: 250ms
          trusted_proxies: [10.0.0.0/8, "::1"]
          tls: {cert: cert.pem, key: key.pem}
        """)

    assert settings.server == ServerSettings(
        listen="[::1]:8080",
        admin_listen="127.0.0.1:8081",
        admin_token=Secret("0123456789abcdef"),
        drain=0,
        max_body=1024 * 1024,
        header_timeout=0.5,
        max_connections=50,
        max_in_flight=200,
        shed_at_lag=0.25,
        trusted_proxies=("10.0.0.0/8", "::1/128"),
        tls=TlsSettings(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem")),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server: {listen: 4100}", '1: server.listen: expected HOST:PORT such as "127.0.0.1:4100", got "4100"'),
        ("server: {max_body: 1B}", "1: server.max_body: must lie between 1KiB and 1GiB"),
        ("server: {tls: {cert: /dev/null}}", '1: server.tls: the key "key" is missing'),
        ("server: {trusted_proxies: 10.0.0.0/8}", "1: server.trusted_proxies: expected a list of a network such as"),
        ("server: {max_connections: 0}", "1: server.max_connections: must lie between 1 and 1000000"),
        ("server: {max_in_flight: 0}", "1: server.max_in_flight: must lie between 1 and 1000000"),
        ("server: {shed_at_lag: 1ms}", "1: server.shed_at_lag: must lie between 10ms and 10s"),
        ("server: {header_timeout: 0s}", "1: server.header_timeout: must be longer than zero"),
        ("server: {admin_token: short}", "1: server.admin_token: an admin token has 16 to 256 characters"),
        ("timeouts: {idle: 0s}", "1: timeouts.idle: must be longer than zero"),
        ("storage: {redis: redis://x}", "1: storage.redis: unknown key; known here: database"),
        ("storage: {database: postgresql://x/y}", "1: storage.database: expected an SQLite URL"),
        ("prices: {multiplier: 0}", "1: prices.multiplier: must be above 0 and at most 100"),
        ("keys: {prefix: hga_}", "1: keys.prefix: is what other tokens of Headgate start with"),
        ("cache: {exact: {ttl: 1h}}", "1: cache: unknown key"),
        ("alerts: {to: ops}", "1: alerts: unknown key"),
    ],
)
def test_a_block_fails_at_its_line(fail: Fail, text: str, words: str) -> None:
    assert fail(text).startswith(words)


def test_an_admin_listener_from_an_empty_variable_is_off(read: Read) -> None:
    assert read('server: {admin_listen: "${ADMIN_LISTEN:-}"}').server.admin_listen is None


def test_the_small_blocks_are_read(read: Read) -> None:
    settings = read("""
        timeouts: {connect: 1s, total: 2m}
        storage: {database: "sqlite:////var/lib/headgate/main.db"}
        prices: {unpriced: ceiling, multiplier: 0.85}
        keys: {prefix: acme_}
        """)

    assert settings.timeouts == TimeoutSettings(connect=1, total=120)
    assert settings.storage == StorageSettings(database="sqlite:////var/lib/headgate/main.db")
    assert settings.data_dir == "/var/lib/headgate"
    assert settings.prices == PriceSettings(unpriced="ceiling", multiplier="0.85")
    assert settings.keys == KeySettings(prefix="acme_")


def test_a_provider_is_read_with_every_key(read: Read, tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("x")

    settings = read("""
        timeouts: {idle: 7s}
        providers:
          own_1:
            kind: openai_compatible
            base_url: http://10.0.0.1:8000/v1/
            credential: c
            region: eu-west-1
            allow_private_network: true
            transport: aiohttp
            tls: {ca: ca, cert: cert, key: key}
            timeouts: {connect: 9s}
            headers: {OpenAI-Organization: org-1}
            max_connections: 16
            max_connection_age: 1m
            max_output_field: max_completion_tokens
            price: free
        """)

    assert settings.providers == (
        ProviderSettings(
            name="own_1",
            kind="openai_compatible",
            base_url="http://10.0.0.1:8000/v1",
            credential=Secret("c"),
            region="eu-west-1",
            allow_private_network=True,
            transport="aiohttp",
            tls=UpstreamTlsSettings(ca=str(tmp_path / "ca"), cert=str(tmp_path / "cert"), key=str(tmp_path / "key")),
            timeouts=TimeoutSettings(connect=9, idle=7),
            headers=(("openai-organization", "org-1"),),
            max_connections=16,
            max_connection_age=60,
            max_output_field="max_completion_tokens",
            price_free=True,
        ),
    )


def test_the_maximum_output_field_can_be_left_to_the_caller_or_to_the_vendor(read: Read) -> None:
    left, vendor = read("providers: {a: {kind: openai, max_output_field: null}, b: {kind: openai}}").providers

    assert left.max_output_field is None
    assert vendor.max_output_field is UNSET


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {}", '1: providers.a: the key "kind" is missing'),
        ("A: {kind: openai}", "1: providers.A: a provider's name is"),
        ("a/b: {kind: openai}", "1: providers.a/b: a provider's name is"),
        ("a: {kind: openai, base_url: ftp://x}", "1: providers.a.base_url: expected a URL such as"),
        ("a: {kind: openai, base_url: 'http://127.0.0.1'}", "1: providers.a.base_url: is a private address"),
        ("a: {kind: openai, allow_private_network: 1}", "1: providers.a.allow_private_network: expected true or false"),
        ("a: {kind: openai, transport: curl}", '1: providers.a.transport: expected "lean" or "aiohttp"'),
        ("a: {kind: openai, tls: {key: /dev/null}}", "1: providers.a.tls: a client key needs its certificate"),
        ("a: {kind: openai, tls: {verify: false}}", "1: providers.a.tls.verify: unknown key"),
        (
            "a: {kind: openai, headers: {Authorization: x}}",
            "1: providers.a.headers.Authorization: carries",
        ),
        ("a: {kind: openai, headers: {X-A: 1, x-a: 2}}", "1: providers.a.headers.x-a: is given twice"),
        ('a: {kind: openai, headers: {X-A: "1\\r\\nb: c"}}', "1: providers.a.headers.X-A: expected visible ASCII"),
        ("a: {kind: openai, max_connections: 0}", "1: providers.a.max_connections: must lie between 1 and 10000"),
        ("a: {kind: openai, max_connections: many}", "1: providers.a.max_connections: expected a whole number"),
        ("a: {kind: openai, max_output_field: tokens}", "1: providers.a.max_output_field: expected"),
        ("a: {kind: openai, price: {input_per_mtok: 1}}", '1: providers.a.price: expected "free"'),
        ("a: {kind: openai, price: cheap}", '1: providers.a.price: expected "free"'),
        (
            "a: {kind: openai, credentials: []}",
            '1: providers.a.credentials: unknown key; did you mean "credential"',
        ),
    ],
)
def test_a_provider_fails_at_its_line(fail: Fail, text: str, words: str) -> None:
    assert fail(f"providers: {{{text}}}").startswith(words)


def test_models_are_read(read: Read) -> None:
    sandbox = "{alias: sandbox/*, deployments: [{provider: sandbox}]}"
    gpt = "{alias: gpt, deployments: [{provider: openai, model: gpt-4o, region: eu, price: free}]}"
    settings = read(f"{SANDBOX}models: [{sandbox}, {gpt}]")

    assert settings.models == (
        ModelSettings(alias="sandbox/*", deployments=(DeploymentSettings(provider="sandbox", model="*"),)),
        ModelSettings(
            alias="gpt",
            deployments=(DeploymentSettings(provider="openai", model="gpt-4o", region="eu", price_free=True),),
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
        ("{alias: a, deployments: [{provider: openai, model: m}, {provider: openai, model: n}]}",
         "2: models[0].deployments: an alias takes one deployment; several need routing"),
        ("{alias: a, deployments: [{provider: openai, model: m}, {provider: sandbox, model: echo}]}",
         "2: models[0].deployments: the sandbox stands beside a real provider"),
        ("{alias: a, strategy: balanced, deployments: []}", "2: models[0].strategy: unknown key"),
        ("{alias: a, fallbacks: {}, deployments: []}", "2: models[0].fallbacks: unknown key"),
        ("{alias: a, deployments: [{provider: openai, model: m, weight: 1}]}",
         "2: models[0].deployments[0].weight: unknown key"),
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


def test_the_ledger_block_is_read(read: Read) -> None:
    settings = read("ledger: {durability: os, commit_timeout: 250ms, budget_wait: 0s}")

    assert settings.ledger == LedgerSettings(durability="os", commit_timeout=0.25, budget_wait=0)
    assert read("ledger: {budget_wait: 30s}").ledger == LedgerSettings(budget_wait=30)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("durability: fast", '1: ledger.durability: expected "fsync" or "os", got "fast"'),
        ("durabilty: os", '1: ledger.durabilty: unknown key; did you mean "durability"?'),
        ("commit_timeout: 0s", "1: ledger.commit_timeout: must be longer than zero"),
        ("budget_wait: 31s", "1: ledger.budget_wait: must lie between 0s and 30s"),
        ("budget_wait: 2", '1: ledger.budget_wait: expected a duration such as "30s"'),
    ],
)
def test_the_ledger_block_fails_at_its_line(fail: Fail, inside: str, words: str) -> None:
    assert fail(f"ledger: {{{inside}}}").startswith(words)
