"""From the provider's answer to the caller's: whole, or as a stream that is held back until its first content."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

from headgate.domain.money import format_usd
from headgate.pipeline.allowance import Allowance
from headgate.pipeline.attempt import InBandFaultError, Try
from headgate.pipeline.call import Call, Gateway
from headgate.pipeline.inline import start
from headgate.pipeline.prepare import Prepared
from headgate.pipeline.reply import EVENT_STREAM, JSON, PING_EVERY_S, Reply
from headgate.pipeline.settle import settle
from headgate.pipeline.trace import Settled, Trace
from headgate.upstream.transport import UpstreamAnswer, UpstreamFailure
from headgate.wire.format import MalformedAnswerError, StreamMeter
from headgate.wire.translate import TranslatingMeter, translate_answer

_AFTER_END_S: Final = 0.25
"""How long a provider may take from its end marker to the end of the body; then its connection is given up."""


async def relay_whole(
    gateway: Gateway, prepared: Prepared, trace: Trace, reply: Reply, allowance: Allowance | None = None
) -> Settled:
    """Fetch a whole answer, meter it, pass its bytes on; return the settlement.

    Raises:
        AttemptFailedError: the provider failed; nothing has reached the caller.
    """
    this = Try(gateway, prepared, trace, allowance)
    tape = trace.tape
    if tape is not None:
        tape.begin(prepared.wire_format, stream=False)
    try:
        answer = await this.open()
        body = await answer.read()
        trace.upstream_done = gateway.clock()
        trace.metered = prepared.wire_format.meter_body(body)
        if tape is not None:
            tape.whole(prepared.wire_format, body)
        if prepared.is_translated(trace.call):
            body = translate_answer(trace.call.wire_format, prepared.wire_format, body, int(time.time()))
    except BaseException as error:
        told = this.failed(error)
        if told is None:
            raise
        raise told from error
    this.succeeded()
    settled = await settle(trace)
    total = trace.total(settled)
    trace.first_event = gateway.clock()
    headers = this.headers()
    headers.append(JSON)
    if total.priced:
        headers.append((b"x-headgate-cost-usd", format_usd(total.cost_nano_usd).encode()))
    waiting = reply.whole(200, headers, body)
    if waiting is not None:
        await waiting
    return settled


async def relay_stream(
    gateway: Gateway, prepared: Prepared, trace: Trace, reply: Reply, allowance: Allowance | None = None
) -> None:
    """Pass a stream on as it arrives, metering it on the way.

    Raises:
        AttemptFailedError: the provider failed; ``reply.begun`` says whether content has reached the caller.
    """
    this = Try(gateway, prepared, trace, allowance)
    meter = _meter_of(prepared, trace.call)
    tape = trace.tape
    if tape is not None:
        tape.begin(prepared.wire_format, stream=True)
    gate = _Gate(this, meter, reply, trace.call.wire_format.ping)
    gate.commit_in(trace.call.started + gateway.commit_after_s - gateway.clock())
    try:
        answer = await this.open()
        await gate.pump(answer)
        trace.upstream_done = gateway.clock()
        if not gate.has_ended:
            await gate.finish(meter.close())
        if tape is not None:
            tape.close()
    except BaseException as error:
        told = this.failed(error)
        if told is None:
            raise
        raise told from error
    finally:
        gate.stop_pinging()
        trace.metered = meter.metered()
        if this.answer is not None:
            await this.answer.aclose()
    this.succeeded()


class _Gate:
    """Holds a stream back until its first content, then lets every event through as it comes.

    Until then another provider may still answer instead. A caller does not wait for ever, though: where no content
    comes for long, the head is given all the same, and pings show that the connection lives. From then on there is no
    other answer than this one.

    The end marker ends the reply at once; what the provider does behind it is of no concern to the caller.
    """

    __slots__ = ("_held", "_is_early", "_meter", "_patience", "_ping", "_reply", "_tape", "_timer", "_try", "has_ended")

    def __init__(self, this: Try, meter: StreamMeter, reply: Reply, ping: bytes) -> None:
        self._try = this
        self._tape = this.trace.tape
        self._meter = meter
        self._reply = reply
        self._ping = ping
        self._timer: asyncio.TimerHandle | None = None
        self._is_early = False
        """The head was given although there is no content yet."""
        self._held: list[bytes] = []
        self.has_ended = False
        """The end marker has come and all before it is with the caller."""
        self._patience = asyncio.timeout(None)

    def commit_in(self, seconds: float) -> None:
        """Give the head after so long at the latest. One timer a stream; the first content ends it."""
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._commit)

    def stop_pinging(self) -> None:
        """Let the timer go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _commit(self) -> None:
        if not self._reply.begun:
            self._is_early = True
            self._begin()
        self._timer = asyncio.get_running_loop().call_later(PING_EVERY_S, self._commit)
        held, self._held = b"".join(self._held), []
        # A caller who reads so slowly that this has to wait needs no sign of life; the piece is kept all the same.
        self._reply.write(held + self._ping)

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
        if self._tape is not None:
            self._tape.feed(data)
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
            if self._is_early and self._meter.content_started:
                self._is_early = False
                self._note_content()
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

    def _note_content(self) -> None:
        self.stop_pinging()
        self._try.content_began()
        if self._tape is not None:
            self._tape.open()
        allowance = self._try.allowance
        if allowance is not None and allowance.awaits_input:
            allowance.input_reported(self._meter.metered().usage)

    def _begin(self) -> None:
        headers = self._try.headers()
        headers.extend(EVENT_STREAM)
        self._reply.begin(200, headers)

    def _open(self) -> Awaitable[None] | None:
        self._note_content()
        self._begin()
        held, self._held = b"".join(self._held), []
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
        if self._is_early:
            self._is_early = False
            self._note_content()
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
