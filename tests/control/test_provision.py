"""The configuration file's organizations."""

import pytest
from msgspec.structs import replace

from headgate.control.budgets import (
    BudgetCreate,
    BudgetOverride,
    BudgetPatch,
    BudgetQuery,
    create_budget,
    list_budgets,
    patch_budget,
)
from headgate.control.keys import (
    KeyCreate,
    KeyPatch,
    KeyQuery,
    KeyRotate,
    create_key,
    list_keys,
    patch_key,
    revoke_key,
    rotate_key,
)
from headgate.control.organizations import OrganizationPatch, block_organization, list_organizations, patch_organization
from headgate.control.page import ListQuery
from headgate.control.planned import ChangeAction
from headgate.control.provision import provision
from headgate.control.teams import TeamCreate, TeamQuery, create_team, list_teams
from headgate.control.users import RoleBinding, UserPatch, UserQuery, block_user, grant_role, list_users, patch_user
from headgate.domain.access import ManagedBy, Role
from headgate.domain.errors import ConflictError, HeadgateError, ProvisionedReadOnlyError, ValidationFailedError
from headgate.domain.limits import BudgetMode, Period, WindowMode
from headgate.domain.residency import ResidencyPolicy
from headgate.identity.keys import is_usable
from headgate.settings.model import (
    ProvisionedBudget,
    ProvisionedKey,
    ProvisionedNamedLimits,
    ProvisionedOrganization,
    ProvisionedProject,
    ProvisionedRateLimits,
    ProvisionedTeam,
    ProvisionedUser,
    Secret,
)

TEAM_SECRET = "team-secret-" + "t" * 30
PROJECT_SECRET = "project-secret-" + "p" * 30

ACME = ProvisionedOrganization(
    slug="acme",
    name="Acme",
    time_zone="Europe/Berlin",
    teams=(
        ProvisionedTeam(
            slug="ml",
            name="ML",
            keys=(ProvisionedKey(name="prod", models=("*",), secret=Secret(TEAM_SECRET), tags=(("env", "prod"),)),),
            projects=(
                ProvisionedProject(
                    slug="search",
                    name="Search",
                    keys=(ProvisionedKey(name="idx", models=("gpt-*",), secret=Secret(PROJECT_SECRET)),),
                ),
            ),
        ),
    ),
    users=(ProvisionedUser(email="ada@example.com", name="Ada", roles=("owner",)),),
)


def without_key(organization: ProvisionedOrganization) -> ProvisionedOrganization:
    return replace(organization, teams=(replace(organization.teams[0], keys=()),))


def with_secret(secret: str) -> ProvisionedOrganization:
    key = replace(ACME.teams[0].keys[0], secret=Secret(secret))
    return replace(ACME, teams=(replace(ACME.teams[0], keys=(key,)),))


def test_everything_the_file_names_is_there_when_it_returns(world, operator):
    made = provision(world.plane, [ACME])
    assert [(step.action, step.kind, step.path) for step in made] == [
        ("create", "organization", "acme"),
        ("create", "user", "acme/ada@example.com"),
        ("update", "user", "acme/ada@example.com"),
        ("create", "team", "acme/ml"),
        ("create", "key", "acme/ml/prod"),
        ("create", "project", "acme/ml/search"),
        ("create", "key", "acme/ml/search/idx"),
    ]
    found = world.lookup(TEAM_SECRET)
    assert [step.slug for step in found.path] == ["acme", "ml"]
    assert found.tags == (("env", "prod"),)
    assert not found.sandbox
    assert [step.slug for step in world.lookup(PROJECT_SECRET).path] == ["acme", "ml", "search"]
    (organization,) = list_organizations(world.plane, operator, ListQuery()).data
    assert (organization.time_zone, organization.managed_by) == ("Europe/Berlin", "file")
    (user,) = list_users(world.plane, operator, UserQuery()).data
    assert user.roles == (RoleBinding(scope_id=organization.id, role=Role.OWNER),)


def test_no_step_shows_the_files_secrets(world):
    made = provision(world.plane, [ACME])
    assert all(step.secret is None for step in made)
    assert TEAM_SECRET not in repr(made) + repr(world.events())


def test_the_second_time_changes_and_logs_nothing(world):
    provision(world.plane, [ACME])
    events, snapshot = world.event_count(), world.snapshots.current
    assert provision(world.plane, [ACME]) == ()
    assert world.event_count() == events
    assert world.snapshots.current is snapshot


