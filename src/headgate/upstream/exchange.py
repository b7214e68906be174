"""One request's answer: what the caller holds, and what it decides about time and back-pressure.

A connection feeds it from the loop's callbacks; the caller awaits one future. Nothing here makes a task, and nothing is
queued while the caller keeps up.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Callable
from typing import Final

from headgate.upstream.head import PLAIN, Framing, decoded_headers
from headgate.upstream.inflate import Inflater
from headgate.upstream.transport import (
    CRUMB_BYTES,
    LEAST_CRUMBS_BYTES,
    AnswerTooLargeError,
    FirstEventTimeoutError,
    Headers,
    IdleTimeoutError,
    Sink,
    TotalTimeoutError,
    UpstreamFailure,
    UpstreamRequest,
)

_MAX_UNCLAIMED_BYTES: Final = 64 * 1024
"""So much of a body is kept before somebody takes it, or while the sink is busy; then reading pauses."""

_UNCLAIMED, _READING, _PUMPING = range(3)


class Exchange:
    """The answer on a connection, as `transport.UpstreamAnswer` describes it.

    ``watch`` asks the connection to have its timer fire no later than a time; the timer then asks `due`.
    """

    __slots__ = (
        "_alive_at",
        "_blocked",
        "_crumbs",
        "_failure",
        "_first_event_at",
        "_held",
        "_held_bytes",
        "_idle_s",
        "_inflater",
        "_left",
        "_loop",
        "_mode",
        "_pacer",
        "_paused",
        "_quiet_since",
        "_sink",
        "_total_at",
        "_transport",
        "_waiter",
        "_watch",
        "begun",
        "ended",
        "framing",
        "headers",
        "max_body_bytes",
        "status",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        transport: asyncio.Transport,
        watch: Callable[[float], None],
        request: UpstreamRequest,
        *,
        now: float,
        total_at: float,
    ) -> None:
        timeouts = request.timeouts
        self.status = 0
        """0 until the head has arrived."""
        self.headers: Headers = ()
        self.framing: Framing = PLAIN
        self.max_body_bytes = request.max_body_bytes
        self.begun = False
        """The first byte of the body has arrived."""
        self.ended = False
        """Nothing more will come: the body is complete, or the exchange failed."""
        self._transport: asyncio.Transport | None = transport
        self._loop = loop
        self._failure: BaseException | None = None
        self._first_event_at = now + timeouts.first_event
        self._idle_s = timeouts.idle
        self._total_at = total_at
        self._alive_at = self._quiet_since = now
        self._crumbs = LEAST_CRUMBS_BYTES
        self._waiter: Future[None] | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._left = request.max_body_bytes
        self._mode = _UNCLAIMED
        self._sink: Sink | None = None
        self._blocked: Awaitable[None] | None = None
        self._paused = False
        self._pacer = request.pacer
        self._inflater: Inflater | None = None
        self._watch = watch

    # What the caller does.

    async def arrived(self) -> None:
        """Wait for the head. Raises `UpstreamFailure` and its kin; cancellation closes the socket."""
        try:
            while not self.status and not self.ended:
                await self._wait()
        except BaseException:
            self._abandon()
            raise
        # A failure behind a complete head belongs to the body: `read` and `pump` raise it.
        if not self.status:
            self._raise_failure()

    async def read(self) -> bytes:
        """Return the whole body."""
        self._claim(_READING)
        try:
            if not self.ended:
                self._resume()
                while not self.ended:
                    await self._wait()
        except BaseException:
            self._abandon()
            raise
        self._raise_failure()
        held = self._held
        return held[0] if len(held) == 1 else b"".join(held)

    async def pump(self, sink: Sink) -> None:
        """Hand every piece of the body to ``sink`` as it arrives."""
        self._claim(_PUMPING)
        self._sink = sink
        try:
            self._drain()
            while True:
                if self._blocked is not None:
                    await self._unblock(self._blocked)
                elif self.ended:
                    break
                else:
                    await self._wait()
        except BaseException:
            self._abandon()
            raise
        self._sink = None
        self._raise_failure()

    async def aclose(self) -> None:
        """Close the socket unless the body has arrived to its end."""
        if self._mode == _UNCLAIMED:
            self._mode = _READING
        self._abandon()

    def _claim(self, mode: int) -> None:
        if self._mode != _UNCLAIMED:
            raise RuntimeError("the body of an answer is taken once")
        self._mode = mode

    def _abandon(self) -> None:
        """Leave nothing open behind a caller that was cancelled or whose sink failed."""
        self._sink = None
        self.ended = True
        self._held.clear()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._held.clear()
            raise failure

    def _wait(self) -> Future[None]:
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _unblock(self, blocked: Awaitable[None]) -> None:
        """Wait until the sink is ready again, bounded by the exchange's total time; then go on reading."""
        scope = asyncio.timeout_at(self._total_at)
        try:
            async with scope:
                await blocked
        except TimeoutError as error:
            if scope.expired():
                raise _total_timeout() from error
            raise
        self._blocked = None
        self._drain()

    def _drain(self) -> None:
        """Hand over what was held back, then let the socket be read again."""
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
            self._hand_over(data)
        if self._blocked is None:
            self._resume()

    def _resume(self) -> None:
        self._alive_at = self._loop.time()
        paused, self._paused = self._paused, False
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if paused:
                transport.resume_reading()
            self._watch(self.due()[0])

    # What the connection reports.

    def take_head(self, status: int, headers: Headers, framing: Framing) -> None:
        """Keep the head. Raises what makes the body unreadable; the head counts as arrived all the same."""
        self.status = status
        self.headers = decoded_headers(headers, framing)
        self.framing = framing
        if framing.length is not None and framing.length > self.max_body_bytes:
            raise AnswerTooLargeError("the answer's length exceeds the bound", sent=True)
        if framing.coding:
            self._inflater = Inflater(framing.coding, self.max_body_bytes)

    def take(self, data: bytes) -> None:
        """Take a piece of the body, in the loop's read callback. Raises `UpstreamFailure` and its kin."""
        self._left -= len(data)
        if self._left < 0:
            raise AnswerTooLargeError("the body exceeds the bound", sent=True)
        if len(data) >= CRUMB_BYTES or b"\n" in data:
            self._crumbs = LEAST_CRUMBS_BYTES
        else:
            self._take_crumb(len(data))
        if self._inflater is not None:
            data = self._inflater.feed(data)
            if not data:
                return
        if self._sink is not None and self._blocked is None:
            self._hand_over(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)

    def _take_crumb(self, size: int) -> None:
        """The first behind a sign of life is one as well, then only many; for the others time goes on."""
        self._crumbs += size
        if self._crumbs >= LEAST_CRUMBS_BYTES:
            self._crumbs = 0
        else:
            self._alive_at = self._quiet_since

    def note_read(self, now: float) -> None:
        """Bytes arrived: the idle time starts anew, unless `take` finds that they are none to speak of."""
        self._quiet_since, self._alive_at = self._alive_at, now

    def hold_back(self) -> None:
        """After a read callback: stop reading where nobody takes what comes."""
        if self._paused or self._mode == _READING:
            return
        transport = self._transport
        if transport is None:
            return
        if self._blocked is not None or self._held_bytes > _MAX_UNCLAIMED_BYTES:
            self._paused = True
            transport.pause_reading()
        elif self._pacer is not None and self._pacer.is_on and self._mode == _PUMPING:
            # It is nobody's fault and takes a moment, so time-outs go on.
            transport.pause_reading()
            self._pacer.rest(self._go_on)

    def _go_on(self) -> None:
        """It is this one's turn to be read."""
        transport = self._transport
        if transport is not None and not self._paused and not transport.is_closing():
            transport.resume_reading()

    def finish(self) -> None:
        """The body is complete; the connection is not ours any more."""
        if self._inflater is not None:
            try:
                self._inflater.finish()
            except UpstreamFailure as error:
                self._failure = error
        self._transport = None
        self.ended = True

    def fail(self, failure: BaseException) -> None:
        """End the exchange with ``failure``, which the caller meets next; the socket is closed."""
        if self.ended:
            return
        self._failure = failure
        self.ended = True
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._wake()

    def settle(self) -> None:
        """After a read callback: wake the caller if there is something to see."""
        if (
            self._waiter is not None
            and (self.ended or self._blocked is not None or self._mode == _UNCLAIMED)
            and (self.status or self.ended)
        ):
            self._wake()

    def due(self) -> tuple[float, Callable[[], UpstreamFailure]]:
        """When the next time-out strikes (loop time, seconds) and with which failure.

        While the caller holds reading back, the provider is not to blame: only the total time counts.
        """
        if self._paused or self._blocked is not None:
            return self._total_at, _total_timeout
        if not self.begun:
            due, failure = self._first_event_at, _first_event_timeout
        else:
            due, failure = self._alive_at + self._idle_s, _idle_timeout
        return (due, failure) if due < self._total_at else (self._total_at, _total_timeout)

    def _hand_over(self, data: bytes) -> None:
        sink = self._sink
        assert sink is not None
        try:
            self._blocked = sink(data)
        except Exception as error:  # whatever it is, it is the caller's own and raised to the caller
            self.fail(error)
            self._failure = error


def _first_event_timeout() -> UpstreamFailure:
    return FirstEventTimeoutError("the provider sent nothing of the body in time", sent=True)


def _idle_timeout() -> UpstreamFailure:
    return IdleTimeoutError("the provider stopped sending in the middle of the body", sent=True)


def _total_timeout() -> UpstreamFailure:
    return TotalTimeoutError("the time for the whole exchange ran out", sent=True)
