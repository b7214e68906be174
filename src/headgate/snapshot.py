"""The Snapshot: one frozen value that every decision of a request uses, and the place where the current one lies."""

import threading
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from headgate.identity.directory import KeyDirectory
from headgate.ledger.limit_book import LimitBook
from headgate.providers.provider import Provider
from headgate.routing.table import RouteTable


class Snapshot(Struct, frozen=True):
    """Everything configurable that the data plane reads. A request takes it once and keeps it to its end."""

    revision: int
    keys: KeyDirectory
    routes: RouteTable
    providers: Mapping[str, Provider] = {}
    """Those that are on; every deployment of ``routes`` names one of them."""
    limits: LimitBook = LimitBook()


class SnapshotSource:
    """Holds the current snapshot. Readers take `current`, one attribute read; writers swap it under a lock."""

    def __init__(self, first: Snapshot) -> None:
        """Start with ``first``."""
        self.current = first
        self._lock = threading.Lock()

    def publish(self, keys: KeyDirectory, limits: LimitBook) -> None:
        """Publish new keys and limits; every request that starts after this call sees both. Safe from any thread."""
        with self._lock:
            self.current = replace(self.current, keys=keys, limits=limits, revision=self.current.revision + 1)
