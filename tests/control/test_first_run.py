"""The first start."""

from headgate.control.first_run import make_first_key
from headgate.control.organizations import list_organizations
from headgate.control.page import ListQuery
from headgate.identity.keys import is_usable, may_use_model
from headgate.identity.secrets import looks_minted


def test_an_empty_database_gets_an_organization_a_team_and_a_key_that_works(world, operator):
    first = make_first_key(world.plane)
    assert looks_minted(first.secret, "hg_")
    assert first.secret not in repr(first)
    key = world.lookup(first.secret)
    assert [step.id for step in key.path] == [first.organization_id, first.team_id]
    assert is_usable(key, world.now_ms)
    assert may_use_model(key, "sandbox/echo")
    assert may_use_model(key, "gpt-4o")
    assert [event.actor_id for event in world.events()] == ["first-run"] * 4
    (line,) = world.snapshots.current.limits.path(key.path, key.id).budgets
    assert (line.kind, line.budget.amount_nano_usd, line.budget.period) == ("key", 5_000_000_000, "day")
    assert len(list_organizations(world.plane, operator, ListQuery()).data) == 1


def test_it_happens_once(world):
    make_first_key(world.plane)
    events = world.event_count()
    assert make_first_key(world.plane) is None
    assert world.event_count() == events


def test_it_does_not_happen_beside_an_organization(world):
    world.organization("acme")
    assert make_first_key(world.plane) is None
    assert len(world.snapshots.current.keys) == 0
