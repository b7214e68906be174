"""One upstream try: send, understand the answer, pass it on.

Until the first content of a stream the caller has seen nothing, so any failure is still a plain error with its own
status. After it, a failure ends the stream with an explicit error event; nothing is retried and nothing ends normally.
"""

import asyncio
import time
from collections.abc import Awaitable
from functools import lru_cache
from typing import Final

from headgate.domain.errors import DeadlineExceededError, HeadgateError
from headgate.domain.money import format_usd
from headgate.domain.record import Attempt
from headgate.pipeline.allowance import Allowance
from headgate.pipeline.call import Call, Gateway
from headgate.pipeline.faults import error_in_stream, error_of_failure, error_of_malformed, error_of_status
from headgate.pipeline.inline import start
from headgate.pipeline.prepare import Prepared
from headgate.pipeline.reply import HeaderList, Reply
from headgate.pipeline.settle import settle
from headgate.pipeline.trace import Settled, Trace, in_ms
from headgate.upstream.transport import (
    Headers,
    TotalTimeoutError,
    UpstreamAnswer,
    UpstreamFailure,
    UpstreamRequest,
)
from headgate.wire.format import (
    FaultyAnswerError,
    MalformedAnswerError,
    StreamMeter,
    UpstreamFault,
)
from headgate.wire.translate import TranslatingMeter, translate_answer

_JSON: Final = (b"content-type", b"application/json")
_EVENT_STREAM: Final = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_BUFFERING: Final = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_UPSTREAM_ID_HEADERS: Final = frozenset(
    {b"x-request-id", b"request-id", b"x-amzn-requestid", b"apim-request-id", b"cf-ray"}
)
_LONGEST_FAULT_BYTES: Final = 64 * 1024
_AFTER_END_S: Final = 0.25
"""How long a provider may take from its end marker to the end of the body; then its connection is given up."""


class InBandFaultError(Exception):
    """The provider sent an error inside its stream."""

    def __init__(self, fault: UpstreamFault) -> None:
        """Carry what the provider said."""
        super().__init__(fault.message)
        self.fault = fault


async def relay_whole(
    gateway: Gateway, prepared: Prepared, trace: Trace, reply: Reply, allowance: Allowance | None = None
) -> Settled:
    """Fetch a whole answer, meter it, pass its bytes on; return the settlement.

    Raises:
        HeadgateError: the provider failed; nothing has reached the caller.
    """
    this = _Try(gateway, prepared, trace, allowance)
    try:
        answer = await this.open()
        body = await answer.read()
        trace.upstream_done = gateway.clock()
        trace.metered = prepared.wire_format.meter_body(body)
        if prepared.is_translated(trace.call):
            body = translate_answer(trace.call.wire_format, prepared.wire_format, body, int(time.time()))
    except BaseException as error:
        told = this.failed(error)
        if told is None:
            raise
        raise told from error
    this.note(None)
    settled = await settle(trace)
    trace.first_event = gateway.clock()
    headers = this.headers()
    headers.append(_JSON)
    if settled.priced:
        headers.append((b"x-headgate-cost-usd", format_usd(settled.cost_nano_usd).encode()))
    waiting = reply.whole(200, headers, body)
    if waiting is not None:
        await waiting
    return settled


async def relay_stream(
    gateway: Gateway, prepared: Prepared, trace: Trace, reply: Reply, allowance: Allowance | None = None
) -> None:
    """Pass a stream on as it arrives, metering it on the way.

    Raises:
        HeadgateError: the provider failed; ``reply.begun`` says whether content has reached the caller.
    """
    this = _Try(gateway, prepared, trace, allowance)
    meter = _meter_of(prepared, trace.call)
    gate = _Gate(this, meter, reply)
    try:
        answer = await this.open()
        await gate.pump(answer)
        trace.upstream_done = gateway.clock()
        if not gate.has_ended:
            await gate.finish(meter.close())
    except BaseException as error:
        told = this.failed(error)
        if told is None:
            raise
        raise told from error
    finally:
        trace.metered = meter.metered()
        if this.answer is not None:
            await this.answer.aclose()
    this.note(None)


