"""Rows of virtual keys, and what each is in the key directory."""

import pytest
from msgspec.structs import replace

from headgate.control.key_rows import KeyRow, digest_is_taken, entries_of, exchange, find_key, find_live_key
from headgate.control.keys import KeyRotate, revoke_key, rotate_key
from headgate.domain.access import ScopeKind
from headgate.identity.directory import KeyDirectory, ScopeEntry
from headgate.identity.secrets import hash_secret

KEY = KeyRow(
    id="key_1",
    scope_id="org_1",
    organization_id="org_1",
    name="prod",
    digest=b"n" * 32,
    hint="abcd",
    models=("*",),
    created_at_ms=1,
    updated_at_ms=1,
)
IN_GRACE = replace(KEY, previous_digest=b"o" * 32, grace_until_ms=5000)
EMPTY = KeyDirectory.build((), [ScopeEntry("org_1", ScopeKind.ORGANIZATION, "acme")])


@pytest.mark.parametrize(
    ("key", "ends"),
    [
        (KEY, {b"n" * 32: None}),
        (replace(KEY, expires_at_ms=9000), {b"n" * 32: 9000}),
        (IN_GRACE, {b"n" * 32: None, b"o" * 32: 5000}),
        (replace(IN_GRACE, expires_at_ms=9000), {b"n" * 32: 9000, b"o" * 32: 5000}),
        (replace(IN_GRACE, expires_at_ms=3000), {b"n" * 32: 3000, b"o" * 32: 3000}),
        (replace(IN_GRACE, revoked_at_ms=1), {}),
    ],
)
def test_a_key_has_an_entry_for_each_secret_that_is_good(key, ends):
    assert {digest: entry.expires_at_ms for digest, entry in entries_of(key).items()} == ends


@pytest.mark.parametrize("before", [None, KEY, IN_GRACE])
@pytest.mark.parametrize("after", [KEY, IN_GRACE, replace(KEY, digest=b"x" * 32), replace(KEY, revoked_at_ms=1)])
def test_an_exchange_leaves_exactly_the_newer_rows_entries(before, after):
    start = EMPTY if before is None else exchange(EMPTY, None, before)
    changed = exchange(start, before, after)
    assert len(changed) == len(entries_of(after))
    for digest in (b"n" * 32, b"o" * 32, b"x" * 32):
        assert (changed.lookup(digest) is not None) == (digest in entries_of(after))


def test_a_row_is_read_as_it_was_written(world, operator):
    made = world.key(world.organization("acme").id, models=("a", "b"), tags={"x": "1"})
    with world.database.read() as connection:
        row = find_key(connection, made.id)
        assert (row.models, row.tags, row.digest) == (("a", "b"), (("x", "1"),), hash_secret(made.secret))
        assert find_live_key(connection, made.scope_id, "prod") == row
        assert find_key(connection, "key_nobody") is None


def test_a_secret_is_taken_for_ever(world, operator):
    first = world.key(world.organization("acme").id)
    second = rotate_key(world.plane, operator, first.id, KeyRotate(grace_seconds=60))
    revoke_key(world.plane, operator, first.id)
    with world.database.read() as connection:
        assert find_live_key(connection, first.scope_id, "prod") is None
        assert digest_is_taken(connection, hash_secret(first.secret))
        assert digest_is_taken(connection, hash_secret(second.secret))
        assert not digest_is_taken(connection, hash_secret("another"))
