"""Virtual keys: what is shown, what is stored, and what the data plane sees when a call returns."""

import msgspec
import pytest
from sqlalchemy import select

from headgate.control.keys import (
    KeyCreate,
    KeyPatch,
    KeyQuery,
    KeyRotate,
    block_key,
    create_key,
    get_key,
    list_keys,
    patch_key,
    revoke_key,
    rotate_key,
    unblock_key,
)
from headgate.control.timestamps import format_time
from headgate.domain.access import Role, ScopeKind
from headgate.domain.errors import (
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    ValidationFailedError,
)
from headgate.identity.keys import is_usable
from headgate.identity.secrets import hash_secret, looks_minted
from headgate.storage.tables import virtual_keys


@pytest.fixture
def team(world):
    return world.team(world.organization().id)


def test_a_new_key_opens_the_data_plane_as_soon_as_the_call_returns(world, operator, team):
    body = KeyCreate(scope_id=team.id, name="prod", models=("gpt-*",), tags={"env": "prod"})
    made = create_key(world.plane, operator, body)
    assert looks_minted(made.secret, "hg_")
    found = world.lookup(made.secret)
    assert (found.id, found.name, found.models, found.tags) == (made.id, "prod", ("gpt-*",), (("env", "prod"),))
    assert [step.kind for step in found.path] == [ScopeKind.ORGANIZATION, ScopeKind.TEAM]
    assert world.reload().lookup(hash_secret(made.secret)) == found


def test_the_secret_is_in_one_answer_and_nowhere_else(world, operator, team):
    made = world.key(team.id)
    rotated = rotate_key(world.plane, operator, made.id, KeyRotate())
    shown = msgspec.json.encode([get_key(world.plane, operator, made.id), list_keys(world.plane, operator, KeyQuery())])
    logged = msgspec.json.encode(world.events())
    world.database.close()
    stored = b"".join(path.read_bytes() for path in world.database.path.parent.iterdir())
    for secret in (made.secret, rotated.secret):
        assert secret not in repr(made) + repr(rotated)
        for place in (shown, logged, stored):
            assert secret.encode() not in place
        assert hash_secret(secret).hex().encode() not in logged


def test_two_keys_of_one_name_on_one_scope_are_a_conflict_until_the_first_is_revoked(world, operator, team):
    first = world.key(team.id, "prod")
    with pytest.raises(ConflictError) as refused:
        world.key(team.id, "prod")
    assert refused.value.param == "name"
    revoke_key(world.plane, operator, first.id)
    assert world.key(team.id, "prod").id != first.id


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"models": ()}, "models"),
        ({"models": ("a",) * 65}, "models"),
        ({"models": ("ok", "")}, "models[1]"),
        ({"models": ("a\r\nb",)}, "models[0]"),
        ({"tags": {"a b": "x"}}, "tags"),
        ({"tags": {"a": "x\n"}}, "tags.a"),
        ({"tags": {"headgate.priority": "urgent"}}, "tags.headgate.priority"),
        ({"tags": {f"t{number}": "x" for number in range(17)}}, "tags"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
    ],
)
def test_a_malformed_field_is_refused_by_name_and_nothing_is_made(world, operator, team, fields, param):
    with pytest.raises(ValidationFailedError) as refused:
        create_key(world.plane, operator, KeyCreate(**{"scope_id": team.id, "name": "prod", **fields}))
    assert refused.value.param == param
    assert list_keys(world.plane, operator, KeyQuery()).data == []
    assert len(world.snapshots.current.keys) == 0


def test_a_key_may_hang_on_every_kind_of_scope(world, operator, team):
    project = world.project(team.id)
    user = world.user(team.organization_id, "ada@example.com")
    for scope_id, depth in ((team.organization_id, 1), (team.id, 2), (project.id, 3), (user.id, 2)):
        assert len(world.lookup(world.key(scope_id).secret).path) == depth


