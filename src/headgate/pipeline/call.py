"""What the edge hands to the pipeline: one inbound request, and the gateway's own parts."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from headgate.providers.provider import Provider
from headgate.records.writer import RecordWriter
from headgate.snapshot import SnapshotSource
from headgate.wire.format import WireFormat


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
    forwarded: tuple[tuple[bytes, bytes], ...] = ()
    """Header fields that belong to the caller's format; they go on to a provider that speaks it too."""


class Gateway(Struct, frozen=True):
    """Everything a request meets on its way; made once by the composition root."""

    snapshots: SnapshotSource
    providers: Mapping[str, Provider]
    records: RecordWriter
    note_refused_key: Callable[[bytes, str], None]
    """Told of every key that opened nothing, with the request's id: its owners may read why, its caller may not."""
    refuse_unpriced: bool
    clock: Callable[[], float]
    """Monotonic seconds."""
    clock_ms: Callable[[], int]
    """Wall clock, ms since the epoch."""
