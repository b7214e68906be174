"""Giving an answer again that is complete: in the caller's format, whole or as a stream, under the request's own id."""

from typing import Final, cast

from msgspec import Struct

from headgate.cache.key import entry_id
from headgate.cache.memory import Kept
from headgate.cache.recorded import Recorded, unpack
from headgate.catalog.cost import UnpricedUsageError, cost_of
from headgate.domain.caching import CacheNote, CacheStatus
from headgate.domain.chat import ChatResponse
from headgate.domain.chat_events import collect, spread
from headgate.domain.errors import UnsupportedFeatureError
from headgate.domain.usage import TokenUsage
from headgate.pipeline.allowance import Allowance
from headgate.pipeline.attempt import route_headers
from headgate.pipeline.cache_headers import cache_headers
from headgate.pipeline.call import Gateway
from headgate.pipeline.prepare import Asked
from headgate.pipeline.reply import EVENT_STREAM, JSON, HeaderList, Reply
from headgate.pipeline.trace import Trace
from headgate.routing.table import Deployment
from headgate.wire.format import Metered, WireFormat
from headgate.wire.rendition import Rendition, fresh_id, render_body, render_events, render_whole

_RECORDED: Final = ("recorded",)


class Turn(Struct, frozen=True, gc=False):
    """One request, understood and admitted, and what it is answered through."""

    gateway: Gateway
    asked: Asked
    trace: Trace
    reply: Reply
    allowance: Allowance | None


class Replay:
    """One request that is answered with what was said before."""

    __slots__ = ("_turn",)

    def __init__(self, turn: Turn) -> None:
        """Answer that request."""
        self._turn = turn

    async def kept(self, kept: Kept, marker: str, *, is_stale: bool = False) -> bool:
        """Give an answer that was kept; False, with nothing sent, where the caller's format cannot say it."""
        turn, entry = self._turn, kept.entry
        now_ms = turn.gateway.clock_ms()
        try:
            recorded = _recorded_of(kept)
            rendition = self._rendition(kept, recorded, marker)
        except (UnsupportedFeatureError, ValueError):
            return False
        saved = saved_nano_usd(turn.asked.deployment, recorded.usage)
        turn.trace.cache = CacheNote(
            CacheStatus.HIT_EXACT,
            entry=entry_id(entry.key),
            age_s=max(0, now_ms - entry.created_at_ms) // 1000,
            is_stale=is_stale,
            saved_nano_usd=0 if is_stale else saved,
            saved_input_tokens=0 if is_stale else recorded.usage.input_tokens,
            saved_output_tokens=0 if is_stale else recorded.usage.output_tokens,
        )
        await self.give(recorded, rendition, (entry.expires_at_ms - now_ms) // 1000)
        return True

    async def give(self, recorded: Recorded, rendition: Rendition, ttl_s: int | None = None) -> None:
        """Send a complete answer; `Trace.cache` says where it is from."""
        turn = self._turn
        trace, reply = turn.trace, turn.reply
        trace.metered = Metered(usage=None, finish_reason=recorded.finish_reason)
        trace.first_event = turn.gateway.clock()
        headers = self.headers(recorded.provider, recorded.deployment, ttl_s)
        body = rendition.with_id(fresh_id(trace.call.wire_format, trace.call.request_id))
        if turn.asked.envelope.stream:
            if not reply.begun:
                reply.begin(200, [*headers, *EVENT_STREAM])
            waiting = reply.end(body)
        else:
            headers.append(JSON)
            waiting = reply.whole(200, headers, body)
        if waiting is not None:
            await waiting

    def headers(self, provider: str, deployment: str, ttl_s: int | None = None) -> HeaderList:
        """Return the head of an answer for which nothing was sent."""
        turn = self._turn
        trace, note = turn.trace, turn.trace.cache
        assert note is not None, "the cache answers"
        request_id = trace.call.request_id.encode()
        headers = [(name, request_id) for name in trace.call.wire_format.id_headers]
        headers += route_headers(turn.asked.envelope.model, provider, deployment, len(trace.attempts))
        if turn.allowance is not None:
            headers += turn.allowance.rate_headers()
        return headers + cache_headers(note, ttl_s)

    def _rendition(self, kept: Kept, recorded: Recorded, marker: str) -> Rendition:
        """Return the answer in the caller's format, made once for all who want it so."""
        form, envelope = self._turn.trace.call.wire_format, self._turn.asked.envelope
        shape = (form.name, envelope.stream, envelope.wants_usage)
        found = kept.renditions.get(shape)
        if found is None:
            created_s = kept.entry.created_at_ms // 1000
            found = render(form, recorded, created_s, stream=envelope.stream, usage=envelope.wants_usage, marker=marker)
            kept.renditions[shape] = found
            self._charge(kept, found)
        return cast("Rendition", found)

    def _charge(self, kept: Kept, rendition: Rendition) -> None:
        cache = self._turn.gateway.cache
        if cache is not None:
            cache.exact.charge(kept.entry.key, sum(map(len, rendition.pieces)))


def render(
    form: WireFormat, recorded: Recorded, created_s: int, *, stream: bool, usage: bool, marker: str
) -> Rendition:
    """Return a complete answer as ``form`` says it.

    Raises:
        UnsupportedFeatureError: it cannot say all of it.
        ValueError: likewise.
    """
    if recorded.body is not None:
        return render_body(recorded.body.encode())
    if stream:
        events = recorded.events or spread(_answer_of(recorded))
        return render_events(form, events, created_s, wants_usage=usage, marker=marker)
    return render_whole(form, _answer_of(recorded), created_s, marker)


def _answer_of(recorded: Recorded) -> ChatResponse:
    return recorded.answer or collect(recorded.events)


def _recorded_of(kept: Kept) -> Recorded:
    found = kept.renditions.get(_RECORDED)
    if found is None:
        found = kept.renditions[_RECORDED] = unpack(kept.entry.payload)
    return cast("Recorded", found)


def saved_nano_usd(deployment: Deployment, usage: TokenUsage) -> int:
    """Return what ``usage`` would have cost at the deployment that would have been asked; 0 where nobody knows.

    What the provider had read from its own prefix cache when it answered is priced as that: it is no saving of ours.
    """
    price = deployment.price
    if price is None:
        return 0
    try:
        return cost_of(price, usage)
    except UnpricedUsageError:
        return 0
