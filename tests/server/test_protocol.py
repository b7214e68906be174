"""The edge's limits, on real sockets: framing, heads, slow clients."""

import asyncio
import contextlib
from typing import Any

import pytest

from headgate.domain.errors import BodyTooLargeError, HeadgateError
from headgate.server.inbound import Application, Inbound
from headgate.server.protocol import MAX_HEADERS
from tests.server.listening import GET, Echo, admit, asgi, connect, converse, listening


async def test_a_good_request_is_answered_and_the_connection_kept() -> None:
    async with listening(Echo()) as listener:
        answer = await converse(listener, GET + GET)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
REFUSED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "two hosts alike": b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
    "host with a path": b"GET / HTTP/1.1\r\nhost: x/?a#\r\n\r\n",
    "length and chunked": POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "huge chunk size": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "negative length": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc",
    "space before colon": b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nhost: a\r\nx-one: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nhost: a\n\n",
    "bare carriage return": b"GET / HTTP/1.1\r\nhost: a\r\nx-one: a\rb: c\r\n\r\n",
    "zero byte": b"GET / HTTP/1.1\r\nhost: a\r\nx-one: a\x00b\r\n\r\n",
    "other protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "unknown version": b"GET / HTTP/3.7\r\nhost: a\r\n\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
    "high bytes in target": b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
