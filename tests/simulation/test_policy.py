"""Configuration files as policies."""

from pathlib import Path

import pytest

from headgate.domain.routing import Strategy
from headgate.settings.load import ConfigurationError
from headgate.simulation.policy import read_policy
from tests.simulation.small import TWO, policy


def test_providers_without_a_credential_count_as_on_and_are_named(tmp_path: Path):
    file = tmp_path / "p.yaml"
    file.write_text(TWO.replace("${FAR_KEY:-}", "${FAR_KEY}"))
    made = read_policy(file, {})
    assert [each.name for each in made.routes.resolve("m").deployments] == ["near/a", "far/b"]
    assert made.without_credential == ("near", "far")
    assert made.name == str(file)
    assert made.refuse_unpriced
    assert read_policy(file, {"NEAR_KEY": "x", "FAR_KEY": "y"}).without_credential == ()


def test_each_credential_of_several_counts_as_on(tmp_path: Path):
    two = 'credentials: [{name: one, value: "${ONE:-}"}, {name: two, value: "${TWO:-}"}]'
    text = TWO.replace('credential: "${NEAR_KEY:-}"', two)
    assert len(policy(tmp_path, text).routes.resolve("m").deployments) == 3


def test_a_whole_file_of_an_open_gateway_can_be_read_without_its_secrets(tmp_path: Path):
    whole = 'server: {listen: "0.0.0.0:4100", admin_token: "${HEADGATE_ADMIN_TOKEN}"}\n' + TWO
    whole += 'organizations: [{slug: acme, keys: [{name: k, models: ["*"], secret: "${ACME_KEY}"}]}]\n'
    assert policy(tmp_path, whole).routes.resolve("m").strategy is Strategy.PRIORITY


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TWO.replace("alias: m", "alyas: m"), r"p\.yaml:6: models\[0\]\.alyas|models\[0\]\.alyas: unknown key"),
        (TWO.replace("https://near", "ftp://near"), r"p\.yaml:3: providers\.near\.base_url"),
        (TWO.replace("kind: openai", "kind: opnai", 1), r"p\.yaml:3: .*kind"),
    ],
)
def test_a_wrong_file_is_said_with_its_line(tmp_path: Path, text: str, words: str):
    with pytest.raises(ConfigurationError, match=words):
        policy(tmp_path, text, "p.yaml")


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_policy(tmp_path / "none.yaml", {})


def test_an_override_of_prices_that_is_broken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "p.yaml"
    file.write_text(TWO)
    (tmp_path / "prices.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="price"):
        read_policy(file, {"HEADGATE_DATA_DIR": str(tmp_path)})
