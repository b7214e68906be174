"""What is learned about one request while it runs; its record is made from this at the end."""

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from headgate.domain.access import VirtualKey
from headgate.domain.caching import CacheNote
from headgate.domain.errors import HeadgateError
from headgate.domain.record import Attempt, Outcome, RequestMemo, RequestRecord, Spending
from headgate.domain.routing import RoutingNote
from headgate.domain.usage import TokenUsage, UsageQuality, sum_usage, worst
from headgate.pipeline.call import Call
from headgate.routing.table import Deployment
from headgate.wire.format import Envelope, Metered

if TYPE_CHECKING:
    from headgate.pipeline.tape import Tape

_NOTHING_METERED: Final = Metered(usage=None)
_ID: Final = attrgetter("id")


class Settled(Struct, frozen=True, gc=False):
    """Tokens and money of one request, final."""

    usage: TokenUsage
    quality: UsageQuality
    cost_nano_usd: int
    priced: bool
    """False where no price is known: the cost is unknown then, not 0."""
    price_version: str | None = None


NOTHING_USED: Final = Settled(TokenUsage(), UsageQuality.NONE, 0, priced=True)
"""Nothing was sent upstream, or the provider refused it."""


def in_ms(seconds: float) -> float:
    """Return milliseconds rounded to three decimals; `round` would take six times as long."""
    return int(seconds * 1_000_000 + 0.5) / 1000


def tags_of(sent: tuple[tuple[str, str], ...], key: VirtualKey | None) -> tuple[tuple[str, str], ...]:
    """The tags of a request: those of its key, which a caller cannot replace, then those it sent."""
    if key is None or not key.tags:
        return sent
    names = {name for name, _ in key.tags}
    return (*key.tags, *(tag for tag in sent if tag[0] not in names))


class Trace:
    """Mutable notes of one request, filled in as its stages pass. Times are monotonic seconds."""

    __slots__ = (
        "attempts",
        "billed",
        "cache",
        "call",
        "deployment",
        "dispatched",
        "envelope",
        "error",
        "first_event",
        "is_unrecorded",
        "key",
        "may_be_billed",
        "metered",
        "outcome",
        "routing",
        "seat",
        "spending",
        "status",
        "tape",
        "upstream_done",
        "upstream_s",
    )

    def __init__(self, call: Call) -> None:
        """Begin with nothing known but the call."""
        self.call = call
        self.key: VirtualKey | None = None
        self.envelope: Envelope | None = None
        self.deployment: Deployment | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.billed: tuple[Settled, ...] = ()
        """What tries that failed are billed for all the same."""
        self.dispatched: float | None = None
        """When the request went to the provider, in its last try."""
        self.upstream_s = 0.0
        """How long providers took in the tries before, and the waits between them."""
        self.may_be_billed = False
        """The provider took the request on (a 2xx head, or silence after bytes of it were sent)."""
        self.upstream_done: float | None = None
        self.first_event: float | None = None
        self.metered = _NOTHING_METERED
        self.outcome = Outcome.OK
        self.status = 200
        self.error: HeadgateError | None = None
        self.spending: Spending | None = None
        self.routing: RoutingNote | None = None
        self.cache: CacheNote | None = None
        self.tape: Tape | None = None
        """Where the provider's answer is recorded, for the cache and for those who ask the same."""
        self.seat = call.seat
        """What the request holds of the gateway's capacity."""
        self.is_unrecorded = False
        """One of a flood that was shed: it is counted, and has no record of its own."""

    def begin_again(self, deployment: Deployment, used: Settled, now: float) -> None:
        """Turn to the next try; ``used`` is what the one before is billed for."""
        if used.quality is not UsageQuality.NONE:
            self.billed = (*self.billed, used)
            self.attempts = (*self.attempts[:-1], replace(self.attempts[-1], cost_nano_usd=used.cost_nano_usd))
        if self.dispatched is not None:
            self.upstream_s += now - self.dispatched
        self.deployment = deployment
        self.dispatched = self.upstream_done = self.first_event = None
        self.may_be_billed = False
        self.metered = _NOTHING_METERED

    def total(self, settled: Settled) -> Settled:
        """Return what all tries together used, where ``settled`` is what the last one did."""
        if not self.billed:
            return settled
        every = (*self.billed, settled)
        last = settled if settled.quality is not UsageQuality.NONE else self.billed[-1]
        return Settled(
            sum_usage([each.usage for each in every]),
            # A sum is as good as the worst of what is in it, and what was not sent is not in it.
            worst([each.quality for each in every if each.quality is not UsageQuality.NONE]),
            sum(each.cost_nano_usd for each in every),
            priced=all(each.priced for each in every),
            price_version=last.price_version,
        )

    def memo(self) -> RequestMemo:
        """Return what a start after a crash makes the record of; the request is understood by now."""
        call, key, envelope, deployment = self.call, self.key, self.envelope, self.deployment
        assert key is not None, "the caller is known"
        assert envelope is not None, "the request is understood"
        assert deployment is not None, "the request is understood"
        return RequestMemo(
            call.request_id,
            call.started_at_ms,
            tuple(map(_ID, key.path)),
            key.id,
            call.end_user or envelope.end_user,
            call.session,
            tags_of(call.tags or envelope.tags, key),
            call.wire_format.operation,
            call.wire_format.name,
            envelope.model,
            deployment.provider,
            deployment.name,
            deployment.upstream_model,
            envelope.stream,
            deployment.is_sandbox,
        )

    def record(self, settled: Settled, now: float) -> RequestRecord:
        """Return the record of this request, ended at ``now``."""
        call, key, envelope, deployment = self.call, self.key, self.envelope, self.deployment
        settled = self.total(settled)
        upstream_s = self.upstream_s
        if self.dispatched is not None:
            upstream_s += (self.upstream_done or now) - self.dispatched
        duration_s = now - call.started
        first_event = self.first_event
        # In the order of the fields, as in `memo`: so many by name would take four times as long.
        return RequestRecord(
            call.request_id,
            call.started_at_ms,
            key.path[0].id if key is not None else None,
            tuple(map(_ID, key.path)) if key is not None else (),
            key.id if key is not None else None,
            call.end_user or (envelope.end_user if envelope is not None else None),
            call.session,
            tags_of(call.tags or (envelope.tags if envelope is not None else ()), key),
            call.wire_format.operation,
            call.wire_format.name,
            envelope.model if envelope is not None else None,
            deployment.provider if deployment is not None else None,
            deployment.name if deployment is not None else None,
            deployment.upstream_model if deployment is not None else None,
            envelope.stream if envelope is not None else False,
            self.attempts,
            self.outcome,
            self.status,
            self.error.code if self.error is not None else None,
            self.metered.finish_reason,
            settled.usage,
            settled.quality,
            settled.cost_nano_usd,
            settled.priced,
            settled.price_version,
            in_ms(first_event - call.started) if first_event is not None else None,
            in_ms(duration_s),
            in_ms(duration_s - upstream_s),
            deployment is not None and deployment.is_sandbox,
            self.spending,
            self.routing,
            self.cache,
        )
