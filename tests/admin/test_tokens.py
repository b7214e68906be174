"""Personal access tokens: whose they are, and when they end."""

from tests.admin.calling import Api
from tests.admin.people import Tenant


async def test_a_token_ends_with_its_revocation_and_with_its_owner(api: Api, acme: Tenant):
    viewer = acme.apis["viewer"]
    made = await viewer.make("/tokens", {"name": "mine"})
    mine = api.as_(made["secret"])
    assert (await mine("GET", "/me")).json["id"] == acme.people["viewer"]["id"]
    assert (await viewer("DELETE", f"/tokens/{made['id']}")).status == 204
    assert (await mine("GET", "/me")).status == 401
    assert (await api("POST", f"/users/{acme.people['viewer']['id']}/block")).status == 200
    assert (await viewer("GET", "/me")).status == 401


async def test_a_secret_is_shown_once_and_never_read_back(api: Api, acme: Tenant):
    viewer = acme.apis["viewer"]
    made = await viewer("POST", "/tokens", {"name": "mine", "expires_at": "2026-12-24T00:00:00Z"})
    assert made.status == 201
    secret = made.json["secret"]
    assert secret.startswith("hgp_")
    for answer in (
        await viewer("GET", f"/tokens/{made.json['id']}"),
        await viewer("GET", "/tokens"),
        await api("GET", "/audit"),
    ):
        assert answer.status == 200
        assert secret.encode() not in answer.body


async def test_a_person_sees_his_own_tokens_and_his_admins_see_them_too(acme: Tenant):
    own = (await acme.apis["viewer"]("GET", "/tokens")).json["data"]
    assert {token["user_id"] for token in own} == {acme.people["viewer"]["id"]}
    seen = (await acme.apis["admin"]("GET", "/tokens")).json["data"]
    assert {token["user_id"] for token in seen} == {person["id"] for person in acme.people.values()}
    assert (await acme.apis["viewer"]("GET", f"/tokens/{seen[-1]['id']}")).status == 404


async def test_nobody_but_the_operator_makes_a_token_for_somebody_else(acme: Tenant):
    body = {"name": "his", "user_id": acme.people["owner"]["id"]}
    assert (await acme.apis["admin"]("POST", "/tokens", body)).status == 403


async def test_a_token_lives_a_year_at_most(acme: Tenant):
    for expires_at in ("2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "never"):
        answer = await acme.apis["viewer"]("POST", "/tokens", {"name": "x", "expires_at": expires_at})
        assert (answer.status, answer.json["param"]) == (422, "expires_at")
