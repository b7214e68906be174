"""The snapshot and the place where the current one lies."""

import threading

from headgate.domain.access import ScopeKind
from headgate.identity.directory import KeyDirectory, KeyEntry, ScopeEntry
from headgate.identity.secrets import hash_secret
from headgate.ledger.limit_book import LimitBook
from headgate.routing.table import Deployment, RouteTable
from headgate.snapshot import Configured, Snapshot, SnapshotSource

ROUTES = RouteTable([], [], lambda provider, model: (Deployment(provider, model, None),))


def test_new_keys_are_seen_by_the_next_reader_and_not_by_the_last() -> None:
    source = SnapshotSource(Snapshot(1, KeyDirectory(), ROUTES))
    held = source.current
    organization = ScopeEntry("org_1", ScopeKind.ORGANIZATION, "acme")
    digest = hash_secret("secret")
    source.publish(KeyDirectory.build([(digest, KeyEntry("key_1", "k", "org_1"))], [organization]), LimitBook())
    assert held.keys.lookup(digest) is None
    assert source.current.keys.lookup(digest) is not None
    assert source.current.routes is held.routes


def test_a_new_configuration_comes_with_the_keys_in_one_swap() -> None:
    source = SnapshotSource(Snapshot(1, KeyDirectory(), ROUTES))
    held = source.current
    keys, limits, routes = KeyDirectory(), LimitBook(), RouteTable([], [], lambda provider, model: ())
    source.publish(keys, limits, Configured(routes, {}, refuse_unpriced=False))
    assert source.current == Snapshot(2, keys, routes, {}, limits, refuse_unpriced=False)
    assert (held.revision, held.routes, held.refuse_unpriced) == (1, ROUTES, True)


def test_revisions_of_many_writers_are_all_counted() -> None:
    source = SnapshotSource(Snapshot(1, KeyDirectory(), ROUTES))
    writers = [
        threading.Thread(target=lambda: [source.publish(KeyDirectory(), LimitBook()) for _ in range(500)])
        for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert source.current.revision == 2001
