"""Desired state through the API: planned, carried out, and idempotent."""

from typing import Any

from tests.admin.calling import Api
from tests.admin.people import add_tenant


def wanted(**changes: Any) -> dict[str, Any]:
    team = {"slug": "ml", "name": "ML", "keys": [{"name": "prod", "models": ["gpt-4o*"]}]}
    return {"organizations": [{"slug": "acme", "name": "Acme", "teams": [team]} | changes]}


async def test_a_plan_changes_nothing_and_applying_twice_changes_once(api: Api):
    planned = await api("POST", "/apply", {"document": wanted(), "plan": True})
    assert planned.status == 200, planned
    assert [(each["action"], each["kind"]) for each in planned.json["changes"]] == [
        ("create", "organization"),
        ("create", "team"),
        ("create", "key"),
    ]
    assert planned.json["applied"] is False
    assert not [each["secret"] for each in planned.json["changes"] if each["secret"]]
    assert (await api("GET", "/organizations")).json["data"] == []
    applied = (await api("POST", "/apply", {"document": wanted()})).json
    assert [each["path"] for each in applied["changes"]] == ["acme", "acme/ml", "acme/ml/prod"]
    assert applied["changes"][2]["secret"].startswith("hg_")
    assert (await api("POST", "/apply", {"document": wanted()})).json["changes"] == []
    assert (await api("GET", "/keys")).json["data"][0]["managed_by"] == "apply"


async def test_a_wrong_field_deep_in_the_document_is_named(api: Api):
    answer = await api("POST", "/apply", {"document": wanted(owner="me")})
    assert (answer.status, answer.json["param"]) == (422, "document.organizations[0].owner")


async def test_an_owner_applies_only_to_his_own_organization(api: Api):
    acme = await add_tenant(api, "acme")
    await add_tenant(api, "globex")
    owner = acme.apis["owner"]
    foreign = {"organizations": [{"slug": "globex", "teams": [{"slug": "new"}]}]}
    assert (await owner("POST", "/apply", {"document": foreign})).status in (403, 404)
    assert (await acme.apis["viewer"]("POST", "/apply", {"document": foreign})).status == 403
    assert "new" not in {team["slug"] for team in (await api("GET", "/teams")).json["data"]}


async def test_a_malformed_digest_is_named_and_not_shown(api: Api):
    key = {"name": "theirs", "secret_sha256": "sk-somebody-put-the-secret-here"}
    answer = await api("POST", "/apply", {"document": wanted(keys=[key])})
    assert (answer.status, answer.json["param"]) == (422, "document.organizations[0].keys[0].secret_sha256")
    assert key["secret_sha256"] not in str(answer.json)
