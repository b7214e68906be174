"""What an actor may do where."""

import pytest

from headgate.domain.access import Permission, Role, ScopeKind, ScopeRef
from headgate.identity.actor import Actor, ActorKind, Binding, grants_of, may, may_somewhere, rank_on
from headgate.identity.policy import ROLE_PERMISSIONS, ROLE_RANK

P = Permission
ORG = ScopeRef(ScopeKind.ORGANIZATION, "org_1", "acme")
TEAM = ScopeRef(ScopeKind.TEAM, "team_1", "ml")
PROJECT = ScopeRef(ScopeKind.PROJECT, "proj_1", "search")
OTHER_TEAM = ScopeRef(ScopeKind.TEAM, "team_2", "web")
OTHER_ORG = ScopeRef(ScopeKind.ORGANIZATION, "org_2", "globex")

OPERATOR = Actor(kind=ActorKind.OPERATOR, id="operator")
SYSTEM = Actor(kind=ActorKind.SYSTEM, id="configuration")


def user(*bindings: tuple[str, Role]) -> Actor:
    held = tuple(Binding(scope_id, role) for scope_id, role in bindings)
    return Actor(kind=ActorKind.USER, id="user_1", organization_id="org_1", bindings=held)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_a_role_holds_on_its_scope_and_below_and_nowhere_else(role, permission):
    actor = user(("team_1", role))
    held = permission in ROLE_PERMISSIONS[role] or permission is P.PUBLIC
    assert may(actor, permission, (ORG, TEAM)) == held
    assert may(actor, permission, (ORG, TEAM, PROJECT)) == held
    elsewhere = permission in {P.PUBLIC, P.ME_READ}
    for path in ((), (ORG,), (ORG, OTHER_TEAM), (OTHER_ORG,)):
        assert may(actor, permission, path) == elsewhere


@pytest.mark.parametrize("actor", [OPERATOR, SYSTEM, user(("org_1", Role.OWNER))])
def test_nobody_who_administers_infers(actor):
    for path in ((), (ORG,), (ORG, TEAM)):
        assert not may(actor, P.INFER, path)
    assert not may_somewhere(actor, P.INFER)
    assert grants_of(actor, P.INFER) == frozenset()


def test_the_operator_does_everything_else_everywhere():
    for permission in set(Permission) - {P.INFER}:
        assert may(OPERATOR, permission, ())
        assert may(OPERATOR, permission, (OTHER_ORG,))
        assert may_somewhere(OPERATOR, permission)


def test_only_the_operator_operates_or_acts_on_the_installation():
    owner = user(("org_1", Role.OWNER))
    assert not may(owner, P.OPERATE, (ORG,))
    assert not may_somewhere(owner, P.OPERATE)
    assert not may(owner, P.ORGANIZATIONS_WRITE, ())


def test_somebody_without_roles_may_ask_who_he_is_and_nothing_else():
    nobody = user()
    assert [held for held in Permission if may_somewhere(nobody, held)] == [P.PUBLIC, P.ME_READ]


def test_grants_are_the_scopes_whose_role_holds_the_permission():
    actor = user(("team_1", Role.ADMIN), ("team_2", Role.VIEWER))
    assert grants_of(actor, P.KEYS_WRITE) == {"team_1"}
    assert grants_of(actor, P.KEYS_READ) == {"team_1", "team_2"}
    assert grants_of(OPERATOR, P.KEYS_READ) is None


def test_a_rank_is_that_of_the_highest_role_on_the_path():
    actor = user(("org_1", Role.VIEWER), ("team_1", Role.ADMIN))
    assert rank_on(actor, (ORG,)) == ROLE_RANK[Role.VIEWER]
    assert rank_on(actor, (ORG, TEAM, PROJECT)) == ROLE_RANK[Role.ADMIN]
    assert rank_on(actor, (OTHER_ORG,)) == 0
    assert rank_on(OPERATOR, ()) > ROLE_RANK[Role.OWNER]
