"""The other half of the transports' one suite: time-outs, back-pressure, cancellation, and the pool of connections."""

import asyncio

import pytest

from headgate.upstream.transport import (
    ConnectionCutError,
    ConnectTimeoutError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    Timeouts,
    TotalTimeoutError,
    Transport,
    UpstreamFailure,
)
from tests.upstream.callers import (
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
    chunk,
    scripted,
    until,
)

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


async def test_a_body_that_drips_without_the_end_of_a_line_stalls(kind: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send_slowly([chunk(b"x")], 0.02)

    timeouts = Timeouts(connect=2, first_event=5, idle=0.2, total=20)
    assert (await outcome(kind, script, timeouts=timeouts)).failure == "idle_timeout"


@pytest.mark.parametrize("crumb", [b"\n", b"x" * 63, b": \n", b"data: {}"])
async def test_a_body_that_drips_lines_or_enough_goes_on(kind: str, crumb: bytes) -> None:
    """For as long as five idle times."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for turn in range(50):
            # A line in pieces, as reads may cut it: each ends within the idle time.
            end = b"\n" if turn % 4 == 3 and len(crumb) < 60 else b""
            await peer.send_slowly([chunk(crumb + end)], 0.04)
        await peer.send(b"0\r\n\r\n")

    timeouts = Timeouts(connect=2, first_event=5, idle=0.4, total=20)
    assert (await outcome(kind, script, timeouts=timeouts)).failure is None


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


async def test_retiring_closes_what_is_idle(kind: str) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        assert await (await transport.send(post())).read() == b"hello"
        await transport.retire()
        await until(lambda: server.open == 0)


async def test_a_retired_transport_lets_an_exchange_end_and_then_closes_its_connection(kind: str) -> None:
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"one"))
        await gate.wait()
        await peer.send(chunk(b"two") + chunk(b""))
        await peer.eof()

    async with scripted(script) as server, opened(kind, server) as transport:
        pieces: list[bytes] = []
        answer = await transport.send(post())
        async with asyncio.TaskGroup() as group:
            group.create_task(answer.pump(pieces.append))
            await until(lambda: pieces == [b"one"])
            await transport.retire()
            gate.set()
        assert b"".join(pieces) == b"onetwo"
        await until(lambda: server.eofs == 1)


async def test_a_retired_transport_still_sends_and_keeps_nothing(kind: str) -> None:
    async with scripted(answering(OK)) as server, opened(kind, server) as transport:
        await transport.retire()
        for _ in range(3):
            assert await (await transport.send(post())).read() == b"hello"
        await until(lambda: server.open == 0)
        assert server.connections == 3