def test_a_revoked_key_is_out_of_the_directory_when_the_call_returns_and_stays_readable(world, operator, team):
    made = world.key(team.id)
    assert world.lookup(made.secret) is not None
    assert revoke_key(world.plane, operator, made.id).revoked_at is not None
    assert world.lookup(made.secret) is None
    assert world.reload().lookup(hash_secret(made.secret)) is None
    assert get_key(world.plane, operator, made.id).revoked_at is not None
    assert list_keys(world.plane, operator, KeyQuery()).data == []
    assert len(list_keys(world.plane, operator, KeyQuery(include_revoked=True)).data) == 1


def test_revoking_twice_is_the_same_and_a_revoked_key_cannot_be_changed(world, operator, team):
    made = world.key(team.id)
    once = revoke_key(world.plane, operator, made.id)
    world.tick()
    assert revoke_key(world.plane, operator, made.id) == once
    for change in (
        lambda: patch_key(world.plane, operator, made.id, KeyPatch(name="new")),
        lambda: rotate_key(world.plane, operator, made.id, KeyRotate()),
        lambda: unblock_key(world.plane, operator, made.id),
    ):
        with pytest.raises(ConflictError):
            change()


def test_a_rotation_without_grace_ends_the_old_secret_at_once(world, operator, team):
    made = world.key(team.id)
    rotated = rotate_key(world.plane, operator, made.id, KeyRotate())
    assert rotated.id == made.id
    assert rotated.secret != made.secret
    assert world.lookup(made.secret) is None
    assert world.lookup(rotated.secret).id == made.id


def test_a_rotation_with_grace_keeps_the_old_secret_good_until_its_end_and_not_longer(world, operator, team):
    made = world.key(team.id)
    rotated = rotate_key(world.plane, operator, made.id, KeyRotate(grace_seconds=60))
    assert rotated.grace_until == format_time(world.now_ms + 60_000)
    for keys in (world.snapshots.current.keys, world.reload()):
        old, new = keys.lookup(hash_secret(made.secret)), keys.lookup(hash_secret(rotated.secret))
        assert old.id == new.id == made.id
        assert is_usable(old, world.now_ms + 59_999)
        assert not is_usable(old, world.now_ms + 60_000)
        assert is_usable(new, world.now_ms + 60_000)


def test_rotating_again_within_the_grace_ends_the_oldest_secret(world, operator, team):
    first = world.key(team.id)
    second = rotate_key(world.plane, operator, first.id, KeyRotate(grace_seconds=60))
    third = rotate_key(world.plane, operator, first.id, KeyRotate(grace_seconds=60))
    assert world.lookup(first.secret) is None
    assert world.lookup(second.secret).expires_at_ms == world.now_ms + 60_000
    assert world.lookup(third.secret).expires_at_ms is None


def test_a_grace_never_outlives_the_keys_own_expiry(world, operator, team):
    made = world.key(team.id, expires_at=format_time(world.now_ms + 10_000))
    rotate_key(world.plane, operator, made.id, KeyRotate(grace_seconds=60))
    assert world.lookup(made.secret).expires_at_ms == world.lookup(made.secret).expires_at_ms
    assert not is_usable(world.lookup(made.secret), world.now_ms + 10_000)


def test_revoking_a_key_in_its_grace_ends_both_secrets(world, operator, team):
    made = world.key(team.id)
    rotated = rotate_key(world.plane, operator, made.id, KeyRotate(grace_seconds=60))
    revoke_key(world.plane, operator, made.id)
    assert world.lookup(made.secret) is None
    assert world.lookup(rotated.secret) is None


@pytest.mark.parametrize("grace", [-1, 30 * 24 * 3600 + 1])
def test_a_grace_out_of_bounds_is_refused(world, operator, team, grace):
    made = world.key(team.id)
    with pytest.raises(ValidationFailedError):
        rotate_key(world.plane, operator, made.id, KeyRotate(grace_seconds=grace))
    assert world.lookup(made.secret) is not None


def test_a_patch_reaches_the_data_plane_and_leaves_the_rest_alone(world, operator, team):
    made = world.key(team.id, tags={"a": "1", "b": "2"}, expires_at=format_time(world.now_ms + 10_000))
    patched = patch_key(
        world.plane, operator, made.id, KeyPatch(models=("gpt-4o",), tags={"a": None, "c": "3"}, expires_at=None)
    )
    assert patched.tags == {"b": "2", "c": "3"}
    found = world.lookup(made.secret)
    assert (found.models, found.tags, found.expires_at_ms) == (("gpt-4o",), (("b", "2"), ("c", "3")), None)
    assert found.name == "prod"
    assert patched.version == 2


