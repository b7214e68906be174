"""``headgate check-config``: what is wrong is named before a start meets it."""

import json
from pathlib import Path

from tests.cli.gateway import headgate


def test_a_configuration_with_a_mistake_is_exit_code_one_and_names_the_line(tmp_path: Path):
    (tmp_path / "headgate.yaml").write_text("providers:\n  openai: {kind: openai, credentail: x}\n")
    for command in (("check-config", "headgate.yaml"), ("serve", "--config", "headgate.yaml")):
        done = headgate(*command, cwd=tmp_path)
        assert done.returncode == 1
        assert "headgate.yaml:2" in done.stderr
        assert "credential" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_good_configuration_is_said_to_be_good(tmp_path: Path):
    (tmp_path / "headgate.yaml").write_text("providers:\n  sandbox: {kind: sandbox}\n")
    done = headgate("check-config", "headgate.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "headgate.yaml can be used: 1 provider, 0 models, 0 organizations\n"


def test_a_provider_without_credential_is_off_which_is_no_mistake(tmp_path: Path):
    (tmp_path / "headgate.yaml").write_text('providers:\n  openai: {kind: openai, credential: "${OPENAI_API_KEY:-}"}\n')
    done = headgate("check-config", "headgate.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Off, because the credential is empty: openai" in done.stdout
    told = headgate("check-config", "headgate.yaml", "--json", cwd=tmp_path)
    assert json.loads(told.stdout)["providers_off"] == ["openai"]
    assert headgate("doctor", "--config", "headgate.yaml", cwd=tmp_path).returncode == 0


def test_a_provider_that_cannot_be_built_is_found_before_the_start(tmp_path: Path):
    (tmp_path / "headgate.yaml").write_text("providers:\n  local:\n    kind: nonesuch\n")
    for command in (("check-config", "headgate.yaml"), ("serve", "--config", "headgate.yaml")):
        done = headgate(*command, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("headgate: headgate.yaml:3: providers.local.kind: there is no kind 'nonesuch'")
        assert done.stderr.count("\n") == 1


ROUTES = """
providers:
  openai:
    kind: openai
    credentials: [{name: main, value: sk-1}, {name: backup, value: sk-2}]
  azure_eu: {kind: azure, base_url: "https://example.com", credential: "${AZURE_KEY:-}"}
models:
  - alias: gpt-4o
    strategy: fastest
    deployments:
      - {provider: azure_eu, model: g, priority: 1}
      - {provider: openai, model: gpt-4o}
    fallbacks: {error: [small], context_length: [openai/gpt-4.1]}
    rules: [{when: {user: "bot-*"}, use: small}]
  - {alias: small, deployments: [{provider: openai, model: gpt-4o-mini}]}
  - {alias: gpt-4, use: gpt-4o}
"""


def test_where_each_name_leads_is_shown(tmp_path: Path):
    (tmp_path / "headgate.yaml").write_text(ROUTES)
    told = headgate("check-config", "headgate.yaml", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    lines = [line.split(maxsplit=2) for line in told.stdout.splitlines()[-4:]]
    assert lines == [
        ["model", "strategy", "leads to"],
        ["gpt-4o", "fastest", "openai/gpt-4o#main, openai/gpt-4o#backup, then azure_eu/g (off); by rule: small; "
         "on error: small; on context_length: openai/gpt-4.1"],
        ["small", "priority", "openai/gpt-4o-mini#main, openai/gpt-4o-mini#backup"],
        ["gpt-4", "gpt-4o"],
    ]  # fmt: skip

    routes = json.loads(headgate("check-config", "headgate.yaml", "--json", cwd=tmp_path).stdout)["routes"]
    assert routes[0] == {
        "alias": "gpt-4o",
        "strategy": "fastest",
        "use": None,
        "deployments": ["azure_eu/g", "openai/gpt-4o#main", "openai/gpt-4o#backup"],
        "rules": ["small"],
        "fallbacks": {"error": ["small"], "context_length": ["openai/gpt-4.1"], "content_filter": []},
    }
    assert (routes[2]["use"], routes[2]["strategy"], routes[2]["deployments"]) == ("gpt-4o", None, [])
