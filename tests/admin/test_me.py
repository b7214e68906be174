"""Who the caller is."""

from headgate.domain.access import Permission
from tests.admin.calling import Api
from tests.admin.people import Tenant


async def test_no_permission_to_infer_is_ever_shown(api: Api, acme: Tenant):
    for caller in (api, acme.apis["owner"]):
        assert Permission.INFER.value not in (await caller("GET", "/me")).json["permissions"]


async def test_the_operator_and_a_person_are_described(api: Api, acme: Tenant):
    operator = (await api("GET", "/me")).json
    assert (operator["kind"], operator["organization_id"]) == ("operator", None)
    assert "operate" in operator["permissions"]
    analyst = (await acme.apis["analyst"]("GET", "/me")).json
    assert (analyst["id"], analyst["organization_id"]) == (acme.people["analyst"]["id"], acme.id)
    assert analyst["roles"] == [{"scope_id": acme.id, "role": "analyst"}]
    assert "usage:read" in analyst["permissions"]
    assert "keys:write" not in analyst["permissions"]
