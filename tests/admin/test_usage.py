"""Usage: grouped, summed as integers, and refused where it cannot be made."""

import pytest

from headgate.domain.record import Outcome
from tests.admin.calling import Api
from tests.admin.people import Tenant
from tests.admin.records import record, write


async def test_usage_is_grouped_and_summed_as_integers(api: Api, acme: Tenant):
    write(
        api,
        *(record(number, acme.id, cost_nano_usd=1) for number in range(3)),
        record(7, acme.id, provider="azure", outcome=Outcome.UPSTREAM_ERROR, status=502, cost_nano_usd=0),
        record(8, acme.id, is_sandbox=True),
    )
    span = "from=2026-11-17T00:00:00Z&to=2026-11-20T00:00:00Z"
    rows = (await api("GET", f"/usage?group_by=organization,provider&{span}")).json["data"]
    assert [(row["organization"], row["provider"], row["requests"], row["cost_usd"]) for row in rows] == [
        (acme.id, "openai", 3, "0.000000003"),
        (acme.id, "azure", 1, "0"),
    ]
    assert rows[1]["errors"] == 1
    total = (await api("GET", f"/usage?interval=total&include_sandbox=true&{span}")).json["data"]
    assert [row["requests"] for row in total] == [5]


async def test_usage_by_tag_has_overlapping_groups_and_one_without_tags(api: Api, acme: Tenant):
    write(api, record(1, acme.id, tags=(("service", "search"), ("job", "nightly"))), record(2, acme.id, tags=()))
    span = "from=2026-11-17T00:00:00Z&to=2026-11-20T00:00:00Z"
    rows = (await api("GET", f"/usage?group_by=tag&{span}")).json["data"]
    assert {(row["tag"], row["requests"]) for row in rows} == {
        ("service=search", 1),
        ("job=nightly", 1),
        (None, 1),
    }


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("group_by=prompt", "group_by"),
        ("group_by=model,model", "group_by"),
        ("group_by=model,", "group_by"),
        ("tz=Mars/Olympus", "tz"),
        ("tz=../../etc/passwd", "tz"),
        ("interval=week", "interval"),
        ("from=2026-11-19T00:00:00Z&to=2026-11-18T00:00:00Z", "to"),
        ("interval=hour&from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "interval"),
    ],
)
async def test_a_report_that_cannot_be_made_is_422(api: Api, query: str, param: str):
    answer = await api("GET", f"/usage?{query}")
    assert (answer.status, answer.json["param"]) == (422, param)