class _Try:
    """One upstream try: where it goes, what came back, and its line in the record."""

    __slots__ = ("_gateway", "_noted", "_prepared", "_sent", "_trace", "_upstream_id", "allowance", "answer")

    def __init__(self, gateway: Gateway, prepared: Prepared, trace: Trace, allowance: Allowance | None) -> None:
        self._gateway = gateway
        self._prepared = prepared
        self._trace = trace
        self._noted = False
        self._sent = False
        self._upstream_id: str | None = None
        self.answer: UpstreamAnswer | None = None
        self.allowance: Final = allowance

    def now(self) -> float:
        """Monotonic seconds."""
        return self._gateway.clock()

    @property
    def trace(self) -> Trace:
        """The notes of the request this try belongs to."""
        return self._trace

    async def open(self) -> UpstreamAnswer:
        """Send the request and return an answer whose status is 2xx. Raises the caller's error for any other."""
        trace = self._trace
        trace.dispatched = self.now()
        prepared = self._prepared
        provider = prepared.provider
        request = UpstreamRequest(
            method="POST",
            target=provider.base_target + prepared.wire_format.upstream_path,
            headers=_headers_of(prepared, trace.call),
            body=prepared.body,
            timeouts=prepared.timeouts,
            on_sent=self._note_sent,
        )
        answer = self.answer = await provider.transport.send(request)
        self._upstream_id = _upstream_request_id(answer)
        if 200 <= answer.status < 300:
            trace.may_be_billed = True
            return answer
        body = b""
        try:
            if answer.status >= 400:
                body = await answer.read()
        except UpstreamFailure:
            pass  # The status has said it all: this is a refusal, if one without its words.
        finally:
            await answer.aclose()
        fault = prepared.wire_format.parse_fault(body[:_LONGEST_FAULT_BYTES])
        self.note(f"status_{answer.status}")
        raise error_of_status(answer.status, fault, dict(answer.headers), provider, time.time())

    def _note_sent(self) -> None:
        self._sent = True

    def failed(self, error: BaseException) -> HeadgateError | None:
        """Note why the try failed; return the caller's error where the provider is at fault, ``None`` elsewhere."""
        provider = self._prepared.provider
        if isinstance(error, UpstreamFailure):
            self._trace.may_be_billed |= error.sent
            self.note(error.kind)
            if self._prepared.callers_deadline and isinstance(error, TotalTimeoutError):
                return DeadlineExceededError("The request's own deadline ran out before the answer was complete.")
            return error_of_failure(error, provider.name)
        if isinstance(error, FaultyAnswerError):
            self._trace.may_be_billed = False  # A refusal, whatever its status says.
            self.note("error_event")
            return error_in_stream(error.fault, provider)
        if isinstance(error, MalformedAnswerError):
            self.note("malformed")
            return error_of_malformed(error, provider)
        if isinstance(error, InBandFaultError):
            self.note("error_event")
            return error_in_stream(error.fault, provider)
        if isinstance(error, asyncio.CancelledError):
            # Once there is a head its status has decided.
            self._trace.may_be_billed |= self._sent and self.answer is None
            self.note("cancelled")
        elif not isinstance(error, HeadgateError):
            self.note("internal")
        return None

    def note(self, error: str | None) -> None:
        """Write the try's line; only the first call counts."""
        if self._noted:
            return
        self._noted = True
        trace, deployment, answer = self._trace, self._prepared.deployment, self.answer
        if trace.upstream_done is None:
            trace.upstream_done = self.now()
        assert trace.dispatched is not None
        trace.attempts = (
            *trace.attempts,
            Attempt(
                provider=deployment.provider,
                deployment=deployment.name,
                upstream_model=deployment.upstream_model,
                status=answer.status if answer is not None else None,
                error=error,
                duration_ms=in_ms(trace.upstream_done - trace.dispatched),
                upstream_request_id=self._upstream_id,
            ),
        )

    def headers(self) -> HeaderList:
        """The head of a good answer: ours alone; of the provider's own headers only its request id goes on."""
        call, prepared = self._trace.call, self._prepared
        request_id = call.request_id.encode()
        deployment = prepared.deployment
        headers = [(name, request_id) for name in call.wire_format.id_headers]
        headers += route_headers(prepared.envelope.model, deployment.provider, deployment.name)
        if prepared.ignored:
            headers.append((b"x-headgate-ignored", _header_text(", ".join(prepared.ignored))))
        if prepared.clamped_to is not None:
            headers.append((b"x-headgate-max-tokens", b"%d" % prepared.clamped_to))
        if self.allowance is not None:
            headers += self.allowance.rate_headers()
        if self._upstream_id is not None:
            headers.append((b"x-headgate-upstream-request-id", _header_text(self._upstream_id)))
        return headers


