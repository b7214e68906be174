"""Where data may go: who may say so, what it comes to for a key, and when."""

from typing import Any

import pytest
from msgspec import UNSET

from headgate.control import keys, organizations, projects, teams, users
from headgate.control.residency import (
    MAX_NAMES,
    Residency,
    ResidencyPatch,
    check_residency,
    decode_residency,
    encode_residency,
    patched,
    show_residency,
)
from headgate.domain.access import Role
from headgate.domain.errors import NotFoundError, PermissionDeniedError, ValidationFailedError
from headgate.domain.residency import ResidencyPolicy
from headgate.identity.secrets import hash_secret
from tests.control.conftest import OPERATOR, World

FULL = Residency(jurisdictions=("eu", "ch"), regions=("eu-*",), max_retention_days=0, no_training=True)


def set_on(world: World, thing: Any, residency: ResidencyPatch | None) -> Any:
    """Patch the policy of an organization, a team, a project, a person or a key."""
    plane = world.plane
    if isinstance(thing, organizations.Organization):
        body = organizations.OrganizationPatch(residency=residency)
        return organizations.patch_organization(plane, OPERATOR, thing.id, body)
    if isinstance(thing, teams.Team):
        return teams.patch_team(plane, OPERATOR, thing.id, teams.TeamPatch(residency=residency))
    if isinstance(thing, projects.Project):
        return projects.patch_project(plane, OPERATOR, thing.id, projects.ProjectPatch(residency=residency))
    if isinstance(thing, users.User):
        return users.patch_user(plane, OPERATOR, thing.id, users.UserPatch(residency=residency))
    return keys.patch_key(plane, OPERATOR, thing.id, keys.KeyPatch(residency=residency))


def test_a_policy_is_checked_shown_and_kept_as_it_was_given() -> None:
    policy = check_residency(FULL)
    assert policy == ResidencyPolicy(("eu", "ch"), ("eu-*",), 0, True)
    assert show_residency(policy) == FULL
    assert decode_residency(encode_residency(policy)) == policy


@pytest.mark.parametrize("residency", [None, Residency()])
def test_what_restricts_nothing_is_no_policy(residency: Residency | None) -> None:
    assert check_residency(residency) is None
    assert show_residency(None) is None
    assert encode_residency(None) is None
    assert decode_residency(None) is None


@pytest.mark.parametrize(
    ("residency", "param"),
    [
        (Residency(jurisdictions=()), "residency.jurisdictions"),
        (Residency(jurisdictions=("eu", "EU")), "residency.jurisdictions[1]"),
        (Residency(jurisdictions=("eu-*",)), "residency.jurisdictions[0]"),
        (Residency(jurisdictions=("eu\n",)), "residency.jurisdictions[0]"),
        (Residency(regions=()), "residency.regions"),
        (Residency(regions=("eu", "*-west")), "residency.regions[1]"),
        (Residency(regions=("",)), "residency.regions[0]"),
        (Residency(regions=tuple(f"r-{number}" for number in range(MAX_NAMES + 1))), "residency.regions"),
        (Residency(max_retention_days=-1), "residency.max_retention_days"),
        (Residency(max_retention_days=40_000), "residency.max_retention_days"),
    ],
)
def test_what_is_malformed_is_refused_by_its_field(residency: Residency, param: str) -> None:
    with pytest.raises(ValidationFailedError) as refused:
        check_residency(residency)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        (UNSET, FULL),
        (ResidencyPatch(), FULL),
        (None, None),
        (ResidencyPatch(regions=None), Residency(jurisdictions=("eu", "ch"), max_retention_days=0, no_training=True)),
        (ResidencyPatch(jurisdictions=None, regions=None, max_retention_days=None, no_training=None), None),
        (
            ResidencyPatch(jurisdictions=("eu",), no_training=False),
            Residency(jurisdictions=("eu",), regions=("eu-*",), max_retention_days=0),
        ),
    ],
)
def test_a_patch_changes_what_it_names(patch: Any, after: Residency | None) -> None:
    assert show_residency(patched(check_residency(FULL), patch)) == after


def test_a_patch_of_no_policy_makes_one() -> None:
    assert patched(None, ResidencyPatch(max_retention_days=7)) == ResidencyPolicy(max_retention_days=7)


def test_all_policies_of_a_path_hold_for_a_key_at_once(world: World) -> None:
    acme = world.organization()
    team = world.team(acme.id)
    project = world.project(team.id)
    secret = world.key(project.id, residency=Residency(jurisdictions=("eu", "us"), max_retention_days=90)).secret
    beside = world.key(acme.id, "beside").secret

    def of(secret: str) -> ResidencyPolicy | None:
        key = world.lookup(secret)
        assert key is not None
        return key.residency

    assert of(secret) == ResidencyPolicy(("eu", "us"), max_retention_days=90)
    assert of(beside) is None
    set_on(world, acme, ResidencyPatch(jurisdictions=("ch", "eu"), no_training=True))
    assert of(secret) == ResidencyPolicy(("eu",), max_retention_days=90, no_training=True)
    assert of(beside) == ResidencyPolicy(("ch", "eu"), no_training=True)
    set_on(world, team, ResidencyPatch(regions=("eu-*",)))
    set_on(world, project, ResidencyPatch(max_retention_days=30))
    assert of(secret) == ResidencyPolicy(("eu",), ("eu-*",), 30, True)
    assert of(beside) == ResidencyPolicy(("ch", "eu"), no_training=True)
    for each in (secret, beside):
        assert world.reload().lookup(hash_secret(each)) == world.lookup(each)
    set_on(world, acme, None)
    assert of(beside) is None
    assert of(secret) == ResidencyPolicy(("eu", "us"), ("eu-*",), 30)


