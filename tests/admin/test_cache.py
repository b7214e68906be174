"""The response cache through the API: figures for whom they concern, purges of one's own."""

from typing import Any

import pytest

from headgate.domain.caching import CacheNote, CacheStatus
from tests.admin.calling import Api, is_problem
from tests.admin.people import Tenant
from tests.admin.records import record, write
from tests.cache.threaded import ThreadedCache

SPAN = "from=2026-11-18T00:00:00Z&to=2026-11-19T00:00:00Z"
HIT = CacheNote(CacheStatus.HIT_EXACT, saved_nano_usd=2_500_000, saved_input_tokens=1000, saved_output_tokens=100)
MISS = CacheNote(CacheStatus.MISS, is_stored=True)
BYPASS = CacheNote(CacheStatus.BYPASS, reason="tool_results")


def as_seen_by(tenant: Tenant, role: str, caching: Api) -> Api:
    """The API with a cache, as one of the tenant's people calls it."""
    return caching.as_(tenant.apis[role].token)


async def test_the_figures_of_a_time(caching: Api, acme: Tenant, cache: ThreadedCache):
    write(caching, *(record(number, acme.id, cache=note) for number, note in enumerate((HIT, HIT, MISS, BYPASS, None))))
    cache.keep(acme.id)
    answer = await caching("GET", f"/cache?{SPAN}")
    assert answer.status == 200, answer
    found = answer.json
    assert found.pop("store")
    assert found == {
        "from": "2026-11-18T00:00:00.000Z",
        "to": "2026-11-19T00:00:00.000Z",
        "organization": None,
        "requests": 5,
        "eligible": 3,
        "hits_exact": 2,
        "stale": 0,
        "coalesced": 0,
        "misses": 1,
        "bypasses": 1,
        "stored": 1,
        "hit_rate": 0.4,
        "hit_rate_eligible": 2 / 3,
        "saved_usd": "0.005",
        "saved_input_tokens": 2000,
        "saved_output_tokens": 200,
        "bypass_reasons": [{"reason": "tool_results", "requests": 1}],
        "not_kept_reasons": [],
    }


async def test_without_times_the_last_day_is_reported(api: Api, acme: Tenant):
    now_ms = api.plane.clock_ms()
    for number, age_ms in enumerate((60_000, 23 * 3_600_000, 25 * 3_600_000)):
        write(api, record(number, acme.id, cache=HIT, started_at_ms=now_ms - age_ms))
    found = (await api("GET", "/cache")).json
    assert (found["requests"], found["hit_rate"], found["store"]) == (2, 1.0, None)


async def test_people_see_their_own_organizations_figures_and_nothing_of_the_store(
    caching: Api, acme: Tenant, globex: Tenant
):
    write(caching, record(1, acme.id, cache=HIT), record(2, globex.id, cache=HIT), record(3, globex.id, cache=MISS))
    person = as_seen_by(globex, "analyst", caching)
    for query in (SPAN, f"{SPAN}&organization={globex.id}"):
        found = (await person("GET", f"/cache?{query}")).json
        assert (found["requests"], found["hits_exact"], found["store"]) == (2, 1, None)
    assert (await person("GET", f"/cache?{SPAN}&organization={acme.id}")).json["requests"] == 0
    assert (await caching("GET", f"/cache?{SPAN}&organization={acme.id}")).json["requests"] == 1


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("from=2026-11-19T00:00:00Z&to=2026-11-18T00:00:00Z", "to"),
        ("from=yesterday", "from"),
        ("organization=", "organization"),
        ("key=key_1", "key"),
    ],
)
async def test_a_report_that_cannot_be_made_is_422(api: Api, query: str, param: str):
    answer = await api("GET", f"/cache?{query}")
    assert (answer.status, answer.json["param"]) == (422, param)


async def test_admins_purge_what_their_organization_keeps(
    caching: Api, acme: Tenant, globex: Tenant, cache: ThreadedCache
):
    cache.keep(acme.id, acme.team, key=acme.key)
    cache.keep(acme.id, model="gpt-4o-mini", tags=(("job", "nightly"),))
    entry = cache.keep(globex.id)
    admin = as_seen_by(acme, "admin", caching)
    for part, entries in (
        ({}, 2),
        ({"scope": acme.team}, 1),
        ({"scope": acme.id}, 2),
        ({"key": acme.key}, 1),
        ({"model": "gpt-4o-mini"}, 1),
        ({"tag": "job=nightly"}, 1),
        ({"entry": entry}, 0),
        ({"model": "gpt-9"}, 0),
    ):
        body = {"organization": acme.id, "dry_run": True, **part}
        answer = await admin("POST", "/cache/purge", body)
        assert answer.status == 200, answer
        assert (answer.json["entries"], answer.json["dry_run"]) == (entries, True), part
    assert cache.desk.count(acme.id) == 2
    purged = (await admin("POST", "/cache/purge", {"organization": acme.id, "model": "gpt-4o"})).json
    assert purged == {"purged": f"{acme.id} model gpt-4o", "entries": 1, "dry_run": False}
    purged = (await admin("POST", "/cache/purge", {"organization": acme.id})).json
    assert purged == {"purged": acme.id, "entries": 1, "dry_run": False}
    assert cache.desk.count(globex.id) == 1


@pytest.mark.parametrize("role", ["publisher", "editor", "analyst", "viewer"])
async def test_nobody_below_an_admin_purges(caching: Api, acme: Tenant, cache: ThreadedCache, role: str):
    cache.keep(acme.id)
    for dry_run in (True, False):
        answer = await as_seen_by(acme, role, caching)(
            "POST", "/cache/purge", {"organization": acme.id, "dry_run": dry_run}
        )
        is_problem(answer, 403, "permission_denied")
    assert cache.desk.count(acme.id) == 1


async def test_another_organization_is_as_if_it_did_not_exist(
    caching: Api, acme: Tenant, globex: Tenant, cache: ThreadedCache
):
    cache.keep(globex.id, globex.team, key=globex.key)
    owner = as_seen_by(acme, "owner", caching)
    bodies: list[dict[str, Any]] = [
        {"organization": globex.id},
        {"organization": "org_nobody"},
        {"organization": acme.team},
        {"organization": acme.id, "scope": globex.team},
        {"organization": acme.id, "key": globex.key},
        {"organization": globex.id, "scope": acme.team},
        {"organization": globex.id, "model": "gpt-4o"},
    ]
    for body in bodies:
        for dry_run in (True, False):
            is_problem(await owner("POST", "/cache/purge", {**body, "dry_run": dry_run}), 404, "not_found")
    assert cache.desk.count(globex.id) == 1


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"model": "gpt-4o", "key": "key_1"}, "model"),
        ({"tag": "nightly"}, "tag"),
        ({"entry": "ce_1"}, "entry"),
        ({"model": ""}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"everything": True}, "everything"),
        ({"organization": None}, "organization"),
    ],
)
async def test_a_purge_that_says_nothing_clear_is_422(caching: Api, acme: Tenant, part: dict[str, Any], param: str):
    answer = await caching("POST", "/cache/purge", {"organization": acme.id, **part})
    assert (answer.status, answer.json["param"]) == (422, param)


async def test_where_no_cache_is_configured_a_purge_says_so(api: Api, acme: Tenant):
    for dry_run in (True, False):
        answer = await api("POST", "/cache/purge", {"organization": acme.id, "dry_run": dry_run})
        assert "`cache` block" in is_problem(answer, 409, "conflict")["detail"]
