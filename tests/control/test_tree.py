"""Rows of the scope tree."""

import pytest
from sqlalchemy import select

from headgate.control.tree import find_by_slug, find_scope, holds_anything, path_of, visible
from headgate.domain.access import Permission, Role, ScopeKind
from headgate.identity.actor import Actor, ActorKind, Binding
from headgate.storage.tables import scopes

READ = Permission.SCOPES_READ


@pytest.fixture
def tree(world):
    """Ids by short names: acme > ml > search, acme > web, acme > ada; globex."""
    acme, globex = world.organization("acme").id, world.organization("globex").id
    ml, web = world.team(acme, "ml").id, world.team(acme, "web").id
    search, ada = world.project(ml, "search").id, world.user(acme, "ada@example.com").id
    return {"acme": acme, "globex": globex, "ml": ml, "web": web, "search": search, "ada": ada}


def seen_by(world, tree, *bindings: tuple[str, Role]) -> set[str]:
    held = tuple(Binding(tree[name], role) for name, role in bindings)
    actor = Actor(kind=ActorKind.USER, id="user_1", bindings=held)
    with world.database.read() as connection:
        ids = set(connection.execute(select(scopes.c.id).where(visible(actor, READ, scopes.c.id))).scalars())
    return {name for name, scope_id in tree.items() if scope_id in ids}


def test_a_path_goes_from_the_organization_down_to_the_scope(world, tree):
    with world.database.read() as connection:
        path = path_of(connection, find_scope(connection, tree["search"]))
        assert [(step.kind, step.slug) for step in path] == [
            (ScopeKind.ORGANIZATION, "acme"),
            (ScopeKind.TEAM, "ml"),
            (ScopeKind.PROJECT, "search"),
        ]
        assert path_of(connection, None) is None


def test_a_scope_is_found_by_id_by_kind_and_by_slug(world, tree):
    with world.database.read() as connection:
        assert find_scope(connection, tree["ml"], ScopeKind.TEAM).slug == "ml"
        assert find_scope(connection, tree["ml"], ScopeKind.PROJECT) is None
        assert find_scope(connection, "nobody") is None
        assert find_by_slug(connection, tree["acme"], ScopeKind.TEAM, "ml").id == tree["ml"]
        assert find_by_slug(connection, tree["globex"], ScopeKind.TEAM, "ml") is None
        assert find_by_slug(connection, None, ScopeKind.ORGANIZATION, "acme").id == tree["acme"]


@pytest.mark.parametrize(
    ("bindings", "seen"),
    [
        ([], set()),
        ([("acme", Role.VIEWER)], {"acme", "ml", "web", "search", "ada"}),
        ([("ml", Role.VIEWER)], {"ml", "search"}),
        ([("ml", Role.VIEWER), ("globex", Role.OWNER)], {"ml", "search", "globex"}),
        ([("search", Role.OWNER)], {"search"}),
    ],
)
def test_a_role_shows_its_scope_and_all_below(world, tree, bindings, seen):
    assert seen_by(world, tree, *bindings) == seen


def test_the_operator_sees_everything(world, tree, operator):
    with world.database.read() as connection:
        query = select(scopes.c.id).where(visible(operator, READ, scopes.c.id))
        assert set(tree.values()) == set(connection.execute(query).scalars())


def test_a_scope_holds_its_children_and_its_keys(world, tree):
    world.key(tree["web"])
    with world.database.read() as connection:
        held = {name for name, scope_id in tree.items() if holds_anything(connection, find_scope(connection, scope_id))}
    assert held == {"acme", "ml", "web"}
