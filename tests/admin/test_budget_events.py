"""Budgets that passed a share of their limit, over the API."""

from headgate.domain.limits import BudgetEvent, LimitedKind
from headgate.records.writer import RecordWriter
from tests.admin.calling import Api
from tests.admin.people import Tenant
from tests.admin.records import NOON


def event(team: str, organization: str, percent: int) -> BudgetEvent:
    account = f"team/{team}/bud_1/2026-11"
    return BudgetEvent(NOON, organization, account, LimitedKind.TEAM, team, "bud_1", percent, percent * 10**7, 10**9)


def write_events(api: Api, *events: BudgetEvent) -> None:
    writer = RecordWriter(api.plane.database)
    for each in events:
        writer.append_event(each)
    writer.flush()


async def test_events_are_listed_and_paged_and_never_shown_across_tenants(api: Api, acme: Tenant, globex: Tenant):
    write_events(api, *(event(acme.team, acme.id, percent) for percent in (50, 80, 100)))
    write_events(api, event(globex.team, globex.id, 50))
    viewer = acme.apis["viewer"]
    page = (await viewer("GET", "/budget-events?limit=2")).json
    rest = (await viewer("GET", f"/budget-events?limit=2&cursor={page['next_cursor']}")).json
    assert [each["percent"] for each in page["data"] + rest["data"]] == [100, 80, 50]
    assert rest["next_cursor"] is None
    assert page["data"][0] == {
        "id": f"team/{acme.team}/bud_1/2026-11/100",
        "at": "2026-11-18T12:00:00.000Z",
        "organization_id": acme.id,
        "kind": "team",
        "scope_id": acme.team,
        "budget_id": "bud_1",
        "account": f"team/{acme.team}/bud_1/2026-11",
        "percent": 100,
        "posted_usd": "1",
        "limit_usd": "1",
    }
    assert (await viewer("GET", f"/budget-events?organization_id={globex.id}")).json["data"] == []
    assert len((await api("GET", "/budget-events?budget_id=bud_1")).json["data"]) == 4


async def test_a_filter_that_is_none_is_422(api: Api):
    for query in ("limit=0", "cursor=x", "percent=50"):
        answer = await api("GET", f"/budget-events?{query}")
        assert (answer.status, answer.json["param"]) == (422, query.partition("=")[0])
