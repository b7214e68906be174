"""Projects of a team."""

import pytest

from headgate.control.projects import ProjectCreate, create_project, get_project
from headgate.domain.errors import (
    NotFoundError,
)


def test_a_project_hangs_on_a_team_and_nothing_else(world, operator):
    acme = world.organization()
    team = world.team(acme.id)
    project = world.project(team.id)
    assert get_project(world.plane, operator, project.id).team_id == team.id
    assert project.organization_id == acme.id
    for wrong in (acme.id, project.id, "team_nobody"):
        with pytest.raises(NotFoundError):
            create_project(world.plane, operator, ProjectCreate(team_id=wrong, slug="x", name="x"))
