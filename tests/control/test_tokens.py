"""Personal access tokens: a person's own rights, as they are now, for a while."""

import msgspec
import pytest

from headgate.control.organizations import block_organization
from headgate.control.timestamps import format_time
from headgate.control.tokens import (
    DEFAULT_LIFE_MS,
    MAX_LIFE_MS,
    USE_RESOLUTION_MS,
    RefusedToken,
    TokenCreate,
    TokenQuery,
    authenticate_token,
    create_token,
    get_token,
    list_tokens,
    revoke_token,
)
from headgate.control.users import RoleBinding, grant_role, revoke_role
from headgate.domain.access import Role
from headgate.domain.errors import (
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    ValidationFailedError,
)
from headgate.identity.actor import Actor, Binding
from headgate.identity.secrets import looks_minted


@pytest.fixture
def acme(world):
    return world.organization("acme")


def test_a_token_proves_its_person_with_his_present_roles(world, operator, acme):
    user = world.user(acme.id, "ada@example.com", Role.VIEWER)
    made = create_token(world.plane, operator, TokenCreate(name="cli", user_id=user.id))
    assert looks_minted(made.secret, "hgp_")
    actor = authenticate_token(world.plane, made.secret, request_id="req_9", source_address="192.0.2.1")
    assert (actor.id, actor.organization_id, actor.request_id) == (user.id, acme.id, "req_9")
    assert actor.bindings == (Binding(acme.id, Role.VIEWER),)
    grant_role(world.plane, operator, user.id, RoleBinding(scope_id=acme.id, role=Role.ADMIN))
    revoke_role(world.plane, operator, user.id, RoleBinding(scope_id=acme.id, role=Role.VIEWER))
    assert authenticate_token(world.plane, made.secret).bindings == (Binding(acme.id, Role.ADMIN),)


@pytest.mark.parametrize("presented", ["", "hgp_", "' OR 1=1--", "hgp_" + "0" * 49, b"\xff\x00", "x" * 1_000_000])
def test_what_is_no_token_proves_nobody(world, acme, presented):
    world.person(acme.id, Role.OWNER)
    assert authenticate_token(world.plane, presented) is None


def test_a_token_ends_when_it_says_so(world, operator, acme):
    user = world.user(acme.id, "ada@example.com", Role.VIEWER)
    made = create_token(world.plane, operator, TokenCreate(name="cli", user_id=user.id))
    assert made.expires_at == format_time(world.now_ms + DEFAULT_LIFE_MS)
    world.tick(DEFAULT_LIFE_MS - 1)
    assert isinstance(authenticate_token(world.plane, made.secret), Actor)
    world.tick()
    assert authenticate_token(world.plane, made.secret) == RefusedToken(made.id, user.id, acme.id, "expired")


def test_a_token_lives_a_year_at_most(world, operator, acme):
    user = world.user(acme.id, "ada@example.com", Role.VIEWER)
    longest = format_time(world.now_ms + MAX_LIFE_MS)
    create_token(world.plane, operator, TokenCreate(name="cli", user_id=user.id, expires_at=longest))
    longer = format_time(world.now_ms + MAX_LIFE_MS + 1)
    with pytest.raises(ValidationFailedError) as refused:
        create_token(world.plane, operator, TokenCreate(name="cli", user_id=user.id, expires_at=longer))
    assert refused.value.param == "expires_at"


def test_a_person_makes_tokens_for_himself_and_nobody_else(world, acme):
    owner = world.person(acme.id, Role.OWNER)
    viewer = world.person(acme.id, Role.VIEWER)
    assert create_token(world.plane, viewer, TokenCreate(name="mine")).user_id == viewer.id
    with pytest.raises(PermissionDeniedError):
        create_token(world.plane, owner, TokenCreate(name="theirs", user_id=viewer.id))
    with pytest.raises((PermissionDeniedError, NotFoundError)):
        create_token(world.plane, viewer, TokenCreate(name="theirs", user_id=owner.id))


def test_the_operator_is_no_person_and_names_one(world, operator, acme):
    with pytest.raises(NotFoundError):
        create_token(world.plane, operator, TokenCreate(name="mine"))


