"""Keys from the command line, as an operator handles one after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.gateway import chat, headgate
from tests.cli.limits_api import KEY, TEAM, LimitsApi


def test_a_key_is_made_used_rotated_listed_and_revoked(gateway: tuple[str, Path], cli: Callable[..., Any]):
    url, _ = gateway
    made = cli("keys", "create", "app", "--scope", "default/default", "--sandbox", "--tag", "service=search")
    assert made["tags"] == {"service": "search"}
    assert chat(url, made["secret"]) == 200
    rotated = cli("keys", "rotate", made["id"], "--grace", "1h")
    assert chat(url, made["secret"]) == chat(url, rotated["secret"]) == 200
    assert made["id"] in [key["id"] for key in cli("keys", "list", "--scope", "default/default")["data"]]
    assert cli("keys", "revoke", made["id"]) == {"id": made["id"], "revoked": True}
    assert chat(url, rotated["secret"]) == chat(url, made["secret"]) == 401
    assert made["id"] not in [key["id"] for key in cli("keys", "list")["data"]]


def test_what_the_gateway_refuses_is_said_with_its_field(cli: Callable[..., Any]):
    assert "there is no scope 'nowhere'" in cli("keys", "create", "x", "--scope", "nowhere", code=1)
    assert "expires_at" in cli("keys", "create", "x", "--scope", "default", "--expires", "soon", code=1)
    assert "not a duration" in cli("keys", "rotate", "key_x", "--grace", "soon", code=1)
    assert "group_by" in cli("usage", "--group-by", "colour", code=1)


def test_a_scope_is_found_by_its_slugs_at_every_level(gateway: tuple[str, Path], cli: Callable[..., Any]):
    _, directory = gateway
    (directory / "tree.yaml").write_text(
        "organizations:\n  - {slug: tree, teams: [{slug: branch, projects: [{slug: leaf}]}]}\n"
    )
    made = {change["path"]: change["id"] for change in cli("apply", "tree.yaml")["changes"]}
    for path, scope_id in made.items():
        assert cli("keys", "create", f"key of {path}", "--scope", path)["scope_id"] == scope_id
        assert cli("keys", "create", f"another of {path}", "--scope", scope_id)["scope_id"] == scope_id
    assert "levels" in cli("keys", "create", "x", "--scope", "tree/branch/leaf/vein", code=1)
    assert "projects have no 'nut'" in cli("keys", "create", "x", "--scope", "tree/branch/nut", code=1)


def test_a_tag_needs_a_name_and_a_value(cli: Callable[..., Any]):
    for tag in ("service", "=search"):
        assert "name=value" in cli("keys", "create", "x", "--scope", "default", "--tag", tag, code=1)


def test_a_secret_is_shown_to_people_with_the_warning_that_it_is_once(gateway: tuple[str, Path]):
    url, directory = gateway
    arguments = ("keys", "create", "for people", "--scope", "default")
    done = headgate(*arguments, cwd=directory, environ={"HEADGATE_URL": url})
    assert done.returncode == 0, done.stderr
    assert "shown this once" in done.stdout
    assert "secret" in done.stdout


def test_a_key_is_made_with_its_limits(api: LimitsApi):
    made = api.run(
        *("keys", "create", "app", "--scope", "acme/ml", "--budget", "20/day", "--budget", "300/month"),
        *("--rpm", "60", "--tpm", "100000", "--concurrency", "5"),
    )
    assert made["scope_id"] == TEAM
    assert [(each["amount_usd"], each["period"]) for each in made["budgets"]] == [("20", "day"), ("300", "month")]
    limits = made["rate_limits"]
    assert (limits["rpm"], limits["tpm"], limits["concurrency"], limits["tpd"]) == (60, 100000, 5, None)
    assert {each["scope_id"] for each in (*made["budgets"], limits)} == {made["id"]}


def test_a_limit_that_is_refused_leaves_a_key_that_is_shown_and_said_to_be_without_it(api: LimitsApi):
    api.refused["budgets"] = "20 USD a day is above the team's 10."
    out, errors = api.shown("keys", "create", "app", "--scope", "acme/ml", "--budget", "20/day", "--rpm", "60", code=1)
    (made,) = api.kept["keys"].values()
    assert made["secret"] in out
    assert f"{made['id']} was made and WORKS WITHOUT a limit" in errors
    assert "20 USD a day is above the team's 10. Give it one with" in errors
    assert f"headgate keys revoke {made['id']}" in errors


def test_the_status_of_a_key_shows_what_is_left_at_every_level(api: LimitsApi):
    account = {
        "budget_id": "bud_1",
        "account": "team/t/bud_1/2026-11",
        "kind": "team",
        "scope_id": TEAM,
        "period": "month",
        "mode": "enforce",
        "limit_usd": "5000",
        "posted_usd": "1200.5",
        "held_usd": "0.25",
        "free_usd": "3799.25",
        "starts_at": "2026-10-31T23:00:00Z",
        "resets_at": "2026-11-30T23:00:00Z",
    }
    window = {
        "kind": "key",
        "scope_id": KEY,
        "limit_name": "tpm",
        "limit": 100000,
        "remaining": 98765,
        "resets_at": "2026-11-24T15:01:00Z",
    }
    api.answers[f"keys/{KEY}/status"] = {"key_id": KEY, "budgets": [account], "windows": [window]}
    assert api.run("keys", "status", f"key_…{KEY[-8:]}")["budgets"] == [account]
    out, _ = api.shown("keys", "status", KEY)
    for words in ("3799.25", "1200.5", "0.25", "98765", "2026-11-30 23:00:00Z", "begins anew"):
        assert words in out.replace("T23:00:00Z", " 23:00:00Z")
    api.answers[f"keys/{KEY}/status"] = {"key_id": KEY, "budgets": [], "windows": []}
    out, _ = api.shown("keys", "status", KEY)
    assert "no budget is on its path" in out
    assert "no rate limit is on its path" in out
