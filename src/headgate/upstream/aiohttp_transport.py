"""The same transport on aiohttp: a second opinion for installations that prefer a widely used client.

It costs some ten times the CPU of `lean.LeanTransport`. Differences that the contract suite allows for: aiohttp takes
framing that is not strictly RFC 9112 (bare LF, folded header lines), waits out interim 1xx heads however many, and
repeats an idempotent request (never a POST) once where a pooled connection turns out to be dead.
"""

import asyncio
import io
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Final, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import BadHttpMessage
from msgspec import Struct
from yarl import URL

from headgate.upstream.addresses import Origin
from headgate.upstream.dial import checked_addresses, refuse_host
from headgate.upstream.head import MAX_FIELDS, MAX_HEAD_BYTES, Framing, check_request, decoded_headers, read_framing
from headgate.upstream.inflate import Inflater
from headgate.upstream.options import TransportOptions
from headgate.upstream.tls import client_context
from headgate.upstream.transport import (
    CRUMB_BYTES,
    LEAST_CRUMBS_BYTES,
    AnswerTooLargeError,
    ConnectError,
    ConnectionCutError,
    ConnectTimeoutError,
    FirstEventTimeoutError,
    Headers,
    IdleTimeoutError,
    MalformedHttpError,
    Sink,
    TlsError,
    TotalTimeoutError,
    UpstreamFailure,
    UpstreamRequest,
)

_UNASKED_HEADERS: Final = ("user-agent", "accept", "accept-encoding", "content-type")
_CUT_MARKS: Final = ("Not enough data", "not completed")
"""aiohttp has one exception class for a body that is malformed and one that is cut; only its words tell them apart."""


class _CheckedResolver(AbstractResolver):
    """Resolves with the options' resolver and lets only allowed addresses through. A proxy's own name is not judged."""

    def __init__(self, options: TransportOptions) -> None:
        self._options = options

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if self._options.proxy is None:
            addresses = await checked_addresses(host, port, self._options)
        else:
            addresses = await self._options.resolve(host, port)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


class _Deadlines(Struct):
    """When the phases of one exchange end (loop time, s). ``first_event_at`` is known once the request is out."""

    scope: asyncio.Timeout
    total_at: float
    first_event_s: float
    on_sent: Callable[[], None] | None
    first_event_at: float = 0.0
    sent: bool = False


class _Generation:
    """A session and the exchanges on it. It is replaced when its connections grow too old, so DNS is followed."""

    def __init__(self, session: aiohttp.ClientSession, born_at: float) -> None:
        self.session = session
        self.born_at = born_at
        self.users = 0
        self.retired = False

    async def leave(self) -> None:
        """An exchange ended; the last one of a retired session closes it."""
        self.users -= 1
        if self.retired and self.users == 0:
            await self.session.close()


