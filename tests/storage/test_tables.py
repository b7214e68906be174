"""The tables: what the database itself refuses, whoever writes to it."""

import pytest
from msgspec.structs import fields
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from headgate.domain.record import RequestRecord
from headgate.domain.usage import TokenUsage
from headgate.storage.engine import open_database
from headgate.storage.migrate import migrate
from headgate.storage.tables import audit_events, requests, scopes, virtual_keys

EVENT = {
    "id": "aud_1",
    "at_ms": 1,
    "actor_kind": "operator",
    "actor_id": "operator",
    "action": "key.create",
    "object_kind": "key",
    "outcome": "allowed",
}
SCOPE = {
    "id": "org_1",
    "kind": "organization",
    "organization_id": "org_1",
    "slug": "acme",
    "name": "Acme",
    "managed_by": "api",
    "created_at_ms": 1,
    "updated_at_ms": 1,
    "version": 1,
}
KEY = {
    "id": "key_1",
    "scope_id": "org_1",
    "organization_id": "org_1",
    "name": "prod",
    "digest": b"d" * 32,
    "hint": "abcd",
    "models": "[]",
    "tags": "{}",
    "managed_by": "api",
    "created_at_ms": 1,
    "updated_at_ms": 1,
    "version": 1,
}


@pytest.fixture
def database(tmp_path):
    migrate(f"sqlite:///{tmp_path}/headgate.db")
    database = open_database(f"sqlite:///{tmp_path}/headgate.db")
    yield database
    database.close()


def run(database, *statements):
    with database.write() as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        update(audit_events).values(action="nothing"),
        update(audit_events).where(audit_events.c.seq == 1).values(outcome="denied"),
        delete(audit_events),
        text("INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events"),
        text(
            "REPLACE INTO audit_events (seq, id, at_ms, actor_kind, actor_id, action, object_kind, outcome)"
            " VALUES (9, 'aud_1', 0, 'x', 'x', 'x', 'x', 'denied')"
        ),
    ],
)
def test_audit_events_are_append_only(database, statement):
    run(database, insert(audit_events).values(EVENT))
    with pytest.raises(IntegrityError, match="append-only"):
        run(database, statement)
    with database.read() as connection:
        assert connection.execute(select(audit_events.c.action)).scalars().all() == ["key.create"]


def test_a_place_in_the_log_is_never_given_twice(database):
    run(database, insert(audit_events).values(EVENT))
    with pytest.raises(IntegrityError):
        run(database, insert(audit_events).values({**EVENT, "id": "aud_2"}), insert(audit_events).values(EVENT))
    run(database, insert(audit_events).values({**EVENT, "id": "aud_3"}))
    with database.read() as connection:
        places = connection.execute(select(audit_events.c.seq)).scalars().all()
    assert places == sorted(set(places))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (scopes, {**SCOPE, "id": "org_2"}),
        (scopes, {**SCOPE, "id": "x", "kind": "galaxy"}),
        (scopes, {**SCOPE, "id": "x", "kind": "team", "slug": "ml"}),
        (scopes, {**SCOPE, "id": "x", "slug": "new", "parent_id": "org_1"}),
        (scopes, {**SCOPE, "id": "x", "kind": "team", "slug": "ml", "parent_id": "org_nobody"}),
        (virtual_keys, {**KEY, "id": "x", "name": "new"}),
        (virtual_keys, {**KEY, "id": "x", "digest": b"e" * 32}),
        (virtual_keys, {**KEY, "id": "x", "name": "new", "digest": b"short"}),
        (virtual_keys, {**KEY, "id": "x", "name": "new", "digest": b"e" * 32, "scope_id": "team_nobody"}),
        (audit_events, {**EVENT, "outcome": "maybe"}),
    ],
    ids=[
        "root slug",
        "kind",
        "no parent",
        "root parent",
        "unknown parent",
        "digest",
        "name",
        "short",
        "scope",
        "outcome",
    ],
)
def test_what_contradicts_the_rules_is_refused_by_the_database_itself(database, table, row):
    run(database, insert(scopes).values(SCOPE), insert(virtual_keys).values(KEY))
    with pytest.raises(IntegrityError):
        run(database, insert(table).values(row))


def test_a_revoked_key_frees_its_name(database):
    run(
        database,
        insert(scopes).values(SCOPE),
        insert(virtual_keys).values({**KEY, "revoked_at_ms": 5}),
        insert(virtual_keys).values({**KEY, "id": "key_2", "digest": b"e" * 32}),
    )


def test_a_request_row_has_a_column_for_every_field_of_the_record():
    expected = [field.name for field in fields(RequestRecord) if field.name != "usage"]
    expected += [field.name for field in fields(TokenUsage)]
    expected += ["cache_status", "saved_nano_usd"]  # parts of ``cache`` that reports add up
    assert sorted(column.name for column in requests.columns) == sorted(expected)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT id FROM virtual_keys WHERE organization_id = 'x' AND id < 'y' ORDER BY id DESC", "organization_id"),
        ("SELECT id FROM virtual_keys WHERE scope_id = 'x' AND name = 'y' AND revoked_at_ms IS NULL", "live_name"),
        ("SELECT id FROM virtual_keys WHERE managed_by = 'file' AND managed_by <> 'api'", "managed_by"),
        ("SELECT id FROM requests WHERE key_id = 'x' AND started_at_ms > 1", "key_id"),
        ("SELECT id FROM requests WHERE organization_id = 'x' AND started_at_ms > 1", "organization_id"),
        ("SELECT id FROM budget_events WHERE organization_id = 'x' AND seq < 9 ORDER BY seq DESC", "organization_id"),
        ("SELECT id FROM budget_events WHERE budget_id = 'x' AND seq < 9 ORDER BY seq DESC", "budget_id"),
        ("SELECT id FROM audit_events WHERE organization_id = 'x' AND seq < 9 ORDER BY seq DESC", "organization_id"),
    ],
)
def test_the_questions_that_are_asked_often_have_an_index(database, query, index):
    with database.read() as connection:
        plan = " ".join(row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}")))
    assert index in plan
    assert "SCAN" not in plan
