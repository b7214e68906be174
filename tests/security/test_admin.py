"""Attacks on the admin API and the configuration. The numbers are those of the must-withstand list."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import ROOT, Answer, Gateway


class Insider:
    """A person with a role in one organization, and a personal access token."""

    def __init__(self, gateway: Gateway, slug: str, role: str) -> None:
        self.gateway = gateway
        self.organization: dict[str, Any] = _made(gateway.admin("POST", "/organizations", {"slug": slug, "name": slug}))
        user = {"organization_id": self.organization["id"], "email": f"{role}@{slug}.example", "name": role}
        self.user: dict[str, Any] = _made(gateway.admin("POST", "/users", user))
        binding = {"scope_id": self.organization["id"], "role": role}
        _made(gateway.admin("POST", f"/users/{self.user['id']}/roles", binding, headers=self.if_match()))
        self.token: str = _made(gateway.admin("POST", "/tokens", {"name": "t", "user_id": self.user["id"]}))["secret"]

    def if_match(self) -> dict[str, str]:
        """The precondition that a change of roles needs."""
        return {"if-match": self.gateway.admin("GET", f"/users/{self.user['id']}").headers["etag"]}

    def send(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        return self.gateway.request(method, f"/admin/v1{path}", body, key=self.token, headers=headers)


def _made(answer: Answer) -> dict[str, Any]:
    assert answer.status in (200, 201), answer.body
    return answer.json


@pytest.fixture(scope="module")
def admin_of_a(gateway: Gateway) -> Insider:
    return Insider(gateway, "insider-a", "admin")


@pytest.fixture(scope="module")
def viewer_of_b(gateway: Gateway) -> Insider:
    return Insider(gateway, "insider-b", "viewer")


@pytest.mark.parametrize(
    "extra",
    [
        {"role": "owner"},
        {"allowed_routes": ["/*"]},
        {"budget": "-1"},
        {"budget": 1e308},
        {"permissions": ["*"]},
        {"organization_id": "org_00000000000000000000000000"},
        {"models": "*"},
        {"models": [1]},
        {"expires_at": "not a time"},
        {"tags": {"a": {"b": 1}}},
    ],
)
def test_item_16_a_key_with_rights_it_cannot_have_is_not_made(admin_of_a: Insider, extra: dict[str, Any]) -> None:
    body = {"name": "k", "scope_id": admin_of_a.organization["id"], "models": ["*"]} | extra
    answer = admin_of_a.send("POST", "/keys", body)
    assert answer.status in (403, 422), answer.body


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e309"])
def test_item_16_numbers_that_are_none_are_refused(admin_of_a: Insider, number: bytes) -> None:
    scope = admin_of_a.organization["id"].encode()
    body = b'{"name":"k","models":["*"],"scope_id":"' + scope + b'","budget":' + number + b"}"
    assert admin_of_a.send("POST", "/keys", body).status in (400, 403, 422)


def test_item_16_a_key_on_another_organization_is_not_made(admin_of_a: Insider, viewer_of_b: Insider) -> None:
    body = {"name": "k", "scope_id": viewer_of_b.organization["id"], "models": ["*"]}
    answer = admin_of_a.send("POST", "/keys", body)
    assert answer.status in (403, 404, 422), answer.body


def test_item_16_who_may_only_read_makes_no_key_and_the_attempt_is_on_record(
    gateway: Gateway, viewer_of_b: Insider
) -> None:
    body = {"name": "k", "scope_id": viewer_of_b.organization["id"], "models": ["*"]}
    assert viewer_of_b.send("POST", "/keys", body).status == 403
    events = gateway.admin("GET", "/audit?limit=20").json["data"]
    assert any(event["outcome"] == "denied" for event in events)


def test_item_17_nobody_raises_his_own_role(viewer_of_b: Insider, admin_of_a: Insider) -> None:
    for insider in (viewer_of_b, admin_of_a):
        binding = {"scope_id": insider.organization["id"], "role": "owner"}
        answer = insider.send("POST", f"/users/{insider.user['id']}/roles", binding, insider.if_match())
        assert answer.status == 403, answer.body


@pytest.mark.parametrize("change", [{"role": "owner"}, {"roles": [{"role": "owner"}]}, {"permissions": ["*"]}])
def test_item_17_a_role_is_not_patched_into_ones_own_user(
    viewer_of_b: Insider, admin_of_a: Insider, change: dict[str, Any]
) -> None:
    for insider, expected in ((viewer_of_b, 403), (admin_of_a, 422)):
        answer = insider.send("PATCH", f"/users/{insider.user['id']}", change, {"if-match": "*"})
        assert answer.status == expected, answer.body
        assert "organizations:write" not in insider.send("GET", "/me").json["permissions"]


@pytest.mark.parametrize(
    "query",
    [
        "/keys?sort=name;DROP TABLE scopes--",
        "/keys?cursor=' OR 1=1--",
        "/keys?limit=1 OR 1=1",
        "/keys?limit=-1",
        "/keys?limit=99999999999999999999",
        "/requests?outcome=ok' OR '1'='1",
        "/requests?from=1970-01-01' --",
        "/requests?cursor=%00",
        "/usage?group_by=organization;DELETE FROM requests",
        "/usage?group_by=key_id)%20FROM%20virtual_keys--",
        "/usage?interval=day'",
        "/usage?tz=../../etc/passwd",
    ],
)
def test_item_20_sql_in_a_query_is_a_422(gateway: Gateway, query: str) -> None:
    answer = gateway.admin("GET", query.replace(" ", "%20"))
    assert answer.status == 422, answer.body
    assert b"sqlite" not in answer.body.lower()
    assert b"syntax" not in answer.body.lower()


def test_item_20_sql_in_a_value_is_only_a_value(gateway: Gateway) -> None:
    evil = "x' OR '1'='1"
    answer = gateway.admin("GET", "/requests?model=" + evil.replace(" ", "%20").replace("'", "%27"))
    assert (answer.status, answer.json["data"]) == (200, [])


BILLION_LAUGHS = "\n".join(
    ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
YAML_ATTACKS = {
    "anchors": BILLION_LAUGHS,
    "python-tag": "server: !!python/object/apply:os.system ['touch pwned']",
    "custom-tag": "server: !evil {listen: x}",
    "merge": "server: &s {listen: '127.0.0.1:1'}\nstorage:\n  <<: *s",
    "duplicate": "server: {}\nserver: {}",
    "two-documents": "server: {}\n---\nserver: {}",
    "huge": "x: " + "a" * (2 * 1024 * 1024),
    "deep": "a: " + "[" * 5000 + "]" * 5000,
}


@pytest.mark.parametrize("name", YAML_ATTACKS)
def test_item_22_yaml_bombs_and_tags_are_refused_by_the_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "headgate.yaml"
    file.write_text(YAML_ATTACKS[name])
    done = subprocess.run(
        [sys.executable, "-m", "headgate.cli", "check-config", str(file)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "headgate.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", YAML_ATTACKS)
def test_item_22_yaml_bombs_and_tags_are_refused_by_the_api(gateway: Gateway, name: str) -> None:
    gateway.admin("GET", "/me")
    with gateway.holding_no_more_than(64 * 1024 * 1024):
        answer = gateway.admin("POST", "/apply", {"document": YAML_ATTACKS[name], "plan": True, "prune": False})
    assert answer.status in (400, 413, 422), answer.body
