"""What is turned away at the admin API is told once, then by its count, and a flood leaves little."""

import logging

import pytest
from sqlalchemy import text

from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.control.refused_credentials import PERIOD_MS, SOURCES, Refused, RefusedCredentials
from headgate.control.timestamps import format_time
from headgate.control.tokens import RefusedToken
from tests.control.conftest import World

UNKNOWN = Refused("unknown")


@pytest.fixture
def refusals(world: World) -> RefusedCredentials:
    return RefusedCredentials(world.plane)


def knock(refusals: RefusedCredentials, times: int, source: str | None, refused: Refused = UNKNOWN) -> list[AuditEvent]:
    """Be refused so often; return what was written down."""
    noted = [refusals.note(refused, f"req_{number}", source) for number in range(times)]
    told = [event for event in noted if event is not None]
    for event in told:
        refusals.write(event)
    return told


def counts(events: list[AuditEvent]) -> list[object]:
    return [None if event.after is None else event.after["refusals"] for event in events]


def test_the_first_refusal_is_told_with_where_it_came_from(world: World, refusals: RefusedCredentials) -> None:
    (told,) = knock(refusals, 1, "192.0.2.9")
    (event,) = world.events()
    assert event.id == told.id
    assert (event.actor_kind, event.actor_id, event.action) == ("anonymous", "anonymous", "token.use")
    assert (event.outcome, event.reason, event.organization_id) == (AuditOutcome.DENIED, "unknown", None)
    assert (event.source_address, event.request_id) == ("192.0.2.9", "req_0")
    assert event.after == {"refusals": 1, "since": format_time(world.now_ms)}


def test_of_many_every_power_of_ten_is_told(refusals: RefusedCredentials) -> None:
    assert counts(knock(refusals, 12_345, "192.0.2.9")) == [1, 10, 100, 1000, 10_000]


def test_another_address_and_another_hour_are_counted_anew(world: World, refusals: RefusedCredentials) -> None:
    assert counts(knock(refusals, 5, "192.0.2.9")) == [1]
    assert counts(knock(refusals, 5, "192.0.2.10")) == [1]
    assert counts(knock(refusals, 5, None)) == [1]
    world.tick(PERIOD_MS - 1)
    assert counts(knock(refusals, 1, "192.0.2.9")) == []
    world.tick()
    assert counts(knock(refusals, 1, "192.0.2.9")) == [1]


def test_a_clock_that_is_set_back_does_not_silence_the_log(world: World, refusals: RefusedCredentials) -> None:
    knock(refusals, 5, "192.0.2.9")
    world.now_ms -= 10 * PERIOD_MS
    assert counts(knock(refusals, 1, "192.0.2.9")) == [1]


def test_a_flood_from_everywhere_leaves_few_events_and_little_in_memory(
    world: World, refusals: RefusedCredentials
) -> None:
    for number in range(20_000):
        knock(refusals, 1, f"2001:db8::{number:x}")
    events = world.events()
    assert len(events) == SOURCES + 5
    assert next(event.after for event in events if event.after and "from" in event.after) == {
        "refusals": 10_000,
        "since": format_time(world.now_ms),
        "from": f"addresses beyond the first {SOURCES}",
    }
    assert len(refusals._by_source) == SOURCES


def test_a_token_of_ours_is_told_to_its_owners_even_in_a_flood(world: World, refusals: RefusedCredentials) -> None:
    for number in range(100):
        knock(refusals, 1, f"2001:db8::{number:x}")
    revoked = Refused("revoked", RefusedToken("pat_1", "user_1", "org_1", "revoked"))
    assert counts(knock(refusals, 20, "192.0.2.9", revoked)) == [1, 10]
    newest, _ = world.events(organization_ids=frozenset({"org_1"}))
    assert (newest.actor_kind, newest.actor_id, newest.object_id) == ("user", "user_1", "pat_1")
    assert (newest.reason, newest.action) == ("revoked", "token.use")


def test_a_log_that_cannot_be_written_is_told_to_the_operator_and_breaks_nothing(
    world: World, refusals: RefusedCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    with world.database.write() as connection:
        connection.execute(text("ALTER TABLE audit_events RENAME TO elsewhere"))
    with caplog.at_level(logging.ERROR):
        knock(refusals, 1, "192.0.2.9")
    assert "cannot be audited" in caplog.text
