"""The blocks of the file, but for the models and the organizations."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import UNSET

from headgate.domain.routing import DataHandling
from headgate.settings.model import (
    CredentialSettings,
    KeySettings,
    LedgerSettings,
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
        ("guardrails: {pii: mask}", "1: guardrails: unknown key"),
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
            jurisdiction: eu
            retention_days: 0
            trains: false
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
            handling=DataHandling(region="eu-west-1", jurisdiction="eu", retention_days=0, trains=False),
        ),
    )


def test_several_credentials_are_read_and_empty_ones_left_out(read: Read, tmp_path: Path) -> None:
    (tmp_path / "k2").write_text("sk-2\n")

    settings = read("""
        providers:
          openai:
            kind: openai
            credentials:
              - {name: main, value: sk-1, weight: 3}
              - {name: backup_2, value: {file: k2}}
              - {name: later, value: "${UNSET:-}", weight: 1000}
              - {name: never, value: "${UNSET:-}"}
        """)

    assert settings.providers[0].credentials == (
        CredentialSettings("main", Secret("sk-1"), 3),
        CredentialSettings("backup_2", Secret("sk-2")),
    )
    assert not settings.providers[0].credential


def test_what_nobody_says_of_the_data_is_not_known(read: Read) -> None:
    assert read("providers: {a: {kind: openai}}").providers[0].handling == DataHandling()


CREDENTIALS = "providers.a.credentials"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("credentials: []", f"1: {CREDENTIALS}: an empty list; give at least one, or credential"),
        ("credentials: sk-1", f"1: {CREDENTIALS}: expected a list of credentials such as [{{name: main, value: "),
        ("credential: x, credentials: [{name: m, value: y}]", f"1: {CREDENTIALS}: stand beside credential"),
        ("credentials: [{value: y}]", f'1: {CREDENTIALS}[0]: the key "name" is missing: such as "main"'),
        ("credentials: [{name: m}]", f'1: {CREDENTIALS}[0]: the key "value" is missing: such as'),
        ("credentials: [{name: M, value: y}]", f"1: {CREDENTIALS}[0].name: expected 1 to 32 of a-z, 0-9, _ and -"),
        (f"credentials: [{{name: {'m' * 33}, value: y}}]", f"1: {CREDENTIALS}[0].name: expected 1 to 32 of"),
        ("credentials: [{name: m, value: y}, {name: m, value: z}]", f'1: {CREDENTIALS}[1]: the name "m" is given'),
        ("credentials: [{name: m, value: y}, {name: n, value: y}]", f'1: {CREDENTIALS}[1]: is the same secret as "m"'),
        ("credentials: [{name: m, value: y, weight: 0}]", f"1: {CREDENTIALS}[0].weight: a weight is at least 1;"),
        ("credentials: [{name: m, value: y, weight: 1001}]", f"1: {CREDENTIALS}[0].weight: must lie between 1 and"),
        ("credentials: [{name: m, value: y, wieght: 1}]", f"1: {CREDENTIALS}[0].wieght: unknown key; did you mean"),
        ("credentials: [{name: m, value: can ary}]", f"1: {CREDENTIALS}[0].value: expected visible ASCII without"),
        ("jurisdiction: EU", '1: providers.a.jurisdiction: expected a jurisdiction of 2 to 16 of a-z such as "eu"'),
        ("jurisdiction: no", "1: providers.a.jurisdiction: expected a jurisdiction of 2 to 16 of a-z"),
        ("retention_days: 36501", "1: providers.a.retention_days: must lie between 0 and 36500"),
        ("retention_days: 30d", "1: providers.a.retention_days: expected a whole number of days such as 30, or 0"),
        ("trains: never", "1: providers.a.trains: expected true or false"),
    ],
)  # fmt: skip
def test_credentials_and_data_handling_fail_at_their_line(fail: Fail, text: str, words: str) -> None:
    answer = fail(f"providers: {{a: {{kind: openai, {text}}}}}")

    assert answer.startswith(words)
    assert "can ary" not in answer


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
        ("a: {kind: openai, credentail: x}", '1: providers.a.credentail: unknown key; did you mean "credential"'),
    ],
)
def test_a_provider_fails_at_its_line(fail: Fail, text: str, words: str) -> None:
    assert fail(f"providers: {{{text}}}").startswith(words)


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
