"""Who sees what the cache did, who purges, and what the audit log keeps of it."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from headgate.control.caches import CachePurge, purge_cache, report_cache
from headgate.control.keys import revoke_key
from headgate.domain.access import Role
from headgate.domain.caching import CacheNote, CacheStatus
from headgate.domain.errors import ConflictError, NotFoundError, PermissionDeniedError, ValidationFailedError
from headgate.records.cache_queries import CacheQuery
from headgate.records.writer import RecordWriter
from tests.cache.threaded import ThreadedCache, threaded_cache
from tests.control.conftest import OPERATOR, World
from tests.control.test_reports import request_of


@pytest.fixture
def cache(world: World) -> Iterator[ThreadedCache]:
    with threaded_cache(lambda: world.now_ms) as threaded:
        yield threaded


def test_a_role_on_a_team_opens_the_figures_of_that_team(world: World, cache: ThreadedCache) -> None:
    acme = world.organization().id
    ml, web = world.team(acme).id, world.team(acme, "web").id
    writer = RecordWriter(world.database)
    for team in (ml, web, web):
        key = world.key(team, f"key {world.now_ms}")
        writer.append(request_of(team, (acme, team), key.id, world.now_ms))
    writer.flush()
    query = CacheQuery(world.now_ms - 1_000, world.now_ms + 1)
    person = world.person(acme, Role.VIEWER, scope_id=web)
    seen = report_cache(world.plane, person, cache.desk, query)
    assert (seen.requests, seen.store) == (2, None)
    everything = report_cache(world.plane, OPERATOR, cache.desk, query)
    assert (everything.requests, everything.store) == (3, cache.desk.stats())
    assert (everything.hit_rate, everything.hit_rate_eligible) == (0.0, 0.0)
    assert report_cache(world.plane, OPERATOR, None, query).store is None


def test_rates_are_of_all_requests_and_of_those_that_were_looked_for(world: World) -> None:
    acme = world.organization().id
    key = world.key(acme)
    writer = RecordWriter(world.database)
    statuses = (CacheStatus.HIT_EXACT, CacheStatus.COALESCED, CacheStatus.MISS, CacheStatus.MISS, CacheStatus.BYPASS)
    for number, status in enumerate(statuses):
        made = request_of(acme, (acme,), key.id, world.now_ms - number)
        writer.append(replace(made, cache=CacheNote(status)))
    writer.flush()
    seen = report_cache(world.plane, OPERATOR, None, CacheQuery(world.now_ms - 1_000, world.now_ms + 1))
    assert (seen.requests, seen.eligible, seen.hits_exact, seen.coalesced) == (5, 4, 1, 1)
    assert (seen.hit_rate, seen.hit_rate_eligible) == (0.4, 0.5)


def test_a_purge_is_in_the_audit_log_and_a_dry_run_is_not(world: World, cache: ThreadedCache) -> None:
    acme = world.organization().id
    admin = world.person(acme, Role.ADMIN)
    cache.keep(acme)
    before = world.event_count()
    body = CachePurge(organization=acme, model="gpt-4o", dry_run=True)
    assert purge_cache(world.plane, admin, cache.desk, body).entries == 1
    assert world.event_count() == before
    assert purge_cache(world.plane, admin, cache.desk, CachePurge(organization=acme, model="gpt-4o")).entries == 1
    event = world.events()[0]
    assert (event.action, event.object_kind, event.object_id) == ("cache.purge", "cache", acme)
    assert (event.organization_id, event.actor_id, event.outcome) == (acme, admin.id, "allowed")
    assert event.after == {"purged": f"{acme} model gpt-4o", "entries": 1}


def test_a_team_admin_purges_his_team_and_nothing_beside_it(world: World, cache: ThreadedCache) -> None:
    acme = world.organization().id
    ml, web = world.team(acme).id, world.team(acme, "web").id
    key, other = world.key(ml), world.key(web)
    cache.keep(acme, ml, key=key.id)
    cache.keep(acme, web, key=other.id)
    person = world.person(acme, Role.ADMIN, scope_id=ml)
    for body in (
        CachePurge(organization=acme),
        CachePurge(organization=acme, model="gpt-4o"),
        CachePurge(organization=acme, scope=web),
        CachePurge(organization=acme, key=other.id),
    ):
        with pytest.raises((NotFoundError, PermissionDeniedError)):
            purge_cache(world.plane, person, cache.desk, body)
        event = world.events()[0]
        assert (event.action, event.outcome, event.actor_id) == ("cache.purge", "denied", person.id)
    assert cache.desk.count(acme) == 2
    assert purge_cache(world.plane, person, cache.desk, CachePurge(organization=acme, key=key.id)).entries == 1
    assert purge_cache(world.plane, person, cache.desk, CachePurge(organization=acme, scope=ml)).entries == 0
    assert cache.desk.count(acme) == 1


def test_what_was_asked_under_a_revoked_key_can_still_be_purged(world: World, cache: ThreadedCache) -> None:
    acme = world.organization().id
    key = world.key(acme)
    cache.keep(acme, key=key.id)
    revoke_key(world.plane, OPERATOR, key.id)
    assert purge_cache(world.plane, OPERATOR, cache.desk, CachePurge(organization=acme, key=key.id)).entries == 1


def test_a_purge_that_fails_leaves_an_event_and_purges_nothing(world: World, cache: ThreadedCache) -> None:
    acme = world.organization().id
    cache.keep(acme)
    with pytest.raises(ConflictError):
        purge_cache(world.plane, OPERATOR, None, CachePurge(organization=acme))
    assert (world.events()[0].action, world.events()[0].outcome) == ("cache.purge", "failed")
    assert cache.desk.count(acme) == 1


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"key": "key_1", "tag": "a=b"}, "tag"),
        ({"tag": "nightly"}, "tag"),
        ({"entry": "ce_ABC"}, "entry"),
        ({"model": "a\x00"}, "model"),
    ],
)
def test_what_does_not_come_through_the_api_is_checked_too(
    world: World, cache: ThreadedCache, part: dict[str, str], param: str
) -> None:
    with pytest.raises(ValidationFailedError) as caught:
        purge_cache(world.plane, OPERATOR, cache.desk, CachePurge(organization=world.organization().id, **part))
    assert caught.value.param == param
