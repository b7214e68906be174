"""A request that is shed: asked and counted in one step, and answered in bytes that were written beforehand.

An overloaded gateway gets several requests for each that it can answer. What it refuses is taken from what it can
answer, so a refusal makes no task, renders nothing and waits for no body.
"""

from typing import Final

from headgate.domain.errors import OverloadedError
from headgate.domain.ids import REQUEST, mint
from headgate.domain.record import Outcome
from headgate.identity.keys import priority_of
from headgate.pipeline.call import Call, Gateway
from headgate.pipeline.handle import error_headers
from headgate.pipeline.load import Seat, shed_error
from headgate.pipeline.prepare import usable_key
from headgate.pipeline.trace import NOTHING_USED, Trace
from headgate.wire.format import WireFormat

SHED: Final = shed_error()
"""Why a request is refused that is shed; never raised."""

_ANY_ID: Final = mint(REQUEST, 0, bytes(10))
"""Stands where a request's id comes: all ids have the same length."""


class PreparedRefusal:
    """What a request of one wire format hears that is shed, but for its id."""

    __slots__ = ("_pieces",)

    def __init__(self, wire_format: WireFormat) -> None:
        """Write it."""
        body = wire_format.render_error(SHED, _ANY_ID)
        fields = error_headers(SHED, _ANY_ID, wire_format.id_headers)
        head = b"".join([b"%b: %b\r\n" % field for field in fields])
        text = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        self._pieces = text.split(_ANY_ID.encode())

    def tell(self, request_id: str) -> bytes:
        """Return the answer behind its status line and date: the fields and the body."""
        return request_id.encode().join(self._pieces)


def is_shed(gateway: Gateway, presented_key: bytes | None, now_ms: int) -> bool:
    """Whether a request is shed that presents this key; one that is has been counted.

    Worth asking only where `LoadGate.is_crowded`. A key that opens nothing is not shed: it hears so from `handle`.
    """
    key = usable_key(gateway.snapshots.current, presented_key, now_ms)
    return key is not None and gateway.load.sheds(key.path[0].id, priority_of(key))


def enter(gateway: Gateway, presented_key: bytes | None, now_ms: int) -> Seat | OverloadedError | None:
    """Take a seat for a request that presents this key: before its task begins, so that it is taken at once.

    Returns the seat, for `Call.seat`; `SHED` where there is none; ``None`` for a key that opens nothing.
    """
    key = usable_key(gateway.snapshots.current, presented_key, now_ms)
    if key is None:
        return None
    return gateway.load.enter(key.path[0].id, priority_of(key)) or SHED


def record_shed(gateway: Gateway, call: Call) -> None:
    """Write the record of a request that was shed."""
    trace = Trace(call)
    trace.key = usable_key(gateway.snapshots.current, call.presented_key, call.started_at_ms)
    trace.error, trace.status, trace.outcome = SHED, OverloadedError.status, Outcome.REFUSED
    if trace.key is not None:
        gateway.records.append(trace.record(NOTHING_USED, gateway.clock()))
