"""Reading the audit log, and what every use case leaves in it."""

import pytest

from headgate.control.audit import AuditQuery, list_events
from headgate.control.keys import KeyCreate, KeyPatch, create_key, get_key, patch_key, revoke_key
from headgate.control.organizations import OrganizationCreate, create_organization
from headgate.control.teams import TeamPatch, get_team, patch_team
from headgate.control.timestamps import format_time
from headgate.domain.access import Role
from headgate.domain.errors import ConflictError, NotFoundError, PermissionDeniedError, ValidationFailedError


@pytest.fixture
def acme(world):
    return world.organization("acme")


def test_an_event_says_who_did_what_to_which_and_through_which_request(world, operator, acme):
    key = world.key(acme.id)
    (event,) = list_events(world.plane, operator, AuditQuery(object_id=key.id)).data
    assert (event.actor_kind, event.actor_id, event.action) == ("operator", "operator", "key.create")
    assert (event.object_kind, event.organization_id, event.outcome) == ("key", acme.id, "allowed")
    assert (event.request_id, event.source_address) == ("req_1", "192.0.2.7")
    assert event.at == format_time(world.now_ms)
    assert event.before is None
    assert event.after["name"] == "prod"


def test_an_update_keeps_what_differs_on_both_sides(world, operator, acme):
    key = world.key(acme.id)
    patch_key(world.plane, operator, key.id, KeyPatch(name="new", tags={"a": "1"}))
    event = list_events(world.plane, operator, AuditQuery(object_id=key.id)).data[0]
    assert event.action == "key.update"
    assert event.before == {"name": "prod", "tags": {}}
    assert event.after == {"name": "new", "tags": {"a": "1"}}


def test_a_refused_change_leaves_a_denied_event_in_the_log_of_the_one_who_tried(world, acme):
    viewer = world.person(acme.id, Role.VIEWER)
    with pytest.raises(PermissionDeniedError):
        create_key(world.plane, viewer, KeyCreate(scope_id=acme.id, name="mine"))
    (event,) = world.events(outcome="denied")
    assert (event.actor_id, event.action, event.reason) == (viewer.id, "key.create", "permission_denied")
    assert (event.organization_id, event.request_id) == (acme.id, "req_2")


def test_another_tenants_id_and_one_that_nobody_has_leave_the_same_event(world, acme):
    globex = world.organization("globex")
    theirs = world.team(globex.id)
    eve = world.person(acme.id, Role.OWNER)
    for team_id in (theirs.id, "team_nobody"):
        with pytest.raises(NotFoundError):
            patch_team(world.plane, eve, team_id, TeamPatch(name="mine"))
        with pytest.raises(NotFoundError):
            get_team(world.plane, eve, team_id)
    events = [(event.action, event.reason, event.organization_id) for event in world.events(outcome="denied")]
    assert events == [("team.read", "not_found", acme.id), ("team.update", "not_found", acme.id)] * 2


def test_a_change_that_fails_for_another_reason_is_kept_as_failed(world, operator, acme):
    world.team(acme.id, "ml")
    with pytest.raises(ConflictError):
        world.team(acme.id, "ml")
    (event,) = world.events(outcome="failed")
    assert (event.action, event.reason, event.organization_id) == ("team.create", "conflict", acme.id)
    with pytest.raises(ValidationFailedError):
        create_organization(world.plane, operator, OrganizationCreate(slug="NO", name="x"))
    assert world.events(outcome="failed")[0].reason == "validation_failed"


def test_a_reading_that_is_allowed_leaves_nothing(world, operator, acme):
    key = world.key(acme.id)
    before = world.event_count()
    get_key(world.plane, operator, key.id)
    list_events(world.plane, operator, AuditQuery())
    assert world.event_count() == before


def test_an_organizations_log_is_for_its_owners_and_admins_alone(world, acme):
    globex = world.organization("globex")
    world.key(globex.id)
    for role in Role:
        actor = world.person(acme.id, role)
        if role in {Role.OWNER, Role.ADMIN}:
            events = list_events(world.plane, actor, AuditQuery(limit=200)).data
            assert events
            assert {event.organization_id for event in events} == {acme.id}
            assert list_events(world.plane, actor, AuditQuery(organization_id=globex.id)).data == []
        else:
            with pytest.raises(PermissionDeniedError):
                list_events(world.plane, actor, AuditQuery())


def test_a_role_on_a_team_opens_no_log(world, acme):
    boss = world.person(acme.id, Role.OWNER, scope_id=world.team(acme.id).id)
    with pytest.raises(PermissionDeniedError):
        list_events(world.plane, boss, AuditQuery())


def test_filters_and_pages(world, operator, acme):
    key = world.key(acme.id, "one")
    world.tick(10_000)
    since = format_time(world.now_ms)
    patch_key(world.plane, operator, key.id, KeyPatch(name="two"))
    world.tick(10_000)
    revoke_key(world.plane, operator, key.id)

    def actions(**filters):
        return [event.action for event in list_events(world.plane, operator, AuditQuery(**filters)).data]

    assert actions(object_id=key.id) == ["key.revoke", "key.update", "key.create"]
    assert actions(action="key.*", since=since) == ["key.revoke", "key.update"]
    assert actions(action="key.*", until=since) == ["key.create"]
    assert actions(action="%") == []
    assert actions(action="%.*") == []
    assert actions(actor_id="nobody") == []
    assert actions(outcome="denied") == []
    first = list_events(world.plane, operator, AuditQuery(limit=2))
    second = list_events(world.plane, operator, AuditQuery(limit=2, cursor=first.next_cursor))
    assert [event.action for event in first.data + second.data] == actions(limit=4)
    assert second.next_cursor is None


@pytest.mark.parametrize("cursor", ["b3JnXzE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "!"])
def test_a_cursor_that_is_no_place_in_the_log_is_refused(world, operator, cursor):
    with pytest.raises(ValidationFailedError) as refused:
        list_events(world.plane, operator, AuditQuery(cursor=cursor))
    assert refused.value.param == "cursor"