async def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(data: bytes) -> None:
    async with listening(Echo()) as listener:
        answer = await converse(listener, data + GET)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"x-%d: a\r\n" % i for i in range(MAX_HEADERS + 1)),
        b"x-large: " + b"a" * 200_000 + b"\r\n",
        b"x-" + b"n" * 100_000 + b": a\r\n",
    ],
    ids=["many", "long value", "long name"],
)
async def test_a_head_beyond_the_bounds_is_431(head: bytes) -> None:
    async with listening(Echo()) as listener:
        answer = await converse(listener, b"GET / HTTP/1.1\r\nhost: a\r\n" + head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_long_target_is_431() -> None:
    async with listening(Echo()) as listener:
        answer = await converse(listener, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "data",
    [b"GET / HTT", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc", b"G"],
    ids=["head", "body", "first byte"],
)
async def test_a_client_that_stops_sending_gets_408(data: bytes) -> None:
    async with listening(Echo(), header_timeout_s=0.2) as listener:
        reader, writer = await connect(listener)
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in answer


async def test_a_client_that_sends_nothing_is_closed_without_a_word() -> None:
    async with listening(Echo(), header_timeout_s=0.2) as listener:
        reader, writer = await connect(listener)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_head_that_trickles_is_cut_although_bytes_keep_coming() -> None:
    async with listening(Echo(), header_timeout_s=0.3) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n")

        async def trickle() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(2000):
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            slow = group.create_task(trickle())
            answer = await asyncio.wait_for(reader.read(), 10)
            slow.cancel()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_request_being_answered_has_no_deadline() -> None:
    app = Echo()
    async with listening(app, header_timeout_s=0.1) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(app.held.wait(), 5)
        listener._tick()
        await asyncio.sleep(0.3)
        listener._tick()
        app.gate.set()
        assert (await asyncio.wait_for(reader.read(100), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


async def test_a_request_that_waits_behind_another_has_no_deadline_either() -> None:
    app = Echo()
    async with listening(app, header_timeout_s=0.1) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n" + GET)
        await asyncio.wait_for(app.held.wait(), 5)
        await asyncio.sleep(0.3)
        listener._tick()
        app.gate.set()
        for _ in range(2):
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


async def test_a_head_that_begins_behind_a_request_keeps_its_deadline_when_that_is_answered() -> None:
    app = Echo()
    async with listening(app, header_timeout_s=0.3) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\nGET / HT")
        await asyncio.wait_for(app.held.wait(), 5)
        app.gate.set()
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), 5)).startswith(b"HTTP/1.1 200 OK")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_flood_of_pipelined_requests_is_cut_off() -> None:
    app = Echo()
    async with listening(app) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n" + GET * 10_000)
        # Bytes that nobody reads any more make it a reset; either way nothing is answered and little is kept.
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert listener.connections == []
        writer.close()


@pytest.mark.parametrize("split", [False, True])
async def test_an_offered_upgrade_is_ignored_and_the_body_is_the_body(split: bool) -> None:
    head = (
        b"POST / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\ncontent-length: %d\r\n\r\n" % len(GET)
    )
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        writer.write(head if split else head + GET)
        if split:
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(GET)
        writer.write(GET)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while piece := await asyncio.wait_for(reader.read(65536), 0.5):
                answer += piece
        writer.close()
    # The first GET is the body of the POST, the second one a request of its own.
    sizes = [part.rpartition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert sizes == [b"%d" % len(GET), b"0"]


async def test_connect_is_refused() -> None:
    async with listening(Echo()) as listener:
        answer = await converse(listener, b"CONNECT 10.0.0.1:22 HTTP/1.1\r\nhost: 10.0.0.1:22\r\n\r\nSSH-2.0-x\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_trailers_are_no_headers() -> None:
    seen: list[bytes] = []

    async def answer(inbound: Inbound) -> None:
        seen.extend(name for name, _ in inbound.fields)
        inbound.whole(204, [], b"")

    chunked = b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nauthorization: Bearer x\r\n\r\n"
    async with listening(Application(admit, answer)) as listener:
        found = await converse(listener, b"POST / HTTP/1.1\r\nhost: a\r\n" + chunked)
    assert found.startswith(b"HTTP/1.1 204 ")
    assert seen == [b"host", b"transfer-encoding"]


async def refused(reader: asyncio.StreamReader, status: bytes) -> None:
    """The connection ended, with ``status`` unless the unread rest of the request reset it first."""
    try:
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 " + status)
    except ConnectionResetError:
        assert reader.at_eof() or reader.exception() is not None


@pytest.mark.parametrize(
    "endless",
    [b"2;x=" + b"a" * 1000, b"0\r\n" + b"x-trailer: " + b"a" * 1000],
    ids=["chunk extension", "trailer"],
)
async def test_framing_without_end_is_refused(endless: bytes) -> None:
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + endless)
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                writer.write(b"a" * 1000)
                await writer.drain()
        await refused(reader, b"400")
        writer.close()


async def test_a_large_body_behind_another_on_one_connection_is_no_framing() -> None:
    size = 600_000
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        for _ in range(3):
            writer.write(POST + b"content-length: %d\r\n\r\n" % size + b"x" * size)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.close()


async def test_a_field_without_end_is_refused_before_it_is_whole() -> None:
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nx-long: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                writer.write(b"a" * 1000)
                await writer.drain()
        await refused(reader, b"431")
        writer.close()


async def test_a_read_that_ends_behind_the_target_is_no_fault() -> None:
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        for piece in (b"GET /", b" HTTP/1.1\r\nhost: a\r\n\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        assert (await asyncio.wait_for(reader.read(100), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


@pytest.mark.parametrize("rest", [b"garbage\r\n\r\n", b"GET / HT"])
async def test_no_refusal_is_written_into_the_answer_of_an_earlier_request(rest: bytes) -> None:
    app = Echo()
    async with listening(app, header_timeout_s=0.2) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n" + rest)
        await asyncio.wait_for(app.held.wait(), 5)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


def refuse_at_once(inbound: Inbound) -> None:
    inbound.refusal = RefusedError("no")


class RefusedError(HeadgateError):
    """A refusal that says nothing of closing."""


async def test_a_refusal_is_seen_although_the_body_is_still_arriving() -> None:
    async def answer(inbound: Inbound) -> None:
        inbound.whole(413, [(b"connection", b"close")], b"no")

    async with listening(Application(refuse_at_once, answer)) as listener:
        reader, writer = await connect(listener)
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 20000000\r\n\r\n")

        async def upload() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    writer.write(b"x" * 100_000)
                    await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(upload())
            found = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert found.startswith(b"HTTP/1.1 413 ")
    assert found.endswith(b"no")


@pytest.mark.parametrize("body", [b"late", None], ids=["body comes", "body never comes"])
async def test_a_refused_request_leaves_the_connection_usable_or_in_time_closed(body: bytes | None) -> None:
    async def answer(inbound: Inbound) -> None:
        inbound.whole(405, [], b"")

    async with listening(Application(refuse_at_once, answer), header_timeout_s=0.3) as listener:
        reader, writer = await connect(listener)
        writer.write(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 405 ")
        if body is None:
            # No second answer to the same request, only the end.
            assert await asyncio.wait_for(reader.read(), 5) == b""
        else:
            writer.write(body + GET)
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 405 ")
            (connection,) = listener.connections
            assert connection.deadline < asyncio.get_running_loop().time() + 100
        writer.close()


async def test_a_refused_request_behind_others_is_not_waited_for_for_ever() -> None:
    """Found by fuzzing: those before it are answered without a deadline, which it must not inherit."""

    def admit_get(inbound: Inbound) -> None:
        if inbound.method != "GET":
            refuse_at_once(inbound)

    async def answer(inbound: Inbound) -> None:
        inbound.whole(200 if inbound.refusal is None else 405, [], b"")

    async with listening(Application(admit_get, answer), header_timeout_s=0.3) as listener:
        reader, writer = await connect(listener)
        writer.write(GET + GET + b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n")
        answers = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert answers.count(b"HTTP/1.1 405 ") == 1


async def test_a_body_beyond_its_bound_is_refused_while_it_arrives() -> None:
    seen: list[HeadgateError | None] = []

    def admit_little(inbound: Inbound) -> None:
        inbound.max_body = 1000

    async def answer(inbound: Inbound) -> None:
        seen.append(inbound.refusal)
        inbound.whole(413, [(b"connection", b"close")], b"")

    async with listening(Application(admit_little, answer)) as listener:
        reader, writer = await connect(listener)
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            writer.write(b"190\r\n" + b"x" * 400 + b"\r\n")
        found = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert found.startswith(b"HTTP/1.1 413 ")
    assert [type(refusal) for refusal in seen] == [BodyTooLargeError]


async def test_who_waits_with_its_body_is_told_to_send_it() -> None:
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await asyncio.wait_for(reader.read(100), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


async def test_who_waits_with_a_body_that_is_not_wanted_is_not_told_to_send_it() -> None:
    async def answer(inbound: Inbound) -> None:
        inbound.whole(405, [], b"")

    async with listening(Application(refuse_at_once, answer)) as listener:
        reader, writer = await connect(listener)
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 405 ")
        writer.close()


class Flood:
    """Sends more than any buffer holds, and notes when it is told that its client is gone."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(200):
                await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        finally:
            self.over.set()


async def test_a_client_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.server.protocol.UNREAD_S", 0.3)
    app = Flood()
    async with listening(asgi(app)) as listener:
        _, writer = await connect(listener)
        writer.transport.pause_reading()
        writer.write(GET)
        assert await asyncio.wait_for(app.over.wait(), 10)
        writer.close()


@pytest.mark.parametrize(("size", "count", "status"), [(1, 100_000, b"400"), (1, 5_000, b"200"), (64, 30_000, b"200")])
async def test_chunks_that_are_many_and_tiny_are_refused(size: int, count: int, status: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    body = (b"%x\r\n" % size + b"x" * size + b"\r\n") * count + b"0\r\n\r\n"
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        with contextlib.suppress(ConnectionError):
            writer.write(head + body)
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(100), 10)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 " + status)
