"""The audit log: refusals at the door and by the use case are in it, each in its own tenant's."""

from tests.admin.calling import Api
from tests.admin.people import Tenant


async def test_a_refusal_at_the_door_is_in_the_audit_log(api: Api, acme: Tenant):
    refused = await acme.apis["viewer"]("DELETE", f"/keys/{acme.key}")
    assert refused.status == 403
    event = (await api("GET", "/audit?outcome=denied")).json["data"][0]
    assert event["action"] == "key.revoke"
    assert event["object_id"] == acme.key
    assert event["actor_id"] == acme.people["viewer"]["id"]
    assert event["organization_id"] == acme.id
    assert event["request_id"] == refused.json["request_id"]
    assert event["source_address"] == "192.0.2.7"
    assert event["reason"] == "permission_denied"
    assert (await api("GET", f"/keys/{acme.key}")).json["revoked_at"] is None


async def test_a_refusal_by_the_use_case_is_in_the_audit_log(api: Api, acme: Tenant, globex: Tenant):
    await acme.apis["owner"]("DELETE", f"/keys/{globex.key}")
    event = (await api("GET", "/audit?outcome=denied")).json["data"][0]
    assert (event["object_id"], event["organization_id"]) == (globex.key, acme.id)
    assert globex.key.encode() not in (await globex.apis["owner"]("GET", "/audit?outcome=denied")).body


async def test_a_change_is_recorded_with_what_differed_and_without_secrets(api: Api, acme: Tenant):
    made = await api.make("/keys", {"scope_id": acme.team, "name": "audited"})
    await api("PATCH", f"/keys/{made['id']}", {"models": ["gpt-4o"]})
    updated, created = (await api("GET", f"/audit?object_id={made['id']}")).json["data"]
    assert (created["action"], created["outcome"], created["actor_kind"]) == ("key.create", "allowed", "operator")
    assert (updated["before"], updated["after"]) == ({"models": ["*"]}, {"models": ["gpt-4o"]})
    assert made["secret"] not in str(created)


async def test_the_log_is_searched_and_paged(api: Api, acme: Tenant):
    everything = (await api("GET", "/audit?limit=200")).json["data"]
    assert [each["seq"] for each in everything] == sorted((each["seq"] for each in everything), reverse=True)
    page = (await api("GET", "/audit?limit=5")).json
    following = (await api("GET", f"/audit?limit=5&cursor={page['next_cursor']}")).json
    assert page["data"] + following["data"] == everything[:10]
    tokens = (await api("GET", "/audit?action=token.*&limit=200")).json["data"]
    assert {each["action"] for each in tokens} == {"token.create"}
    assert len(tokens) == len(acme.people)
    for query, param in (("since=yesterday", "since"), ("cursor=%25", "cursor"), ("outcome=maybe", "outcome")):
        answer = await api("GET", f"/audit?{query}")
        assert (answer.status, answer.json["param"]) == (422, param)


async def test_the_log_has_no_way_to_be_changed(api: Api):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await api(method, "/audit", {})).status == 405
        assert (await api(method, "/audit/aud_1", {})).status == 404
