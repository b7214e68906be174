"""A request that may be sent nowhere is in its organization's audit log."""

import sqlite3
import time

import pytest
from sqlalchemy.exc import OperationalError

from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.control.residency_violations import AT_A_TIME, KEYS, QUIET_MS, ResidencyViolations
from headgate.domain.access import ScopeKind, ScopeRef, VirtualKey
from tests.control.conftest import World


@pytest.fixture
def violations(world: World) -> ResidencyViolations:
    return ResidencyViolations(world.plane)


def key_of(number: int, organization: str = "org_1") -> VirtualKey:
    path = (ScopeRef(ScopeKind.ORGANIZATION, organization, "acme"), ScopeRef(ScopeKind.TEAM, "team_1", "ml"))
    return VirtualKey(f"key_{number}", "prod", path, ("*",))


def told(world: World) -> list[AuditEvent]:
    return [event for event in world.events() if event.reason == "residency_violation"]


def test_a_refusal_is_told_to_the_keys_organization(world: World, violations: ResidencyViolations) -> None:
    violations.note(key_of(1), "req_9", "gpt-4o")
    violations.flush()

    (event,) = told(world)
    assert (event.action, event.outcome, event.actor_id, event.object_id) == (
        "key.use",
        AuditOutcome.DENIED,
        "key_1",
        "key_1",
    )
    assert (event.organization_id, event.request_id) == ("org_1", "req_9")
    assert event.after == {"model": "gpt-4o", "refused": 1}


def test_a_key_is_told_of_once_a_minute_and_no_refusal_is_left_out(
    world: World, violations: ResidencyViolations
) -> None:
    for number in range(5):
        violations.note(key_of(1), f"req_{number}", f"model-{number}")
        violations.flush()
    assert [event.after for event in told(world)] == [{"model": "model-0", "refused": 1}]

    world.tick(QUIET_MS - 1)
    violations.flush()
    assert len(told(world)) == 1
    world.tick(1)
    violations.flush()
    newest = told(world)[0]
    assert (newest.request_id, newest.after) == ("req_1", {"model": "model-1", "refused": 4})

    violations.note(key_of(1), "req_last", "m")
    violations.close()
    assert told(world)[0].after == {"model": "m", "refused": 1}


def test_keys_are_counted_apart(world: World, violations: ResidencyViolations) -> None:
    for key in (key_of(1), key_of(2, "org_2"), key_of(1)):
        violations.note(key, "req_1", "m")
    violations.flush()
    counted = {(event.organization_id, event.object_id): event.after["refused"] for event in told(world) if event.after}
    assert counted == {("org_1", "key_1"): 2, ("org_2", "key_2"): 1}


def test_a_flood_of_keys_is_written_bit_by_bit_and_kept_within_bounds(
    world: World, violations: ResidencyViolations
) -> None:
    for number in range(KEYS + 10):
        violations.note(key_of(number), "req_1", "m")
    assert len(violations._counts) == KEYS
    violations.flush()
    assert len(told(world)) == AT_A_TIME
    violations.flush()
    assert len(told(world)) == 2 * AT_A_TIME


def test_a_key_that_is_quiet_for_a_minute_is_forgotten(world: World, violations: ResidencyViolations) -> None:
    violations.note(key_of(1), "req_1", "m")
    violations.flush()
    world.tick(QUIET_MS)
    violations.flush()
    assert violations._counts == {}


def test_what_could_not_be_written_is_told_later(world: World, violations: ResidencyViolations) -> None:
    violations.note(key_of(1), "req_1", "m")
    with sqlite3.connect(world.database.path) as connection:
        connection.execute("ALTER TABLE audit_events RENAME TO away")
    with pytest.raises(OperationalError):
        violations.flush()
    violations.note(key_of(1), "req_2", "m")
    connection.execute("ALTER TABLE away RENAME TO audit_events")
    connection.close()
    violations.flush()
    (event,) = told(world)
    assert (event.request_id, event.after) == ("req_1", {"model": "m", "refused": 2})


def test_the_thread_audits_without_being_asked(world: World) -> None:
    violations = ResidencyViolations(world.plane, interval_s=0.01)
    violations.start()
    violations.note(key_of(1), "req_1", "m")
    deadline = time.monotonic() + 10
    while not told(world):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    violations.close()