class AiohttpAnswer:
    """The answer of an `AiohttpTransport`, as `transport.UpstreamAnswer` describes it."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        headers: Headers,
        framing: Framing,
        *,
        request: UpstreamRequest,
        generation: _Generation,
        deadlines: _Deadlines,
    ) -> None:
        self.status = response.status
        self.headers = decoded_headers(headers, framing)
        self._response = response
        self._generation: _Generation | None = generation
        self._deadlines = deadlines
        self._idle_s = request.timeouts.idle
        self._left = request.max_body_bytes
        self._max_body_bytes = request.max_body_bytes
        self._framing = framing
        self._inflater: Inflater | None = None
        self._claimed = False
        self._begun = False
        self._alive_at = 0.0
        self._crumbs = LEAST_CRUMBS_BYTES

    async def read(self) -> bytes:
        """Return the whole body."""
        pieces: list[bytes] = []
        await self._run(pieces.append)
        return b"".join(pieces)

    async def pump(self, sink: Sink) -> None:
        """Hand every piece of the body to ``sink`` as it arrives."""
        await self._run(sink)

    async def aclose(self) -> None:
        """Close the socket unless the body has arrived to its end."""
        self._claimed = True
        await self._leave()

    def _prepare(self) -> None:
        framing = self._framing
        if framing.length is not None and framing.length > self._max_body_bytes:
            raise AnswerTooLargeError("the answer's length exceeds the bound", sent=True)
        if framing.coding:
            self._inflater = Inflater(framing.coding, self._max_body_bytes)

    async def _run(self, sink: Sink) -> None:
        if self._claimed:
            raise RuntimeError("the body of an answer is taken once")
        self._claimed = True
        try:
            self._prepare()
            while data := await self._next():
                self._left -= len(data)
                if self._left < 0:
                    raise AnswerTooLargeError("the body exceeds the bound", sent=True)
                piece = data if self._inflater is None else self._inflater.feed(data)
                if not piece:
                    continue
                blocked = sink(piece)
                if blocked is not None:
                    async with _bounded(self._deadlines.total_at, TotalTimeoutError):
                        await blocked
                    # The provider is not to blame for this wait.
                    self._alive_at = asyncio.get_running_loop().time()
            if self._inflater is not None:
                self._inflater.finish()
        finally:
            await self._leave()

    async def _next(self) -> bytes:
        """The next piece; empty at the end."""
        loop, deadlines = asyncio.get_running_loop(), self._deadlines
        kind: type[UpstreamFailure] = IdleTimeoutError if self._begun else FirstEventTimeoutError
        due = self._alive_at + self._idle_s if self._begun else deadlines.first_event_at
        if due >= deadlines.total_at:
            due, kind = deadlines.total_at, TotalTimeoutError
        try:
            async with _bounded(due, kind):
                data = await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise _body_failure(error) from error
        self._begun = True
        if len(data) >= CRUMB_BYTES or b"\n" in data:
            self._alive_at, self._crumbs = loop.time(), LEAST_CRUMBS_BYTES
        else:
            self._crumbs += len(data)
            if self._crumbs >= LEAST_CRUMBS_BYTES:
                self._alive_at, self._crumbs = loop.time(), 0
        return data

    async def _leave(self) -> None:
        generation, self._generation = self._generation, None
        if generation is not None:
            self._response.close()
            await generation.leave()


class AiohttpTransport:
    """A `transport.Transport` to one origin. Use it within one event loop; close it with `aclose`."""

    def __init__(self, origin: Origin, options: TransportOptions = TransportOptions()) -> None:  # noqa: B008  frozen
        self._origin = origin
        self._options = options
        self._tls = (options.tls or client_context()) if origin.scheme == "https" else None
        proxy = options.proxy
        self._proxy = URL.build(scheme="http", host=proxy.host, port=proxy.port) if proxy is not None else None
        self._authorization = proxy.authorization if proxy is not None else None
        self._generation: _Generation | None = None
        self._is_retired = False

    async def send(self, request: UpstreamRequest) -> AiohttpAnswer:
        """Send and wait for the answer's head; see `transport.Transport.send`.

        Raises:
            UpstreamFailure: and its kin.
            ValueError: the request's head is not fit to be sent (CR, LF or NUL in a value, a field of the transport's).
        """
        check_request(request.method, request.target, request.headers)
        loop = asyncio.get_running_loop()
        total_at = loop.time() + request.timeouts.total
        # The connector asks its resolver about names only, and about the proxy's name where there is one.
        refuse_host(self._origin.host, self._options)
        generation = await self._current(loop.time())
        generation.users += 1
        try:
            scope = asyncio.timeout_at(total_at)
            deadlines = _Deadlines(scope, total_at, request.timeouts.first_event, request.on_sent)
            response = await self._request(generation.session, request, deadlines)
            try:
                headers: Headers = tuple((name.lower(), value.strip()) for name, value in response.raw_headers)
                framing = read_framing(response.status, headers, bodiless=request.method == "HEAD")
            except UpstreamFailure:
                response.close()
                raise
        except BaseException:
            await generation.leave()
            raise
        return AiohttpAnswer(response, headers, framing, request=request, generation=generation, deadlines=deadlines)

    async def retire(self) -> None:
        """Keep no connection any more; see `transport.Transport.retire`."""
        self._is_retired = True
        generation, self._generation = self._generation, None
        if generation is not None:
            await self._retire_generation(generation)

    async def aclose(self) -> None:
        """Close every connection."""
        generation, self._generation = self._generation, None
        if generation is not None:
            await generation.session.close()

    async def _request(
        self, session: aiohttp.ClientSession, request: UpstreamRequest, deadlines: _Deadlines
    ) -> aiohttp.ClientResponse:
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers]
        headers.append(("accept-encoding", "identity"))
        tunnel_headers = None
        if self._authorization is not None:
            if self._tls is None:
                headers.append(("proxy-authorization", self._authorization))
            else:
                tunnel_headers = {"proxy-authorization": self._authorization}
        url = URL(f"{self._origin.scheme}://{self._origin.authority}{request.target}", encoded=True)
        try:
            async with deadlines.scope:
                return await session.request(
                    request.method,
                    url,
                    headers=headers,
                    # As a stream object: aiohttp warns about large bytes, and these are in memory anyway.
                    data=io.BytesIO(request.body) if request.body else None,
                    proxy=self._proxy,
                    proxy_headers=tunnel_headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=request.timeouts.connect),
                    trace_request_ctx=deadlines,
                )
        except TimeoutError as error:
            raise _late(error, deadlines) from error
        except aiohttp.ClientError as error:
            raise _send_failure(error, self._origin.host, deadlines.sent) from error

    async def _current(self, now: float) -> _Generation:
        generation = self._generation
        if generation is not None and now - generation.born_at < self._options.max_connection_age_s:
            return generation
        fresh = _Generation(self._open_session(), now)
        if self._is_retired:
            # Nobody keeps it: the one exchange that it is for closes it.
            fresh.retired = True
            return fresh
        self._generation = fresh
        if generation is not None:
            await self._retire_generation(generation)
        return fresh

    async def _retire_generation(self, generation: _Generation) -> None:
        generation.retired = True
        if generation.users == 0:
            await generation.session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_on_sent)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._options.max_connections,
                ssl=self._tls if self._tls is not None else True,
                resolver=_CheckedResolver(self._options),
                use_dns_cache=False,
                keepalive_timeout=self._options.idle_expiry_s,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNASKED_HEADERS,
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_FIELDS,
            trace_configs=[tracing],
        )


async def _on_sent(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """The request leaves: from here on its answer is waited for."""
    deadlines = cast("_Deadlines", context.trace_request_ctx)
    deadlines.sent = True
    if deadlines.on_sent is not None:
        deadlines.on_sent()
    deadlines.first_event_at = asyncio.get_running_loop().time() + deadlines.first_event_s
    deadlines.scope.reschedule(min(deadlines.first_event_at, deadlines.total_at))


@asynccontextmanager
async def _bounded(due: float, kind: type[UpstreamFailure]) -> AsyncGenerator[None]:
    """Turn running past ``due`` (loop time, s) into ``kind``; a `TimeoutError` of somebody else's passes."""
    scope = asyncio.timeout_at(due)
    try:
        async with scope:
            yield
    except TimeoutError as error:
        if scope.expired():
            raise kind("the provider, or whoever takes its answer, was too slow", sent=True) from error
        raise


