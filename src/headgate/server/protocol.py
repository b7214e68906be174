"""One client connection: HTTP/1.1 with the limits of an edge. llhttp (httptools) parses; this class decides.

llhttp already refuses bad chunk sizes, content-length beside transfer-encoding, bare line feeds and the like; what it
accepts and a gateway should not is refused here. A refusal before a request exists has no wire format to speak, so it
is JSON in OpenAI's shape, and the connection is closed (RFC 9112 §9.6: its framing cannot be trusted).

A request is answered when it is there as a whole, or when its head alone is reason to refuse it, one at a time and in
order. Time-outs are kept as one number a connection and looked at by the listener's sweep: no timer per request.
"""

import asyncio
import logging
import math
import re
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Awaitable
from typing import Final, cast

import httptools
import msgspec

from headgate.domain.errors import (
    BodyTooLargeError,
    HeadersTooLargeError,
    HeadgateError,
    InvalidRequestError,
    OverloadedError,
    RequestTimeoutError,
)
from headgate.pipeline.handle import shutting_down
from headgate.server.head import CONTRADICTED, find_fields
from headgate.server.inbound import Application, Fields, Inbound, status_line
from headgate.upstream.outbox import Outbox

MAX_HEADERS: Final = 128
MAX_HEADER_BYTES: Final = 64 * 1024
MOST_PIPELINED: Final = 16
UNREAD_S: Final = 60.0
"""How long a client may leave what was sent to it unread before its connection is aborted."""
LINGER_S: Final = 2.0
"""How long the rest of a refused body is read and dropped, so that the refusal is seen."""
KEEP_ALIVE_S: Final = 75.0
"""How long an idle connection is kept: longer than the 60 s of common load balancers, so that they close first."""
SLOWEST_BODY_BYTES_PER_S: Final = 512
FREE_PIECES: Final = 10_000
SMALLEST_PIECE: Final = 16
"""Beyond the free pieces, a body's chunks hold at least this many bytes on average: each costs CPU, however small."""
FREE_FRAMING_BYTES: Final = 256 * 1024
"""Chunk sizes, their extensions and trailers may take this much, and as much again as the body itself."""

_HEAD_TOO_LARGE: Final = HeadersTooLargeError(
    f"The request's head is larger than {MAX_HEADER_BYTES} bytes or has more than {MAX_HEADERS} fields."
)
_UPGRADE_FIELDS: Final = frozenset({b"upgrade", b"connection", b"http2-settings"})
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_TARGET: Final = re.compile(rb"[!-~]+")
_log: Final = logging.getLogger("headgate.server")