def test_what_the_file_changes_is_changed(world):
    provision(world.plane, [ACME])
    new = replace(with_secret("another-secret-" + "x" * 30), name="Acme Inc")
    steps = provision(world.plane, [new])
    assert [(step.action, step.path, step.fields) for step in steps] == [
        ("update", "acme", ("name",)),
        ("update", "acme/ml/prod", ("secret",)),
    ]
    assert world.lookup(TEAM_SECRET) is None
    assert world.lookup("another-secret-" + "x" * 30).name == "prod"


def test_what_the_file_drops_is_blocked_and_never_deleted_and_comes_back(world, operator):
    provision(world.plane, [ACME])
    steps = provision(world.plane, [without_key(ACME)])
    assert [(step.action, step.path) for step in steps] == [(ChangeAction.BLOCK, "acme/ml/prod")]
    assert not is_usable(world.lookup(TEAM_SECRET), world.now_ms)
    assert is_usable(world.lookup(PROJECT_SECRET), world.now_ms)
    assert provision(world.plane, [without_key(ACME)]) == ()
    steps = provision(world.plane, [])
    assert {step.action for step in steps} == {ChangeAction.BLOCK}
    assert {step.path for step in steps} == {
        "acme/ml/search/idx",
        "acme/ada@example.com",
        "acme/ml/search",
        "acme/ml",
        "acme",
    }
    assert not is_usable(world.lookup(PROJECT_SECRET), world.now_ms)
    assert len(list_keys(world.plane, operator, KeyQuery()).data) == 2
    provision(world.plane, [ACME])
    for secret in (TEAM_SECRET, PROJECT_SECRET):
        assert is_usable(world.lookup(secret), world.now_ms)


def test_what_the_file_owns_is_read_only_elsewhere(world, operator):
    provision(world.plane, [ACME])
    (organization,) = list_organizations(world.plane, operator, ListQuery()).data
    key = list_keys(world.plane, operator, KeyQuery(name="prod")).data[0]
    (user,) = list_users(world.plane, operator, UserQuery()).data
    binding = RoleBinding(scope_id=organization.id, role=Role.VIEWER)
    for attempt in (
        lambda: patch_organization(world.plane, operator, organization.id, OrganizationPatch(name="x")),
        lambda: block_organization(world.plane, operator, organization.id),
        lambda: patch_key(world.plane, operator, key.id, KeyPatch(name="x")),
        lambda: rotate_key(world.plane, operator, key.id, KeyRotate()),
        lambda: revoke_key(world.plane, operator, key.id),
        lambda: patch_user(world.plane, operator, user.id, UserPatch(name="x")),
        lambda: block_user(world.plane, operator, user.id),
        lambda: grant_role(world.plane, operator, user.id, binding),
    ):
        with pytest.raises(ProvisionedReadOnlyError):
            attempt()
    assert world.lookup(TEAM_SECRET).name == "prod"


def test_what_others_made_beside_the_files_rows_is_left_alone(world, operator):
    provision(world.plane, [ACME])
    (team,) = list_teams(world.plane, operator, TeamQuery()).data
    made = create_key(world.plane, operator, KeyCreate(scope_id=team.id, name="by hand"))
    own = create_team(world.plane, operator, TeamCreate(organization_id=team.organization_id, slug="own", name="x"))
    assert provision(world.plane, [ACME]) == ()
    assert is_usable(world.lookup(made.secret), world.now_ms)
    assert own.managed_by is ManagedBy.API


def test_a_row_of_the_api_that_the_file_names_becomes_the_files(world, operator):
    world.team(world.organization("acme").id, "ml")
    steps = provision(world.plane, [ACME])
    assert ("update", "acme") in [(step.action, step.path) for step in steps]
    assert {team.managed_by for team in list_teams(world.plane, operator, TeamQuery()).data} == {ManagedBy.FILE}


@pytest.mark.parametrize(
    ("organization", "error", "words"),
    [
        (
            replace(ACME, users=(ProvisionedUser("ada@example.com", "Ada", ("king",)),)),
            ValidationFailedError,
            "king|owner",
        ),
        (with_secret(PROJECT_SECRET), ConflictError, "acme/ml/search/idx: "),
        (with_secret("short"), ValidationFailedError, "acme/ml/prod: "),
        (replace(ACME, slug="No Slug"), ValidationFailedError, "No Slug: "),
        (replace(ACME, time_zone="Mars/Olympus"), ValidationFailedError, "acme: "),
    ],
)
def test_a_file_that_cannot_be_carried_out_changes_nothing_and_says_where(world, organization, error, words):
    with pytest.raises(error, match=words) as refused:
        provision(world.plane, [organization])
    assert isinstance(refused.value, HeadgateError)
    assert len(world.snapshots.current.keys) == 0
    assert world.events(outcome="allowed") == []


