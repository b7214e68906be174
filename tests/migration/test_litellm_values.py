"""Options whose value decides."""

import pytest

from headgate.migration.finding import Outcome
from tests.migration.reading import migrate, of, params, written


def test_the_master_key_is_named_by_its_variable_and_never_written() -> None:
    by_name = migrate("general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}")
    assert written(by_name)["server"] == {"admin_token": "${LITELLM_MASTER_KEY}"}
    literal = migrate("general_settings: {master_key: sk-1234-never-print}")
    finding = of(literal, "general_settings.master_key")
    assert finding.outcome is Outcome.REFUSED
    assert "HEADGATE_ADMIN_TOKEN" in finding.reason
    assert "never-print" not in str(literal)


@pytest.mark.parametrize(
    ("option", "value", "block", "became"),
    [
        ("general_settings.max_request_size_mb", "20", "server", {"max_body": "20MiB"}),
        ("general_settings.mcp_trusted_proxy_ranges", "[10.0.0.0/8]", "server", {"trusted_proxies": ["10.0.0.0/8"]}),
        ("litellm_settings.request_timeout", "600", "timeouts", {"total": "600s"}),
        ("router_settings.timeout", "0.5", "timeouts", {"total": "0.5s"}),
        ("router_settings.stream_timeout", "30.0", "timeouts", {"first_event": "30s"}),
        ("router_settings.ttft_timeout", "5", "timeouts", {"first_event": "5s"}),
        ("router_settings.stream_idle_timeout", "20", "timeouts", {"idle": "20s"}),
    ],
)
def test_settings_that_have_a_place_here(option: str, value: str, block: str, became: dict[str, object]) -> None:
    section, _, name = option.partition(".")
    assert written(migrate(f"{section}: {{{name}: {value}}}"))[block] == became


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("general_settings.max_request_size_mb", "0.5"),
        ("general_settings.max_request_size_mb", "4096"),
        ("general_settings.mcp_trusted_proxy_ranges", "[10.0.0.1/8]"),
        ("litellm_settings.request_timeout", "soon"),
        ("litellm_settings.request_timeout", "0"),
        ("litellm_settings.request_timeout", "100000"),
        ("litellm_settings.ssl_verify", "false"),
        ("litellm_settings.ssl_verify", "/etc/ssl/corporate.pem"),
        ("general_settings.master_key", "os.environ/no-name"),
    ],
)
def test_values_that_cannot_be_had_are_refused_and_written_nowhere(option: str, value: str) -> None:
    section, _, name = option.partition(".")
    migration = migrate(f"{section}: {{{name}: {value}}}")
    assert of(migration, option).outcome is Outcome.REFUSED
    assert written(migration) is None


def test_of_two_time_outs_the_routers_wins_and_the_other_is_told_so() -> None:
    migration = migrate("router_settings: {timeout: 120}\nlitellm_settings: {request_timeout: 600}\n")
    assert written(migration)["timeouts"] == {"total": "120s"}
    assert of(migration, "litellm_settings.request_timeout").reason == "router_settings.timeout says it too, and wins"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ("{Authorization: x}", "carries a credential"),
        ("{Host: x}", "set by the connection itself"),
        ("{X-Api-Secret: never-print}", "looks like a secret"),
        ("{X-Team: [a]}", "is no text"),
    ],
)
def test_header_fields_that_cannot_be_had(headers: str, words: str) -> None:
    migration = migrate(params(f"model: openai/gpt-4o\nextra_headers: {headers}"))
    assert words in of(migration, "model_list[0].litellm_params.extra_headers").reason
    assert "never-print" not in str(migration)
    assert "headers" not in written(migration)["providers"]["openai"]
