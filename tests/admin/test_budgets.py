"""Budgets through the API."""

import pytest

from tests.admin.calling import Api, is_problem
from tests.admin.people import ANY_VERSION, Tenant


async def test_a_budget_lives_and_ends(api: Api, acme: Tenant):
    made = await api.make("/budgets", {"scope_id": acme.key, "amount_usd": "5.50", "period": "day"})
    path = f"/budgets/{made['id']}"
    assert made["id"].startswith("bud_")
    assert {name: made[name] for name in ("scope_id", "amount_usd", "period", "mode", "override", "managed_by")} == {
        "scope_id": acme.key,
        "amount_usd": "5.5",
        "period": "day",
        "mode": "enforce",
        "override": None,
        "managed_by": "api",
    }
    is_problem(await api("PATCH", path, {"amount_usd": "6"}), 428, "precondition_required")
    override = {"amount_usd": "20", "until": "2199-01-01T00:00:00Z"}
    changed = await api("PATCH", path, {"override": override}, headers={"if-match": '"v1"'})
    assert changed.json["override"] == {"amount_usd": "20", "until": "2199-01-01T00:00:00.000Z"}
    is_problem(await api("PATCH", path, {"override": None}, headers={"if-match": '"v1"'}), 412, "precondition_failed")
    assert (await api("PATCH", path, {"override": None}, headers={"if-match": '"v2"'})).json["override"] is None
    assert (await api("GET", path)).headers["etag"] == '"v3"'
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path)).status == 404


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"amount_usd": 5}, "amount_usd"),
        ({"amount_usd": True}, "amount_usd"),
        ({"amount_usd": "-1"}, "amount_usd"),
        ({"amount_usd": "NaN"}, "amount_usd"),
        ({"amount_usd": "0.0000000001"}, "amount_usd"),
        ({"amount_usd": "9000000.1"}, "amount_usd"),
        ({"period": "fortnight"}, "period"),
        ({"mode": "maybe"}, "mode"),
        ({"override": {"amount_usd": "1"}}, "override.until"),
        ({"end_user": "a", "tag": "b=c"}, "tag"),
        ({"amount": "1"}, "amount"),
    ],
    ids=str,
)
async def test_what_cannot_be_is_422_and_named(api: Api, acme: Tenant, fields: dict[str, object], param: str):
    body = {"scope_id": acme.id, "amount_usd": "1", "period": "day", **fields}
    problem = is_problem(await api("POST", "/budgets", body), 422, "validation_failed")
    assert problem["param"] == param


async def test_a_budget_above_its_parents_names_the_other(api: Api, acme: Tenant):
    parent = await api.make("/budgets", {"scope_id": acme.id, "amount_usd": "10", "period": "month"})
    body = {"scope_id": acme.team, "amount_usd": "11", "period": "month"}
    problem = is_problem(await api("POST", "/budgets", body), 422, "validation_failed")
    assert problem["param"] == "amount_usd"
    assert parent["id"] in problem["detail"]


async def test_an_owner_limits_what_is_below_and_not_the_organization(acme: Tenant):
    owner = acme.apis["owner"]
    body = {"amount_usd": "1", "period": "day"}
    is_problem(await owner("POST", "/budgets", {"scope_id": acme.id, **body}), 403, "permission_denied")
    made = await owner.make("/budgets", {"scope_id": acme.team, **body})
    assert (await acme.apis["viewer"]("GET", f"/budgets/{made['id']}")).status == 200
    assert (await acme.apis["viewer"]("DELETE", f"/budgets/{made['id']}", headers=ANY_VERSION)).status == 403


async def test_lists_are_cut_to_one_thing(api: Api, acme: Tenant, globex: Tenant):
    body = {"amount_usd": "1", "period": "day"}
    made = [await api.make("/budgets", {"scope_id": scope, **body}) for scope in (acme.id, acme.key, globex.key)]
    assert (await api("GET", "/budgets")).json["data"] == made[::-1]
    assert (await api("GET", f"/budgets?organization_id={acme.id}")).json["data"] == made[1::-1]
    assert (await api("GET", f"/budgets?scope_id={acme.key}")).json["data"] == [made[1]]


async def test_its_status_says_what_is_left_of_the_period(api: Api, acme: Tenant):
    made = await api.make("/budgets", {"scope_id": acme.team, "amount_usd": "10", "period": "total"})
    adjusted = {"amount_usd": "2.5", "reason": "a bill"}
    assert (await api("POST", f"/keys/{acme.key}/adjustments", adjusted)).status == 200
    answer = await acme.apis["viewer"]("GET", f"/budgets/{made['id']}/status")
    assert answer.json == {
        "budget_id": made["id"],
        "accounts": [
            {
                "budget_id": made["id"],
                "account": f"team/{acme.team}/{made['id']}/total",
                "kind": "team",
                "scope_id": acme.team,
                "period": "total",
                "mode": "enforce",
                "limit_usd": "10",
                "posted_usd": "2.5",
                "held_usd": "0",
                "free_usd": "7.5",
                "starts_at": None,
                "resets_at": None,
            }
        ],
    }
