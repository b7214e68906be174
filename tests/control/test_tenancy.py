"""Every id of one tenant, in the hands of another tenant's owner: not found, nothing changed, nothing told."""

import pytest
from msgspec import UNSET

from headgate.control import audit, budgets, keys, organizations, projects, rate_limits, statuses, teams, tokens, users
from headgate.control.page import ListQuery
from headgate.domain.access import Role
from headgate.domain.errors import HeadgateError, NotFoundError, PermissionDeniedError
from headgate.domain.limits import Period
from headgate.identity.actor import Actor


class Theirs:
    """One of everything, of the tenant that is attacked."""

    def __init__(self, world, operator) -> None:
        self.organization = world.organization("globex").id
        self.team = world.team(self.organization).id
        self.project = world.project(self.team).id
        self.key = world.key(self.team)
        self.user = world.user(self.organization, "victim@example.com", Role.VIEWER).id
        self.token = tokens.create_token(world.plane, operator, tokens.TokenCreate(name="t", user_id=self.user))
        budget = budgets.BudgetCreate(scope_id=self.key.id, amount_usd="5", period=Period.MONTH)
        self.budget = budgets.create_budget(world.plane, operator, budget).id
        rates = rate_limits.RateLimitsCreate(scope_id=self.team, rpm=5)
        self.rates = rate_limits.create_rate_limits(world.plane, operator, rates).id


def budget_on(scope_id: str, **fields: str) -> budgets.BudgetCreate:
    return budgets.BudgetCreate(scope_id=scope_id, amount_usd="1", period=Period.DAY, **fields)


