"""What organizations, teams and projects have in common."""

import pytest

from headgate.control.organizations import (
    OrganizationCreate,
    OrganizationPatch,
    create_organization,
    delete_organization,
    get_organization,
    list_organizations,
    patch_organization,
)
from headgate.control.page import ListQuery
from headgate.control.projects import ProjectQuery, list_projects
from headgate.control.teams import (
    TeamCreate,
    TeamQuery,
    create_team,
    delete_team,
    get_team,
    list_teams,
)
from headgate.domain.errors import (
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    ValidationFailedError,
)


def test_a_patch_that_changes_nothing_leaves_version_and_log_alone(world, operator):
    made = world.organization()
    before = world.event_count()
    same = patch_organization(world.plane, operator, made.id, OrganizationPatch(name=made.name))
    assert same == made
    assert world.event_count() == before


def test_a_stale_version_is_refused_and_changes_nothing(world, operator):
    made = world.organization()
    patch_organization(world.plane, operator, made.id, OrganizationPatch(name="One"), if_match=1)
    with pytest.raises(PreconditionFailedError):
        patch_organization(world.plane, operator, made.id, OrganizationPatch(name="Two"), if_match=1)
    assert get_organization(world.plane, operator, made.id).name == "One"


@pytest.mark.parametrize("slug", ["", "Acme", "a_b", "-a", "a-", "a" * 64, "ä", "a\n", "a b"])
def test_a_malformed_slug_is_refused_by_name(world, operator, slug):
    with pytest.raises(ValidationFailedError) as refused:
        create_organization(world.plane, operator, OrganizationCreate(slug=slug, name="x"))
    assert refused.value.param == "slug"


def test_a_taken_slug_is_a_conflict_among_siblings_only(world, operator):
    acme, globex = world.organization("acme"), world.organization("globex")
    world.team(acme.id, "ml")
    world.team(globex.id, "ml")
    with pytest.raises(ConflictError) as refused:
        create_team(world.plane, operator, TeamCreate(organization_id=acme.id, slug="ml", name="again"))
    assert refused.value.param == "slug"
    with pytest.raises(ConflictError):
        create_organization(world.plane, operator, OrganizationCreate(slug="acme", name="again"))


def test_an_id_of_another_kind_is_not_found(world, operator):
    acme = world.organization()
    team = world.team(acme.id)
    with pytest.raises(NotFoundError):
        get_organization(world.plane, operator, team.id)
    with pytest.raises(NotFoundError):
        get_team(world.plane, operator, acme.id)


def test_lists_are_newest_first_and_pages_join_without_gap_or_repetition(world, operator):
    made = [world.organization(f"org-{number}").id for number in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = list_organizations(world.plane, operator, ListQuery(limit=3, cursor=cursor))
        assert len(page.data) <= 3
        seen += [organization.id for organization in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == list(reversed(made))


@pytest.mark.parametrize("limit", [0, -1, 201, 10**9])
def test_a_limit_out_of_bounds_is_refused(world, operator, limit):
    with pytest.raises(ValidationFailedError):
        list_organizations(world.plane, operator, ListQuery(limit=limit))


@pytest.mark.parametrize("cursor", ["%%%%", "' OR 1=1--", "ä", "YWI", "===="])
def test_a_cursor_that_is_not_ours_is_refused_or_harmless(world, operator, cursor):
    world.organization()
    if cursor == "YWI":
        assert list_organizations(world.plane, operator, ListQuery(cursor=cursor)).data == []
    else:
        with pytest.raises(ValidationFailedError):
            list_organizations(world.plane, operator, ListQuery(cursor=cursor))


def test_lists_are_filtered_by_parent(world, operator):
    acme, globex = world.organization("acme"), world.organization("globex")
    ours, theirs = world.team(acme.id), world.team(globex.id)
    project = world.project(ours.id)
    world.project(theirs.id)
    assert [team.id for team in list_teams(world.plane, operator, TeamQuery(organization_id=acme.id)).data] == [ours.id]
    found = list_projects(world.plane, operator, ProjectQuery(team_id=ours.id)).data
    assert [one.id for one in found] == [project.id]


def test_a_scope_with_children_or_keys_cannot_be_deleted_and_an_empty_one_can(world, operator):
    acme = world.organization()
    team = world.team(acme.id)
    with pytest.raises(ConflictError):
        delete_organization(world.plane, operator, acme.id)
    key = world.key(team.id)
    with pytest.raises(ConflictError):
        delete_team(world.plane, operator, team.id)
    assert world.lookup(key.secret) is not None
    empty = world.team(acme.id, "empty")
    delete_team(world.plane, operator, empty.id)
    with pytest.raises(NotFoundError):
        get_team(world.plane, operator, empty.id)
    assert world.reload().lookup(b"x" * 32) is None
