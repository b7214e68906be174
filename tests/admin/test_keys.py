"""Virtual keys through the API, and what the data plane's directory sees of each change."""

from typing import Any

import pytest

from headgate.identity.secrets import hash_secret, looks_minted
from tests.admin.calling import Api
from tests.admin.people import Tenant


@pytest.fixture
async def team(api: Api) -> str:
    organization = await api.make("/organizations", {"slug": "acme", "name": "Acme"})
    made = await api.make("/teams", {"organization_id": organization["id"], "slug": "ml", "name": "ML"})
    return made["id"]


def opens(api: Api, secret: str) -> Any:
    return api.snapshots.current.keys.lookup(hash_secret(secret))


async def test_a_secret_is_shown_once_and_works_at_once(api: Api, team: str):
    body = {"scope_id": team, "name": "prod", "models": ["gpt-4o*"], "tags": {"service": "search"}}
    made = await api("POST", "/keys", body)
    assert made.status == 201
    assert made.headers["cache-control"] == "no-store"
    secret = made.json["secret"]
    assert looks_minted(secret, "hg_")
    assert opens(api, secret).id == made.json["id"]
    read = await api("GET", f"/keys/{made.json['id']}")
    assert read.json == {name: value for name, value in made.json.items() if name != "secret"}
    assert read.json["hint"] == secret[-4:]
    for answer in (read, await api("GET", "/keys"), await api("GET", "/audit")):
        assert secret.encode() not in answer.body


async def test_a_rotated_key_has_two_secrets_until_its_grace_ends(api: Api, team: str):
    made = await api.make("/keys", {"scope_id": team, "name": "prod"})
    path = f"/keys/{made['id']}/rotate"
    rotated = (await api("POST", path, {"grace_seconds": 3600})).json
    assert rotated["secret"] != made["secret"]
    assert opens(api, made["secret"]).id == opens(api, rotated["secret"]).id == made["id"]
    again = (await api("POST", path)).json
    assert opens(api, rotated["secret"]) is None
    assert opens(api, made["secret"]) is None
    assert opens(api, again["secret"]).id == made["id"]
    assert (await api("POST", path, {"grace_seconds": -1})).status == 422


async def test_item_06_a_revoked_key_is_out_of_the_directory_when_the_answer_is_there(api: Api, team: str):
    made = await api.make("/keys", {"scope_id": team, "name": "prod"})
    gone = await api("DELETE", f"/keys/{made['id']}")
    assert (gone.status, gone.body) == (204, b"")
    assert opens(api, made["secret"]) is None
    assert (await api("GET", f"/keys/{made['id']}")).json["revoked_at"] is not None
    assert (await api("GET", "/keys")).json["data"] == []
    assert len((await api("GET", "/keys?include_revoked=true")).json["data"]) == 1
    assert (await api("POST", f"/keys/{made['id']}/rotate")).status == 409


async def test_a_blocked_key_comes_back(api: Api, team: str):
    made = await api.make("/keys", {"scope_id": team, "name": "prod"})
    blocked = await api("POST", f"/keys/{made['id']}/block")
    assert (blocked.status, blocked.json["blocked"], blocked.headers["etag"]) == (200, True, '"v2"')
    assert opens(api, made["secret"]).blocked
    assert (await api("POST", f"/keys/{made['id']}/unblock")).json["blocked"] is False
    assert not opens(api, made["secret"]).blocked


async def test_a_blocked_team_blocks_its_keys(api: Api, team: str):
    made = await api.make("/keys", {"scope_id": team, "name": "prod"})
    assert (await api("POST", f"/teams/{team}/block")).json["blocked"] is True
    assert opens(api, made["secret"]).blocked
    assert (await api("POST", f"/teams/{team}/unblock")).status == 200
    assert not opens(api, made["secret"]).blocked


