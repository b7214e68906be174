"""What was turned away at the door of the admin API, for the audit log; what was presented is not kept, nor a digest.

Whoever knocks without end must not fill the disk. Refusals are counted by token, or by address where the credential is
nobody's, and of each count only the first, tenth, hundredth and so on of an hour is written down, with the number
reached. Beyond `SOURCES` addresses an hour, all others share one count. A million refusals an hour from everywhere at
once leave about a hundred rows, which is a megabyte a day.
"""

import logging
from typing import Final

from msgspec import Struct

from headgate.audit import log
from headgate.audit.event import AuditEvent, AuditOutcome
from headgate.control.plane import Plane
from headgate.control.timestamps import format_time
from headgate.control.tokens import RefusedToken
from headgate.domain import ids

PERIOD_MS: Final = 3_600_000
SOURCES: Final = 20
_log: Final = logging.getLogger("headgate.control")


class Refused(Struct, frozen=True):
    """A caller who was not let in."""

    reason: str
    """``absent``: no credential; ``unknown``: one that is nobody's; else why a token no longer opens anything."""
    token: RefusedToken | None = None
    """The token, where it is one of ours: its owner's organization may read of it."""


class RefusedCredentials:
    """Counts refusals and says which of them are written down. Called from the event loop alone."""

    def __init__(self, plane: Plane) -> None:
        """Write to ``plane``'s database."""
        self._plane = plane
        self._begun_ms = 0
        self._by_token: dict[str, int] = {}
        self._by_source: dict[str, int] = {}
        self._elsewhere = 0

    def note(self, refused: Refused, request_id: str, source_address: str | None) -> AuditEvent | None:
        """Count a refusal; return the event to `write`, if this one is told."""
        now_ms = self._plane.clock_ms()
        if not 0 <= now_ms - self._begun_ms < PERIOD_MS:
            self._begun_ms = now_ms
            self._by_token.clear()
            self._by_source.clear()
            self._elsewhere = 0
        count, more = self._count(refused, source_address or "unknown")
        if not _is_told(count):
            return None
        token = refused.token
        return AuditEvent(
            id=ids.mint(ids.AUDIT_EVENT, now_ms, self._plane.entropy(10)),
            at_ms=now_ms,
            actor_kind="anonymous" if token is None else "user",
            actor_id="anonymous" if token is None else token.user_id,
            action="token.use",
            object_kind="token",
            object_id=None if token is None else token.id,
            organization_id=None if token is None else token.organization_id,
            outcome=AuditOutcome.DENIED,
            reason=refused.reason,
            after={"refusals": count, "since": format_time(self._begun_ms), **more},
            request_id=request_id,
            source_address=source_address,
        )

    def write(self, event: AuditEvent) -> None:
        """Write an event; where that fails, only the log tells: the caller has had his answer."""
        try:
            with self._plane.database.write() as connection:
                log.append(connection, event)
        except Exception:
            _log.exception("a refused credential cannot be audited", extra={"request_id": event.request_id})

    def _count(self, refused: Refused, source: str) -> tuple[int, dict[str, str]]:
        if refused.token is not None:
            # As many as there are tokens: nobody invents one.
            counts, name = self._by_token, refused.token.id
        elif source in self._by_source or len(self._by_source) < SOURCES:
            counts, name = self._by_source, source
        else:
            self._elsewhere += 1
            return self._elsewhere, {"from": f"addresses beyond the first {SOURCES}"}
        counts[name] = counts.get(name, 0) + 1
        return counts[name], {}


def _is_told(count: int) -> bool:
    while count % 10 == 0:
        count //= 10
    return count == 1
