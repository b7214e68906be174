"""The ledger as a whole through the API."""

from tests.admin.calling import Api, is_problem
from tests.admin.people import Tenant


async def test_the_operator_has_the_ledger_added_up(api: Api, acme: Tenant):
    await api.make("/budgets", {"scope_id": acme.key, "amount_usd": "5", "period": "day"})
    adjusted = {"amount_usd": "2", "reason": "a bill"}
    assert (await api("POST", f"/keys/{acme.key}/adjustments", adjusted)).status == 200
    answer = await api("POST", "/ledger/verify")
    assert answer.status == 200, answer
    assert (answer.json["adds_up"], answer.json["problems"], answer.json["overrun_usd"]) == (True, [], "0")
    assert answer.json["accounts"] == 1


async def test_nobody_else_has(acme: Tenant):
    for person in acme.apis.values():
        is_problem(await person("POST", "/ledger/verify"), 403, "permission_denied")
