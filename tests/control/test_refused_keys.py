"""Why a key was refused is in its owners' audit log."""

import time

import pytest

from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.control.keys import KeyRotate, block_key, revoke_key, rotate_key
from headgate.control.refused_keys import AT_A_TIME, QUIET_MS, RefusedKeys
from headgate.control.teams import block_team
from headgate.control.timestamps import format_time
from tests.control.conftest import OPERATOR, World


@pytest.fixture
def refused(world: World) -> RefusedKeys:
    return RefusedKeys(world.plane)


def noted(world: World, refused: RefusedKeys, secret: str) -> list[AuditEvent]:
    refused.note(secret.encode(), "req_9")
    refused.flush()
    return [event for event in world.events() if event.action == "key.use"]


@pytest.mark.parametrize("reason", ["revoked", "blocked", "scope_blocked", "expired"])
def test_the_reason_is_told_to_the_keys_organization(world: World, refused: RefusedKeys, reason: str) -> None:
    organization = world.organization()
    team = world.team(organization.id)
    ends = format_time(world.now_ms + 10_000) if reason == "expired" else None
    created = world.key(team.id, expires_at=ends)
    if reason == "revoked":
        revoke_key(world.plane, OPERATOR, created.id)
    elif reason == "blocked":
        block_key(world.plane, OPERATOR, created.id)
    elif reason == "scope_blocked":
        block_team(world.plane, OPERATOR, team.id)
    world.tick(20_000)
    (event,) = noted(world, refused, created.secret)
    assert (event.reason, event.outcome, event.object_id) == (reason, AuditOutcome.DENIED, created.id)
    assert (event.organization_id, event.request_id) == (organization.id, "req_9")


def test_a_secret_whose_grace_is_over_was_rotated(world: World, refused: RefusedKeys) -> None:
    created = world.key(world.team(world.organization().id).id)
    rotate_key(world.plane, OPERATOR, created.id, KeyRotate(grace_seconds=5))
    world.tick(6_000)
    (event,) = noted(world, refused, created.secret)
    assert event.reason == "rotated"


def test_an_unknown_key_leaves_no_trace(world: World, refused: RefusedKeys) -> None:
    assert noted(world, refused, "hg_" + "x" * 49) == []


def test_the_same_key_is_told_once_a_minute(world: World, refused: RefusedKeys) -> None:
    created = world.key(world.team(world.organization().id).id)
    revoke_key(world.plane, OPERATOR, created.id)
    for _ in range(20):
        noted(world, refused, created.secret)
    assert len(noted(world, refused, created.secret)) == 1
    world.tick(QUIET_MS)
    assert len(noted(world, refused, created.secret)) == 2


def test_a_flood_is_cut_off(world: World, refused: RefusedKeys) -> None:
    for number in range(10 * AT_A_TIME):
        refused.note(b"key %d" % number, "req_1")
    assert len(refused._waiting) == AT_A_TIME


def test_the_thread_audits_without_being_asked(world: World) -> None:
    refused = RefusedKeys(world.plane, interval_s=0.01)
    created = world.key(world.team(world.organization().id).id)
    revoke_key(world.plane, OPERATOR, created.id)
    refused.start()
    refused.note(created.secret.encode(), "req_1")
    deadline = time.monotonic() + 10
    while not [event for event in world.events() if event.action == "key.use"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    refused.close()
