"""People and roles through the API: nobody raises himself, and two writers do not undo each other."""

from tests.admin.calling import Api
from tests.admin.people import ANY_VERSION, Tenant


async def test_item_17_nobody_raises_himself_or_others_above_himself(acme: Tenant):
    admin, owner = acme.apis["admin"], acme.apis["owner"]
    own = f"/users/{acme.people['admin']['id']}/roles"
    other = f"/users/{acme.people['viewer']['id']}/roles"
    as_owner = {"scope_id": acme.id, "role": "owner"}
    assert (await admin("POST", own, as_owner, headers=ANY_VERSION)).status == 403
    assert (await admin("POST", other, as_owner, headers=ANY_VERSION)).status == 403
    assert (await admin("DELETE", f"{own}/{acme.id}/admin", headers=ANY_VERSION)).status == 403
    assert (await owner("POST", other, {"scope_id": acme.id, "role": "editor"}, headers=ANY_VERSION)).status == 200
    patched = await admin("PATCH", f"/users/{acme.people['admin']['id']}", {"roles": []}, headers=ANY_VERSION)
    assert (patched.status, patched.json["param"]) == (422, "roles")


async def test_changing_roles_demands_the_version_that_was_read(api: Api, acme: Tenant):
    user = acme.people["viewer"]
    path = f"/users/{user['id']}/roles"
    body = {"scope_id": acme.team, "role": "editor"}
    assert (await api("POST", path, body)).status == 428
    tag = f'"v{user["version"]}"'
    changed = await api("POST", path, body, headers={"if-match": tag})
    assert changed.status == 200
    assert (await api("DELETE", f"{path}/{acme.team}/editor", headers={"if-match": tag})).status == 412
    gone = await api("DELETE", f"{path}/{acme.team}/editor", headers={"if-match": changed.headers["etag"]})
    assert [each["role"] for each in gone.json["roles"]] == ["viewer"]
    assert (await api("DELETE", f"{path}/{acme.team}/king", headers=ANY_VERSION)).status == 404


async def test_a_lost_role_is_lost_at_the_next_call(api: Api, acme: Tenant):
    analyst, user = acme.apis["analyst"], acme.people["analyst"]["id"]
    assert (await analyst("GET", "/usage")).status == 200
    assert (await api("DELETE", f"/users/{user}/roles/{acme.id}/analyst", headers=ANY_VERSION)).status == 200
    assert (await analyst("GET", "/usage")).status == 403
    assert (await analyst("GET", "/me")).json["roles"] == []


async def test_a_person_lives_and_ends(api: Api, acme: Tenant):
    body = {"organization_id": acme.id, "email": "Ada@Example.com", "name": "Ada"}
    made = await api.make("/users", body)
    path = f"/users/{made['id']}"
    assert (made["email"], made["roles"]) == ("ada@example.com", [])
    assert [each["id"] for each in (await api("GET", "/users?email=ADA@example.com")).json["data"]] == [made["id"]]
    assert (await api("POST", "/users", body)).status == 409
    assert (await api("PATCH", path, {"name": "Ada L."}, headers={"if-match": '"v1"'})).json["name"] == "Ada L."
    assert (await api("POST", f"{path}/block")).json["blocked"] is True
    assert (await api("POST", f"{path}/unblock")).json["blocked"] is False
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path)).status == 404


async def test_an_address_that_is_none_makes_nobody(api: Api, acme: Tenant):
    for email in ("", "x", "@", "a@", "a b@example.com", "a@b\r\nBcc: c@d", "x" * 250 + "@example.com"):
        answer = await api("POST", "/users", {"organization_id": acme.id, "email": email, "name": "x"})
        assert (answer.status, answer.json["param"]) == (422, "email"), email


async def test_item_16_a_person_cannot_be_made_with_roles(api: Api, acme: Tenant):
    body = {"organization_id": acme.id, "email": "x@example.com", "name": "x", "roles": [{"role": "owner"}]}
    answer = await api("POST", "/users", body)
    assert (answer.status, answer.json["param"]) == (422, "roles")
