"""The configuration file's organizations over the life of a gateway: what the file drops is blocked, never deleted."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import KEY, LIMITED_KEY, OTHER_KEY, ROOT, Gateway, config, hello


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def restart(gateway: Gateway, text: str) -> None:
    """End the gateway and start it with another file."""
    gateway.stop()
    (gateway.directory / "headgate.yaml").write_text(text)
    gateway.start()


def statuses(gateway: Gateway) -> list[int]:
    return [gateway.chat(hello(), key=key).status for key in (KEY, LIMITED_KEY, OTHER_KEY)]


def blocked(gateway: Gateway, collection: str) -> dict[str, bool]:
    rows: list[dict[str, Any]] = gateway.admin("GET", f"/{collection}").json["data"]
    assert {row["managed_by"] for row in rows} == {"file"}
    return {f"{row['name']}{row.get('hint', '')}": row["blocked"] for row in rows}


def test_what_is_removed_from_the_file_is_blocked_and_what_returns_works_again(
    fake: FakeOpenAI, tmp_path: Path
) -> None:
    whole = config(fake.url)
    limited = f'          - {{name: limited, models: ["gpt-4o"], secret: {LIMITED_KEY}}}\n'
    globex = whole[whole.index("  - slug: globex") :]
    assert limited in whole
    with Gateway(tmp_path, whole) as gateway:
        assert statuses(gateway) == [200, 200, 200]
        keys = {row["id"] for row in gateway.admin("GET", "/keys").json["data"]}
        restart(gateway, whole.replace(limited, "").replace(globex, ""))
        assert statuses(gateway) == [200, 401, 401]
        assert blocked(gateway, "organizations") == {"Acme": False, "Globex": True}
        assert blocked(gateway, "keys")["limited0002"]
        assert {row["id"] for row in gateway.admin("GET", "/keys").json["data"]} == keys
        actions = [event["action"] for event in gateway.admin("GET", "/audit?limit=5").json["data"]]
        assert {"key.block", "organization.block"} <= set(actions)
        restart(gateway, whole)
        assert statuses(gateway) == [200, 200, 200]
        assert not any(blocked(gateway, "organizations").values())


def test_what_the_file_owns_is_changed_nowhere_else(fake: FakeOpenAI, tmp_path: Path) -> None:
    with Gateway(tmp_path, config(fake.url)) as gateway:
        key = gateway.admin("GET", "/keys").json["data"][0]["id"]
        anyway = {"if-match": "*"}
        for method, path, body in (
            ("DELETE", f"/keys/{key}", None),
            ("PATCH", f"/keys/{key}", {"name": "x"}),
            ("POST", f"/keys/{key}/rotate", {}),
            ("POST", f"/keys/{key}/block", None),
        ):
            answer = gateway.admin(method, path, body, headers=anyway)
            assert (answer.status, answer.json["code"]) == (409, "provisioned_read_only"), (method, path)
        assert statuses(gateway) == [200, 200, 200]


def apply(gateway: Gateway, document: str, *options: str) -> dict[str, Any]:
    """Run ``headgate apply FILE --json`` as an operator does."""
    file = gateway.directory / "desired.yaml"
    file.write_text(document)
    done = subprocess.run(
        [sys.executable, "-m", "headgate.cli", "apply", str(file), "--json", *options],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), "HEADGATE_URL": gateway.base_url},
        cwd=gateway.directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_apply_prunes_only_where_it_is_told_to_and_a_plan_changes_nothing(fake: FakeOpenAI, tmp_path: Path) -> None:
    keys = "[{name: one, models: ['*']}, {name: two, models: ['*']}]"
    document = f"organizations: [{{slug: zed, name: Zed, teams: [{{slug: t, name: T, keys: {keys}}}]}}]\n"
    fewer = document.replace(", {name: two, models: ['*']}", "")
    with Gateway(tmp_path, config(fake.url)) as gateway:
        made = apply(gateway, document)
        secrets = {change["path"]: change["secret"] for change in made["changes"] if change["kind"] == "key"}
        one, two = secrets["zed/t/one"], secrets["zed/t/two"]
        assert apply(gateway, fewer)["changes"] == []
        planned = apply(gateway, fewer, "--plan", "--prune")
        assert (planned["applied"], [change["path"] for change in planned["changes"]]) == (False, ["zed/t/two"])
        assert [gateway.chat(hello(), key=key).status for key in (one, two)] == [200, 200]
        assert apply(gateway, fewer, "--prune")["applied"] is True
        assert [gateway.chat(hello(), key=key).status for key in (one, two)] == [200, 401]
        # What the configuration file owns is none of its business.
        assert statuses(gateway) == [200, 200, 200]
