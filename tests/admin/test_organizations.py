"""Organizations through the API: a life from creation to deletion."""

import pytest

from headgate.domain.residency import ResidencyPolicy
from headgate.identity.secrets import hash_secret
from tests.admin.calling import Api
from tests.admin.people import ANY_VERSION, Tenant


async def test_an_organization_lives_and_ends(api: Api):
    made = await api.make("/organizations", {"slug": "acme", "name": "Acme", "time_zone": "Europe/Berlin"})
    path = f"/organizations/{made['id']}"
    assert made["id"].startswith("org_")
    assert (made["managed_by"], made["blocked"], made["version"]) == ("api", False, 1)
    changed = await api("PATCH", path, {"time_zone": "Asia/Tokyo"}, headers={"if-match": '"v1"'})
    assert (changed.json["name"], changed.json["time_zone"]) == ("Acme", "Asia/Tokyo")
    assert (await api("POST", f"{path}/block")).json["blocked"] is True
    assert (await api("POST", f"{path}/unblock", headers={"if-match": '"v1"'})).status == 412
    assert (await api("POST", f"{path}/unblock")).json["blocked"] is False
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path)).status == 404


async def test_one_that_holds_something_is_not_deleted(api: Api, acme: Tenant):
    answer = await api("DELETE", f"/organizations/{acme.id}")
    assert (answer.status, answer.json["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"slug": "Acme", "name": "x"}, "slug"),
        ({"slug": "-acme", "name": "x"}, "slug"),
        ({"slug": "a" * 64, "name": "x"}, "slug"),
        ({"slug": "acme", "name": ""}, "name"),
        ({"slug": "acme", "name": "a\r\nb"}, "name"),
        ({"slug": "acme", "name": "x", "time_zone": "Mars/Olympus"}, "time_zone"),
        ({"slug": "acme", "name": "x", "time_zone": "../../etc/passwd"}, "time_zone"),
        ({"slug": "acme", "name": "x", "id": "org_mine"}, "id"),
        ({"slug": "acme"}, "name"),
    ],
)
async def test_a_wrong_field_makes_nothing(api: Api, body: object, param: str):
    answer = await api("POST", "/organizations", body)
    assert (answer.status, answer.json["param"]) == (422, param)
    assert (await api("GET", "/organizations")).json["data"] == []


async def test_a_slug_is_taken_once(api: Api):
    await api.make("/organizations", {"slug": "acme", "name": "Acme"})
    answer = await api("POST", "/organizations", {"slug": "acme", "name": "Other"})
    assert (answer.status, answer.json["param"]) == (409, "slug")


async def test_an_owner_renames_his_own_and_does_not_delete_it(acme: Tenant):
    owner = acme.apis["owner"]
    path = f"/organizations/{acme.id}"
    assert (await owner("PATCH", path, {"name": "New"}, headers=ANY_VERSION)).json["name"] == "New"
    assert (await owner("DELETE", path)).status == 403
    assert (await owner("POST", f"{path}/block")).status == 403
    assert (await acme.apis["admin"]("PATCH", path, {"name": "Mine"}, headers=ANY_VERSION)).status == 403


async def test_an_organizations_policy_reaches_its_keys_at_once(api: Api, acme: Tenant):
    made = await api.make("/keys", {"scope_id": acme.project, "name": "prod", "residency": {"regions": ["eu-*"]}})
    body = {"residency": {"jurisdictions": ["eu"], "no_training": True}}
    path = f"/organizations/{acme.id}"
    assert (await api("PATCH", path, body)).status == 428
    assert (await api("PATCH", path, body, headers=ANY_VERSION)).status == 200
    key = api.snapshots.current.keys.lookup(hash_secret(made["secret"]))
    assert key is not None
    assert key.residency == ResidencyPolicy(("eu",), ("eu-*",), no_training=True)
    (event,) = [each for each in (await api("GET", "/audit")).json["data"] if each["action"] == "organization.update"]
    assert event["before"] == {"residency": None}
    assert event["after"] == {"residency": {"jurisdictions": ["eu"], "no_training": True}}


async def test_an_organization_is_made_with_a_policy(api: Api):
    body = {"slug": "acme", "name": "Acme", "residency": {"max_retention_days": 30}}
    made = await api.make("/organizations", body)
    assert made["residency"]["max_retention_days"] == 30
    assert (await api("POST", "/organizations", body | {"residency": {"regions": [""]}})).json["param"] == (
        "residency.regions[0]"
    )