def test_a_key_on_a_person_has_the_persons_policy(world: World) -> None:
    acme = world.organization()
    body = users.UserCreate(
        organization_id=acme.id, email="ada@example.com", name="Ada", residency=Residency(no_training=True)
    )
    ada = users.create_user(world.plane, OPERATOR, body)
    key = world.lookup(world.key(ada.id).secret)
    assert key is not None
    assert key.residency == ResidencyPolicy(no_training=True)
    assert ada.residency == Residency(no_training=True)
    assert set_on(world, ada, None).residency is None


def test_a_policy_is_shown_as_its_own_and_audited(world: World) -> None:
    acme = world.organization()
    team = world.team(acme.id)
    key = world.key(team.id, residency=Residency(regions=("eu-1",)))
    assert (acme.residency, team.residency, key.residency) == (None, None, Residency(regions=("eu-1",)))
    assert set_on(world, acme, ResidencyPatch(regions=("eu-*",))).residency == Residency(regions=("eu-*",))
    assert keys.get_key(world.plane, OPERATOR, key.id).residency == Residency(regions=("eu-1",))
    assert set_on(world, key, ResidencyPatch(no_training=True)).residency == Residency(
        regions=("eu-1",), no_training=True
    )

    of_key, of_acme = world.events()[:2]
    assert (of_key.action, of_key.before, of_key.after) == (
        "key.update",
        {"residency": {"regions": ["eu-1"]}},
        {"residency": {"regions": ["eu-1"], "no_training": True}},
    )
    assert (of_acme.action, of_acme.before, of_acme.after) == (
        "organization.update",
        {"residency": None},
        {"residency": {"regions": ["eu-*"]}},
    )


def test_a_policy_that_lists_only_what_is_forbidden_above_is_refused(world: World) -> None:
    acme = world.organization()
    team = world.team(acme.id)
    project = world.project(team.id)
    key = world.key(project.id)
    ada = world.user(acme.id, "ada@example.com")
    set_on(world, acme, ResidencyPatch(jurisdictions=("eu", "ch"), regions=("eu-*",)))
    set_on(world, team, ResidencyPatch(jurisdictions=("eu",)))
    abroad = Residency(jurisdictions=("us",))
    plane = world.plane
    tries = [
        lambda: set_on(world, team, ResidencyPatch(jurisdictions=("us",))),
        # The organization permits it, the team between does not.
        lambda: set_on(world, project, ResidencyPatch(jurisdictions=("ch",))),
        lambda: set_on(world, key, ResidencyPatch(jurisdictions=("us",))),
        lambda: set_on(world, ada, ResidencyPatch(jurisdictions=("us",))),
        lambda: world.key(project.id, "abroad", residency=abroad),
        lambda: teams.create_team(
            plane, OPERATOR, teams.TeamCreate(organization_id=acme.id, slug="us", name="US", residency=abroad)
        ),
        lambda: projects.create_project(
            plane, OPERATOR, projects.ProjectCreate(team_id=team.id, slug="us", name="US", residency=abroad)
        ),
        lambda: users.create_user(
            plane, OPERATOR, users.UserCreate(organization_id=acme.id, email="b@c", name="Bob", residency=abroad)
        ),
    ]
    revision = world.snapshots.current.revision
    for attempt in tries:
        with pytest.raises(ValidationFailedError) as refused:
            attempt()
        assert refused.value.param == "residency.jurisdictions"
    with pytest.raises(ValidationFailedError) as refused:
        set_on(world, key, ResidencyPatch(regions=("us-*",)))
    assert refused.value.param == "residency.regions"
    assert world.snapshots.current.revision == revision


def test_what_was_right_before_a_parent_was_tightened_stays_and_permits_nothing(world: World) -> None:
    acme = world.organization()
    created = world.key(acme.id, residency=Residency(jurisdictions=("us",)))
    set_on(world, acme, ResidencyPatch(jurisdictions=("eu",)))
    key = world.lookup(created.secret)
    assert key is not None
    assert key.residency == ResidencyPolicy(jurisdictions=())
    renamed = keys.patch_key(world.plane, OPERATOR, created.id, keys.KeyPatch(name="renamed"))
    assert renamed.residency == Residency(jurisdictions=("us",))


def test_nobody_loosens_what_is_laid_on_him_from_above(world: World) -> None:
    acme = world.organization()
    team = world.team(acme.id)
    set_on(world, acme, ResidencyPatch(jurisdictions=("eu",)))
    secret = world.key(team.id).secret
    head = world.person(acme.id, Role.ADMIN, scope_id=team.id)
    with pytest.raises(NotFoundError):
        organizations.patch_organization(world.plane, head, acme.id, organizations.OrganizationPatch(residency=None))
    body = teams.TeamPatch(residency=ResidencyPatch(jurisdictions=("eu", "us")))
    teams.patch_team(world.plane, head, team.id, body)
    key = world.lookup(secret)
    assert key is not None
    assert key.residency == ResidencyPolicy(jurisdictions=("eu",))
    viewer = world.person(acme.id, Role.VIEWER)
    with pytest.raises(PermissionDeniedError):
        teams.patch_team(world.plane, viewer, team.id, teams.TeamPatch(residency=None))