class _Gate:
    """Holds a stream back until its first content, then lets every event through as it comes.

    The end marker ends the reply at once; what the provider does behind it is of no concern to the caller.
    """

    __slots__ = ("_held", "_meter", "_patience", "_reply", "_try", "has_ended")

    def __init__(self, this: _Try, meter: StreamMeter, reply: Reply) -> None:
        self._try = this
        self._meter = meter
        self._reply = reply
        self._held: list[bytes] = []
        self.has_ended = False
        """The end marker has come and all before it is with the caller."""
        self._patience = asyncio.timeout(None)

    async def pump(self, answer: UpstreamAnswer) -> None:
        """Pass the provider's answer on until it ends; returns early where only its end is missing.

        The end is waited for a moment, for then the connection can be used again.
        """
        try:
            async with self._patience:
                await answer.pump(self.take)
        except (UpstreamFailure, TimeoutError):
            if not self.has_ended:
                raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.has_ended or task is None:
                raise
            task.uncancel()  # Nothing is left to be cancelled.

    def take(self, data: bytes) -> Awaitable[None] | None:
        """The sink: called once for each read from the provider, straight from the socket's callback."""
        meter = self._meter
        if meter.finished:
            return None
        try:
            events = meter.feed(data)
        except MalformedAnswerError as error:
            return start(self._break(error.passed, error))
        if meter.finished:
            return start(self._end_early(events))
        if meter.fault is not None:
            return start(self._break(events, InBandFaultError(meter.fault)))
        return self._pass(events)

    def _pass(self, events: bytes) -> Awaitable[None] | None:
        if self._reply.begun:
            return self._reply.write(events) if events else None
        if events:
            self._held.append(events)
        if not self._meter.content_started:
            return None
        return self._open()

    async def _break(self, events: bytes, error: Exception) -> None:
        """Pass on what the provider sent before it went wrong, then raise."""
        waiting = self._pass(events)
        if waiting is not None:
            await waiting
        raise error

    def _open(self) -> Awaitable[None] | None:
        self._try.trace.first_event = self._try.now()
        allowance = self._try.allowance
        if allowance is not None and allowance.awaits_input:
            allowance.input_reported(self._meter.metered().usage)
        headers = self._try.headers()
        headers.append(_EVENT_STREAM)
        headers.extend(_NO_BUFFERING)
        held, self._held = b"".join(self._held), []
        self._reply.begin(200, headers)
        return self._reply.write(held) if held else None

    async def finish(self, tail: bytes) -> None:
        """The provider's answer ended, with an end marker or in a way that stands for one."""
        if self._meter.fault is not None:
            raise InBandFaultError(self._meter.fault)
        await self._end(tail)

    async def _end_early(self, events: bytes) -> None:
        await self._end(events)
        self.has_ended = True
        self._patience.reschedule(asyncio.get_running_loop().time() + _AFTER_END_S)

    async def _end(self, events: bytes) -> None:
        """Pass the last events on and end the reply."""
        if not self._reply.begun:
            waiting = self._open()
            if waiting is not None:
                await waiting
        waiting = self._reply.end(events)
        if waiting is not None:
            await waiting


def _meter_of(prepared: Prepared, call: Call) -> StreamMeter:
    if prepared.is_translated(call):
        return TranslatingMeter(call.wire_format, prepared.wire_format, prepared.envelope.wants_usage, int(time.time()))
    return call.wire_format.meter_stream(prepared.hide_usage)


def _headers_of(prepared: Prepared, call: Call) -> Headers:
    """The provider's header fields, where the caller's own of the same format win."""
    headers, forwarded = prepared.provider.headers_of(prepared.deployment.credential), call.forwarded
    if not forwarded or prepared.is_translated(call):
        return headers
    names = {name for name, _ in forwarded}
    return (*(field for field in headers if field[0] not in names), *forwarded)


@lru_cache(maxsize=1024)
def route_headers(model: str, provider: str, deployment: str) -> HeaderList:
    """What is the same for every answer of a route. Nobody changes the list."""
    return [
        (b"x-headgate-model", _header_text(model)),
        (b"x-headgate-provider", provider.encode()),
        (b"x-headgate-deployment", _header_text(deployment)),
        (b"x-headgate-attempts", b"1"),
    ]


def _upstream_request_id(answer: UpstreamAnswer) -> str | None:
    for name, value in answer.headers:
        if name in _UPSTREAM_ID_HEADERS:
            return value[:128].decode("latin-1")
    return None


def _header_text(text: str) -> bytes:
    """A header value that no server refuses: printable ASCII, other characters as ``?``."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text).encode()
