"""Teams through the API: made below a parent, renamed with the version that was read, deleted when empty."""

from tests.admin.calling import Answer, Api
from tests.admin.people import ANY_VERSION, Tenant, add_person


async def test_a_team_lives_and_ends(api: Api, acme: Tenant):
    made = await api.make("/teams", {"organization_id": acme.id, "slug": "new", "name": "New"})
    path = f"/teams/{made['id']}"
    assert (made["organization_id"], made["organization_id"]) == (acme.id, acme.id)
    assert (await api("PATCH", path, {"name": "Newer"})).status == 428
    changed = await api("PATCH", path, {"name": "Newer"}, headers={"if-match": '"v1"'})
    assert (changed.json["name"], changed.json["slug"]) == ("Newer", "new")
    assert (await api("POST", f"{path}/block")).json["blocked"] is True
    assert (await api("POST", f"{path}/unblock")).json["blocked"] is False
    assert (await api("DELETE", path, headers={"if-match": '"v1"'})).status == 412
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path)).status == 404


async def test_the_list_is_cut_to_one_parent(api: Api, acme: Tenant, globex: Tenant):
    assert len((await api("GET", "/teams")).json["data"]) == 2
    (found,) = (await api("GET", f"/teams?organization_id={acme.id}")).json["data"]
    assert found["id"] == acme.team


async def test_a_parent_of_another_kind_or_none_is_unknown(api: Api, acme: Tenant):
    for parent in (acme.key, acme.people["viewer"]["id"], acme.project, "nonsense", ""):
        answer = await api("POST", "/teams", {"organization_id": parent, "slug": "new", "name": "New"})
        assert answer.status == 404, parent


async def test_a_slug_is_taken_once_below_a_parent(api: Api, acme: Tenant, globex: Tenant):
    body = {"slug": "twin", "name": "Twin"}
    await api.make("/teams", body | {"organization_id": acme.id})
    await api.make("/teams", body | {"organization_id": globex.id})
    answer = await api("POST", "/teams", body | {"organization_id": acme.id})
    assert (answer.status, answer.json["param"]) == (409, "slug")


async def test_a_viewer_reads_and_writes_nothing(acme: Tenant):
    viewer = acme.apis["viewer"]
    assert (await viewer("GET", f"/teams/{acme.team}")).status == 200
    assert (await viewer("POST", "/teams", {"organization_id": acme.id, "slug": "x", "name": "x"})).status == 403
    assert (await viewer("POST", f"/teams/{acme.team}/block")).status == 403


async def test_a_role_on_a_team_reaches_that_team_alone(api: Api, acme: Tenant):
    other = await api.make("/teams", {"organization_id": acme.id, "slug": "web", "name": "Web"})
    _, lead = await add_person(api, acme.id, "admin", other["id"])
    assert [team["slug"] for team in (await lead("GET", "/teams")).json["data"]] == ["web"]
    assert (await lead("POST", "/keys", {"scope_id": other["id"], "name": "own"})).status == 201
    assert (await lead("GET", f"/keys/{acme.key}")).status == 404


async def test_a_policy_is_merged_and_named_where_it_is_wrong(api: Api, acme: Tenant):
    path = f"/teams/{acme.team}"

    async def patch(residency: object) -> Answer:
        return await api("PATCH", path, {"residency": residency}, headers=ANY_VERSION)

    assert (await api("GET", path)).json["residency"] is None
    assert (await patch({"jurisdictions": ["eu"], "regions": ["eu-*"]})).json["residency"] == {
        "jurisdictions": ["eu"],
        "regions": ["eu-*"],
        "max_retention_days": None,
        "no_training": False,
    }
    changed = (await patch({"regions": None, "max_retention_days": 0})).json["residency"]
    assert changed == {"jurisdictions": ["eu"], "regions": None, "max_retention_days": 0, "no_training": False}
    for wrong, param in (
        ({"jurisdictions": []}, "residency.jurisdictions"),
        ({"jurisdictions": ["eu", "E U"]}, "residency.jurisdictions[1]"),
        ({"regions": ["*-west"]}, "residency.regions[0]"),
        ({"max_retention_days": -1}, "residency.max_retention_days"),
        ({"no_training": 1}, "residency.no_training"),
        ({"region": ["eu"]}, "residency.region"),
        (["eu"], "residency"),
    ):
        answer = await patch(wrong)
        assert (answer.status, answer.json["param"]) == (422, param), wrong
    key = {"scope_id": acme.team, "name": "abroad", "residency": {"jurisdictions": ["us"]}}
    answer = await api("POST", "/keys", key)
    assert (answer.status, answer.json["param"]) == (422, "residency.jurisdictions")
    assert (await patch(None)).json["residency"] is None
    assert (await api("POST", "/keys", key)).json["residency"]["jurisdictions"] == ["us"]


async def test_a_head_of_a_team_sets_its_policy_and_not_its_organizations(api: Api, acme: Tenant):
    _, lead = await add_person(api, acme.id, "admin", acme.team)
    body = {"residency": {"no_training": True}}
    changed = await lead("PATCH", f"/teams/{acme.team}", body, headers=ANY_VERSION)
    assert changed.json["residency"]["no_training"] is True
    assert (await lead("PATCH", f"/organizations/{acme.id}", body, headers=ANY_VERSION)).status == 403
    assert (await acme.apis["viewer"]("PATCH", f"/teams/{acme.team}", body, headers=ANY_VERSION)).status == 403
