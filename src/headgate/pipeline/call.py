"""What the edge hands to the pipeline: one inbound request, and the gateway's own parts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from headgate.domain.access import VirtualKey
from headgate.records.writer import RecordWriter
from headgate.snapshot import SnapshotSource
from headgate.wire.format import WireFormat

if TYPE_CHECKING:
    # It is built from what is below; the way back would be a circle.
    from headgate.pipeline.allowance import AdmissionControl
    from headgate.pipeline.idempotency import IdempotencyStore


class Call(Struct, frozen=True, gc=False):
    """One inbound inference request, its body read and bounded, nothing of it understood yet."""

    request_id: str
    wire_format: WireFormat
    body: bytes
    presented_key: bytes | None
    started_at_ms: int
    """Wall clock, ms since the epoch."""
    started: float
    """Monotonic clock, seconds: when the request's head had arrived."""
    path_model: str | None = None
    """The model of the path, where the path names one (``/openai/deployments/{model}/…``); it wins over the body's."""
    end_user: str | None = None
    session: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    timeout_s: float | None = None
    """The caller's own deadline for the whole request."""
    may_clamp: bool = False
    """The caller agrees to less output than it asked for, where a budget does not pay for all of it."""
    forwarded: tuple[tuple[bytes, bytes], ...] = ()
    """Header fields that belong to the caller's format; they go on to a provider that speaks it too."""
    idempotency_key: str | None = None
    """What the caller sends again with a repetition; it names one request of a virtual key's."""


class Gateway(Struct, frozen=True):
    """Everything a request meets on its way; made once by the composition root."""

    snapshots: SnapshotSource
    records: RecordWriter
    note_refused_key: Callable[[bytes, str], None]
    """Told of every key that opened nothing, with the request's id: its owners may read why, its caller may not."""
    note_residency_violation: Callable[[VirtualKey, str, str], None]
    """Told of every request that may be sent nowhere: its key, its id, the model it asked for."""
    admission: "AdmissionControl"
    idempotency: "IdempotencyStore"
    refuse_unpriced: bool
    clock: Callable[[], float]
    """Monotonic seconds."""
    clock_ms: Callable[[], int]
    """Wall clock, ms since the epoch."""