def test_a_patch_may_not_take_another_keys_name(world, operator, team):
    world.key(team.id, "one")
    second = world.key(team.id, "two")
    with pytest.raises(ConflictError):
        patch_key(world.plane, operator, second.id, KeyPatch(name="one"))
    assert patch_key(world.plane, operator, second.id, KeyPatch(name="two")).name == "two"


def test_a_blocked_key_is_in_the_directory_as_blocked_until_it_is_unblocked(world, operator, team):
    made = world.key(team.id)
    assert block_key(world.plane, operator, made.id).blocked
    assert not is_usable(world.lookup(made.secret), world.now_ms)
    assert not unblock_key(world.plane, operator, made.id).blocked
    assert is_usable(world.lookup(made.secret), world.now_ms)


def test_a_stale_version_is_refused_on_every_change(world, operator, team):
    made = world.key(team.id)
    patch_key(world.plane, operator, made.id, KeyPatch(name="new"), if_match=1)
    for change in (
        lambda: patch_key(world.plane, operator, made.id, KeyPatch(name="newer"), if_match=1),
        lambda: rotate_key(world.plane, operator, made.id, KeyRotate(), if_match=1),
        lambda: revoke_key(world.plane, operator, made.id, if_match=1),
        lambda: block_key(world.plane, operator, made.id, if_match=1),
    ):
        with pytest.raises(PreconditionFailedError):
            change()
    assert is_usable(world.lookup(made.secret), world.now_ms)


def test_lists_are_filtered_and_newest_first(world, operator, team):
    other = world.team(team.organization_id, "web")
    made = [world.key(team.id, f"key-{number}").id for number in range(3)]
    world.key(other.id, "elsewhere")
    found = list_keys(world.plane, operator, KeyQuery(scope_id=team.id)).data
    assert [key.id for key in found] == list(reversed(made))
    assert [key.id for key in list_keys(world.plane, operator, KeyQuery(name="key-1")).data] == [made[1]]
    assert list_keys(world.plane, operator, KeyQuery(organization_id="org_nobody")).data == []
    assert list_keys(world.plane, operator, KeyQuery(name="' OR 1=1--")).data == []


def test_a_team_admin_makes_keys_on_his_team_and_nowhere_else(world, team):
    other = world.team(team.organization_id, "web")
    boss = world.person(team.organization_id, Role.ADMIN, scope_id=team.id)
    assert create_key(world.plane, boss, KeyCreate(scope_id=team.id, name="mine")).scope_id == team.id
    for scope_id in (other.id, team.organization_id, "team_nobody"):
        with pytest.raises(NotFoundError):
            create_key(world.plane, boss, KeyCreate(scope_id=scope_id, name="theirs"))


@pytest.mark.parametrize("role", [Role.PUBLISHER, Role.EDITOR, Role.ANALYST, Role.VIEWER])
def test_roles_below_admin_read_keys_and_change_none(world, team, role):
    made = world.key(team.id)
    reader = world.person(team.organization_id, role)
    assert get_key(world.plane, reader, made.id).id == made.id
    for change in (
        lambda: create_key(world.plane, reader, KeyCreate(scope_id=team.id, name="mine")),
        lambda: patch_key(world.plane, reader, made.id, KeyPatch(name="mine")),
        lambda: rotate_key(world.plane, reader, made.id, KeyRotate()),
        lambda: revoke_key(world.plane, reader, made.id),
        lambda: block_key(world.plane, reader, made.id),
    ):
        with pytest.raises(PermissionDeniedError):
            change()
    assert world.lookup(made.secret).name == "prod"


def test_only_digests_are_stored(world, operator, team):
    made = world.key(team.id)
    with world.database.read() as connection:
        stored = connection.execute(select(virtual_keys.c.digest, virtual_keys.c.hint)).one()
    assert stored == (hash_secret(made.secret), made.secret[-4:])
