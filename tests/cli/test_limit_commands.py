"""The commands of budgets, rate limits and the ledger: what is wrong usage, before anything is sent."""

import pytest

from tests.cli.limits_api import KEY, LimitsApi


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("budgets", "create", "20", "--scope", KEY), "AMOUNT/PERIOD such as 20/day"),
        (("budgets", "create", "20/daily", "--scope", KEY), "hour, day, week, month, total"),
        (("budgets", "create", "20/day"), "--scope"),
        (("budgets", "create", "20/day", "--scope", KEY, "--mode", "warn"), "enforce or audit"),
        (("budgets", "update", "bud_1"), "nothing to change"),
        (("budgets", "update", "bud_1", "--amount", "1e3"), "amount in USD"),
        (("budgets", "update", "bud_1", "--override", "5"), "together"),
        (("budgets", "update", "bud_1", "--until", "2027-01-01T00:00:00Z"), "together"),
        (("limits", "set", "--scope", KEY), "nothing to set"),
        (("limits", "set", "--scope", KEY, "--rpm", "fast"), "neither a whole number nor none"),
        (("limits", "set", "--scope", KEY, "--tpm", "1", "--tpm-mode", "soft"), "strict or smooth"),
        (("limits", "clear"), "--scope"),
        (("ledger", "adjust", KEY, "1"), "--reason"),
        (("ledger", "adjust", KEY, "nothing", "--reason", "x"), "amount in USD"),
        (("ledger", "adjust", KEY, "-0.00", "--reason", "x"), "corrects nothing"),
        (("ledger", "adjust", KEY, "1", "--reson", "x"), "--reason"),
        (("keys", "create", "app", "--scope", "acme", "--budget", "20"), "AMOUNT/PERIOD such as 20/day"),
        (("keys", "create", "app", "--scope", "acme", "--rpm", "-1"), "--rpm"),
    ],
)
def test_wrong_usage_is_said_and_nothing_is_sent(api: LimitsApi, arguments: tuple[str, ...], words: str) -> None:
    said = " ".join(api.shown(*arguments, code=2)[1].replace("│", " ").split())

    assert words in said
    assert api.sent == []


@pytest.mark.parametrize("group", ["budgets", "limits", "ledger"])
def test_a_group_without_a_command_shows_its_help(api: LimitsApi, group: str) -> None:
    out, errors = api.shown(group, code=2)

    assert "Commands:" in out + errors
