"""Secrets stay out of sight."""

import pytest

from headgate.settings.model import ProviderSettings, Secret, ServerSettings, Settings


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, ascii])
def test_a_secret_does_not_show_itself(show) -> None:
    settings = Settings(
        server=ServerSettings(admin_token=Secret("canary")),
        providers=(ProviderSettings(name="a", kind="openai", credential=Secret("canary")),),
    )

    assert "canary" not in show(settings)
    assert "canary" not in show(settings.server.admin_token)
    assert settings.server.admin_token.reveal() == "canary"


def test_secrets_compare_by_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
    assert Secret("a")
