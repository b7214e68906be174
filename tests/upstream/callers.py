"""What the tests of transports share: callers, scripts and answers as exact bytes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from headgate.upstream.addresses import Origin
from headgate.upstream.open import open_transport
from headgate.upstream.options import TransportOptions
from headgate.upstream.transport import (
    Headers,
    Timeouts,
    Transport,
    UpstreamFailure,
    UpstreamRequest,
)
from tests.upstream.scripted_server import (
    CHUNKED,
    OK,
    Peer,
    Script,
    ScriptedServer,
    chunk,
    scripted,
)

HEADERS: Headers = ((b"authorization", b"Bearer sk-test"), (b"content-type", b"application/json"))


KINDS = ("lean", "aiohttp")


@asynccontextmanager
async def opened(
    kind: str, server: ScriptedServer, *, scheme: str = "http", host: str = "127.0.0.1", **options: object
) -> AsyncIterator[Transport]:
    options.setdefault("allow_private_network", True)
    transport = open_transport(kind, Origin(scheme, host, server.port), TransportOptions(**options))  # type: ignore[arg-type]
    try:
        yield transport
    finally:
        await transport.aclose()


def post(body: bytes = b"{}", *, method: str = "POST", headers: Headers = HEADERS, **more: object) -> UpstreamRequest:
    more.setdefault("timeouts", Timeouts(connect=2, first_event=2, idle=2, total=5))
    return UpstreamRequest(method, "/v1/chat?x=1", headers, body, **more)  # type: ignore[arg-type]


@dataclass
class Outcome:
    """What a caller sees of an exchange, for comparison between transports."""

    status: int | None
    body: bytes | None
    failure: str | None


async def exchange(transport: Transport, request: UpstreamRequest, *, pumped: bool = False) -> Outcome:
    status = None
    try:
        answer = await transport.send(request)
        status = answer.status
        if not pumped:
            return Outcome(status, await answer.read(), None)
        pieces: list[bytes] = []
        await answer.pump(pieces.append)
        assert all(pieces), "a sink never gets an empty piece"
        return Outcome(status, b"".join(pieces), None)
    except UpstreamFailure as failure:
        return Outcome(status, None, failure.kind)


async def outcome(kind: str, script: Script, *, pumped: bool = False, **more: object) -> Outcome:
    async with scripted(script) as server, opened(kind, server) as transport:
        return await exchange(transport, post(**more), pumped=pumped)  # type: ignore[arg-type]


BIG = bytes(range(256)) * 1024


WHOLE = {
    "length": (OK, b"hello"),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n", b""),
    "chunked": (CHUNKED + chunk(b"hel") + chunk(b"lo") + b"0\r\n\r\n", b"hello"),
    "chunk extensions": (CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;z\r\n\r\n', b"hello"),
    "upper case and leading zeros": (CHUNKED + b"000A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "trailers": (CHUNKED + chunk(b"hello") + b"0\r\nx-sum: 1\r\nx-other: 2\r\n\r\n", b"hello"),
    "until close": (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", b"hello"),
    "http/1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"hello"),
    "large": (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BIG) + BIG, BIG),
    "error status": (b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno", b"no"),
}


BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "connection_cut"),
    "in the head": (b"HTTP/1.1 200 OK\r\ncontent-le", "connection_cut"),
    "before the body": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "connection_cut"),
    "in the body": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", "connection_cut"),
    "before a chunk": (CHUNKED, "connection_cut"),
    "in a chunk": (CHUNKED + b"5\r\nhe", "connection_cut"),
    "before the last chunk": (CHUNKED + chunk(b"hello"), "connection_cut"),
    "not http": (b"<html>hello</html>\r\n\r\n", "malformed_http"),
    "bad status": (b"HTTP/1.1 2x0 OK\r\n\r\n", "malformed_http"),
    "bad chunk size": (CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", "malformed_http"),
    "chunk size overflow": (CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n", "malformed_http"),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", "malformed_http"),
    "length and chunked": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "malformed_http",
    ),
    "negative length": (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello", "malformed_http"),
    "unknown transfer coding": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\nhello", "malformed_http"),
    "NUL in a header": (b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 5\r\n\r\nhello", "malformed_http"),
    "huge header": (
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000 + b"\r\ncontent-length: 5\r\n\r\nhello",
        "malformed_http",
    ),
    "many headers": (
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"content-length: 5\r\n\r\nhello",
        "malformed_http",
    ),
    "switching protocols": (
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello",
        "malformed_http",
    ),
}


async def stall(peer: Peer) -> None:
    await peer.request()
    await peer.eof()


def stall_after(data: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await peer.eof()

    return script


async def loopback(host: str, port: int) -> tuple[str, ...]:
    return ("127.0.0.1",)
