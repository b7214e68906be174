"""The one suite that every network transport passes, run on both event loops by both transports.

This file is what goes over the wire; `test_transport_life` is the time it takes, and connections.
"""

import asyncio
import gzip
import os
import zlib
from collections.abc import Callable

import pytest

from headgate.upstream.addresses import Origin
from headgate.upstream.open import open_transport
from headgate.upstream.options import TransportOptions
from headgate.upstream.transport import (
    AnswerTooLargeError,
    ConnectionCutError,
    EncodedAnswerError,
    Headers,
    MalformedHttpError,
    Timeouts,
    UpstreamRequest,
)
from tests.upstream.callers import (
    BROKEN,
    KINDS,
    WHOLE,
    opened,
    outcome,
    post,
)
from tests.upstream.scripted_server import (
    CHUNKED,
    OK,
    Peer,
    answering,
    answering_once,
    chunk,
    scripted,
)

# What is sent


async def test_the_request_arrives_whole_with_the_transport_s_own_fields(kind: str) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        answer = await transport.send(post(b'{"a":1}'))
        assert await answer.read() == b"hello"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /v1/chat?x=1 http/1.1"
    assert body == b'{"a":1}'
    fields = dict(line.split(b": ", 1) for line in lines[1:])
    assert fields == {
        b"host": f"127.0.0.1:{server.port}".encode(),
        b"accept-encoding": b"identity",
        b"authorization": b"bearer sk-test",
        b"content-type": b"application/json",
        b"content-length": b"7",
    }


async def test_a_large_body_arrives_byte_for_byte(kind: str) -> None:
    body = os.urandom(3 * 1024 * 1024)
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        assert await (await transport.send(post(body))).read() == b"hello"
    assert server.requests[0].endswith(b"\r\n\r\n" + body)


async def test_a_get_without_a_body_has_no_length(kind: str) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        assert await (await transport.send(post(b"", method="GET"))).read() == b"hello"
    assert b"content-length" not in server.requests[0].lower()


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nx: y", b"a\rb", b"a\x00b"])
async def test_a_header_value_that_could_end_its_line_is_refused_before_anything_is_sent(
    kind: str, value: bytes
) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            await transport.send(post(headers=((b"x-tag", value),)))
    assert server.connections == 0


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/a b", ()),
        ("POST", "/a\r\nx: y", ()),
        ("POST", "http://other/", ()),
        ("PO ST", "/", ()),
        ("POST", "/", ((b"a b", b"c"),)),
        ("POST", "/", ((b"host", b"other"),)),
        ("POST", "/", ((b"Content-Length", b"0"),)),
        ("POST", "/", ((b"transfer-encoding", b"chunked"),)),
    ],
)
async def test_a_head_that_is_not_one_is_refused(kind: str, method: str, target: str, headers: Headers) -> None:
    transport = open_transport(kind, Origin("http", "127.0.0.1", 9), TransportOptions(allow_private_network=True))
    with pytest.raises(ValueError):
        await transport.send(UpstreamRequest(method, target, headers, b"", Timeouts()))
    await transport.aclose()


# How an answer ends


@pytest.mark.parametrize("pumped", [False, True], ids=["read", "pump"])
@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_answer_arrives_however_it_is_framed(kind: str, name: str, pumped: bool) -> None:
    wire, body = WHOLE[name]
    seen = await outcome(kind, answering_once(wire), pumped=pumped)
    assert (seen.body, seen.failure) == (body, None)


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_fails_with_its_kind(kind: str, name: str) -> None:
    wire, failure = BROKEN[name]
    assert (await outcome(kind, answering_once(wire))).failure == failure


@pytest.mark.parametrize("name", [*WHOLE, *BROKEN])
async def test_both_transports_see_the_same(name: str) -> None:
    wire = (WHOLE.get(name) or BROKEN[name])[0]
    lean, other = [await outcome(kind, answering_once(wire)) for kind in KINDS]
    assert (lean.body, lean.failure) == (other.body, other.failure)
    if lean.failure is None:
        assert lean.status == other.status


async def test_an_answer_with_a_complete_head_gives_status_and_headers_before_its_body_fails(kind: str) -> None:
    script = answering_once(b"HTTP/1.1 429 Slow\r\nRetry-After:  7 \r\ncontent-length: 5\r\n\r\nhe")
    async with scripted(script) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        assert answer.status == 429
        assert (b"retry-after", b"7") in answer.headers
        with pytest.raises(ConnectionCutError):
            await answer.read()


async def test_a_flood_of_interim_heads_ends(kind: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        for _ in range(100_000):
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    more = {"timeouts": Timeouts(connect=1, first_event=0.5, idle=1, total=2)}
    seen = await outcome(kind, script, **more)
    assert seen.failure == ("malformed_http" if kind == "lean" else "first_event_timeout")


async def test_an_endless_trailer_is_cut(kind: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"hello") + b"0\r\nx: ")
        for _ in range(100_000):
            await peer.send(b"a" * 65536)

    assert (await outcome(kind, script)).failure in ("malformed_http", "total_timeout")


