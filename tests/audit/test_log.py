"""The audit log in a real database."""

import pytest
from msgspec.structs import replace

from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.audit.log import AuditFilters, append, search
from headgate.storage.engine import open_database
from headgate.storage.migrate import migrate

EVENT = AuditEvent(
    id="aud_1",
    at_ms=1000,
    actor_kind="user",
    actor_id="user_1",
    action="key.update",
    object_kind="key",
    object_id="key_1",
    organization_id="org_1",
    outcome=AuditOutcome.ALLOWED,
    before={"models": ["a"], "name": "ü", "blocked": False, "expires_at": None},
    after={"models": ["b"]},
    request_id="req_1",
    source_address="192.0.2.1",
)


@pytest.fixture
def database(tmp_path):
    url = f"sqlite:///{tmp_path}/headgate.db"
    migrate(url)
    database = open_database(url)
    yield database
    database.close()


def write(database, *events):
    with database.write() as connection:
        for event in events:
            append(connection, event)


def found(database, *, before_seq=None, limit=100, **filters):
    with database.read() as connection:
        events = search(connection, AuditFilters(**filters), before_seq=before_seq, limit=limit)
    return [event.id for event in events]


def test_an_event_is_read_as_it_was_written_with_its_place(database):
    write(database, EVENT)
    with database.read() as connection:
        (read,) = search(connection, AuditFilters(), before_seq=None, limit=10)
    assert read == replace(EVENT, seq=1)


def test_an_event_is_undone_with_the_transaction_it_belongs_to(database):
    def fail():
        with database.write() as connection:
            append(connection, EVENT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert found(database) == []


def test_each_filter_lets_through_what_it_says(database):
    other = AuditEvent(
        id="aud_2",
        at_ms=2000,
        actor_kind="operator",
        actor_id="operator",
        action="team.create",
        object_kind="team",
        object_id="team_1",
        organization_id="org_2",
        outcome=AuditOutcome.DENIED,
        reason="permission_denied",
    )
    write(database, EVENT, other)
    assert found(database) == ["aud_2", "aud_1"]
    for filters, wanted in (
        ({"organization_ids": frozenset({"org_1"})}, ["aud_1"]),
        ({"organization_ids": frozenset({"org_1", "org_2"})}, ["aud_2", "aud_1"]),
        ({"organization_ids": frozenset()}, []),
        ({"actor_id": "operator"}, ["aud_2"]),
        ({"action": "key.update"}, ["aud_1"]),
        ({"action": "team.*"}, ["aud_2"]),
        ({"action": "k%.*"}, []),
        ({"object_id": "team_1"}, ["aud_2"]),
        ({"outcome": AuditOutcome.DENIED}, ["aud_2"]),
        ({"from_ms": 2000}, ["aud_2"]),
        ({"to_ms": 2000}, ["aud_1"]),
        ({"from_ms": 1000, "to_ms": 2001}, ["aud_2", "aud_1"]),
    ):
        assert found(database, **filters) == wanted, filters


def test_pages_join_by_place(database):
    write(database, *[replace(EVENT, id=f"aud_{number}") for number in range(5)])
    assert found(database, limit=2) == ["aud_4", "aud_3"]
    assert found(database, limit=2, before_seq=4) == ["aud_2", "aud_1"]
    assert found(database, limit=2, before_seq=2) == ["aud_0"]
