"""The one suite that every network transport passes, run on both event loops by both transports."""

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
    ConnectTimeoutError,
    EncodedAnswerError,
    FirstEventTimeoutError,
    Headers,
    IdleTimeoutError,
    MalformedHttpError,
    Timeouts,
    TotalTimeoutError,
    Transport,
    UpstreamFailure,
    UpstreamRequest,
)
from tests.upstream.callers import (
    BROKEN,
    KINDS,
    WHOLE,
    opened,
    outcome,
    post,
    stall,
    stall_after,
)
from tests.upstream.scripted_server import (
    CHUNKED,
    OK,
    Peer,
    answering,
    answering_once,
    chunk,
    scripted,
    until,
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


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


# Time-outs


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", CHUNKED])
async def test_no_first_event_in_time(kind: str, data: bytes) -> None:
    timeouts = Timeouts(connect=2, first_event=0.15, idle=5, total=5)
    async with scripted(stall_after(data)) as server, opened(kind, server) as transport:
        with pytest.raises(FirstEventTimeoutError) as caught:
            await (await transport.send(post(timeouts=timeouts))).read()
        assert caught.value.sent
        await until(lambda: server.eofs == 1)


async def test_a_body_that_stalls(kind: str) -> None:
    timeouts = Timeouts(connect=2, first_event=5, idle=0.15, total=5)
    pieces: list[bytes] = []
    async with scripted(stall_after(CHUNKED + chunk(b"hi"))) as server, opened(kind, server) as transport:
        answer = await transport.send(post(timeouts=timeouts))
        with pytest.raises(IdleTimeoutError):
            await answer.pump(pieces.append)
        assert pieces == [b"hi"]
        await until(lambda: server.eofs == 1)


async def test_a_body_that_drips_meets_the_total_time(kind: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send_slowly([chunk(b"x")], 0.02)

    timeouts = Timeouts(connect=2, first_event=5, idle=1, total=0.4)
    assert (await outcome(kind, script, timeouts=timeouts)).failure == "total_timeout"


async def test_the_total_time_covers_waiting_for_the_head(kind: str) -> None:
    timeouts = Timeouts(connect=2, first_event=5, idle=5, total=0.2)
    assert (await outcome(kind, stall, timeouts=timeouts)).failure == "total_timeout"


async def test_time_that_the_sink_takes_is_not_the_provider_s(kind: str) -> None:
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"a"))
        await gate.wait()
        await peer.send(chunk(b"b") + b"0\r\n\r\n")

    async def slowly() -> None:
        await asyncio.sleep(0.4)
        gate.set()

    seen: list[bytes] = []

    def sink(data: bytes):
        seen.append(data)
        return slowly() if len(seen) == 1 else None

    timeouts = Timeouts(connect=2, first_event=5, idle=0.2, total=5)
    async with scripted(script) as server, opened(kind, server) as transport:
        answer = await transport.send(post(timeouts=timeouts))
        await answer.pump(sink)
    assert seen == [b"a", b"b"]


async def test_the_total_time_bounds_a_sink_that_never_returns(kind: str) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    timeouts = Timeouts(connect=2, first_event=5, idle=5, total=0.3)
    async with scripted(stall_after(CHUNKED + chunk(b"a"))) as server, opened(kind, server) as transport:
        answer = await transport.send(post(timeouts=timeouts))
        with pytest.raises(TotalTimeoutError):
            await answer.pump(lambda _: never())
        await until(lambda: server.eofs == 1)


