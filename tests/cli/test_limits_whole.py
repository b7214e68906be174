"""Limits from the command line to a real gateway and back: made, in force at once, shown, corrected, verified."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headgate.settings.model import LEDGER_FILE
from tests.cli.gateway import chat, headgate, running, wait_for


def test_a_key_with_a_budget_of_nothing_is_refused_and_one_with_enough_is_not(
    gateway: tuple[str, Path], cli: Callable[..., Any]
):
    url, _ = gateway
    poor = cli("keys", "create", "poor", "--scope", "default/default", "--sandbox", "--budget", "0/day")
    rich = cli("keys", "create", "rich", "--scope", "default/default", "--sandbox", "--budget", "1/day", "--rpm", "60")
    assert [each["scope_id"] for each in rich["budgets"]] == [rich["id"]]
    assert chat(url, poor["secret"]) == 402
    assert chat(url, rich["secret"]) == 200
    cli("budgets", "update", poor["budgets"][0]["id"], "--amount", "1")
    assert chat(url, poor["secret"]) == 200


def test_the_status_of_a_key_shows_what_was_posted_and_adds_up(gateway: tuple[str, Path], cli: Callable[..., Any]):
    url, _ = gateway
    key = cli(
        "keys", "create", "shown", "--scope", "default/default", "--sandbox", "--budget", "1/day", "--tpm", "9000"
    )
    assert chat(url, key["secret"]) == 200

    def own() -> dict[str, Any] | None:
        (found,) = (each for each in cli("keys", "status", key["id"])["budgets"] if each["scope_id"] == key["id"])
        return found if Decimal(found["posted_usd"]) and not Decimal(found["held_usd"]) else None

    account = wait_for(own)
    assert account["period"] == "day"
    assert Decimal(account["posted_usd"]) + Decimal(account["free_usd"]) == Decimal(account["limit_usd"])
    windows = {each["limit_name"]: each for each in cli("keys", "status", key["id"])["windows"]}
    assert windows["tpm"]["limit"] == 9000
    assert windows["tpm"]["remaining"] < 9000


def test_rate_limits_are_set_changed_and_cleared_and_hold_at_once(gateway: tuple[str, Path], cli: Callable[..., Any]):
    url, _ = gateway
    key = cli("keys", "create", "slow", "--scope", "default/default", "--sandbox")
    made = cli("limits", "set", "--scope", key["id"], "--rpm", "0")
    assert chat(url, key["secret"]) == 429
    assert cli("limits", "set", "--scope", key["id"], "--rpm", "none", "--tpm", "100000")["id"] == made["id"]
    assert chat(url, key["secret"]) == 200
    assert [each["id"] for each in cli("limits", "list", "--scope", key["id"])["data"]] == [made["id"]]
    assert cli("limits", "clear", "--scope", key["id"]) == {"id": made["id"], "deleted": True}
    assert cli("limits", "list", "--scope", key["id"])["data"] == []


def test_a_budget_above_its_parents_is_refused_and_the_key_is_said_to_be_without_it(
    gateway: tuple[str, Path], cli: Callable[..., Any]
):
    (cli_team,) = cli("apply", *tree(gateway))["changes"][-1:]
    budget = cli("budgets", "create", "10/month", "--scope", "capped/team")
    assert budget["scope_id"] == cli_team["id"]
    said = cli("keys", "create", "bold", "--scope", "capped/team", "--budget", "11/month", code=1)
    assert "WORKS WITHOUT a limit" in said
    assert "headgate keys revoke key_" in said


def tree(gateway: tuple[str, Path]) -> tuple[str, ...]:
    _, directory = gateway
    (directory / "capped.yaml").write_text("organizations: [{slug: capped, teams: [{slug: team}]}]\n")
    return ("capped.yaml",)


def test_named_limits_an_override_and_audit_mode(gateway: tuple[str, Path], cli: Callable[..., Any]):
    made = cli("budgets", "create", "5/day", "--scope", "default", "--end-user", "*", "--mode", "audit")
    assert (made["end_user"], made["mode"]) == ("*", "audit")
    raised = cli("budgets", "update", made["id"], "--override", "8", "--until", "2099-01-01T00:00:00Z")
    assert raised["override"]["amount_usd"] == "8"
    assert cli("budgets", "update", made["id"], "--no-override")["override"] is None
    assert made["id"] in [each["id"] for each in cli("budgets", "list", "--organization", "default")["data"]]
    assert cli("budgets", "delete", made["id"]) == {"id": made["id"], "deleted": True}


def test_a_correction_is_posted_and_the_ledger_still_adds_up(gateway: tuple[str, Path], cli: Callable[..., Any]):
    url, directory = gateway
    key = cli("keys", "create", "billed", "--scope", "default/default", "--sandbox", "--budget", "2/total")
    assert chat(url, key["secret"]) == 200
    cli("ledger", "adjust", key["id"], "1.5", "--reason", "invoice")

    def posted() -> Decimal:
        budgets = cli("keys", "status", key["id"])["budgets"]
        return next(Decimal(each["posted_usd"]) for each in budgets if each["scope_id"] == key["id"])

    assert posted() >= Decimal("1.5")
    cli("ledger", "adjust", key["id"], "-0.5", "--reason", "billed twice")
    assert Decimal(1) <= posted() < Decimal("1.5")
    assert "taken back" in cli("ledger", "adjust", key["id"], "-100", "--reason", "too much", code=1).lower()
    assert (directory / "data" / LEDGER_FILE).exists()
    on_disk, live = cli("ledger", "verify"), cli("ledger", "verify", "--live")
    assert on_disk["problems"] == live["problems"] == []
    assert on_disk.keys() == live.keys()
    for way in ((), ("--live",)):
        done = headgate("ledger", "verify", *way, *([] if not way else ["--url", url]), cwd=directory)
        assert (done.returncode, "adds up" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_limits_of_the_file_are_in_force_and_read_only(tmp_path: Path, durability: str):
    secrets = ("a" * 40, "b" * 40)
    (tmp_path / "headgate.yaml").write_text(
        f"""
        providers: {{sandbox: {{kind: sandbox}}}}
        models: [{{alias: "sandbox/*", deployments: [{{provider: sandbox}}]}}]
        ledger: {{durability: {durability}, budget_wait: 0s}}
        organizations:
          - slug: acme
            budgets: [{{amount_usd: "1", period: month}}]
            keys:
              - {{name: none, models: ["sandbox/*"], secret: {secrets[0]}, budgets: [{{amount_usd: "0", period: day}}]}}
              - {{name: some, models: ["sandbox/*"], secret: {secrets[1]}, rate_limits: {{rpm: 1}}}}
        """
    )
    with running("serve", "--config", "headgate.yaml", "--port", "0", cwd=tmp_path) as (url, _):
        assert chat(url, secrets[0]) == 402
        assert [chat(url, secrets[1]) for _ in range(2)] == [200, 429]
        environ = {"HEADGATE_URL": url}
        listed = headgate("budgets", "list", "--scope", "acme", cwd=tmp_path, environ=environ)
        assert "file" in listed.stdout
        budget = next(word for word in listed.stdout.split() if word.startswith("bud_"))
        changed = headgate("budgets", "update", budget, "--amount", "2", cwd=tmp_path, environ=environ)
        assert changed.returncode == 1
        assert "file" in changed.stderr
        again = headgate("ledger", "verify", cwd=tmp_path, environ=environ)
        assert (again.returncode, "adds up" in again.stdout) == (0, True)
