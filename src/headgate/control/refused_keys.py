"""Why a virtual key was refused, for its owners: the caller hears the same 401 whatever the reason.

The data plane hands over a digest and goes on. A thread looks it up and, where the key is or was one of ours, writes an
audit event. Unknown keys leave no trace here, the same key at most one event a minute, and a flood is cut off: an
attacker must not be able to fill the audit log.
"""

import logging
import threading
from collections import deque
from typing import Final

from msgspec import Struct
from sqlalchemy import or_, select

from headgate.audit import log
from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.control.key_rows import KeyRow, key_of
from headgate.control.plane import Plane
from headgate.domain import ids
from headgate.identity.secrets import hash_secret
from headgate.storage.tables import virtual_keys

INTERVAL_S: Final = 0.5
AT_A_TIME: Final = 100
"""Refusals looked up an interval; what comes in beyond is dropped."""
QUIET_MS: Final = 60_000
_REMEMBERED: Final = 10_000
_log: Final = logging.getLogger("headgate.control")


class Refusal(Struct, frozen=True):
    """One key that was turned away."""

    digest: bytes
    request_id: str


class RefusedKeys:
    """Takes refusals from the event loop and audits them from a thread of its own."""

    def __init__(self, plane: Plane, *, interval_s: float = INTERVAL_S) -> None:
        """Write to ``plane``'s database; `start` begins."""
        self._plane = plane
        self._interval_s = interval_s
        self._waiting: deque[Refusal] = deque(maxlen=AT_A_TIME)
        self._quiet_until_ms: dict[bytes, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headgate-refused-keys", daemon=True)

    def note(self, presented: bytes, request_id: str) -> None:
        """Take note of a refused key; never blocks, never fails."""
        self._waiting.append(Refusal(hash_secret(presented), request_id))

    def start(self) -> None:
        """Begin auditing."""
        self._thread.start()

    def flush(self) -> None:
        """Audit what waits now."""
        while self._waiting:
            self._audit(self._waiting.popleft())

    def close(self) -> None:
        """Audit what waits and stop the thread."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._flush_safely()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._flush_safely()

    def _flush_safely(self) -> None:
        try:
            self.flush()
        except Exception:
            _log.exception("refused keys cannot be audited")

    def _audit(self, refusal: Refusal) -> None:
        now_ms = self._plane.clock_ms()
        if now_ms < self._quiet_until_ms.get(refusal.digest, 0):
            return
        if len(self._quiet_until_ms) >= _REMEMBERED:
            self._quiet_until_ms.clear()
        self._quiet_until_ms[refusal.digest] = now_ms + QUIET_MS
        key = self._find(refusal.digest)
        if key is None:
            return
        event = AuditEvent(
            id=ids.mint(ids.AUDIT_EVENT, now_ms, self._plane.entropy(10)),
            at_ms=now_ms,
            actor_kind="key",
            actor_id=key.id,
            action="key.use",
            object_kind="key",
            object_id=key.id,
            organization_id=key.organization_id,
            outcome=AuditOutcome.DENIED,
            reason=reason_of(key, refusal.digest, now_ms),
            request_id=refusal.request_id,
        )
        with self._plane.database.write() as connection:
            log.append(connection, event)

    def _find(self, digest: bytes) -> KeyRow | None:
        columns = virtual_keys.c
        query = select(virtual_keys).where(or_(columns.digest == digest, columns.previous_digest == digest))
        with self._plane.database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else key_of(row)


def reason_of(key: KeyRow, digest: bytes, now_ms: int) -> str:
    """Return why a secret with this digest opens nothing: the first reason that is true."""
    if key.revoked_at_ms is not None:
        return "revoked"
    if digest == key.previous_digest and (key.grace_until_ms or 0) <= now_ms:
        return "rotated"
    if key.expires_at_ms is not None and key.expires_at_ms <= now_ms:
        return "expired"
    return "blocked" if key.blocked else "scope_blocked"