ATTACKS = {
    "get organization": lambda plane, eve, it: organizations.get_organization(plane, eve, it.organization),
    "patch organization": lambda p, eve, it: organizations.patch_organization(
        p, eve, it.organization, organizations.OrganizationPatch(name="x")
    ),
    "block organization": lambda plane, eve, it: organizations.block_organization(plane, eve, it.organization),
    "unblock organization": lambda plane, eve, it: organizations.unblock_organization(plane, eve, it.organization),
    "delete organization": lambda plane, eve, it: organizations.delete_organization(plane, eve, it.organization),
    "create team": lambda p, e, it: teams.create_team(
        p, e, teams.TeamCreate(organization_id=it.organization, slug="x", name="x")
    ),
    "get team": lambda plane, eve, it: teams.get_team(plane, eve, it.team),
    "patch team": lambda plane, eve, it: teams.patch_team(plane, eve, it.team, teams.TeamPatch(name="x")),
    "loosen team": lambda plane, eve, it: teams.patch_team(plane, eve, it.team, teams.TeamPatch(residency=None)),
    "loosen key": lambda plane, eve, it: keys.patch_key(plane, eve, it.key.id, keys.KeyPatch(residency=None)),
    "block team": lambda plane, eve, it: teams.block_team(plane, eve, it.team),
    "unblock team": lambda plane, eve, it: teams.unblock_team(plane, eve, it.team),
    "delete team": lambda plane, eve, it: teams.delete_team(plane, eve, it.team),
    "create project": lambda p, e, it: projects.create_project(
        p, e, projects.ProjectCreate(team_id=it.team, slug="x", name="x")
    ),
    "get project": lambda plane, eve, it: projects.get_project(plane, eve, it.project),
    "patch project": lambda plane, eve, it: projects.patch_project(
        plane, eve, it.project, projects.ProjectPatch(name="x")
    ),
    "block project": lambda plane, eve, it: projects.block_project(plane, eve, it.project),
    "unblock project": lambda plane, eve, it: projects.unblock_project(plane, eve, it.project),
    "delete project": lambda plane, eve, it: projects.delete_project(plane, eve, it.project),
    "create user": lambda p, e, it: users.create_user(
        p, e, users.UserCreate(organization_id=it.organization, email="x@example.com", name="x")
    ),
    "get user": lambda plane, eve, it: users.get_user(plane, eve, it.user),
    "patch user": lambda plane, eve, it: users.patch_user(plane, eve, it.user, users.UserPatch(name="x")),
    "block user": lambda plane, eve, it: users.block_user(plane, eve, it.user),
    "unblock user": lambda plane, eve, it: users.unblock_user(plane, eve, it.user),
    "delete user": lambda plane, eve, it: users.delete_user(plane, eve, it.user),
    "grant role there": lambda p, e, it: users.grant_role(
        p, e, it.user, users.RoleBinding(scope_id=it.organization, role=Role.VIEWER)
    ),
    "grant role here": lambda p, e, it: users.grant_role(
        p, e, it.user, users.RoleBinding(scope_id=e.organization_id, role=Role.VIEWER)
    ),
    "revoke role": lambda p, e, it: users.revoke_role(
        p, e, it.user, users.RoleBinding(scope_id=it.organization, role=Role.VIEWER)
    ),
    "create key": lambda p, e, it: keys.create_key(p, e, keys.KeyCreate(scope_id=it.team, name="x")),
    "create key on user": lambda p, e, it: keys.create_key(p, e, keys.KeyCreate(scope_id=it.user, name="x")),
    "get key": lambda plane, eve, it: keys.get_key(plane, eve, it.key.id),
    "patch key": lambda plane, eve, it: keys.patch_key(plane, eve, it.key.id, keys.KeyPatch(name="x", models=UNSET)),
    "rotate key": lambda plane, eve, it: keys.rotate_key(plane, eve, it.key.id, keys.KeyRotate()),
    "block key": lambda plane, eve, it: keys.block_key(plane, eve, it.key.id),
    "unblock key": lambda plane, eve, it: keys.unblock_key(plane, eve, it.key.id),
    "revoke key": lambda plane, eve, it: keys.revoke_key(plane, eve, it.key.id),
    "create budget on team": lambda p, e, it: budgets.create_budget(p, e, budget_on(it.team)),
    "create budget on key": lambda p, e, it: budgets.create_budget(p, e, budget_on(it.key.id)),
    "create budget on name": lambda p, e, it: budgets.create_budget(p, e, budget_on(it.organization, model="gpt-4o")),
    "get budget": lambda plane, eve, it: budgets.get_budget(plane, eve, it.budget),
    "get budget status": lambda plane, eve, it: statuses.get_budget_status(plane, eve, it.budget),
    "patch budget": lambda p, e, it: budgets.patch_budget(p, e, it.budget, budgets.BudgetPatch(amount_usd="9")),
    "create rate limits": lambda p, e, it: rate_limits.create_rate_limits(
        p, e, rate_limits.RateLimitsCreate(scope_id=it.project, rpm=1)
    ),
    "get rate limits": lambda plane, eve, it: rate_limits.get_rate_limits(plane, eve, it.rates),
    "patch rate limits": lambda p, e, it: rate_limits.patch_rate_limits(
        p, e, it.rates, rate_limits.RateLimitsPatch(rpm=9)
    ),
    "get key status": lambda plane, eve, it: statuses.get_key_status(plane, eve, it.key.id),
    "adjust key": lambda p, e, it: statuses.adjust_key(
        p, e, it.key.id, statuses.AdjustmentCreate(amount_usd="1", reason="x")
    ),
    "delete budget": lambda plane, eve, it: budgets.delete_budget(plane, eve, it.budget),
    "delete rate limits": lambda plane, eve, it: rate_limits.delete_rate_limits(plane, eve, it.rates),
    "create token": lambda p, e, it: tokens.create_token(p, e, tokens.TokenCreate(name="x", user_id=it.user)),
    "get token": lambda plane, eve, it: tokens.get_token(plane, eve, it.token.id),
    "revoke token": lambda plane, eve, it: tokens.revoke_token(plane, eve, it.token.id),
}