def test_a_key_of_the_file_may_have_expired(world):
    key = replace(ACME.teams[0].keys[0], expires_at="2020-01-01T00:00:00Z")
    provision(world.plane, [replace(ACME, teams=(replace(ACME.teams[0], keys=(key,)),))])
    assert not is_usable(world.lookup(TEAM_SECRET), world.now_ms)


def test_a_secret_that_two_keys_shared_over_time_is_refused(world):
    provision(world.plane, [ACME])
    swapped = replace(
        ACME,
        teams=(
            replace(
                ACME.teams[0],
                keys=(
                    ACME.teams[0].keys[0],
                    ProvisionedKey(name="second", models=("*",), secret=Secret(PROJECT_SECRET)),
                ),
            ),
        ),
    )
    with pytest.raises(ConflictError, match="acme/ml/second"):
        provision(world.plane, [swapped])
    assert world.lookup(PROJECT_SECRET).name == "idx"


def usd(amount: int, period: Period = Period.MONTH, mode: BudgetMode = BudgetMode.ENFORCE) -> ProvisionedBudget:
    return ProvisionedBudget(amount * 1_000_000_000, period, mode)


def with_limits(organization: int = 100, team: int = 50, key: int = 20) -> ProvisionedOrganization:
    ml = ACME.teams[0]
    rates = ProvisionedRateLimits(tpm=1000, tpm_mode=WindowMode.STRICT)
    prod = replace(ml.keys[0], budgets=(usd(key), usd(1, Period.DAY, BudgetMode.AUDIT)), rate_limits=rates)
    search = replace(ml.projects[0], budgets=(usd(5, Period.WEEK),))
    ada = replace(ACME.users[0], budgets=(usd(3),))
    return replace(
        ACME,
        teams=(replace(ml, keys=(prod,), projects=(search,), budgets=(usd(team),)),),
        users=(ada,),
        budgets=(usd(organization),),
        end_users=(ProvisionedNamedLimits("*", (usd(1, Period.DAY),), ProvisionedRateLimits(rpm=5)),),
        tags=(ProvisionedNamedLimits("env=prod", (usd(2, Period.DAY),)),),
    )


