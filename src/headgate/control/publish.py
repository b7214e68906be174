"""From rows to the key directory and the limits: all at the start, and what a change touches after that.

Every management change runs in a turn of the `Publisher`, so directories are published in the order of their commits.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from heapq import merge
from typing import Any, Final, cast

from msgspec import json
from sqlalchemy import Connection, Select, select

from headgate.control.limit_rows import all_limits
from headgate.control.residency import decode_residency
from headgate.domain.access import ScopeKind
from headgate.domain.residency import ResidencyPolicy
from headgate.identity.directory import KeyDirectory, KeyEntry, ScopeEntry
from headgate.ledger.limit_book import LimitBook
from headgate.snapshot import Configured
from headgate.storage.engine import Database
from headgate.storage.tables import scopes, virtual_keys

COMPACT_AT: Final = 8192
"""The least number of changes after which the directory is packed anew; with many keys it is a sixteenth of them."""
_BATCH: Final = 10_000
_Read = tuple[bytes, str, str, str, str, bool, str, int | None, bool, str | None, int | None]


class Publisher:
    """Holds the keys and limits that management changes start from, and hands every new state to the data plane."""

    def __init__(
        self,
        keys: KeyDirectory,
        limits: LimitBook,
        hand_out: Callable[[KeyDirectory, LimitBook, Configured | None], None],
    ) -> None:
        """Start from ``keys`` and ``limits`` as they were read; ``hand_out`` is `SnapshotSource.publish`."""
        self.keys = keys
        self.limits = limits
        self._hand_out = hand_out
        self._turn = threading.Lock()

    @contextmanager
    def turn(self) -> Generator[None]:
        """Wait for one's turn: from before the transaction until after `publish`."""
        with self._turn:
            yield

    def publish(self, keys: KeyDirectory, limits: LimitBook, configured: Configured | None = None) -> None:
        """Let every request that starts from now on see ``keys`` and ``limits``. Only within one's turn.

        A new configuration, where there is one, comes with them in the same swap.
        """
        if keys is self.keys and limits is self.limits and configured is None:
            return
        self.keys, self.limits = keys, limits
        self._hand_out(keys, limits, configured)
        # The change is out already; the thread that made it pays for the packing, no request does.
        if keys.overlay_size > max(COMPACT_AT, len(keys) // 16):
            self.keys = keys.compacted()
            self._hand_out(self.keys, limits, None)


def load_directory(database: Database) -> KeyDirectory:
    """Read every scope and every key that is not revoked."""
    with database.read() as connection:
        return KeyDirectory.build(_read_keys(connection), _read_scopes(connection))


def load_limits(database: Database) -> LimitBook:
    """Read every budget, every rate limit, and the time zones that periods are cut in."""
    with database.read() as connection:
        zones = select(scopes.c.id, scopes.c.time_zone).where(scopes.c.time_zone.is_not(None))
        return LimitBook.build(all_limits(connection), [(row[0], row[1]) for row in connection.execute(zones)])


def _read_scopes(connection: Connection) -> Iterator[ScopeEntry]:
    columns = scopes.c
    query = select(columns.id, columns.kind, columns.slug, columns.parent_id, columns.blocked, columns.residency)
    for scope_id, kind, slug, parent_id, blocked, residency in connection.execute(query):
        yield ScopeEntry(scope_id, ScopeKind(kind), slug, parent_id, blocked, decode_residency(residency))


def _read_keys(connection: Connection) -> Iterator[tuple[bytes, KeyEntry]]:
    """Both digests of every key, sorted: that of its secret, and that of the one before it while its grace lasts."""
    columns = virtual_keys.c
    facts = (
        columns.id,
        columns.name,
        columns.scope_id,
        columns.models,
        columns.sandbox,
        columns.tags,
        columns.expires_at_ms,
        columns.blocked,
        columns.residency,
    )
    live = columns.revoked_at_ms.is_(None)
    present = select(columns.digest, *facts, columns.expires_at_ms).where(live).order_by(columns.digest)
    previous = (
        select(columns.previous_digest, *facts, columns.grace_until_ms)
        .where(live, columns.previous_digest.is_not(None))
        .order_by(columns.previous_digest)
    )
    yield from merge(_entries(connection, present), _entries(connection, previous), key=_digest_of)


def _digest_of(item: tuple[bytes, KeyEntry]) -> bytes:
    return item[0]


def _entries(connection: Connection, query: Select[*tuple[Any, ...]]) -> Iterator[tuple[bytes, KeyEntry]]:
    # Most keys share their models, tags and policy with many others: each text is read once.
    texts: dict[str, Any] = {}
    policies: dict[str | None, ResidencyPolicy | None] = {}
    for rows in connection.execute(query.execution_options(yield_per=_BATCH)).partitions():
        if len(texts) > _BATCH:
            texts.clear()
            policies.clear()
        for row in rows:
            digest, key_id, name, scope_id, models, sandbox, tags, expires_at_ms, blocked, residency, until_ms = cast(
                "_Read", row
            )
            if models not in texts:
                texts[models] = tuple(json.decode(models, type=list[str]))
            if tags not in texts:
                texts[tags] = tuple(json.decode(tags, type=dict[str, str]).items())
            if residency not in policies:
                policies[residency] = decode_residency(residency)
            ends_ms = until_ms if expires_at_ms is None or until_ms is None else min(until_ms, expires_at_ms)
            yield (
                digest,
                KeyEntry(
                    key_id,
                    name,
                    scope_id,
                    texts[models],
                    sandbox,
                    texts[tags],
                    ends_ms,
                    blocked,
                    policies[residency],
                ),
            )
