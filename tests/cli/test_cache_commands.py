"""The commands of the cache: what is wrong usage, before anything is sent."""

import pytest

from tests.cli.limits_api import LimitsApi


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cache", "purge"), "--organization"),
        (("cache", "purge", "--organization", "acme", "--key", "key_1", "--model", "gpt-4o"), "name one part"),
        (("cache", "purge", "--organization", "acme", "--everything"), "--everything"),
        (("cache", "stats", "--since", "yesterday"), "--since"),
    ],
)
def test_wrong_usage_is_said_and_nothing_is_sent(api: LimitsApi, arguments: tuple[str, ...], words: str) -> None:
    said = " ".join(api.shown(*arguments, code=2)[1].replace("│", " ").split())

    assert words in said
    assert api.sent == []


def test_the_group_without_a_command_shows_its_help(api: LimitsApi) -> None:
    out, errors = api.shown("cache", code=2)

    assert "Commands:" in out + errors
