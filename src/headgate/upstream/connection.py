"""One pooled connection: it owns the socket and the parser, and turns bytes into heads and pieces of bodies.

Everything runs in the event loop's callbacks. Several pieces that one read brings are handed on as one; one timer
serves all time-outs of a connection's life and is set anew only when it fires.
"""

import asyncio
import select
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Final, cast

import httptools

from headgate.upstream.exchange import Exchange
from headgate.upstream.head import MAX_FIELDS, MAX_HEAD_BYTES, MAX_INTERIM_HEADS, read_framing
from headgate.upstream.outbox import Outbox
from headgate.upstream.transport import ConnectionCutError, MalformedHttpError, UpstreamFailure, UpstreamRequest

_JOIN_BELOW_BYTES: Final = 64 * 1024
"""Bodies up to this are copied behind the head for one write; larger ones are not copied."""
_FRAMING_FREE_BYTES: Final = 64 * 1024
_FRAMING_PER_BODY_BYTE: Final = 8
"""Chunk headers, extensions and trailers may cost this much; a chunk of one byte costs five."""
_BODILESS_METHODS: Final = ("GET", "HEAD", "DELETE")
"""They send no ``content-length`` without a body (RFC 9110 §8.6)."""


class _SurplusError(Exception):
    """A second answer begins behind the one that was asked for. Stops the parser; never leaves this module."""


