"""What the edge hands to the pipeline: one inbound request, and the gateway's own parts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from headgate.domain.access import VirtualKey
from headgate.domain.caching import CacheControl
from headgate.domain.routing import Strategy
from headgate.pipeline.load import LoadGate, Seat
from headgate.records.writer import RecordWriter
from headgate.routing.health import HealthBook
from headgate.snapshot import SnapshotSource
from headgate.upstream.pacing import Pacer
from headgate.wire.format import WireFormat

if TYPE_CHECKING:
    # It is built from what is below; the way back would be a circle.
    from headgate.pipeline.allowance import AdmissionControl
    from headgate.pipeline.caching import ResponseCache
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
    strategy: Strategy | None = None
    """How the caller wants its deployments to be chosen, in place of the alias' own way."""
    providers: tuple[str, ...] | None = None
    """The only providers that the caller wants to be asked."""
    forwarded: tuple[tuple[bytes, bytes], ...] = ()
    """Header fields that belong to the caller's format; they go on to a provider that speaks it too."""
    idempotency_key: str | None = None
    """What the caller sends again with a repetition; it names one request of a virtual key's."""
    cache_control: CacheControl | None = None
    """What the caller says of answers that were kept."""
    seat: Seat | None = None
    """Its place among the requests in flight, where it has one already; whoever is given the call gives it back."""


class Gateway(Struct, frozen=True):
    """Everything a request meets on its way; made once by the composition root."""

    snapshots: SnapshotSource
    records: RecordWriter
    note_refused_key: Callable[[bytes, str], None]
    """Told of every key that opened nothing, with the request's id: its owners may read why, its caller may not."""
    note_residency_violation: Callable[[VirtualKey, str, str], None]
    """Told of every request that may be sent nowhere: its key, its id, the model it asked for."""
    load: LoadGate
    """Bounds the requests in flight."""
    admission: "AdmissionControl"
    idempotency: "IdempotencyStore"
    health: HealthBook
    """How every deployment fared lately."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    clock_ms: Callable[[], int]
    """Wall clock, ms since the epoch."""
    draw: Callable[[], float]
    """A number from 0 to 1, evenly spread; not for secrets."""
    cache: "ResponseCache | None" = None
    """Answers that may be given again; ``None`` where the configuration caches nothing."""
    pacer: Pacer | None = None
    """Has streams take turns while there is more to pass on than can be; without one they never rest."""
    commit_after_s: float = 10.0
    """How long after its arrival a stream's head is given although no content has come."""
