"""People and their roles: nobody raises anybody above himself."""

import pytest

from headgate.control.keys import KeyCreate, create_key
from headgate.control.tokens import RefusedToken, TokenCreate, authenticate_token, create_token
from headgate.control.users import (
    RoleBinding,
    UserCreate,
    UserPatch,
    UserQuery,
    block_user,
    create_user,
    delete_user,
    get_user,
    grant_role,
    list_users,
    patch_user,
    revoke_role,
    unblock_user,
)
from headgate.domain.access import Role
from headgate.domain.errors import (
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    ValidationFailedError,
)
from headgate.identity.actor import Actor
from headgate.identity.policy import ROLE_RANK


@pytest.fixture
def acme(world):
    return world.organization("acme")


def test_a_person_is_made_read_and_renamed(world, operator, acme):
    made = create_user(world.plane, operator, UserCreate(organization_id=acme.id, email="Ada@Example.com", name="Ada"))
    assert (made.email, made.roles, made.blocked) == ("ada@example.com", (), False)
    assert get_user(world.plane, operator, made.id) == made
    assert patch_user(world.plane, operator, made.id, UserPatch(name="Ada L."), if_match=1).version == 2


def test_an_address_is_taken_within_its_organization_only_whatever_its_case(world, operator, acme):
    globex = world.organization("globex")
    world.user(acme.id, "ada@example.com")
    world.user(globex.id, "ada@example.com")
    with pytest.raises(ConflictError) as refused:
        create_user(world.plane, operator, UserCreate(organization_id=acme.id, email="ADA@example.com", name="x"))
    assert refused.value.param == "email"


@pytest.mark.parametrize("email", ["", "ada", "ada@", "@x", "a b@x", "a@x\n", "a@b@c", "a" * 250 + "@x.com"])
def test_a_malformed_address_is_refused_by_name(world, operator, acme, email):
    with pytest.raises(ValidationFailedError) as refused:
        create_user(world.plane, operator, UserCreate(organization_id=acme.id, email=email, name="x"))
    assert refused.value.param == "email"


def test_an_address_is_not_in_the_path_that_records_carry(world, acme):
    user = world.user(acme.id, "ada@example.com")
    secret = world.key(user.id).secret
    assert "ada" not in repr(world.lookup(secret).path)


def test_a_role_is_granted_shown_and_taken_away(world, operator, acme):
    team = world.team(acme.id)
    user = world.user(acme.id, "ada@example.com")
    binding = RoleBinding(scope_id=team.id, role=Role.EDITOR)
    granted = grant_role(world.plane, operator, user.id, binding)
    assert granted.roles == (binding,)
    assert granted.version == user.version + 1
    assert grant_role(world.plane, operator, user.id, binding) == granted
    assert revoke_role(world.plane, operator, user.id, binding).roles == ()
    with pytest.raises(NotFoundError):
        revoke_role(world.plane, operator, user.id, binding)


def test_a_stale_version_is_refused_on_roles(world, operator, acme):
    user = world.user(acme.id, "ada@example.com", Role.VIEWER)
    with pytest.raises(PreconditionFailedError):
        grant_role(world.plane, operator, user.id, RoleBinding(scope_id=acme.id, role=Role.EDITOR), if_match=1)


@pytest.mark.parametrize("granting", Role)
@pytest.mark.parametrize("granted", Role)
def test_who_may_grant_what(world, acme, granting, granted):
    actor = world.person(acme.id, granting)
    user = world.user(acme.id, "target@example.com")
    binding = RoleBinding(scope_id=acme.id, role=granted)
    allowed = granting in {Role.OWNER, Role.ADMIN} and ROLE_RANK[granted] <= ROLE_RANK[granting]
    if allowed:
        assert grant_role(world.plane, actor, user.id, binding).roles == (binding,)
    else:
        with pytest.raises(PermissionDeniedError):
            grant_role(world.plane, actor, user.id, binding)
        assert world.events(action="user.grant_role", outcome="denied")