async def test_a_patch_is_a_merge_patch_and_needs_no_precondition(api: Api, team: str):
    body = {"scope_id": team, "name": "prod", "tags": {"a": "1", "b": "2"}, "expires_at": "2100-01-01T00:00:00Z"}
    made = await api.make("/keys", body)
    path = f"/keys/{made['id']}"
    patched = (await api("PATCH", path, {"tags": {"a": None, "c": "3"}, "expires_at": None})).json
    assert patched["tags"] == {"b": "2", "c": "3"}
    assert patched["expires_at"] is None
    assert patched["name"] == "prod"
    assert (await api("PATCH", path, {}, headers={"if-match": '"v1"'})).status == 412
    assert (await api("PATCH", path, {})).json["version"] == 2


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"role": "owner"}, 422, "role"),
        ({"allowed_routes": ["/*"]}, 422, "allowed_routes"),
        ({"budget": -1}, 422, "budget"),
        ({"secret": "a" * 40}, 422, "secret"),
        ({"id": "key_x"}, 422, "id"),
        ({"managed_by": "file"}, 422, "managed_by"),
        ({"models": []}, 422, "models"),
        ({"models": "*"}, 422, "models"),
        ({"models": [None]}, 422, "models[0]"),
        ({"name": ""}, 422, "name"),
        ({"name": "a\nb"}, 422, "name"),
        ({"name": "x" * 201}, 422, "name"),
        ({"expires_at": "yesterday"}, 422, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 422, "expires_at"),
        ({"scope_id": "team_00000000000000000000000000"}, 404, None),
    ],
)
async def test_item_16_a_body_that_asks_for_more_than_a_key_has_is_refused(
    api: Api, team: str, change: dict[str, Any], status: int, param: str | None
):
    answer = await api("POST", "/keys", {"scope_id": team, "name": "prod"} | change)
    assert (answer.status, answer.json["param"]) == (status, param), answer
    assert (await api("GET", "/keys")).json["data"] == []


async def test_a_list_has_pages_newest_first(api: Api, team: str):
    made = [(await api.make("/keys", {"scope_id": team, "name": f"key-{number}"}))["id"] for number in range(5)]
    found: list[str] = []
    cursor = ""
    while True:
        page = (await api("GET", f"/keys?limit=2{cursor}")).json
        assert len(page["data"]) <= 2
        found += [key["id"] for key in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == made[::-1]
    assert (await api("GET", "/keys?cursor=nonsense!")).status == 422


async def test_a_name_is_taken_once_on_a_scope(api: Api, team: str):
    await api.make("/keys", {"scope_id": team, "name": "prod"})
    answer = await api("POST", "/keys", {"scope_id": team, "name": "prod"})
    assert (answer.status, answer.json["code"], answer.json["param"]) == (409, "conflict", "name")


async def test_a_key_shows_what_binds_it(api: Api, acme: Tenant):
    budget = await api.make("/budgets", {"scope_id": acme.id, "amount_usd": "10", "period": "month"})
    await api.make("/rate-limits", {"scope_id": acme.key, "rpm": 60})
    answer = await acme.apis["viewer"]("GET", f"/keys/{acme.key}/status")
    assert answer.json["key_id"] == acme.key
    (line,) = answer.json["budgets"]
    assert (line["budget_id"], line["scope_id"], line["limit_usd"], line["free_usd"]) == (
        budget["id"],
        acme.id,
        "10",
        "10",
    )
    assert line["starts_at"] < line["resets_at"]
    assert answer.json["windows"] == [
        {"kind": "key", "scope_id": acme.key, "limit_name": "rpm", "limit": 60, "remaining": 60, "resets_at": None}
    ]


async def test_a_correction_is_posted_and_never_below_nothing(api: Api, acme: Tenant):
    path = f"/keys/{acme.key}/adjustments"
    bill = {"amount_usd": "2", "reason": "the bill"}
    assert (await api("POST", path, bill)).status == 409
    await api.make("/budgets", {"scope_id": acme.key, "amount_usd": "10", "period": "month"})
    done = await acme.apis["owner"]("POST", path, bill)
    assert (done.status, done.json["amount_usd"], done.json["budgets"][0]["posted_usd"]) == (200, "2", "2")
    problem = (await api("POST", path, {"amount_usd": "-3", "reason": "too much"})).json
    assert (problem["status"], problem["param"]) == (409, "amount_usd")
    assert (await api("POST", path, {"amount_usd": 1, "reason": "x"})).json["param"] == "amount_usd"
    assert (await acme.apis["analyst"]("POST", path, bill)).status == 403
