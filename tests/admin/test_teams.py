"""Teams through the API: made below a parent, renamed with the version that was read, deleted when empty."""

from tests.admin.calling import Api
from tests.admin.people import Tenant, add_person


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