def test_nobody_changes_his_own_roles_or_blocks_or_deletes_himself(world, acme):
    owner = world.person(acme.id, Role.OWNER)
    own = RoleBinding(scope_id=acme.id, role=Role.OWNER)
    for change in (
        lambda: grant_role(world.plane, owner, owner.id, RoleBinding(scope_id=acme.id, role=Role.VIEWER)),
        lambda: revoke_role(world.plane, owner, owner.id, own),
        lambda: block_user(world.plane, owner, owner.id),
        lambda: delete_user(world.plane, owner, owner.id),
    ):
        with pytest.raises(PermissionDeniedError):
            change()
    assert get_user(world.plane, owner, owner.id).roles == (own,)


def test_an_admin_does_nothing_to_an_owner(world, acme):
    owner = world.user(acme.id, "owner@example.com", Role.OWNER)
    admin = world.person(acme.id, Role.ADMIN)
    for change in (
        lambda: revoke_role(world.plane, admin, owner.id, RoleBinding(scope_id=acme.id, role=Role.OWNER)),
        lambda: block_user(world.plane, admin, owner.id),
        lambda: delete_user(world.plane, admin, owner.id),
    ):
        with pytest.raises(PermissionDeniedError):
            change()


def test_a_team_admin_grants_roles_on_his_team_and_nowhere_else(world, acme):
    team, other = world.team(acme.id, "ml"), world.team(acme.id, "web")
    boss = world.person(acme.id, Role.ADMIN, scope_id=team.id)
    user = world.user(acme.id, "target@example.com")
    granted = grant_role(world.plane, boss, user.id, RoleBinding(scope_id=team.id, role=Role.EDITOR))
    assert [binding.scope_id for binding in granted.roles] == [team.id]
    for scope_id in (acme.id, other.id):
        with pytest.raises(NotFoundError):
            grant_role(world.plane, boss, user.id, RoleBinding(scope_id=scope_id, role=Role.VIEWER))


def test_nobody_gets_a_role_in_an_organization_he_does_not_belong_to(world, operator, acme):
    globex = world.organization("globex")
    stranger = world.user(globex.id, "eve@example.com")
    with pytest.raises(NotFoundError):
        grant_role(world.plane, operator, stranger.id, RoleBinding(scope_id=acme.id, role=Role.VIEWER))


def test_a_blocked_person_has_neither_tokens_nor_keys(world, operator, acme):
    user = world.user(acme.id, "ada@example.com", Role.EDITOR)
    token = create_token(world.plane, operator, TokenCreate(name="t", user_id=user.id)).secret
    secret = create_key(world.plane, operator, KeyCreate(scope_id=user.id, name="k")).secret
    assert block_user(world.plane, operator, user.id).blocked
    refused = authenticate_token(world.plane, token)
    assert isinstance(refused, RefusedToken)
    assert refused.reason == "user_blocked"
    assert world.lookup(secret).blocked
    unblock_user(world.plane, operator, user.id)
    assert isinstance(authenticate_token(world.plane, token), Actor)
    assert not world.lookup(secret).blocked


def test_deleting_a_person_ends_his_tokens_and_is_refused_while_he_has_keys(world, operator, acme):
    user = world.user(acme.id, "ada@example.com", Role.EDITOR)
    token = create_token(world.plane, operator, TokenCreate(name="t", user_id=user.id)).secret
    delete_user(world.plane, operator, user.id)
    assert authenticate_token(world.plane, token) is None
    with pytest.raises(NotFoundError):
        get_user(world.plane, operator, user.id)
    other = world.user(acme.id, "bob@example.com")
    world.key(other.id)
    with pytest.raises(ConflictError):
        delete_user(world.plane, operator, other.id)


def test_lists_are_filtered_and_shown_to_those_who_may_read_people(world, operator, acme):
    ada, bob = world.user(acme.id, "ada@example.com"), world.user(acme.id, "bob@example.com")
    found = list_users(world.plane, operator, UserQuery(organization_id=acme.id)).data
    assert [user.id for user in found] == [bob.id, ada.id]
    assert [user.id for user in list_users(world.plane, operator, UserQuery(email="ADA@example.com")).data] == [ada.id]
    viewer = world.person(acme.id, Role.VIEWER)
    assert list_users(world.plane, viewer, UserQuery()).data == []
    editor = world.person(acme.id, Role.EDITOR)
    assert len(list_users(world.plane, editor, UserQuery()).data) == 4
