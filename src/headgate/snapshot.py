"""The Snapshot: one frozen value that every decision of a request uses, and the place where the current one lies."""

import threading
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import asdict, replace

from headgate.domain.caching import Caching
from headgate.identity.directory import KeyDirectory
from headgate.ledger.limit_book import LimitBook
from headgate.providers.provider import Provider
from headgate.routing.table import RouteTable


class Configured(Struct, frozen=True):
    """What a snapshot has from the configuration file: all of it is swapped at once. Its fields are the snapshot's."""

    routes: RouteTable
    providers: Mapping[str, Provider]
    refuse_unpriced: bool
    caching: Caching = Caching()


class Snapshot(Struct, frozen=True):
    """Everything configurable that the data plane reads. A request takes it once and keeps it to its end."""

    revision: int
    keys: KeyDirectory
    routes: RouteTable
    providers: Mapping[str, Provider] = {}
    """Those that are on; every deployment of ``routes`` names one of them."""
    limits: LimitBook = LimitBook()
    refuse_unpriced: bool = True
    """Whether a model without a price is refused (``prices.unpriced``)."""
    caching: Caching = Caching()
    """Which answers may be given again."""


class SnapshotSource:
    """Holds the current snapshot. Readers take `current`, one attribute read; writers swap it under a lock."""

    def __init__(self, first: Snapshot) -> None:
        """Start with ``first``."""
        self.current = first
        self._lock = threading.Lock()

    def publish(self, keys: KeyDirectory, limits: LimitBook, configured: Configured | None = None) -> None:
        """Publish new keys and limits, and a new configuration where there is one, in one swap. Safe from any thread.

        Every request that starts after this call sees all of it; one that runs keeps the snapshot it began with.
        """
        changes = {} if configured is None else asdict(configured)
        with self._lock:
            revision = self.current.revision + 1
            self.current = replace(self.current, keys=keys, limits=limits, revision=revision, **changes)
