"""Requests: searched, paged, shown in full, and never across tenants."""

import pytest

from headgate.domain.record import Outcome, Spending
from headgate.domain.usage import UsageQuality
from tests.admin.calling import Api
from tests.admin.people import Tenant, add_person
from tests.admin.records import record, write


async def test_one_request_is_shown_in_full(api: Api, acme: Tenant):
    write(api, record(1, acme.id))
    shown = (await acme.apis["viewer"]("GET", f"/requests/req_{1:026d}")).json
    assert shown["cost_usd"] == "0.0035"
    assert shown["started_at"] == "2026-11-18T12:00:01.000Z"
    assert shown["usage"]["input_tokens"] == 1000
    assert shown["tags"] == {"service": "search"}
    assert shown["attempts"][0]["status"] == 200
    assert (await api("GET", "/requests/req_none")).status == 404


async def test_what_limits_decided_is_shown_with_the_request_and_null_where_none_did(api: Api, acme: Tenant):
    spending = Spending(
        held_nano_usd=18_000_000,
        input_bound=1_212,
        bound_by="anchor",
        max_output_tokens=4_096,
        waited_ms=1.25,
        overrun_nano_usd=7,
        refused_by="key/key_1/tpm",
        would_refuse=("team/team_1/bud_1/2026-11",),
    )
    write(api, record(1, acme.id, spending=spending), record(2, acme.id))
    assert (await acme.apis["viewer"]("GET", f"/requests/req_{1:026d}")).json["spending"] == {
        "held_usd": "0.018",
        "input_bound": 1_212,
        "bound_by": "anchor",
        "max_output_tokens": 4_096,
        "waited_ms": 1.25,
        "overrun_usd": "0.000000007",
        "refused_by": "key/key_1/tpm",
        "would_refuse": ["team/team_1/bud_1/2026-11"],
    }
    assert (await api("GET", f"/requests/req_{2:026d}")).json["spending"] is None


async def test_a_request_that_was_running_when_the_gateway_died_is_found_and_its_cost_counts(api: Api, acme: Tenant):
    lost = record(1, acme.id, outcome=Outcome.RECOVERED, usage_quality=UsageQuality.BOUND, cost_nano_usd=9_000_000)
    write(api, lost, record(2, acme.id))
    (found,) = (await api("GET", "/requests?outcome=recovered")).json["data"]
    assert (found["id"], found["usage_quality"], found["cost_usd"]) == (lost.id, "bound", "0.009")
    span = "from=2026-11-18T00:00:00Z&to=2026-11-19T00:00:00Z"
    (row,) = (await api("GET", f"/usage?{span}")).json["data"]
    assert (row["requests"], row["cost_usd"]) == (2, "0.0125")
    assert (row["errors"], row["estimated_requests"]) == (1, 1)


async def test_an_unknown_cost_is_null_and_not_zero(api: Api, acme: Tenant):
    write(api, record(1, acme.id, priced=False, cost_nano_usd=0, price_version=None))
    assert (await api("GET", f"/requests/req_{1:026d}")).json["cost_usd"] is None


async def test_item_19_requests_and_usage_of_another_tenant_are_never_shown(api: Api, acme: Tenant):
    globex = (await api.make("/organizations", {"slug": "globex", "name": "Globex"}))["id"]
    write(api, record(1, acme.id), record(2, globex, model="secret-model"), record(3, None, model=None, status=401))
    owner = acme.apis["owner"]
    assert [each["id"] for each in (await owner("GET", "/requests")).json["data"]] == [f"req_{1:026d}"]
    assert (await owner("GET", f"/requests/req_{2:026d}")).status == 404
    assert (await owner("GET", "/requests?model=secret-model")).json["data"] == []
    span = "from=2026-11-18T00:00:00Z&to=2026-11-19T00:00:00Z"
    (row,) = (await owner("GET", f"/usage?group_by=model&{span}")).json["data"]
    assert (row["model"], row["requests"]) == ("gpt-4o", 1)
    assert len((await api("GET", "/requests")).json["data"]) == 3
    assert len((await api("GET", f"/usage?group_by=model&{span}")).json["data"]) == 3


async def test_a_role_on_a_team_opens_its_requests_and_usage_and_no_siblings(api: Api, acme: Tenant, globex: Tenant):
    web = (await api.make("/teams", {"organization_id": acme.id, "slug": "web", "name": "Web"}))["id"]
    made = [
        record(
            number, path[0], path=path, key_id=(await api.make("/keys", {"scope_id": path[-1], "name": "app"}))["id"]
        )
        for number, path in enumerate(
            [
                (acme.id,),
                (acme.id, acme.team),
                (acme.id, acme.team, acme.project),
                (acme.id, web),
                (globex.id, globex.team),
            ]
        )
    ]
    write(api, *made)
    for scope, opened in ((acme.team, [2, 1]), (acme.project, [2]), (web, [3])):
        _, lead = await add_person(api, acme.id, "analyst", scope)
        shown = (await lead("GET", "/requests")).json["data"]
        assert [each["id"] for each in shown] == [made[number].id for number in opened]
        span = "from=2026-11-18T00:00:00Z&to=2026-11-19T00:00:00Z"
        (row,) = (await lead("GET", f"/usage?{span}")).json["data"]
        assert row["requests"] == len(opened)
        for number, each in enumerate(made):
            assert (await lead("GET", f"/requests/{each.id}")).status == (200 if number in opened else 404)


async def test_requests_are_searched_by_every_filter_and_paged(api: Api, acme: Tenant):
    write(
        api,
        *(record(number, acme.id) for number in range(5)),
        record(5, acme.id, model="other", key_id="key_2", end_user="ann", session="s", provider="azure"),
        record(6, acme.id, outcome=Outcome.UPSTREAM_ERROR, status=502),
    )
    for query in ("model=other", "key=key_2", "user=ann", "session=s", "provider=azure"):
        (found,) = (await api("GET", f"/requests?{query}")).json["data"]
        assert found["model"] == "other", query
    assert [each["status"] for each in (await api("GET", "/requests?outcome=upstream_error")).json["data"]] == [502]
    page = (await api("GET", "/requests?limit=3")).json
    rest = (await api("GET", f"/requests?limit=200&cursor={page['next_cursor']}")).json
    assert [each["id"][-1] for each in page["data"] + rest["data"]] == list("6543210")
    assert rest["next_cursor"] is None
    late = (await api("GET", "/requests?from=2026-11-18T13:00:05%2B01:00")).json["data"]
    assert [each["id"][-1] for each in late] == ["6", "5"]


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-11-18T12:00:00",
        "from=0001-01-01T00:00:00%2B14:00",
        "to=9999-12-31T23:59:59Z",
        "outcome=nice",
        "limit=0",
        "limit=9999999999999999999999",
        "cursor=x",
        "order_by=cost",
    ],
)
async def test_item_20_a_filter_that_is_none_is_422(api: Api, query: str):
    answer = await api("GET", f"/requests?{query}")
    assert answer.status == 422, answer
    assert answer.json["param"] == query.partition("=")[0]
