"""Teams of an organization."""

import pytest

from headgate.control.organizations import (
    list_organizations,
)
from headgate.control.page import ListQuery
from headgate.control.projects import ProjectCreate, create_project
from headgate.control.teams import (
    TeamCreate,
    TeamPatch,
    TeamQuery,
    block_team,
    create_team,
    get_team,
    list_teams,
    patch_team,
    unblock_team,
)
from headgate.domain.access import Role
from headgate.domain.errors import (
    NotFoundError,
    PermissionDeniedError,
)


def test_a_team_admin_cannot_lift_the_block_laid_on_his_team(world, operator):
    acme = world.organization()
    team = world.team(acme.id)
    boss = world.person(acme.id, Role.ADMIN, scope_id=team.id)
    assert patch_team(world.plane, boss, team.id, TeamPatch(name="Ours")).name == "Ours"
    block_team(world.plane, operator, team.id)
    with pytest.raises(PermissionDeniedError):
        unblock_team(world.plane, boss, team.id)
    assert get_team(world.plane, boss, team.id).blocked


def test_a_team_admin_sees_his_team_and_nothing_beside_or_above_it(world):
    acme = world.organization()
    team, other = world.team(acme.id, "ml"), world.team(acme.id, "web")
    boss = world.person(acme.id, Role.ADMIN, scope_id=team.id)
    assert [one.id for one in list_teams(world.plane, boss, TeamQuery()).data] == [team.id]
    assert list_organizations(world.plane, boss, ListQuery()).data == []
    with pytest.raises(NotFoundError):
        get_team(world.plane, boss, other.id)
    with pytest.raises(NotFoundError):
        create_team(world.plane, boss, TeamCreate(organization_id=acme.id, slug="new", name="x"))
    assert create_project(world.plane, boss, ProjectCreate(team_id=team.id, slug="new", name="x")).team_id == team.id


def test_blocking_a_team_stops_its_keys_and_those_of_its_projects_only(world, operator):
    acme = world.organization()
    team, other = world.team(acme.id, "ml"), world.team(acme.id, "web")
    project = world.project(team.id)
    stopped = [world.key(team.id).secret, world.key(project.id).secret]
    goes_on = world.key(other.id).secret
    block_team(world.plane, operator, team.id)
    assert [world.lookup(secret).blocked for secret in stopped] == [True, True]
    assert not world.lookup(goes_on).blocked
    unblock_team(world.plane, operator, team.id)
    assert not any(world.lookup(secret).blocked for secret in stopped)