def said(error: HeadgateError) -> tuple[str, str]:
    return error.code, error.message


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_another_tenants_id_is_not_found_and_nothing_changes(world, operator, attack):
    it = Theirs(world, operator)
    eve = world.person(world.organization("evil").id, Role.OWNER)
    before = (world.snapshots.current, len(world.events(organization_ids=frozenset({it.organization}))))
    with pytest.raises(NotFoundError):
        attack(world.plane, eve, it)
    assert (world.snapshots.current, len(world.events(organization_ids=frozenset({it.organization})))) == before
    assert world.lookup(it.key.secret).name == "prod"
    assert isinstance(tokens.authenticate_token(world.plane, it.token.secret), Actor)
    (event,) = world.events(outcome="denied")
    assert event.organization_id == eve.organization_id


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_it_is_refused_in_the_words_of_an_id_that_nobody_has(world, operator, attack):
    it = Theirs(world, operator)
    eve = world.person(world.organization("evil").id, Role.OWNER)
    with pytest.raises(NotFoundError) as real:
        attack(world.plane, eve, it)
    it.organization = it.team = it.project = it.user = it.budget = it.rates = "nobody"
    it.key = it.key.__class__(**{name: getattr(it.key, name) for name in it.key.__struct_fields__} | {"id": "nobody"})
    it.token = it.token.__class__(
        **{name: getattr(it.token, name) for name in it.token.__struct_fields__} | {"id": "nobody"}
    )
    with pytest.raises(NotFoundError) as unreal:
        attack(world.plane, eve, it)
    assert said(real.value) == said(unreal.value)


def test_no_list_shows_anything_of_another_tenant(world, operator):
    it = Theirs(world, operator)
    evil = world.organization("evil")
    eve = world.person(evil.id, Role.OWNER)
    for found in (
        organizations.list_organizations(world.plane, eve, ListQuery()).data,
        teams.list_teams(world.plane, eve, teams.TeamQuery(organization_id=it.organization)).data,
        projects.list_projects(world.plane, eve, projects.ProjectQuery(team_id=it.team)).data,
        users.list_users(world.plane, eve, users.UserQuery(organization_id=it.organization)).data,
        users.list_users(world.plane, eve, users.UserQuery(email="victim@example.com")).data,
        keys.list_keys(world.plane, eve, keys.KeyQuery(scope_id=it.team, include_revoked=True)).data,
        budgets.list_budgets(world.plane, eve, budgets.BudgetQuery(organization_id=it.organization)).data,
        budgets.list_budgets(world.plane, eve, budgets.BudgetQuery(scope_id=it.key.id)).data,
        rate_limits.list_rate_limits(world.plane, eve, rate_limits.RateLimitsQuery(scope_id=it.team)).data,
        tokens.list_tokens(world.plane, eve, tokens.TokenQuery(user_id=it.user)).data,
        audit.list_events(world.plane, eve, audit.AuditQuery(object_id=it.key.id)).data,
    ):
        assert [one for one in found if getattr(one, "id", None) != evil.id] == []


@pytest.mark.parametrize("role", Role)
def test_the_role_matrix_over_every_use_case(world, operator, role):
    """What each role may do to its own tenant: exactly what the table of roles says."""
    it = Theirs(world, operator)
    actor = world.person(it.organization, role)
    administers = role in {Role.OWNER, Role.ADMIN}
    reads = {"get organization", "get team", "get project", "get key", "get key status", "get budget"}
    reads |= {"get budget status", "get rate limits"}
    allowed = set(reads)
    if role in {Role.OWNER, Role.ADMIN, Role.PUBLISHER, Role.EDITOR}:
        allowed.add("get user")
    if administers:
        never = {"block organization", "unblock organization", "delete organization", "create token"}
        allowed |= set(ATTACKS) - never
    if role is Role.ADMIN:
        allowed.discard("patch organization")
    order = sorted(ATTACKS, key=lambda name: (name.startswith(("delete", "revoke")), name.startswith("revoke key")))
    for name in order:
        try:
            ATTACKS[name](world.plane, actor, it)
            outcome = "allowed"
        except (PermissionDeniedError, NotFoundError):
            outcome = "denied"
        except HeadgateError:
            outcome = "allowed"
        assert outcome == ("allowed" if name in allowed else "denied"), name