async def test_a_connection_reused_after_a_short_deadline_keeps_its_own(kind: str) -> None:
    """The one timer of a connection must not strike for an exchange that is over."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await asyncio.sleep(0.4)
        await peer.send(OK)

    async with scripted(script) as server, opened(kind, server) as transport:
        short = Timeouts(connect=2, first_event=0.2, idle=0.2, total=0.3)
        assert await (await transport.send(post(timeouts=short))).read() == b"hello"
        assert await (await transport.send(post())).read() == b"hello"
        assert server.connections == 1


# Back-pressure, failing sinks, cancellation


async def test_a_slow_sink_stops_the_reading_with_bounded_memory(kind: str) -> None:
    written = 0

    async def script(peer: Peer) -> None:
        nonlocal written
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * 1024 * 1024))
        for _ in range(1024):
            await peer.send(bytes(65536))
            written += 65536

    gate = asyncio.Event()
    taken = 0
    largest = 0

    def sink(data: bytes):
        nonlocal taken, largest
        taken += len(data)
        largest = max(largest, len(data))
        return None if gate.is_set() else gate.wait()

    async with scripted(script) as server, opened(kind, server) as transport:
        answer = await transport.send(post(timeouts=Timeouts(total=60)))
        async with asyncio.TaskGroup() as group:
            group.create_task(answer.pump(sink))
            await until(lambda: taken > 0)
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.05)
            stalled_at = written
            gate.set()
    assert stalled_at < 32 * 1024 * 1024
    assert taken == 64 * 1024 * 1024
    assert largest < 2 * 1024 * 1024


async def test_a_body_nobody_takes_yet_is_held_within_bounds_and_delivered_later(kind: str) -> None:
    written = 0

    async def script(peer: Peer) -> None:
        nonlocal written
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (32 * 1024 * 1024))
        for _ in range(512):
            await peer.send(b"y" * 65536)
            written += 65536

    async with scripted(script) as server, opened(kind, server) as transport:
        answer = await transport.send(post(timeouts=Timeouts(total=60)))
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.05)
        assert written < 32 * 1024 * 1024
        assert await answer.read() == b"y" * (32 * 1024 * 1024)


async def test_what_a_sink_raises_ends_the_exchange_and_reaches_the_caller(kind: str) -> None:
    def sink(data: bytes) -> None:
        raise KeyError("mine")

    async with scripted(stall_after(CHUNKED + chunk(b"a"))) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        with pytest.raises(KeyError, match="mine"):
            await answer.pump(sink)
        await until(lambda: server.eofs == 1)


async def test_what_a_sink_raises_on_the_last_piece_is_not_lost(kind: str) -> None:
    def sink(data: bytes) -> None:
        raise KeyError("mine")

    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        with pytest.raises(KeyError, match="mine"):
            await answer.pump(sink)


async def test_what_a_sink_s_awaitable_raises_reaches_the_caller(kind: str) -> None:
    async def gone() -> None:
        raise TimeoutError("the client is slow")

    async with scripted(stall_after(CHUNKED + chunk(b"a"))) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        with pytest.raises(TimeoutError, match="the client is slow"):
            await answer.pump(lambda _: gone())
        await until(lambda: server.eofs == 1)


async def test_a_cut_while_the_sink_is_busy_comes_after_what_was_received(kind: str) -> None:
    cut = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"a"))
        await cut.wait()
        peer.close()

    seen: list[bytes] = []

    async def busy() -> None:
        cut.set()
        await asyncio.sleep(0.05)

    def sink(data: bytes):
        seen.append(data)
        return busy()

    async with scripted(script) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        with pytest.raises(ConnectionCutError):
            await answer.pump(sink)
    assert seen == [b"a"]


@pytest.mark.parametrize("phase", ["send", "read", "pump"])
async def test_cancellation_closes_the_socket(kind: str, phase: str) -> None:
    script = stall if phase == "send" else stall_after(CHUNKED + chunk(b"a"))
    started = asyncio.Event()

    async def run(transport: Transport) -> None:
        if phase == "send":
            started.set()
        answer = await transport.send(post())
        started.set()
        await (answer.read() if phase == "read" else answer.pump(lambda _: None))

    async with scripted(script) as server, opened(kind, server) as transport:
        task = asyncio.get_running_loop().create_task(run(transport))
        await started.wait()
        await until(lambda: len(server.requests) == 1)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.eofs == 1)


async def test_a_request_is_said_to_be_sent_once_before_its_answer(kind: str) -> None:
    said: list[int] = []
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        for number in range(2):  # on a new connection, and on the one that is kept
            answer = await transport.send(post(on_sent=lambda number=number: said.append(number)))
            assert said == list(range(number + 1))
            assert await answer.read() == b"hello"
    assert said == [0, 1]


async def test_giving_an_answer_up_closes_the_socket(kind: str) -> None:
    async with scripted(stall_after(CHUNKED + chunk(b"a"))) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        await answer.aclose()
        await answer.aclose()
        await until(lambda: server.eofs == 1)
        with pytest.raises(RuntimeError):
            await answer.read()


async def test_closing_after_a_whole_read_keeps_the_connection(kind: str) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        for _ in range(3):
            answer = await transport.send(post())
            await answer.read()
            await answer.aclose()
        assert server.connections == 1


async def test_pieces_arrive_as_the_provider_sends_them(kind: str) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for number in range(5):
            await peer.send(chunk(b"event %d" % number))
            # The next one is sent only after this one reached the sink.
            assert await asyncio.wait_for(received.get(), 2) == b"event %d" % number
        await peer.send(b"0\r\n\r\n")

    async with scripted(script) as server, opened(kind, server) as transport:
        answer = await transport.send(post())
        await answer.pump(received.put_nowait)


# The pool


async def test_one_connection_serves_requests_one_after_the_other(kind: str) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        for _ in range(20):
            assert await (await transport.send(post())).read() == b"hello"
        assert (server.connections, len(server.requests)) == (1, 20)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
async def test_a_connection_that_says_so_is_not_used_again(kind: str, wire: bytes) -> None:
    async with scripted(answering(wire)) as server, opened(kind, server) as transport:
        for number in range(3):
            assert await (await transport.send(post())).read() == b"hello"
            await until(lambda expected=number + 1: len(server.requests) == expected)
        assert server.connections == 3


async def test_a_post_that_was_written_and_then_reset_is_not_sent_again(kind: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.index == 0 and len(peer.server.requests) == 1:
            await peer.send(OK)
            await peer.request()
        peer.reset()

    async with scripted(script) as server, opened(kind, server) as transport:
        assert await (await transport.send(post())).read() == b"hello"
        with pytest.raises(ConnectionCutError) as caught:
            await transport.send(post())
        assert caught.value.sent
        assert len(server.requests) == 2


async def test_parallel_requests_never_open_more_connections_than_allowed(kind: str) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(0.002)
            await peer.send(OK)

    async with scripted(script) as server, opened(kind, server, max_connections=8) as transport:

        async def one() -> None:
            timeouts = Timeouts(connect=20, first_event=20, idle=20, total=30)
            assert await (await transport.send(post(timeouts=timeouts))).read() == b"hello"

        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(one())
        assert (server.most_open, len(server.requests)) == (8, 200)


async def test_waiting_for_a_free_connection_ends_with_the_connect_time(kind: str) -> None:
    async with scripted(stall) as server, opened(kind, server, max_connections=1) as transport:
        blocking = asyncio.get_running_loop().create_task(transport.send(post()))
        await until(lambda: len(server.requests) == 1)
        with pytest.raises(ConnectTimeoutError) as caught:
            await transport.send(post(timeouts=Timeouts(connect=0.1, first_event=2, idle=2, total=5)))
        assert not caught.value.sent
        blocking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocking


async def test_waiters_survive_the_cancellation_and_the_failure_of_others(kind: str) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server, max_connections=2) as transport:
        loop = asyncio.get_running_loop()

        async def one() -> bytes:
            return await (await transport.send(post())).read()

        tasks = [loop.create_task(one()) for _ in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result == b"hello" for index, result in enumerate(results) if index % 3)
        assert await one() == b"hello"
        assert server.most_open <= 4


async def test_an_idle_connection_expires(kind: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.eof()

    async with scripted(script) as server, opened(kind, server, idle_expiry_s=0.1) as transport:
        assert await (await transport.send(post())).read() == b"hello"
        await until(lambda: server.eofs == 1)


async def test_a_connection_beyond_its_age_is_not_used_again(kind: str) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server, max_connection_age_s=0.1) as transport:
        assert await (await transport.send(post())).read() == b"hello"
        loop = asyncio.get_running_loop()
        too_old_at = loop.time() + 0.15
        await until(lambda: loop.time() > too_old_at)
        assert await (await transport.send(post())).read() == b"hello"
        assert server.connections == 2


async def test_closing_the_transport_fails_what_is_under_way_and_closes_every_socket(kind: str) -> None:
    async with scripted(stall) as server:
        async with opened(kind, server) as transport:
            sending = asyncio.get_running_loop().create_task(transport.send(post()))
            await until(lambda: len(server.requests) == 1)
        with pytest.raises(UpstreamFailure):
            await sending
        await until(lambda: server.eofs == 1)


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
