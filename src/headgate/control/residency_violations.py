"""Requests that were sent nowhere because their data may go to no target, for the audit log of their organization.

The data plane hands over the key and goes on. A thread writes the first refusal of a key at once, and after that at
most one event a minute with the number of refusals since the one before: a client that tries without end leaves few
rows. Nothing is lost of a count, but for keys beyond `KEYS` that are refused within one minute.
"""

import logging
import threading
from typing import Final

from msgspec import Struct

from headgate.audit import log
from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.control.plane import Plane
from headgate.domain import ids
from headgate.domain.access import VirtualKey
from headgate.domain.errors import ResidencyViolationError

INTERVAL_S: Final = 0.5
AT_A_TIME: Final = 100
"""Events written an interval; the others' counts go on until it is their turn."""
QUIET_MS: Final = 60_000
KEYS: Final = 10_000
"""Counts kept at once."""
_SHOWN: Final = 100
_log: Final = logging.getLogger("headgate.control")


class _Count(Struct):
    """The refusals of one key that no event has told yet. Read and changed under the lock alone."""

    organization_id: str
    refused: int
    request_id: str
    """Of the first of them, likewise the model."""
    model: str
    told_ms: int | None = None
    """When the event before was written."""


class ResidencyViolations:
    """Takes refusals from the event loop and audits them from a thread of its own."""

    def __init__(self, plane: Plane, *, interval_s: float = INTERVAL_S) -> None:
        """Write to ``plane``'s database; `start` begins."""
        self._plane = plane
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._counts: dict[str, _Count] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headgate-residency-violations", daemon=True)

    def note(self, key: VirtualKey, request_id: str, model: str) -> None:
        """Take note of a request that may go nowhere; never waits for the disk, never fails."""
        with self._lock:
            count = self._counts.get(key.id)
            if count is None:
                if len(self._counts) < KEYS:
                    self._counts[key.id] = _Count(key.path[0].id, 1, request_id, model)
                return
            if count.refused == 0:
                count.request_id, count.model = request_id, model
            count.refused += 1

    def start(self) -> None:
        """Begin auditing."""
        self._thread.start()

    def flush(self, *, everything: bool = False) -> None:
        """Audit what is due now, or ``everything`` that no event has told yet."""
        now_ms = self._plane.clock_ms()
        with self._lock:
            due = self._take_due(now_ms, everything=everything)
        if not due:
            return
        try:
            with self._plane.database.write() as connection:
                for key_id, count in due:
                    log.append(connection, self._event(key_id, count, now_ms))
        except BaseException:
            with self._lock:
                self._put_back(due)
            raise

    def close(self) -> None:
        """Stop the thread and audit the rest."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._flush_safely(everything=True)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._flush_safely()

    def _flush_safely(self, *, everything: bool = False) -> None:
        try:
            self.flush(everything=everything)
        except Exception:
            _log.exception("residency violations cannot be audited")

    def _take_due(self, now_ms: int, *, everything: bool) -> list[tuple[str, _Count]]:
        due: list[tuple[str, _Count]] = []
        for key_id, count in list(self._counts.items()):
            quiet = count.told_ms is not None and 0 <= now_ms - count.told_ms < QUIET_MS
            if count.refused == 0:
                if not quiet:
                    del self._counts[key_id]
            elif everything or (not quiet and len(due) < AT_A_TIME):
                due.append((key_id, count))
                self._counts[key_id] = _Count(count.organization_id, 0, "", "", told_ms=now_ms)
        return due

    def _put_back(self, due: list[tuple[str, _Count]]) -> None:
        for key_id, count in due:
            since = self._counts.get(key_id)
            count.refused += 0 if since is None else since.refused
            self._counts[key_id] = count

    def _event(self, key_id: str, count: _Count, now_ms: int) -> AuditEvent:
        return AuditEvent(
            id=ids.mint(ids.AUDIT_EVENT, now_ms, self._plane.entropy(10)),
            at_ms=now_ms,
            actor_kind="key",
            actor_id=key_id,
            action="key.use",
            object_kind="key",
            object_id=key_id,
            organization_id=count.organization_id,
            outcome=AuditOutcome.DENIED,
            reason=ResidencyViolationError.code,
            after={"model": count.model[:_SHOWN], "refused": count.refused},
            request_id=count.request_id,
        )
