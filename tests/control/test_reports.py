"""Whose requests and usage a person sees: those of the scopes he has a role on, and of nothing beside or above."""

from typing import NamedTuple

import pytest

from headgate.control import reports
from headgate.control.reports import get_request, report_usage, search_requests
from headgate.domain.access import Role
from headgate.domain.errors import NotFoundError
from headgate.domain.record import Outcome, RequestRecord
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.identity.actor import Actor
from headgate.records.queries import GroupBy, Interval, RequestFilters, UsageQuery
from headgate.records.writer import RecordWriter
from tests.control.conftest import OPERATOR, World


class House(NamedTuple):
    """Two teams of one organization, a project below the first, another organization; a request on each scope."""

    acme: str
    ml: str
    search: str
    web: str
    ann: str
    globex: str
    other: str

    @property
    def below(self) -> dict[str, set[str]]:
        """Scope → the scopes whose requests a role on it opens."""
        return {
            self.acme: {self.acme, self.ml, self.search, self.web, self.ann},
            self.ml: {self.ml, self.search},
            self.search: {self.search},
            self.web: {self.web},
            self.ann: {self.ann},
            self.globex: {self.globex, self.other},
            self.other: {self.other},
        }


def request_of(scope: str, path: tuple[str, ...], key_id: str, at_ms: int) -> RequestRecord:
    """A request whose id and model say on which scope it was made."""
    return RequestRecord(
        id=f"req_{scope}_{at_ms}",
        started_at_ms=at_ms,
        organization_id=path[0],
        path=path,
        key_id=key_id,
        end_user=None,
        session=None,
        tags=(),
        operation="chat",
        wire_format="openai_chat",
        model=scope,
        provider="openai",
        deployment=None,
        upstream_model=None,
        stream=False,
        attempts=(),
        outcome=Outcome.OK,
        status=200,
        error_code=None,
        finish_reason=None,
        usage=TokenUsage(input_tokens=1),
        usage_quality=UsageQuality.PROVIDER,
        cost_nano_usd=1,
        priced=True,
        price_version=None,
        first_event_ms=None,
        duration_ms=1.0,
        overhead_ms=0.1,
    )


@pytest.fixture
def house(world: World) -> House:
    acme, globex = world.organization().id, world.organization("globex").id
    ml, web = world.team(acme).id, world.team(acme, "web").id
    project, other = world.project(ml).id, world.team(globex).id
    ann = world.user(acme, "ann@example.com").id
    house = House(acme, ml, project, web, ann, globex, other)
    paths = ((acme,), (acme, ml), (acme, ml, project), (acme, web), (acme, ann), (globex,), (globex, other))
    writer = RecordWriter(world.database)
    for path in paths:
        for number in range(3):
            key = world.key(path[-1], f"key {number}")
            writer.append(request_of(path[-1], path, key.id, world.now_ms))
    writer.flush()
    return house


@pytest.fixture(params=["through the keys", "through the organization"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "through the organization":
        monkeypatch.setattr(reports, "MANY_KEYS", 0)


def seen_by(world: World, actor: Actor) -> set[str]:
    """Scopes of the requests that a search shows, page by page, after a look at their order."""
    found: list[RequestRecord] = []
    cursor: str | None = None
    while True:
        page = search_requests(world.plane, actor, RequestFilters(limit=2, cursor=cursor))
        found += page.data
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == sorted(found, key=lambda record: (record.started_at_ms, record.id), reverse=True)
    scopes = [record.path[-1] for record in found]
    assert all(scopes.count(scope) == 3 for scope in scopes)
    return set(scopes)


def used_by(world: World, actor: Actor, interval: Interval = Interval.TOTAL) -> dict[str, int]:
    """Scope → requests, as the usage report counts them."""
    query = UsageQuery(
        from_ms=world.now_ms - 3_600_000, to_ms=world.now_ms + 1, group_by=(GroupBy.MODEL,), interval=interval
    )
    return {str(row.model): row.requests for row in report_usage(world.plane, actor, query)}


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST])
@pytest.mark.parametrize("place", ["acme", "ml", "search", "web", "ann", "globex", "other"])
def test_a_role_on_a_scope_opens_exactly_its_subtree(world: World, house: House, place: str, role: Role) -> None:
    scope = getattr(house, place)
    organization = house.globex if place in ("globex", "other") else house.acme
    person = world.person(organization, role, scope_id=scope)
    assert seen_by(world, person) == house.below[scope]
    assert used_by(world, person) == dict.fromkeys(house.below[scope], 3)
    for record in search_requests(world.plane, OPERATOR, RequestFilters()).data:
        if record.path[-1] in house.below[scope]:
            assert get_request(world.plane, person, record.id) == record
        else:
            with pytest.raises(NotFoundError):
                get_request(world.plane, person, record.id)


@pytest.mark.usefixtures("_either_way")
def test_roles_on_several_scopes_add_up_and_count_nothing_twice(world: World, house: House) -> None:
    user = world.user(house.acme, "lead@example.com", Role.VIEWER, Role.ANALYST, scope_id=house.ml)
    person = world.actor(user.id)
    bindings = (*person.bindings, *world.person(house.acme, Role.VIEWER, scope_id=house.search).bindings)
    bindings += world.person(house.acme, Role.EDITOR, scope_id=house.web).bindings
    actor = Actor(kind=person.kind, id=person.id, organization_id=house.acme, bindings=bindings)
    assert seen_by(world, actor) == {house.ml, house.search, house.web}
    assert used_by(world, actor) == {house.ml: 3, house.search: 3, house.web: 3}


@pytest.mark.usefixtures("_either_way")
def test_filters_hold_within_reach_and_reach_no_further(world: World, house: House) -> None:
    person = world.person(house.acme, Role.VIEWER, scope_id=house.ml)
    assert search_requests(world.plane, person, RequestFilters(model=house.web)).data == ()
    everything = search_requests(world.plane, OPERATOR, RequestFilters()).data
    foreign = next(record for record in everything if record.path[-1] == house.web)
    assert search_requests(world.plane, person, RequestFilters(key_id=foreign.key_id)).data == ()
    own = next(record for record in everything if record.path[-1] == house.search)
    assert search_requests(world.plane, person, RequestFilters(key_id=own.key_id)).data == (own,)


@pytest.mark.usefixtures("_either_way")
def test_a_team_without_keys_and_a_person_without_roles_show_nothing(world: World, house: House) -> None:
    empty = world.team(house.acme, "empty")
    person = world.person(house.acme, Role.VIEWER, scope_id=empty.id)
    assert (seen_by(world, person), used_by(world, person)) == (set(), {})
    nobody = world.actor(world.user(house.acme, "new@example.com").id)
    assert (seen_by(world, nobody), used_by(world, nobody)) == (set(), {})


def test_the_operator_sees_all_of_every_organization(world: World, house: House) -> None:
    assert seen_by(world, OPERATOR) == set(house)


def test_reading_another_teams_request_leaves_a_denied_event(world: World, house: House) -> None:
    person = world.person(house.acme, Role.VIEWER, scope_id=house.web)
    foreign = search_requests(world.plane, OPERATOR, RequestFilters(model=house.ml)).data[0]
    with pytest.raises(NotFoundError):
        get_request(world.plane, person, foreign.id)
    event = world.events()[0]
    assert (event.action, event.outcome, event.actor_id) == ("request.read", "denied", person.id)
    assert (event.object_id, event.organization_id) == (foreign.id, house.acme)
