"""What a limit hangs on."""

import pytest

from headgate.control.budgets import BudgetCreate, create_budget
from headgate.control.key_rows import find_key
from headgate.control.limit_rows import find_budget
from headgate.control.limit_targets import (
    Place,
    allow_limiting,
    check_limited_name,
    find_target,
    find_target_of,
    place_of,
    target_of_key,
    target_of_name,
    target_of_scope,
)
from headgate.control.plane import Access
from headgate.control.tree import find_scope
from headgate.domain.errors import NotFoundError, ValidationFailedError
from headgate.domain.limits import LimitedKind, Period


@pytest.fixture
def tree(world):
    acme = world.organization()
    team = world.team(acme.id)
    return acme.id, team.id, world.key(team.id).id


def test_a_target_is_read_where_it_hangs_and_limited_from_above(world, operator, tree):
    acme, team, key_id = tree
    with world.database.read() as connection:
        scope = find_scope(connection, team)
        organization = find_scope(connection, acme)
        assert organization is not None
        found = target_of_scope(connection, scope)
        assert (found.kind, found.id, [step.id for step in found.above], found.is_scope) == ("team", team, [acme], True)
        assert target_of_scope(connection, organization).above == ()
        found = target_of_key(connection, find_key(connection, key_id))
        assert (found.kind, found.id, [step.id for step in found.above]) == ("key", key_id, [acme, team])
        assert (found.scope_id, found.organization_id, found.is_scope) == (team, acme, False)
        found = target_of_name(organization, LimitedKind.MODEL, "gpt-4o")
        assert (found.id, [step.id for step in found.above]) == (f"{acme}/gpt-4o", [acme])


@pytest.mark.parametrize(
    "fields",
    [{}, {"end_user": "ada"}, {"end_user": "a/b"}, {"model": "*"}, {"tag": "env=prod"}, {"tag": "*"}],
    ids=str,
)
def test_a_row_says_again_what_it_was_made_of(world, operator, tree, fields):
    acme, team, _ = tree
    scope_id = acme if fields else team
    made = create_budget(
        world.plane, operator, BudgetCreate(scope_id=scope_id, amount_usd="1", period=Period.DAY, **fields)
    )
    with world.database.read() as connection:
        access = Access(connection, operator)
        row = find_budget(connection, made.id)
        place = Place(scope_id=scope_id, **{"end_user": None, "model": None, "tag": None, **fields})
        assert place_of(row) == place
        assert find_target_of(access, row, "budget") == find_target(access, place)


def test_what_does_not_exist_is_not_found(world, operator, tree):
    with world.database.read() as connection:
        access = Access(connection, operator)
        with pytest.raises(NotFoundError):
            find_target(access, Place(scope_id="nobody", end_user=None, model=None, tag=None))
        with pytest.raises(NotFoundError):
            find_target_of(access, None, "budget")


def test_what_is_limited_names_the_tenant_of_a_later_failure(world, operator, tree):
    acme, team, _ = tree
    with world.database.read() as connection:
        access = Access(connection, operator)
        allow_limiting(access, target_of_scope(connection, find_scope(connection, team)))
        assert access.organization_id == acme


def test_only_tags_need_a_value():
    assert check_limited_name(LimitedKind.MODEL, "gpt=4") == "gpt=4"
    assert check_limited_name(LimitedKind.TAG, "a=b=c") == "a=b=c"
    with pytest.raises(ValidationFailedError):
        check_limited_name(LimitedKind.TAG, "a")