async def test_a_hundred_thousand_tiny_chunks_are_read_within_the_framing_allowance(kind: str) -> None:
    wire = CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    seen = await outcome(kind, answering_once(wire))
    assert seen.body == b"x" * 100_000


# Bounds and codings


async def test_a_body_beyond_the_bound_is_cut(kind: str) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                await peer.send(b"x" * 65536)
        except ConnectionError:
            closed.set()

    async with scripted(script) as server, opened(kind, server) as transport:
        answer = await transport.send(post(max_body_bytes=1_000_000))
        with pytest.raises(AnswerTooLargeError):
            await answer.read()
        await asyncio.wait_for(closed.wait(), 5)


async def test_an_announced_length_beyond_the_bound_is_refused_unread(kind: str) -> None:
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 1000
    assert (await outcome(kind, answering_once(wire), max_body_bytes=999)).failure == "answer_too_large"
    assert (await outcome(kind, answering_once(wire), max_body_bytes=1000)).failure is None


def _encoded(coding: bytes, data: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (coding, len(data)) + data


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("pumped", [False, True], ids=["read", "pump"])
@pytest.mark.parametrize(
    ("coding", "encode"),
    [(b"gzip", gzip.compress), (b"X-GZIP", gzip.compress), (b"deflate", zlib.compress), (b"deflate", _raw_deflate)],
)
async def test_an_answer_that_comes_compressed_all_the_same_is_decoded(
    kind: str, coding: bytes, encode: Callable[[bytes], bytes], pumped: bool
) -> None:
    text = b'{"hello": "world"}' * 1000
    wire = _encoded(coding, encode(text))
    seen = await outcome(kind, answering_once(wire[:100], wire[100:]), pumped=pumped)
    assert (seen.body, seen.failure) == (text, None)


async def test_a_decoded_answer_no_longer_says_that_it_is_encoded(kind: str) -> None:
    async with (
        scripted(answering_once(_encoded(b"gzip", gzip.compress(b"hi")))) as server,
        opened(kind, server) as transport,
    ):
        answer = await transport.send(post())
        names = {name for name, _ in answer.headers}
        assert not names & {b"content-encoding", b"content-length"}
        await answer.aclose()


@pytest.mark.parametrize("bound", [64 * 1024 * 1024, 2 * 1024 * 1024], ids=["ratio", "size"])
async def test_a_gzip_bomb_is_cut(kind: str, bound: int) -> None:
    wire = _encoded(b"gzip", gzip.compress(bytes(50 * 1024 * 1024)))
    received = 0

    def sink(data: bytes) -> None:
        nonlocal received
        received += len(data)

    async with scripted(answering_once(wire)) as server, opened(kind, server) as transport:
        answer = await transport.send(post(max_body_bytes=bound))
        with pytest.raises(AnswerTooLargeError):
            await answer.pump(sink)
    assert received <= min(bound, 100 * len(wire) + 1024 * 1024)


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"nonsense"])
async def test_another_coding_is_an_encoded_answer_error(kind: str, coding: bytes) -> None:
    async with scripted(answering_once(_encoded(coding, b"xxxxx"))) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        with pytest.raises(EncodedAnswerError):
            await answer.read()


@pytest.mark.parametrize(
    "data", [gzip.compress(b"hello" * 100)[:-9], b"this is not gzip", gzip.compress(b"x") + b"tail"]
)
async def test_a_compressed_body_that_is_broken_is_malformed(kind: str, data: bytes) -> None:
    assert (await outcome(kind, answering_once(_encoded(b"gzip", data)))).failure == "malformed_http"


async def test_a_redirect_is_an_answer_and_is_not_followed(kind: str) -> None:
    wire = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/meta-data\r\ncontent-length: 0\r\n\r\n"
    async with scripted(answering(wire)) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        assert answer.status == 302
        assert await answer.read() == b""
        assert len(server.requests) == 1


async def test_cookies_are_not_kept(kind: str) -> None:
    wire = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    async with scripted(answering(wire)) as server, opened(kind, server) as transport:
        for _ in range(2):
            await (await transport.send(post())).read()
        assert not any(b"cookie" in request.lower() for request in server.requests)


async def test_an_unknown_kind_of_transport_is_refused() -> None:
    with pytest.raises(ValueError, match="httpx"):
        open_transport("httpx", Origin("http", "127.0.0.1", 1), TransportOptions())


async def test_a_head_request_has_an_answer_without_a_body(kind: str) -> None:
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    async with scripted(answering(wire)) as server, opened(kind, server) as transport:
        answer = await transport.send(post(b"", method="HEAD"))
        assert (answer.status, await answer.read()) == (200, b"")


async def test_malformed_is_said_to_have_been_sent(kind: str) -> None:
    async with scripted(answering_once(b"nonsense\r\n\r\n")) as server, opened(kind, server) as transport:
        with pytest.raises(MalformedHttpError) as caught:
            await transport.send(post())
        assert caught.value.sent