def test_a_revoked_token_proves_nobody_as_soon_as_the_call_returns(world, acme):
    actor = world.person(acme.id, Role.VIEWER)
    made = create_token(world.plane, actor, TokenCreate(name="mine"))
    assert isinstance(authenticate_token(world.plane, made.secret), Actor)
    revoked = revoke_token(world.plane, actor, made.id)
    assert revoked.revoked_at is not None
    assert authenticate_token(world.plane, made.secret) == RefusedToken(made.id, actor.id, acme.id, "revoked")
    assert revoke_token(world.plane, actor, made.id) == revoked
    assert get_token(world.plane, actor, made.id) == revoked


def test_a_token_of_a_blocked_organization_says_so(world, operator, acme):
    actor = world.person(acme.id, Role.VIEWER)
    made = create_token(world.plane, actor, TokenCreate(name="mine"))
    block_organization(world.plane, operator, acme.id)
    assert authenticate_token(world.plane, made.secret) == RefusedToken(
        made.id, actor.id, acme.id, "organization_blocked"
    )


def test_a_stale_version_is_refused(world, acme):
    actor = world.person(acme.id, Role.VIEWER)
    made = create_token(world.plane, actor, TokenCreate(name="mine"))
    with pytest.raises(PreconditionFailedError):
        revoke_token(world.plane, actor, made.id, if_match=7)
    assert isinstance(authenticate_token(world.plane, made.secret), Actor)


def test_an_admin_sees_and_ends_the_tokens_of_his_people_but_not_an_owners(world, acme):
    admin = world.person(acme.id, Role.ADMIN)
    viewer = world.person(acme.id, Role.VIEWER)
    owner = world.person(acme.id, Role.OWNER)
    theirs = create_token(world.plane, viewer, TokenCreate(name="theirs"))
    owners = create_token(world.plane, owner, TokenCreate(name="owners"))
    assert get_token(world.plane, admin, theirs.id).id == theirs.id
    revoke_token(world.plane, admin, theirs.id)
    assert isinstance(authenticate_token(world.plane, theirs.secret), RefusedToken)
    with pytest.raises(PermissionDeniedError):
        revoke_token(world.plane, admin, owners.id)
    assert isinstance(authenticate_token(world.plane, owners.secret), Actor)


def test_nobody_below_admin_sees_tokens_of_others(world, acme):
    editor = world.person(acme.id, Role.EDITOR)
    viewer = world.person(acme.id, Role.VIEWER)
    theirs = create_token(world.plane, viewer, TokenCreate(name="theirs"))
    for act in (get_token, revoke_token):
        with pytest.raises(NotFoundError):
            act(world.plane, editor, theirs.id)
    own = {token.user_id for token in list_tokens(world.plane, editor, TokenQuery()).data}
    assert own == {editor.id}
    assert list_tokens(world.plane, editor, TokenQuery(user_id=viewer.id)).data == []


def test_lists_leave_revoked_tokens_out_unless_asked(world, acme):
    actor = world.person(acme.id, Role.VIEWER)
    made = create_token(world.plane, actor, TokenCreate(name="mine"))
    revoke_token(world.plane, actor, made.id)
    assert made.id not in {token.id for token in list_tokens(world.plane, actor, TokenQuery()).data}
    assert made.id in {token.id for token in list_tokens(world.plane, actor, TokenQuery(include_revoked=True)).data}


def test_the_last_use_is_noted_at_most_every_few_minutes(world, acme):
    actor = world.person(acme.id, Role.VIEWER)
    made = create_token(world.plane, actor, TokenCreate(name="mine"))
    assert get_token(world.plane, actor, made.id).last_used_at is None
    authenticate_token(world.plane, made.secret)
    first = get_token(world.plane, actor, made.id).last_used_at
    assert first == format_time(world.now_ms)
    world.tick(USE_RESOLUTION_MS - 1)
    authenticate_token(world.plane, made.secret)
    assert get_token(world.plane, actor, made.id).last_used_at == first
    world.tick()
    authenticate_token(world.plane, made.secret)
    used = get_token(world.plane, actor, made.id)
    # What is shown has changed, and so has its version, which is its ETag.
    assert (used.last_used_at, used.version) == (format_time(world.now_ms), made.version + 2)


def test_the_secret_is_in_one_answer_and_nowhere_else(world, acme):
    actor = world.person(acme.id, Role.VIEWER)
    made = create_token(world.plane, actor, TokenCreate(name="mine"))
    shown = msgspec.json.encode([list_tokens(world.plane, actor, TokenQuery()), world.events()]) + repr(made).encode()
    world.database.close()
    stored = b"".join(path.read_bytes() for path in world.database.path.parent.iterdir())
    assert made.secret.encode() not in shown + stored
