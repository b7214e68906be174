"""What a transport is: one method that takes a request and returns an answer whose body is still on the wire.

Three exist: `lean.LeanTransport` (ours), `aiohttp_transport.AiohttpTransport`, and the sandbox's in-process one.
tests/contract/test_transport.py is the one suite that all network transports pass.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from headgate.upstream.pacing import Pacer

Headers = tuple[tuple[bytes, bytes], ...]
"""Lower-case names, values as sent; order kept."""

CRUMB_BYTES = 64
"""A read of the body shorter than this, and without the end of a line, is a crumb."""
LEAST_CRUMBS_BYTES = 256
"""So many bytes of crumbs are as good as the end of a line."""

Sink = Callable[[bytes], Awaitable[None] | None]
"""Takes bytes of a body as they arrive, synchronously. Returns ``None`` to go on, or an awaitable: then reading from
the provider pauses until it is done (back-pressure)."""


class Timeouts(Struct, frozen=True):
    """Seconds. ``total`` bounds the whole exchange, connect included."""

    connect: float = 3.0
    first_event: float = 120.0
    """From the request's last byte to the first byte of the answer's body."""
    idle: float = 60.0
    """Between two signs of life in the body: the end of a line (of an event or of a comment), a read of `CRUMB_BYTES`,
    or `LEAST_CRUMBS_BYTES` in smaller ones. One crumb behind each of them is one too, for reads cut lines anywhere. A
    body that merely drips is a stall, and not kept for all of ``total``."""
    total: float = 600.0


class UpstreamRequest(Struct, frozen=True):
    """One request. ``target`` is the path with its query, appended to the origin the transport was made for."""

    method: str
    target: str
    headers: Headers
    """Without ``host``, ``content-length``, ``connection`` and ``accept-encoding``: those are the transport's."""
    body: bytes
    timeouts: Timeouts
    max_body_bytes: int = 64 * 1024 * 1024
    """An answer beyond this is cut and fails with `AnswerTooLargeError`."""
    pacer: Pacer | None = None
    """Says whether, and how long, a stream rests after each read. What reads no socket of its own need not ask."""
    on_sent: Callable[[], None] | None = None
    """Called once, when the request is handed to an open connection: before it no byte has left, whatever happens."""


class UpstreamAnswer(Protocol):
    """An answer whose head has arrived. Exactly one of `read`, `pump`, `aclose` ends it; `aclose` is safe after all."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """Return the whole body. Raises `UpstreamFailure` and its kin."""
        ...

    async def pump(self, sink: Sink) -> None:
        """Hand every piece of the body to ``sink`` as it arrives, until the end. Raises `UpstreamFailure` and its kin.

        What ``sink`` raises ends the exchange and is raised here.
        """
        ...

    async def aclose(self) -> None:
        """Give the exchange up: the socket is closed unless the body was read to its end."""
        ...


class Transport(Protocol):
    """A pool of connections to one provider."""

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Send and wait for the answer's head (interim 1xx heads are skipped, redirects never followed).

        Cancellation closes the socket. Raises `UpstreamFailure` and its kin.
        """
        ...

    async def retire(self) -> None:
        """Keep no connection any more: idle ones are closed now, busy ones when their exchange has ended.

        Requests that belong to an older configuration may still be sent; each of them opens a connection of its own.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class UpstreamFailure(Exception):  # noqa: N818  a family name; the kinds end in Error
    """An exchange that failed below the provider's own words.

    ``kind`` is a short stable word for the record; ``sent`` says whether any byte of the request may have left.
    """

    kind = "upstream_failure"

    def __init__(self, message: str, *, sent: bool) -> None:
        """Say what happened in words an operator understands; no secrets, no prompt text."""
        super().__init__(message)
        self.message = message
        self.sent = sent


class AddressRefusedError(UpstreamFailure):
    """The name resolves to a private, loopback, link-local or metadata address and the provider does not allow it."""

    kind = "address_refused"


class ConnectError(UpstreamFailure):
    """DNS failure, refused or unreachable, or the proxy said no."""

    kind = "connect_failed"


class TlsError(UpstreamFailure):
    """The handshake or the certificate's verification failed."""

    kind = "tls_failed"


class ConnectTimeoutError(UpstreamFailure):
    """No connection within ``timeouts.connect``, TLS included."""

    kind = "connect_timeout"


class FirstEventTimeoutError(UpstreamFailure):
    """Nothing of the body arrived within ``timeouts.first_event``."""

    kind = "first_event_timeout"


class IdleTimeoutError(UpstreamFailure):
    """The body stalled for ``timeouts.idle``."""

    kind = "idle_timeout"


class TotalTimeoutError(UpstreamFailure):
    """``timeouts.total`` ran out."""

    kind = "total_timeout"


class ConnectionCutError(UpstreamFailure):
    """The connection ended before the answer was complete."""

    kind = "connection_cut"


class MalformedHttpError(UpstreamFailure):
    """The bytes are not HTTP/1.1, or a bound of its head was exceeded."""

    kind = "malformed_http"


class AnswerTooLargeError(UpstreamFailure):
    """The body exceeds the bound, after decompression where there was any."""

    kind = "answer_too_large"


class EncodedAnswerError(UpstreamFailure):
    """The provider compressed its answer although none was asked for, in a coding we do not read."""

    kind = "encoded_answer"
