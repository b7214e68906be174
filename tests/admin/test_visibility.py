"""Whose reports a caller sees."""

from tests.admin.calling import Api
from tests.admin.people import Tenant, add_person


async def test_a_role_on_a_team_reaches_that_team_and_no_report(api: Api, acme: Tenant):
    other = await api.make("/teams", {"organization_id": acme.id, "slug": "web", "name": "Web"})
    _, lead = await add_person(api, acme.id, "admin", other["id"])
    assert [team["slug"] for team in (await lead("GET", "/teams")).json["data"]] == ["web"]
    assert (await lead("POST", "/keys", {"scope_id": other["id"], "name": "own"})).status == 201
    assert (await lead("GET", f"/keys/{acme.key}")).status == 404
    assert (await lead("GET", "/requests")).json["data"] == []
    assert (await lead("GET", "/usage")).json["data"] == []