def bound(world) -> list[tuple[str, int]]:
    found = world.lookup(TEAM_SECRET)
    path = world.snapshots.current.limits.path(found.path, found.id, end_user="ada", tags=found.tags)
    return sorted((line.kind.value, line.budget.amount_nano_usd // 1_000_000_000) for line in path.budgets)


def test_limits_of_the_file_bind_when_it_returns(world):
    made = provision(world.plane, [with_limits()])
    assert [(step.action, step.kind, step.path) for step in made if step.kind in ("budget", "rate_limits")] == [
        ("create", "budget", "acme/month"),
        ("create", "budget", "acme/end_users/*/day"),
        ("create", "rate_limits", "acme/end_users/*"),
        ("create", "budget", "acme/tags/env=prod/day"),
        ("create", "budget", "acme/ada@example.com/month"),
        ("create", "budget", "acme/ml/month"),
        ("create", "budget", "acme/ml/prod/month"),
        ("create", "budget", "acme/ml/prod/day/audit"),
        ("create", "rate_limits", "acme/ml/prod"),
        ("create", "budget", "acme/ml/search/week"),
    ]
    assert bound(world) == [("end_user", 1), ("key", 1), ("key", 20), ("organization", 100), ("tag", 2), ("team", 50)]


def test_limits_of_the_file_the_second_time_change_and_log_nothing(world):
    provision(world.plane, [with_limits()])
    events, snapshot = world.event_count(), world.snapshots.current
    assert provision(world.plane, [with_limits()]) == ()
    assert (world.event_count(), world.snapshots.current) == (events, snapshot)


def test_a_file_may_lower_and_raise_a_whole_branch_and_contradict_itself_nowhere(world):
    provision(world.plane, [with_limits()])
    lowered = provision(world.plane, [with_limits(10, 8, 6)])
    assert [(step.action, step.path, step.fields) for step in lowered] == [
        ("update", "acme/month", ("amount_usd",)),
        ("update", "acme/ml/month", ("amount_usd",)),
        ("update", "acme/ml/prod/month", ("amount_usd",)),
    ]
    provision(world.plane, [with_limits(1000, 900, 800)])
    with pytest.raises(ValidationFailedError, match=r"acme/ml/prod/month.*amount_usd") as refused:
        provision(world.plane, [with_limits(1000, 900, 901)])
    assert refused.value.param == "amount_usd"
    assert {("organization", 1000), ("team", 900), ("key", 800)} <= set(bound(world))


def test_limits_that_left_the_file_are_gone_and_others_stay(world, operator):
    provision(world.plane, [with_limits()])
    team = list_teams(world.plane, operator, TeamQuery()).data[0].id
    body = BudgetCreate(scope_id=team, amount_usd="7", period=Period.DAY)
    others = create_budget(world.plane, operator, body)
    steps = provision(world.plane, [ACME])
    assert {(step.action, step.kind) for step in steps} == {("prune", "budget"), ("prune", "rate_limits")}
    assert len(steps) == 10
    assert bound(world) == [("team", 7)]
    assert list_budgets(world.plane, operator, BudgetQuery()).data == [others]


def test_a_key_that_left_the_file_takes_its_limits_along(world):
    provision(world.plane, [with_limits()])
    dropped = with_limits()
    dropped = replace(dropped, teams=(replace(dropped.teams[0], keys=()),))
    steps = provision(world.plane, [dropped])
    assert sorted((str(step.action), step.path) for step in steps) == [
        ("block", "acme/ml/prod"),
        ("prune", "acme/ml/prod"),
        ("prune", "acme/ml/prod/day/audit"),
        ("prune", "acme/ml/prod/month"),
    ]
    steps = provision(world.plane, [with_limits()])
    assert [step.action for step in steps] == ["update", "create", "create", "create"]


def test_an_organization_that_left_the_file_takes_its_limits_along(world, operator):
    provision(world.plane, [with_limits()])
    provision(world.plane, [])
    assert list_budgets(world.plane, operator, BudgetQuery()).data == []
    assert len(world.snapshots.current.limits) == 0


def test_what_the_file_limits_is_read_only_elsewhere(world, operator):
    provision(world.plane, [with_limits()])
    for budget in list_budgets(world.plane, operator, BudgetQuery()).data:
        assert budget.managed_by is ManagedBy.FILE
        with pytest.raises(ProvisionedReadOnlyError):
            patch_budget(world.plane, operator, budget.id, BudgetPatch(amount_usd="0"))


def test_the_file_takes_over_a_budget_that_stands_in_its_place(world, operator):
    provision(world.plane, [ACME])
    acme = list_organizations(world.plane, operator, ListQuery()).data[0].id
    override = BudgetOverride(amount_usd="9", until="2199-01-01T00:00:00Z")
    body = BudgetCreate(scope_id=acme, amount_usd="7", period=Period.MONTH, override=override)
    made = create_budget(world.plane, operator, body)
    step = next(step for step in provision(world.plane, [with_limits()]) if step.path == "acme/month")
    assert (step.action, step.id, step.fields) == ("update", made.id, ("amount_usd", "override", "managed_by"))


@pytest.mark.parametrize(
    ("organization", "param"),
    [
        (replace(ACME, budgets=(usd(1), usd(2))), "budgets"),
        (replace(ACME, tags=(ProvisionedNamedLimits("env", (usd(1),)),)), "tag"),
        (replace(ACME, models=(ProvisionedNamedLimits("a"), ProvisionedNamedLimits("a"))), "name"),
    ],
    ids=["twice", "no value", "name twice"],
)
def test_limits_that_contradict_each_other_are_refused_with_their_place(world, organization, param):
    with pytest.raises(ValidationFailedError, match=r"^acme") as refused:
        provision(world.plane, [organization])
    assert refused.value.param == param


def test_policies_come_and_go_with_the_file(world, operator):
    europe = ResidencyPolicy(jurisdictions=("eu",), no_training=True)
    team = replace(ACME.teams[0], residency=ResidencyPolicy(regions=("eu-*",)))
    acme = replace(ACME, residency=europe, teams=(team,))
    assert provision(world.plane, [acme])
    assert provision(world.plane, [acme]) == ()
    key = world.lookup(TEAM_SECRET)
    assert key is not None
    assert key.residency == replace(europe, regions=("eu-*",))
    (shown,) = list_organizations(world.plane, operator, ListQuery()).data
    with pytest.raises(ProvisionedReadOnlyError):
        patch_organization(world.plane, operator, shown.id, OrganizationPatch(residency=None))
    changes = provision(world.plane, [ACME])
    assert {(change.path, change.fields) for change in changes} == {
        ("acme", ("residency",)),
        ("acme/ml", ("residency",)),
    }
    key = world.lookup(TEAM_SECRET)
    assert key is not None
    assert key.residency is None