class Connection(asyncio.Protocol):
    """One connection to an origin. Idle, or busy with one exchange, or closed.

    ``on_idle`` is called when an exchange ended and the connection may be used again; ``on_lost`` once, at its end.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        *,
        outbox: Outbox,
        idle_expiry_s: float,
        max_age_s: float,
        on_idle: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._outbox = outbox
        self._idle_expiry_s = idle_expiry_s
        self._retire_at = loop.time() + max_age_s
        self._idle_until = self._retire_at
        self._on_idle = on_idle
        self._on_lost = on_lost
        self.lost = False
        """Whether `connection_lost` has been called."""
        self._transport: asyncio.Transport | None = None
        self._readable = select.poll()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._exchange: Exchange | None = None
        self._bodiless = False
        self._large_request = False
        self._message_done = False
        self._keep_alive = False
        self._end_announced = False
        self._fields: list[tuple[bytes, bytes]] = []
        self._interim_heads = 0
        self._wire_bytes = 0
        self._body_bytes = 0
        self._pieces: list[bytes] = []
        # The parser calls list.append itself: no Python frame per chunk.
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)

    # What the pool and the transport do.

    def start(self, head: bytes, request: UpstreamRequest, now: float, total_at: float) -> Exchange:
        """Send a request, head and body at once, and return the exchange that awaits its answer."""
        transport = self._transport
        assert transport is not None
        assert self._exchange is None
        exchange = self._exchange = Exchange(self._loop, transport, self._watch, request, now=now, total_at=total_at)
        self._bodiless = request.method == "HEAD"
        self._message_done = False
        self._interim_heads = 0
        self._wire_bytes = 0
        self._body_bytes = 0
        body = request.body
        if body or request.method not in _BODILESS_METHODS:
            head = b"%bcontent-length: %d\r\n\r\n" % (head, len(body))
        else:
            head += b"\r\n"
        if request.on_sent is not None:
            request.on_sent()
        self._large_request = len(body) > _JOIN_BELOW_BYTES
        if self._large_request:
            transport.writelines((head, body))
        else:
            self._outbox.put(transport, head + body)
        self._watch(exchange.due()[0])
        return exchange

    def fit(self, now: float) -> bool:
        """Whether a request may be sent: not closing, not too old, and nothing unread (stray bytes, or the end)."""
        transport = self._transport
        return (
            transport is not None
            and not transport.is_closing()
            and now < self._retire_at
            and not self._readable.poll(0)
        )

    def close(self) -> None:
        """Close the socket at once; `connection_lost` follows."""
        if self._transport is not None:
            self._transport.abort()

    def cut(self) -> None:
        """Close the socket at once and fail the exchange that is on it: the gateway goes down."""
        if self._exchange is not None:
            self._exchange.fail(ConnectionCutError("the transport is closed", sent=True))
        self.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.Transport", transport)
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Parse, hand the body's bytes on in one piece, and see whether the answer is complete."""
        exchange = self._exchange
        if exchange is None:
            # Nobody asked: it could be taken for the answer to the next request.
            self.close()
            return
        exchange.note_read(self._loop.time())
        self._wire_bytes += len(data)
        unreadable: UpstreamFailure | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._keep_alive = False
            unreadable = _failure_of(error)
        try:
            self._pass_on(exchange)
            # What stands behind a complete answer spoils the connection, not the answer.
            if unreadable is not None and not self._message_done:
                raise unreadable
        except UpstreamFailure as failure:
            exchange.fail(failure)
        if exchange.ended:
            return
        if self._message_done:
            self._finish(exchange)
            return
        exchange.hold_back()
        exchange.settle()

    def eof_received(self) -> None:
        """The other side is done sending; the transport closes itself and calls `connection_lost`.

        Under TLS uvloop calls this for a close_notify only, so a cut is told from an end (RFC 9112 §9.8); the standard
        loop calls it for both.
        """
        self._end_announced = True

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange: a body that lasts until the close is complete now, any other is cut."""
        self._transport = None
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not exchange.ended:
            if exc is None and self._end_announced and exchange.framing.until_close and exchange.status:
                exchange.finish()
                exchange.settle()
            else:
                where = "in the middle of the body" if exchange.status else "before it answered"
                exchange.fail(ConnectionCutError(f"the provider closed the connection {where}", sent=True))
        self._on_lost(self)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """A head begins."""
        if self._message_done:
            raise _SurplusError
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or of the trailer (which is bounded and dropped)."""
        fields = self._fields
        if len(fields) >= MAX_FIELDS:
            raise MalformedHttpError("the answer has too many header fields", sent=True)
        fields.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        exchange = self._exchange
        assert exchange is not None
        status = self._parser.get_status_code()
        if status < 200:
            self._interim_heads += 1
            if status == 101 or self._interim_heads > MAX_INTERIM_HEADS:
                raise MalformedHttpError(f"the provider sent an interim answer {status} too many", sent=True)
            return
        headers = tuple(self._fields)
        self._fields = []
        exchange.take_head(status, headers, read_framing(status, headers, bodiless=self._bodiless))
        if self._bodiless:
            # The parser does not know the method and would wait for a body.
            self._message_done = True
            self._keep_alive = False

    def on_message_complete(self) -> None:
        """The answer is whole (or one of its interim heads)."""
        exchange = self._exchange
        assert exchange is not None
        if exchange.status:
            self._message_done = True
            self._keep_alive = self._parser.should_keep_alive() and not self._bodiless

    # Parts of the above

    def _pass_on(self, exchange: Exchange) -> None:
        """Hand the pieces that one read brought to the exchange, as one."""
        pieces = self._pieces
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            if not exchange.status or self._bodiless:
                return
            self._body_bytes += len(data)
            first = not exchange.begun
            exchange.begun = True
            exchange.take(data)
            if first and not self._message_done and not exchange.ended:
                self._watch(exchange.due()[0])
        if exchange.status:
            surplus = self._wire_bytes - self._body_bytes
            if surplus > MAX_HEAD_BYTES + _FRAMING_FREE_BYTES + _FRAMING_PER_BODY_BYTE * self._body_bytes:
                raise MalformedHttpError("the body's framing is out of proportion to the body", sent=True)
        elif self._wire_bytes > MAX_HEAD_BYTES:
            raise MalformedHttpError("the answer's head is too large", sent=True)

    def _finish(self, exchange: Exchange) -> None:
        """The answer is complete: free the connection before the caller even wakes up."""
        transport = self._transport
        self._exchange = None
        exchange.finish()
        exchange.settle()
        if transport is None or transport.is_closing():
            return
        # An answer that came before the request was out leaves a connection in a state nobody can tell.
        unsent = self._large_request and transport.get_write_buffer_size() > 0
        if not self._keep_alive or unsent:
            self.close()
            return
        self._idle_until = min(self._loop.time() + self._idle_expiry_s, self._retire_at)
        self._watch(self._idle_until)
        self._on_idle(self)

    def _watch(self, due: float) -> None:
        """See to it that the one timer fires no later than ``due``; a timer that fires early is set again."""
        timer = self._timer
        if timer is not None:
            if self._timer_at <= due:
                return
            timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        exchange = self._exchange
        if exchange is None:
            if self._loop.time() >= self._idle_until:
                self.close()
            else:
                self._watch(self._idle_until)
            return
        due, failure = exchange.due()
        if self._loop.time() >= due:
            exchange.fail(failure())
        else:
            self._watch(due)


def _failure_of(error: httptools.HttpParserError) -> UpstreamFailure:
    """The failure that one of our callbacks raised, or the parser's own complaint."""
    cause = error.__context__
    if isinstance(cause, UpstreamFailure):
        return cause
    return MalformedHttpError(f"the provider's bytes are not HTTP/1.1: {error}", sent=True)
