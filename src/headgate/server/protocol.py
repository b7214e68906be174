"""uvicorn's httptools protocol with the limits of an edge: header bounds, strict framing, slow clients, host check.

llhttp (httptools) already refuses bad chunk sizes, content-length beside transfer-encoding, bare line feeds and the
like; what it accepts and a gateway should not is refused here. A refusal before a request exists has no wire format to
speak, so it is JSON in OpenAI's shape, and the connection is closed (RFC 9112 §9.6: its framing cannot be trusted).

Time-outs are kept as one number a connection and looked at by the listener's sweep: no timer per request.
"""

import asyncio
import math
import re
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from headgate.domain.errors import HeadersTooLargeError, HeadgateError, InvalidRequestError, RequestTimeoutError
from headgate.server.cycle import EdgeCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

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

_HEAD_TOO_LARGE: Final = HeadersTooLargeError(
    f"The request's head is larger than {MAX_HEADER_BYTES} bytes or has more than {MAX_HEADERS} fields."
)
_UPGRADE_FIELDS: Final = frozenset({b"upgrade", b"connection", b"http2-settings"})
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_TARGET: Final = re.compile(rb"[!-~]+")


class EdgeProtocol(HttpToolsProtocol):
    """One client connection."""

    url: bytes

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        header_timeout_s: float,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._app = cast("ASGI3Application", cast(Any, config).loaded_app)
        self._header_timeout_s = header_timeout_s
        self._refusal: HeadgateError | None = None
        self._header_bytes = 0
        self._fields = 0
        self._hosts = 0
        self._host = b""
        self._body_begun = 0.0
        self._body_bytes = 0
        self._pieces = 0
        self._in_head = False
        self._reading = False
        self._lingering = False
        self._is_upgrade = False
        self._running: EdgeCycle | None = None
        self._unsent = 0
        self._unsent_since = 0.0
        self.deadline = self.loop.time() + header_timeout_s
        """Loop time at which `look` ends the wait for the client."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: every request of this connection hears of it."""
        super().connection_lost(exc)
        # uvicorn tells only the newest request; with pipelining an older one may still be running.
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        for cycle in (self._running, *waiting, self._current):
            if isinstance(cycle, EdgeCycle):
                cycle.disconnect()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, or refuse it."""
        if self._lingering:
            return
        parser = self.parser
        assert parser is not None
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 where a client offers another protocol, as Java's HTTP client always does (RFC 9110 §7.8).

        llhttp stops behind such a head and would take the body for the other protocol's bytes, so the request is
        parsed again without the offer.
        """
        self._is_upgrade = False
        if self.scope["method"] == "CONNECT":
            self._refusal = InvalidRequestError("This is no proxy: CONNECT has nothing to connect to.")
            self.send_400_response("")
            return
        lines = [f"{self.scope['method']} ".encode() + self.url + b" HTTP/1.1"]
        lines += [b"%b: %b" % field for field in self.headers if field[0] not in _UPGRADE_FIELDS]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def on_message_begin(self) -> None:
        """A request's first byte: from here its head must arrive in time."""
        super().on_message_begin()
        self._header_bytes = 0
        self._fields = 0
        self._hosts = 0
        self._in_head = True
        self._body_bytes = 0
        self._pieces = 0
        self._reading = True
        self.deadline = self.loop.time() + self._header_timeout_s

    def on_url(self, url: bytes) -> None:
        """Bound and check the request target (RFC 9112 §3.2)."""
        self._header_bytes += len(url)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
        # llhttp hands over an empty piece where a read ends exactly behind the target.
        if url and _TARGET.fullmatch(url) is None:
            self._refuse(InvalidRequestError("The request target holds characters that a URL cannot hold."))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the head, and see that there is one sane Host (RFC 9112 §3.2). Trailers are counted and dropped."""
        self._header_bytes += len(name) + len(value) + 4
        self._fields += 1
        if self._header_bytes > MAX_HEADER_BYTES or self._fields > MAX_HEADERS:
            self._refuse(_HEAD_TOO_LARGE)
        if not self._in_head:
            return
        name = name.lower()
        if name == b"host":
            self._check_host(value)
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _check_host(self, value: bytes) -> None:
        self._hosts += 1
        if value != self._host:
            if _HOST.fullmatch(value) is None:
                self._refuse(InvalidRequestError("The Host header is not a host name."))
            self._host = value

    def on_headers_complete(self) -> None:
        """The head is whole: hand it to the application; the body's clock starts."""
        parser = self.parser
        assert parser is not None
        self._in_head = False
        if parser.should_upgrade():
            self._is_upgrade = True
            self.scope["method"] = parser.get_method().decode("ascii")
            return
        version = parser.get_http_version()
        if self._hosts != 1 and not (self._hosts == 0 and version == "1.0"):
            self._refuse(InvalidRequestError("A request has exactly one Host header."))
        self._body_begun = self.loop.time()
        self.deadline = self._body_begun + self._header_timeout_s
        scope = self.scope
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        target = httptools.parse_url(self.url)
        raw_path = target.path or b"/"
        path = raw_path.decode("ascii")
        scope["raw_path"] = raw_path
        scope["path"] = unquote(path) if "%" in path else path
        scope["query_string"] = target.query or b""
        before = self._current
        cycle = EdgeCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.cycle = cycle
        if before is None or before.response_complete:
            self._running = cycle
            self._start_asgi_task(cycle, self._app)
        else:
            # A pipelined request waits for its turn (RFC 9112 §9.3.2). Reading goes on, or nobody would notice
            # that the client has left; so their number is bounded.
            if len(self.pipeline) >= MOST_PIPELINED:
                self._refuse(InvalidRequestError(f"More than {MOST_PIPELINED} requests wait on one connection."))
            self.pipeline.appendleft((cycle, self._app))

    def on_body(self, body: bytes) -> None:
        """Count the body: it may pause for the header time-out, and be no slower than the bound as a whole."""
        self._body_bytes += len(body)
        if self._is_upgrade:
            return
        self._pieces += 1
        if self._pieces > FREE_PIECES and self._body_bytes < self._pieces * SMALLEST_PIECE:
            self._refuse(InvalidRequestError("The body arrives in chunks that are too small."))
        allowance = self._header_timeout_s + self._body_bytes / SLOWEST_BODY_BYTES_PER_S
        self.deadline = min(self.loop.time() + self._header_timeout_s, self._body_begun + allowance)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Everything arrived; the client is waited for no longer, unless its answer is complete already."""
        if self._is_upgrade:
            return
        self._reading = False
        current = self._current
        is_answered = current is None or current.response_complete
        self.deadline = self.loop.time() + KEEP_ALIVE_S if is_answered else math.inf
        super().on_message_complete()
        # A large body pauses reading; from here on it must go on, or nobody would notice that the client has left.
        self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Wait for the next request without a timer of our own: the sweep looks at `deadline`."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        running = self._running
        if running is not None and not running.keep_alive:
            self._close_after(running)
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._running = cast("EdgeCycle", cycle)
            self._start_asgi_task(cycle, app)
        elif not self._reading:
            self.deadline = self.loop.time() + KEEP_ALIVE_S

    def _close_after(self, cycle: EdgeCycle) -> None:
        """Close behind a last answer. Where its request is still arriving, read on a while, unheeding.

        Closing a socket with unread bytes resets the connection, and the client loses the answer (RFC 9112 §9.6).
        """
        if not cycle.more_body:
            self.transport.close()
            return
        self._lingering = True
        self.deadline = self.loop.time() + LINGER_S
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    @property
    def _current(self) -> RequestResponseCycle | None:
        # uvicorn declares its attribute without the None that it starts with.
        return cast("RequestResponseCycle | None", self.cycle)

    def look(self, now: float) -> None:
        """The sweep's look: end the wait for a client that does not send, and for one that does not read."""
        if self.transport.is_closing() and self._unsent == 0 and self.transport.get_write_buffer_size() == 0:
            return
        if self.deadline < now:
            self.expire()
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent or self._unsent == 0:
            self._unsent_since = now
        elif now - self._unsent_since > UNREAD_S:
            self.transport.abort()
        self._unsent = unsent

    def expire(self) -> None:
        """The deadline has passed: say so where a request had begun, and close."""
        if self.transport.is_closing():
            return
        if self._reading and not self._lingering:
            self._refusal = RequestTimeoutError("The request did not arrive in time.")
            self.send_400_response("")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what llhttp or this class refused, and close."""
        error = self._refusal or InvalidRequestError("The request is not valid HTTP/1.1.")
        self._refusal = None
        if self.transport.is_closing():
            return
        running = self._running
        if (
            running is not None
            and not running.response_complete
            and (running.response_started or running is not self._current or not running.more_body)
        ):
            # Another request's answer is due or on its way; these bytes would be taken for it.
            self.transport.close()
            return
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
        self.transport.write(STATUS_LINE[error.status] + head + body)
        self.transport.close()

    def _refuse(self, error: HeadgateError) -> None:
        self._refusal = error
        raise httptools.HttpParserError(error.message)
