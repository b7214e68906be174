"""From rows to the directory, and from one directory to the next."""

import pytest

from headgate.control import publish
from headgate.control.keys import KeyRotate, block_key, revoke_key, rotate_key
from headgate.control.publish import Publisher, load_directory
from headgate.control.teams import block_team
from headgate.domain.access import ScopeKind
from headgate.identity.directory import KeyDirectory, KeyEntry, ScopeEntry
from headgate.identity.secrets import hash_secret
from headgate.ledger.limit_book import LimitBook

ORG = ScopeEntry("org_1", ScopeKind.ORGANIZATION, "acme")


def test_a_restart_reads_exactly_what_the_changes_published(world, operator):
    acme = world.organization("acme")
    team = world.team(acme.id)
    plain = world.key(team.id, "plain", tags={"a": "1"}, models=("gpt-*",)).secret
    blocked = world.key(team.id, "blocked")
    revoked = world.key(acme.id, "revoked")
    rotated = world.key(team.id, "rotated")
    twice = rotate_key(world.plane, operator, rotated.id, KeyRotate(grace_seconds=3600)).secret
    block_key(world.plane, operator, blocked.id)
    revoke_key(world.plane, operator, revoked.id)
    block_team(world.plane, operator, world.team(acme.id, "other").id)
    loaded = load_directory(world.database)
    assert len(loaded) == len(world.snapshots.current.keys) == 4
    for secret in (plain, blocked.secret, revoked.secret, rotated.secret, twice):
        assert loaded.lookup(hash_secret(secret)) == world.lookup(secret)


def test_an_empty_database_gives_an_empty_directory(world):
    assert len(load_directory(world.database)) == 0


def test_many_keys_come_through_in_batches(world, monkeypatch):
    monkeypatch.setattr(publish, "_BATCH", 7)
    team = world.team(world.organization("acme").id)
    secrets = [world.key(team.id, f"key-{number}", tags={"n": str(number)}).secret for number in range(30)]
    loaded = load_directory(world.database)
    assert [loaded.lookup(hash_secret(secret)).tags for secret in secrets] == [(("n", str(n)),) for n in range(30)]


def test_a_directory_is_packed_anew_once_it_has_changed_often_enough(monkeypatch):
    monkeypatch.setattr(publish, "COMPACT_AT", 10)
    published: list[KeyDirectory] = []
    directory = KeyDirectory.build((), [ORG])
    publisher = Publisher(directory, LimitBook(), lambda keys, limits, configured: published.append(keys))
    for number in range(11):
        with publisher.turn():
            entry = KeyEntry(f"key_{number}", "k", "org_1")
            publisher.publish(publisher.keys.with_key(bytes([number]) * 32, entry), publisher.limits)
    sizes = [directory.overlay_size for directory in published]
    assert sizes == [*range(1, 12), 0]
    assert publisher.keys is published[-1]
    assert all(publisher.keys.lookup(bytes([number]) * 32).id == f"key_{number}" for number in range(11))


def test_publishing_the_same_directory_tells_nobody():
    published: list[object] = []
    publisher = Publisher(
        KeyDirectory(), LimitBook(), lambda keys, limits, configured: published.append((keys, limits))
    )
    publisher.publish(publisher.keys, publisher.limits)
    assert published == []


@pytest.mark.parametrize("count", [1, 5])
def test_every_key_change_is_a_new_revision_of_the_snapshot(world, count):
    acme = world.organization("acme")
    before = world.snapshots.current.revision
    for number in range(count):
        world.key(acme.id, f"key-{number}")
    assert world.snapshots.current.revision == before + count
