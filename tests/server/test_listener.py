"""A listening socket: accept, drain, let go."""

import asyncio
import time

import pytest

from headgate.server.listener import Listener, bind
from tests.server.listening import GET, Echo, asgi, connect, listening


async def test_drain_lets_a_request_finish_and_refuses_new_connections() -> None:
    app = Echo()
    async with listening(app) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(app.held.wait(), 5)
        async with asyncio.TaskGroup() as group:
            drained = group.create_task(listener.drain(10, asyncio.Event()))
            await asyncio.sleep(0.05)
            with pytest.raises(OSError):
                await connect(listener)
            assert not drained.done()
            app.gate.set()
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer


async def test_drain_cancels_what_does_not_finish_and_lets_it_settle() -> None:
    app = Echo()
    async with listening(app) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(app.held.wait(), 5)
        await listener.drain(0.05, asyncio.Event())
        assert app.cancelled.is_set()
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


async def test_an_idle_connection_does_not_hold_up_the_drain() -> None:
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        writer.write(GET)
        assert (await asyncio.wait_for(reader.read(100), 5)).startswith(b"HTTP/1.1 200 OK")
        await asyncio.wait_for(listener.drain(30, asyncio.Event()), 5)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_one_connection_too_many_is_told_so_and_the_others_go_on() -> None:
    async with listening(Echo(), max_connections=2) as listener:
        held = [await connect(listener) for _ in range(2)]
        for _, writer in held:
            writer.write(GET)
        for reader, _ in held:
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), 5)).startswith(b"HTTP/1.1 200 OK")
        reader, surplus = await connect(listener)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"overloaded" in answer
        surplus.close()
        held[0][1].close()
        deadline = time.monotonic() + 5
        while len(listener.connections) > 1:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        reader, writer = await connect(listener)
        writer.write(GET)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()
        held[1][1].close()


async def test_an_address_in_use_says_so() -> None:
    taken = bind("127.0.0.1:0")
    taken.listen()
    with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1"):
        bind(f"127.0.0.1:{taken.getsockname()[1]}")
    taken.close()


async def test_drain_waits_until_a_slow_reader_has_its_answer() -> None:
    class Large:
        async def __call__(self, scope: object, receive: object, send: object) -> None:
            headers = [(b"content-length", b"30000000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
            await send({"type": "http.response.body", "body": b"x" * 30_000_000})  # type: ignore[operator]

    listener = Listener(asgi(Large()), bind("127.0.0.1:0"), tls=None, header_timeout_s=30)
    await listener.open()
    reader, writer = await connect(listener)
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    size = 0

    async def read_slowly() -> None:
        nonlocal size
        while piece := await reader.read(1_000_000):
            size += len(piece)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(read_slowly())
        group.create_task(listener.drain(30, asyncio.Event()))
    writer.close()
    assert size == 30_000_000


async def test_haste_ends_the_wait_of_a_drain() -> None:
    app = Echo()
    hurry = asyncio.Event()
    async with listening(app) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(app.held.wait(), 5)
        asyncio.get_running_loop().call_later(0.05, hurry.set)
        await asyncio.wait_for(listener.drain(600, hurry), 10)
        assert app.cancelled.is_set()
        assert await asyncio.wait_for(reader.read(), 5)
        writer.close()
