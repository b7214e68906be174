"""Budgets and rate limits from the command line, against a server that keeps what it is sent."""

import pytest

from headgate.cli.limiting import check_amount_usd, parse_budget, parse_limit
from tests.cli.limits_api import KEY, ORGANIZATION, TEAM, LimitsApi


def test_a_budget_is_made_listed_changed_and_deleted(api: LimitsApi) -> None:
    made = api.run("budgets", "create", "5000.25/month", "--scope", "acme/ml", "--mode", "audit")
    assert api.sent[-1] == (
        "POST",
        "budgets",
        {"scope_id": TEAM, "amount_usd": "5000.25", "period": "month", "mode": "audit"},
    )
    assert api.run("budgets", "list", "--scope", "acme/ml", "--organization", "acme")["data"] == [made]
    assert api.run("budgets", "list", "--scope", KEY)["data"] == []
    changed = api.run("budgets", "update", made["id"], "--amount", "6000", "--mode", "enforce")
    assert (changed["amount_usd"], changed["mode"]) == ("6000", "enforce")
    assert api.run("budgets", "delete", f"bud_…{made['id'][-8:]}") == {"id": made["id"], "deleted": True}
    assert api.run("budgets", "list")["data"] == []


def test_an_override_is_set_with_its_end_and_taken_off(api: LimitsApi) -> None:
    made = api.run("budgets", "create", "20/day", "--scope", KEY)
    until = "2027-01-04T08:00:00Z"
    raised = api.run("budgets", "update", made["id"], "--override", "50", "--until", until)
    assert raised["override"] == {"amount_usd": "50", "until": until}
    out, _ = api.shown("budgets", "list")
    assert f"50 until {until}" in out
    assert api.run("budgets", "update", made["id"], "--no-override")["override"] is None


def test_limits_hang_on_names_that_requests_bring(api: LimitsApi) -> None:
    api.run("budgets", "create", "5/day", "--scope", "acme", "--end-user", "*")
    assert api.sent[-1][2] == {"scope_id": ORGANIZATION, "amount_usd": "5", "period": "day", "end_user": "*"}
    api.run("limits", "set", "--scope", "acme", "--model", "gpt-4o", "--tpm", "500000")
    api.run("limits", "set", "--scope", "acme", "--tag", "team=red", "--rpm", "60")
    assert len(api.kept["rate-limits"]) == 2
    for command in ("budgets", "limits"):
        out, _ = api.shown(command, "list")
        assert ("end_user *" if command == "budgets" else "model gpt-4o") in out


def test_setting_limits_makes_them_once_and_then_changes_only_what_is_named(api: LimitsApi) -> None:
    made = api.run("limits", "set", "--scope", KEY, "--rpm", "60", "--tpm", "100000", "--tpm-mode", "strict")
    assert api.sent[-1] == (
        "POST",
        "rate-limits",
        {"scope_id": KEY, "rpm": 60, "tpm": 100000, "tpm_mode": "strict"},
    )
    changed = api.run("limits", "set", "--scope", KEY, "--rpm", "none", "--concurrency", "0")
    assert api.sent[-1] == ("PATCH", f"rate-limits/{made['id']}", {"rpm": None, "concurrency": 0})
    assert (changed["rpm"], changed["tpm"], changed["concurrency"]) == (None, 100000, 0)
    out, _ = api.shown("limits", "list")
    assert "100000 strict" in out
    assert api.run("limits", "clear", "--scope", KEY) == {"id": made["id"], "deleted": True}
    assert "has no rate limits" in api.run("limits", "clear", "--scope", KEY, code=1)


def test_what_the_gateway_refuses_is_said(api: LimitsApi) -> None:
    api.refused["budgets"] = "above the parent's."
    assert "amount_usd: above the parent's." in api.run("budgets", "create", "1/day", "--scope", "acme", code=1)
    assert "no such thing" in api.run("budgets", "update", "bud_none", "--amount", "1", code=1)
    assert "no such thing" in api.run("budgets", "delete", "bud_none", code=1)
    assert "there is no scope 'nowhere'" in api.run("limits", "set", "--scope", "nowhere", "--rpm", "1", code=1)


@pytest.mark.parametrize("text", ["", "20", "20/", "/day", "20/fortnight", "x/day", "-1/day", "0.0000000001/day"])
def test_what_is_no_budget_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match=r"AMOUNT/PERIOD|amount in USD|negative|decimals"):
        parse_budget(text)


def test_a_limit_is_a_count_or_none() -> None:
    assert (parse_limit("0"), parse_limit("100000"), parse_limit("none")) == (0, 100000, None)
    for text in ("", "-1", "1.5", "many", "9000000000000001"):
        with pytest.raises(ValueError, match=r"whole number|between"):
            parse_limit(text)


def test_an_amount_stays_the_text_that_it_is() -> None:
    assert check_amount_usd("0.000000001") == "0.000000001"