def _late(error: TimeoutError, deadlines: _Deadlines) -> UpstreamFailure:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectTimeoutError("no connection within the time for it", sent=False)
    if deadlines.sent and deadlines.first_event_at < deadlines.total_at:
        return FirstEventTimeoutError("the provider sent nothing of the body in time", sent=True)
    return TotalTimeoutError("the time for the whole exchange ran out", sent=deadlines.sent)


def _send_failure(error: aiohttp.ClientError, host: str, sent: bool) -> UpstreamFailure:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            why = error.certificate_error
            words = why.verify_message if isinstance(why, ssl.SSLCertVerificationError) else "it does not match"
            return TlsError(f"the certificate of {host} is refused: {words}", sent=False)
        case aiohttp.ClientConnectorSSLError():
            return TlsError(f"no TLS with {host}", sent=False)
        case aiohttp.ClientHttpProxyError():
            return ConnectError(f"the proxy refuses the tunnel with status {error.status}", sent=False)
        case aiohttp.ClientConnectorError():
            return ConnectError(f"no connection to {host}: {error.strerror or 'it does not resolve'}", sent=False)
        case aiohttp.ClientResponseError():
            return MalformedHttpError("the provider's bytes are not HTTP/1.1", sent=sent)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return ConnectionCutError("the provider closed the connection before it answered", sent=sent)
        case _:
            return ConnectError(f"the exchange with {host} failed: {type(error).__name__}", sent=sent)


def _body_failure(error: aiohttp.ClientError) -> UpstreamFailure:
    cause = error.__cause__
    words = f"{error} {cause}"
    if isinstance(cause, BadHttpMessage) and not any(mark in words for mark in _CUT_MARKS):
        return MalformedHttpError("the body's framing is not HTTP/1.1", sent=True)
    return ConnectionCutError("the provider closed the connection in the middle of the body", sent=True)
