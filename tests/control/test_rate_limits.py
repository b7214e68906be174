"""Rate limits: one row a thing, in the snapshot the moment they are written."""

import pytest

from headgate.control.publish import load_limits
from headgate.control.rate_limits import (
    RateLimitsCreate,
    RateLimitsPatch,
    RateLimitsQuery,
    create_rate_limits,
    delete_rate_limits,
    get_rate_limits,
    list_rate_limits,
    patch_rate_limits,
)
from headgate.control.teams import delete_team
from headgate.domain.access import Role
from headgate.domain.errors import (
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    ValidationFailedError,
)
from headgate.domain.limits import RateLimits, WindowMode


def make(world, actor, scope_id: str, **fields):
    world.tick()
    return create_rate_limits(world.plane, actor, RateLimitsCreate(scope_id=scope_id, **fields))


def rates(world, key) -> list[RateLimits]:
    found = world.lookup(key.secret)
    return [line.rates for line in world.snapshots.current.limits.path(found.path, found.id).rates]


@pytest.fixture
def acme(world):
    return world.organization()


def test_they_bind_from_the_moment_they_are_made_until_they_are_deleted(world, operator, acme):
    key = world.key(acme.id)
    made = make(world, operator, key.id, rpm=60, tpm=1000, tpm_mode=WindowMode.STRICT)
    assert (made.scope_id, made.rpm, made.tpm, made.tph, made.concurrency) == (key.id, 60, 1000, None, None)
    assert (made.tpm_mode, made.tph_mode, made.tpd_mode, made.version) == ("strict", "strict", "strict", 1)
    (bound,) = rates(world, key)
    assert (bound.rpm, bound.tpm, bound.tpm_mode) == (60, 1000, WindowMode.STRICT)
    patch = RateLimitsPatch(rpm=None, concurrency=0)
    changed = patch_rate_limits(world.plane, operator, made.id, patch, if_match=1)
    assert (changed.rpm, changed.tpm, changed.concurrency, changed.version) == (None, 1000, 0, 2)
    assert rates(world, key)[0].concurrency == 0
    assert get_rate_limits(world.plane, operator, made.id) == changed
    with pytest.raises(PreconditionFailedError):
        delete_rate_limits(world.plane, operator, made.id, if_match=1)
    delete_rate_limits(world.plane, operator, made.id)
    assert rates(world, key) == []
    with pytest.raises(NotFoundError):
        get_rate_limits(world.plane, operator, made.id)


def test_those_that_are_made_anew_are_newer_than_those_that_were_deleted(world, operator, acme):
    key = world.key(acme.id)
    made = make(world, operator, key.id, rpm=1)
    for number in range(2, 9):
        patch_rate_limits(world.plane, operator, made.id, RateLimitsPatch(rpm=number))
    found, old = world.lookup(key.secret), world.snapshots.current
    world.plane.ledger.status(old.limits.path(found.path, found.id))
    world.tick(1000)
    delete_rate_limits(world.plane, operator, made.id)
    make(world, operator, key.id, rpm=3)
    for snapshot in (world.snapshots.current, old):
        (window,) = world.plane.ledger.status(snapshot.limits.path(found.path, found.id)).windows
        assert (window.limit_name, window.limit) == ("rpm", 3)


def test_a_thing_has_one_row_of_them(world, operator, acme):
    first = make(world, operator, acme.id, rpm=1)
    make(world, operator, acme.id, rpm=1, end_user="*")
    with pytest.raises(ConflictError) as refused:
        make(world, operator, acme.id, tpm=1)
    assert (refused.value.param, first.id in refused.value.message) == ("scope_id", True)


@pytest.mark.parametrize("field", ["rpm", "tpm", "tph", "tpd", "concurrency"])
@pytest.mark.parametrize("value", [-1, True, 1.0, 9_000_000_000_000_001])
def test_a_figure_that_is_none_is_refused_by_name(world, operator, acme, field, value):
    with pytest.raises(ValidationFailedError) as refused:
        make(world, operator, acme.id, **{field: value})
    assert refused.value.param == field


def test_nothing_is_no_limit(world, operator, acme):
    with pytest.raises(ValidationFailedError):
        make(world, operator, acme.id)
    made = make(world, operator, acme.id, rpm=1)
    with pytest.raises(ValidationFailedError):
        patch_rate_limits(world.plane, operator, made.id, RateLimitsPatch(rpm=None))
    assert get_rate_limits(world.plane, operator, made.id) == made


def test_nobody_raises_his_own_limit(world, operator, acme):
    team = world.team(acme.id)
    owner, viewer = world.person(acme.id, Role.OWNER), world.person(acme.id, Role.VIEWER)
    made = make(world, operator, acme.id, rpm=1)
    for attempt in (
        lambda: patch_rate_limits(world.plane, owner, made.id, RateLimitsPatch(rpm=2)),
        lambda: delete_rate_limits(world.plane, owner, made.id),
        lambda: make(world, viewer, team.id, rpm=1),
    ):
        with pytest.raises(PermissionDeniedError):
            attempt()
    assert make(world, owner, team.id, rpm=2).rpm == 2


def test_lists_and_the_next_start_hold_what_is_there(world, operator, acme):
    team = world.team(acme.id)
    made = [make(world, operator, acme.id, rpm=1), make(world, operator, team.id, rpm=2)]
    named = make(world, operator, acme.id, model="gpt-4o", tpm=3)
    viewer = world.person(acme.id, Role.VIEWER, scope_id=team.id)
    assert list_rate_limits(world.plane, operator, RateLimitsQuery()).data == [named, *reversed(made)]
    assert list_rate_limits(world.plane, operator, RateLimitsQuery(scope_id=acme.id)).data == [named, made[0]]
    assert list_rate_limits(world.plane, operator, RateLimitsQuery(organization_id="other")).data == []
    assert list_rate_limits(world.plane, viewer, RateLimitsQuery()).data == [made[1]]
    assert load_limits(world.database)._limits == world.snapshots.current.limits._limits


def test_each_change_is_in_the_audit_log_and_they_go_with_their_scope(world, operator, acme):
    team = world.team(acme.id)
    made = make(world, operator, team.id, rpm=1)
    assert patch_rate_limits(world.plane, operator, made.id, RateLimitsPatch(rpm=1)) == made
    patch_rate_limits(world.plane, operator, made.id, RateLimitsPatch(rpm=2))
    delete_team(world.plane, operator, team.id)
    deleted, updated, created = world.events(object_id=made.id)
    assert [event.action for event in (created, updated, deleted)] == [
        "rate_limit.create",
        "rate_limit.update",
        "rate_limit.delete",
    ]
    assert (updated.before, updated.after) == ({"rpm": 1}, {"rpm": 2})
    assert len(world.snapshots.current.limits) == 0
