"""Keys from the command line, as an operator handles one after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.gateway import chat, headgate


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
