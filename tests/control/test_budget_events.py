"""Whose budget events a person sees: those of the scopes and keys below his roles, and of nothing beside or above."""

from typing import NamedTuple

import pytest
from msgspec.structs import replace

from headgate.control.budget_events import BudgetEventEntry, BudgetEventQuery, list_budget_events
from headgate.control.page import encode_cursor
from headgate.domain.access import Role
from headgate.domain.errors import ValidationFailedError
from headgate.domain.limits import AccountKey, BudgetEvent, LimitedKind
from headgate.identity.actor import Actor
from headgate.records.writer import RecordWriter
from tests.control.conftest import OPERATOR, World

AT_MS = 1_795_000_000_250


class House(NamedTuple):
    """Two teams of one organization, a key on each and a project below the first; another organization."""

    acme: str
    ml: str
    search: str
    ml_key: str
    web: str
    web_key: str
    named: str
    globex: str

    @property
    def below(self) -> dict[str, set[str]]:
        """Scope → what a role on it opens the events of."""
        return {
            self.acme: set(self) - {self.globex},
            self.ml: {self.ml, self.search, self.ml_key},
            self.search: {self.search},
            self.web: {self.web, self.web_key},
            self.globex: {self.globex},
        }


def event_of(kind: LimitedKind, scope_id: str, organization_id: str) -> BudgetEvent:
    """Half of a budget of 2 USD is gone, and more."""
    budget_id = f"bud_{scope_id}"
    account = AccountKey(kind, scope_id, budget_id, "2026-11").name
    return BudgetEvent(AT_MS, organization_id, account, kind, scope_id, budget_id, 50, 1_500_000_000, 2_000_000_000)


@pytest.fixture
def house(world: World) -> House:
    acme, globex = world.organization().id, world.organization("globex").id
    ml, web = world.team(acme).id, world.team(acme, "web").id
    project = world.project(ml).id
    house = House(acme, ml, project, world.key(ml).id, web, world.key(web).id, f"{acme}/ann", globex)
    writer = RecordWriter(world.database)
    for kind, place in (
        (LimitedKind.ORGANIZATION, house.acme),
        (LimitedKind.TEAM, house.ml),
        (LimitedKind.PROJECT, house.search),
        (LimitedKind.KEY, house.ml_key),
        (LimitedKind.TEAM, house.web),
        (LimitedKind.KEY, house.web_key),
        (LimitedKind.END_USER, house.named),
    ):
        writer.append_event(event_of(kind, place, acme))
    writer.append_event(event_of(LimitedKind.ORGANIZATION, globex, globex))
    writer.flush()
    return house


def seen_by(world: World, actor: Actor, **query: str) -> list[BudgetEventEntry]:
    """What a list shows, page by page."""
    found: list[BudgetEventEntry] = []
    cursor: str | None = None
    while True:
        page = list_budget_events(world.plane, actor, BudgetEventQuery(limit=2, cursor=cursor, **query))
        found += page.data
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER])
@pytest.mark.parametrize("place", ["acme", "ml", "search", "web", "globex"])
def test_a_role_on_a_scope_opens_exactly_the_budgets_of_its_subtree(
    world: World, house: House, place: str, role: Role
) -> None:
    scope = getattr(house, place)
    person = world.person(house.globex if place == "globex" else house.acme, role, scope_id=scope)
    shown = [entry.scope_id for entry in seen_by(world, person)]
    assert set(shown) == house.below[scope]
    assert len(shown) == len(set(shown))


def test_the_operator_sees_all_newest_first_and_may_ask_for_less(world: World, house: House) -> None:
    assert [entry.scope_id for entry in seen_by(world, OPERATOR)] == [
        house.globex, house.named, house.web_key, house.web, house.ml_key, house.search, house.ml, house.acme,
    ]  # fmt: skip
    assert [entry.scope_id for entry in seen_by(world, OPERATOR, organization_id=house.globex)] == [house.globex]
    assert [entry.scope_id for entry in seen_by(world, OPERATOR, budget_id=f"bud_{house.web}")] == [house.web]


def test_filters_hold_within_reach_and_reach_no_further(world: World, house: House) -> None:
    person = world.person(house.acme, Role.VIEWER, scope_id=house.ml)
    assert seen_by(world, person, organization_id=house.globex) == []
    assert seen_by(world, person, budget_id=f"bud_{house.web}") == []
    assert [entry.scope_id for entry in seen_by(world, person, budget_id=f"bud_{house.search}")] == [house.search]


def test_a_person_without_roles_sees_nothing(world: World, house: House) -> None:
    nobody = world.actor(world.user(house.acme, "new@example.com").id)
    assert seen_by(world, nobody) == []


def test_a_scope_whose_id_another_tenant_uses_as_a_name_opens_nothing(world: World, house: House) -> None:
    writer = RecordWriter(world.database)
    writer.append_event(replace(event_of(LimitedKind.TAG, house.ml, house.acme), account="tag/x"))
    writer.append_event(replace(event_of(LimitedKind.TEAM, house.ml, house.globex), account="team/x"))
    writer.flush()
    person = world.person(house.acme, Role.VIEWER, scope_id=house.ml)
    assert {entry.account for entry in seen_by(world, person)}.isdisjoint({"tag/x", "team/x"})


def test_an_event_is_shown_with_its_figures(world: World, house: House) -> None:
    (entry,) = seen_by(world, OPERATOR, budget_id=f"bud_{house.ml}")
    assert entry == BudgetEventEntry(
        id=f"team/{house.ml}/bud_{house.ml}/2026-11/50",
        at="2026-11-18T11:06:40.250Z",
        organization_id=house.acme,
        kind=LimitedKind.TEAM,
        scope_id=house.ml,
        budget_id=f"bud_{house.ml}",
        account=f"team/{house.ml}/bud_{house.ml}/2026-11",
        percent=50,
        posted_usd="1.5",
        limit_usd="2",
    )


@pytest.mark.parametrize("place", ["x", "-1", "1.5", "9" * 19])
def test_a_forged_cursor_is_refused(world: World, place: str) -> None:
    with pytest.raises(ValidationFailedError) as caught:
        list_budget_events(world.plane, OPERATOR, BudgetEventQuery(cursor=encode_cursor(place)))
    assert caught.value.param == "cursor"