class Site:
    """What all connections of a listener share."""

    __slots__ = ("application", "connections", "date", "header_timeout_s", "max_connections", "outbox", "tasks")

    def __init__(
        self, application: Application, header_timeout_s: float, max_connections: int, loop: AbstractEventLoop
    ) -> None:
        """Start without a connection."""
        self.outbox = Outbox(loop)
        self.max_connections = max_connections
        self.application = application
        self.header_timeout_s = header_timeout_s
        self.date = b""
        """The Date field as a line; the listener keeps it true."""
        self.connections: set[EdgeProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        """Requests being answered."""


class EdgeProtocol(asyncio.Protocol):
    """One client connection."""

    def __init__(self, site: Site, loop: AbstractEventLoop) -> None:
        """Wait for the first request."""
        self.site = site
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.is_lost = False
        self.deadline = loop.time() + site.header_timeout_s
        """Loop time at which `look` ends the wait for the client."""
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        # A request behind one that said `connection: close` is not answered, but it is no reason to fail that one.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._refusal: HeadgateError | None = None
        # The head that is arriving.
        self._url = b""
        self._fields: Fields = []
        self._head_bytes = 0
        self._fed_bytes = 0
        self._in_head = False
        self._checked: tuple[bytes, bytes | None] = (b"", None)
        # The body that is arriving.
        self._arriving: Inbound | None = None
        self._pieces: list[bytes] = []
        self._piece_count = 0
        self._body_begun = 0.0
        self._body_bytes = 0
        self._body_bytes_before = 0
        """Of the body that is arriving, what earlier reads had brought."""
        self._framing_bytes = 0
        # Requests that are there.
        self._running: Inbound | None = None
        self._waiting: deque[Inbound] = deque()
        # The way out.
        self._drained: Future[None] | None = None
        self._is_paused = False
        self._is_draining = False
        self._lingering = False
        self._is_upgrade = False
        self._unsent = 0
        self._unsent_since = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self.transport = cast("asyncio.Transport", transport)
        connections = self.site.connections
        if len(connections) >= self.site.max_connections:
            self._refusal = OverloadedError("The gateway has too many connections.", reason="too_many_connections")
            self._refuse_now()
        connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: every request of this connection hears of it, and none that waits is begun."""
        self.is_lost = True
        self.site.connections.discard(self)
        self._waiting.clear()
        self._arriving = None
        self.resume_writing()
        running, self._running = self._running, None
        if running is not None:
            running.leave()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, or refuse it."""
        if self._lingering:
            return
        self._body_bytes_before = self._body_bytes
        self._fed_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse_now()
            return
        if self._in_head:
            # llhttp keeps a field until it is whole, however long it gets, so what counts is what was fed to it.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES:
                self._refusal = _HEAD_TOO_LARGE
                self._refuse_now()
        elif self._arriving is not None:
            self._wait_for_more(len(data) - (self._body_bytes - self._body_bytes_before))

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """The client has caught up, or is gone."""
        self._is_paused = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        if self._running is None:
            self._begin_next()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """A request's first byte: from here its head must arrive in time."""
        self._url = b""
        self._fields = []
        self._head_bytes = 0
        self._in_head = True
        self.deadline = self._loop.time() + self.site.header_timeout_s

    def on_url(self, url: bytes) -> None:
        """Keep a piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head. Those of a trailer are kept too, by nobody's request, until the next head."""
        fields = self._fields
        if len(fields) >= MAX_HEADERS:
            self._refuse(_HEAD_TOO_LARGE)
        fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole: check it and show it to the application; the body's clock starts."""
        parser = self._parser
        self._in_head = False
        if parser.should_upgrade():
            self._is_upgrade = True
            return
        fields, self._fields = self._fields, []
        is_http_1_0 = parser.get_http_version() == "1.0"
        found = self._check_fields(fields, host_is_optional=is_http_1_0)
        inbound = Inbound(
            self,
            parser.get_method().decode("ascii"),
            self._check_target(found.get(b"host")),
            fields,
            found,
            is_http_1_0=is_http_1_0,
            keep_alive=not is_http_1_0 and parser.should_keep_alive(),
        )
        self._arriving = inbound
        self._piece_count = self._body_bytes = self._body_bytes_before = self._framing_bytes = 0
        self.site.application.admit(inbound)
        if inbound.refusal is not None:
            self._enqueue(inbound)
        elif b"expect" in found and self._running is None and found[b"expect"].lower() == b"100-continue":
            self.site.outbox.put(self.transport, b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, within its bound; what comes for a refused request is dropped."""
        self._body_bytes += len(body)
        if self._is_upgrade:
            return
        self._piece_count += 1
        if self._piece_count > FREE_PIECES and self._body_bytes < self._piece_count * SMALLEST_PIECE:
            self._refuse(InvalidRequestError("The body arrives in chunks that are too small."))
        inbound = self._arriving
        if inbound is None or inbound.refusal is not None:
            return
        if self._body_bytes > inbound.max_body:
            self._pieces.clear()
            inbound.refusal = BodyTooLargeError(f"The body is larger than {inbound.max_body} bytes.")
            self._enqueue(inbound)
            return
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Everything arrived: answer it, unless it is being refused already."""
        inbound, self._arriving = self._arriving, None
        if self._is_upgrade or inbound is None:
            return
        inbound.is_complete = True
        if inbound.refusal is None:
            pieces = self._pieces
            inbound.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._enqueue(inbound)
        # Whoever is being answered, or waits for it, is not waited for.
        self.deadline = math.inf if self.is_busy else self._loop.time() + KEEP_ALIVE_S

    # Requests and their answers

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with the answer now being given: the gateway goes down and nothing else waits."""
        return self._is_draining and not self._waiting

    def answered(self, inbound: Inbound) -> None:
        """The last byte of an answer has been handed over: go on with the next request, or close."""
        if self.is_lost:
            return
        self._running = None
        if not inbound.keep_alive:
            self._close_after(inbound)
        elif self._waiting:
            if not self._is_paused:
                self._begin_next()
        elif not self._in_head and self._arriving is None:
            self.deadline = self._loop.time() + KEEP_ALIVE_S

    def drained(self) -> Awaitable[None] | None:
        """Return what to wait for before writing more; ``None`` while the client keeps up."""
        if not self._is_paused:
            return None
        if self._drained is None or self._drained.done():
            # Whoever waited last may have been cancelled, and the future with it.
            self._drained = self._loop.create_future()
        return self._drained

    def shutdown(self) -> None:
        """Close when the last request that is here has been answered."""
        self._is_draining = True
        if not self.is_busy:
            self._close()

    @property
    def is_busy(self) -> bool:
        """Whether a request is arriving, waiting or being answered."""
        return self._running is not None or self._arriving is not None or bool(self._waiting)

    def give_up(self) -> None:
        """Wait no longer for the rest of a request: the drain is over."""
        inbound = self._arriving
        if inbound is not None and inbound.refusal is None:
            inbound.refusal = shutting_down()
            self._enqueue(inbound)

    def look(self, now: float) -> None:
        """The sweep's look: end the wait for a client that does not send, and for one that does not read."""
        unsent = self.transport.get_write_buffer_size()
        if self.transport.is_closing() and self._unsent == 0 and unsent == 0:
            return
        if self.deadline < now:
            self.expire()
        if unsent == 0 or unsent < self._unsent or self._unsent == 0:
            self._unsent_since = now
        elif now - self._unsent_since > UNREAD_S:
            self.transport.abort()
        self._unsent = unsent

    def expire(self) -> None:
        """The deadline has passed: say so where a request had begun, and close."""
        if self.transport.is_closing():
            return
        if (self._in_head or self._arriving is not None) and not self._lingering:
            self._refusal = RequestTimeoutError("The request did not arrive in time.")
            self._refuse_now()
        else:
            self._close()

    # Parts of the above

    def _check_fields(self, fields: Fields, *, host_is_optional: bool) -> dict[bytes, bytes]:
        """Bound the head, see that there is one Host (RFC 9112 §3.2), and return the fields that are acted on."""
        if self._head_bytes + self._fed_bytes > MAX_HEADER_BYTES:
            # More was fed than a head may have, though it may have been a body's.
            size = len(self._url) + sum([len(name) + len(value) + 4 for name, value in fields])
            if size > MAX_HEADER_BYTES:
                self._refuse(_HEAD_TOO_LARGE)
        found = find_fields(fields)
        if (b"host" not in found and not host_is_optional) or found.get(CONTRADICTED) == b"host":
            self._refuse(InvalidRequestError("A request has exactly one Host header."))
        return found

    def _check_target(self, host: bytes | None) -> tuple[bytes, bytes]:
        """See that host and target are sane (RFC 9112 §3.2); return the target's path and query."""
        url = self._url
        # Clients ask the same of the same host again and again on a connection.
        if (url, host) != self._checked:
            if host is not None and _HOST.fullmatch(host) is None:
                self._refuse(InvalidRequestError("The Host header is not a host name."))
            if _TARGET.fullmatch(url) is None:
                self._refuse(InvalidRequestError("The request target holds characters that a URL cannot hold."))
            self._checked = (url, host)
        if url.startswith(b"/") and b"#" not in url:
            path, _, query = url.partition(b"?")
            return path, query
        parsed = httptools.parse_url(url)
        return parsed.path or b"/", parsed.query or b""

    def _wait_for_more(self, framing_bytes: int) -> None:
        """A body is incomplete: it may pause for the header time-out, and be no slower than the bound as a whole."""
        now = self._loop.time()
        if not self._framing_bytes:
            self._body_begun = now
        self._framing_bytes += framing_bytes + 1
        if self._framing_bytes > FREE_FRAMING_BYTES + self._body_bytes:
            self._refusal = InvalidRequestError("The body's framing is out of proportion to the body.")
            self._refuse_now()
            return
        timeout_s = self.site.header_timeout_s
        allowance = timeout_s + self._body_bytes / SLOWEST_BODY_BYTES_PER_S
        self.deadline = min(now + timeout_s, self._body_begun + allowance)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 where a client offers another protocol, as Java's HTTP client always does (RFC 9110 §7.8).

        llhttp stops behind such a head and would take the body for the other protocol's bytes, so the request is
        parsed again without the offer.
        """
        self._is_upgrade = False
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._refusal = InvalidRequestError("This is no proxy: CONNECT has nothing to connect to.")
            self._refuse_now()
            return
        lines = [b"%b %b HTTP/1.1" % (method, self._url)]
        lines += [b"%b: %b" % field for field in self._fields if field[0] not in _UPGRADE_FIELDS]
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _enqueue(self, inbound: Inbound) -> None:
        if self._running is None and not self._waiting and not self._is_paused:
            self._begin(inbound)
        elif len(self._waiting) < MOST_PIPELINED:
            # A pipelined request waits for its turn (RFC 9112 §9.3.2). Reading goes on, or nobody would notice that
            # the client has left; so their number is bounded.
            self._waiting.append(inbound)
        else:
            self._refuse(InvalidRequestError(f"More than {MOST_PIPELINED} requests wait on one connection."))

    def _begin_next(self) -> None:
        if self._waiting and not self.is_lost:
            self._begin(self._waiting.popleft())

    def _begin(self, inbound: Inbound) -> None:
        self._running = inbound
        if self.site.application.answer_at_once(inbound):
            return
        task = inbound.task = self._loop.create_task(self._answer(inbound))
        self.site.tasks.add(task)

    async def _answer(self, inbound: Inbound) -> None:
        try:
            await self.site.application.answer(inbound)
        except Exception:
            _log.exception("a request could not be answered")
        finally:
            if not inbound.ended and not self.is_lost:
                # An answer that was not finished must not look like one that was.
                self._close()
            self.site.tasks.discard(cast("asyncio.Task[None]", inbound.task))

    def _close_after(self, inbound: Inbound) -> None:
        """Close behind a last answer. Where its request is still arriving, read on a while, unheeding.

        Closing a socket with unread bytes resets the connection, and the client loses the answer (RFC 9112 §9.6).
        """
        self._waiting.clear()
        if inbound.is_complete:
            self._close()
            return
        self._lingering = True
        self.deadline = self._loop.time() + LINGER_S
        self.site.outbox.flush()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _refuse_now(self) -> None:
        """Answer what llhttp or this class refused, and close."""
        error = self._refusal or InvalidRequestError("The request is not valid HTTP/1.1.")
        self._refusal = None
        if self.transport.is_closing():
            return
        answered = self._arriving is not None and self._arriving.begun
        # Where another answer is due, on its way or just given, these bytes would be taken for it or for the next.
        if self._running is None and not self._waiting and not answered:
            self.site.outbox.put(self.transport, _refusal_of(error))
        self._close()

    def _close(self) -> None:
        """Close when everything is written."""
        self.site.outbox.flush()
        self.transport.close()

    def _refuse(self, error: HeadgateError) -> None:
        """Stop the parser from inside a callback."""
        self._refusal = error
        raise httptools.HttpParserError(error.message)


def _refusal_of(error: HeadgateError) -> bytes:
    body = msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": "invalid_request_error",
                "param": None,
                "code": error.code,
                "headgate": {"code": error.code, "doc_url": error.doc_url},
            }
        }
    )
    head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
    return status_line(error.status) + head + body
