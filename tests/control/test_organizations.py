"""Organizations: the tenants."""

import pytest

from headgate.control.organizations import (
    OrganizationCreate,
    OrganizationPatch,
    block_organization,
    create_organization,
    delete_organization,
    get_organization,
    patch_organization,
    unblock_organization,
)
from headgate.domain.access import Role
from headgate.domain.errors import (
    PermissionDeniedError,
    ValidationFailedError,
)


def test_an_organization_is_made_read_and_renamed(world, operator):
    made = create_organization(
        world.plane, operator, OrganizationCreate(slug="acme", name="Acme", time_zone="Europe/Berlin")
    )
    assert made.id.startswith("org_")
    assert made.version == 1
    assert get_organization(world.plane, operator, made.id) == made
    world.tick(5000)
    renamed = patch_organization(world.plane, operator, made.id, OrganizationPatch(name="Acme Inc"), if_match=1)
    assert (renamed.name, renamed.time_zone, renamed.version) == ("Acme Inc", "Europe/Berlin", 2)
    assert renamed.updated_at > renamed.created_at


def test_an_unknown_time_zone_is_refused_by_name(world, operator):
    with pytest.raises(ValidationFailedError) as refused:
        create_organization(world.plane, operator, OrganizationCreate(slug="a", name="x", time_zone="Mars/Olympus"))
    assert refused.value.param == "time_zone"


def test_blocking_an_organization_stops_every_key_and_every_token_of_it(world, operator):
    acme = world.organization()
    secret = world.key(world.team(acme.id).id).secret
    world.person(acme.id, Role.OWNER)
    block_organization(world.plane, operator, acme.id)
    assert world.lookup(secret).blocked
    with pytest.raises(AssertionError):
        world.person(acme.id, Role.VIEWER)
    unblock_organization(world.plane, operator, acme.id)
    assert not world.lookup(secret).blocked


def test_an_owner_renames_his_organization_and_only_the_operator_makes_blocks_or_deletes_one(world):
    acme = world.organization()
    owner = world.person(acme.id, Role.OWNER)
    assert patch_organization(world.plane, owner, acme.id, OrganizationPatch(name="Mine")).name == "Mine"
    with pytest.raises(PermissionDeniedError):
        create_organization(world.plane, owner, OrganizationCreate(slug="second", name="x"))
    for action in (block_organization, unblock_organization, delete_organization):
        with pytest.raises(PermissionDeniedError):
            action(world.plane, owner, acme.id)
