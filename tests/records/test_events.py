"""Events of budgets: newest first, by organization and budget, from a place on."""

from msgspec.structs import replace

from headgate.domain.limits import BudgetEvent, LimitedKind
from headgate.records.events import EventFilters, PlacedEvent, list_events
from headgate.records.inserts import insert_events
from headgate.storage.engine import Database
from headgate.storage.tables import budget_events
from tests.records.conftest import NOON_MS

FIRST = BudgetEvent(NOON_MS, "org_a", "team/team_a/bud_1/2026-11", LimitedKind.TEAM, "team_a", "bud_1", 50, 51, 100)
EVENTS = (
    FIRST,
    replace(FIRST, percent=80, posted_nano_usd=80),
    replace(FIRST, organization_id="org_b", account="key/key_b/bud_2/all", kind=LimitedKind.KEY, budget_id="bud_2"),
    replace(FIRST, percent=100, posted_nano_usd=120),
    replace(FIRST, organization_id=None, account="user/é/bud_3/2026", budget_id="bud_3"),
)


def found(database: Database, before_seq: int | None = None, limit: int = 10, **filters: object) -> list[PlacedEvent]:
    with database.read() as connection:
        return list_events(connection, EventFilters(**filters), before_seq=before_seq, limit=limit)  # type: ignore[arg-type]


def events(placed: list[PlacedEvent]) -> list[BudgetEvent]:
    return [each.event for each in placed]


def store(database: Database) -> None:
    with database.write() as connection:
        insert_events(connection, EVENTS)


def test_events_come_back_as_they_were_newest_first(database: Database) -> None:
    assert found(database) == []
    store(database)
    assert events(found(database)) == list(reversed(EVENTS))
    assert [each.event.id for each in found(database, limit=2)] == ["user/é/bud_3/2026/50", f"{FIRST.account}/100"]


def test_each_filter_finds_only_its_own(database: Database) -> None:
    store(database)
    assert events(found(database, organization_id="org_b")) == [EVENTS[2]]
    assert events(found(database, budget_id="bud_1")) == [EVENTS[3], EVENTS[1], EVENTS[0]]
    assert events(found(database, within=budget_events.c.kind == "key")) == [EVENTS[2]]
    assert found(database, organization_id="org_a", budget_id="bud_2") == []


def test_pages_hold_everything_once_though_more_is_told_meanwhile(database: Database) -> None:
    store(database)
    seen = found(database, limit=2)
    with database.write() as connection:
        insert_events(connection, [replace(FIRST, account="team/team_a/bud_1/2026-12")])
    while rest := found(database, before_seq=seen[-1].seq, limit=2):
        seen += rest
    assert events(seen) == list(reversed(EVENTS))
