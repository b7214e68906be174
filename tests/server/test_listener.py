"""A listening socket: accept, drain, let go."""

import asyncio

import pytest

from headgate.server.listener import bind
from tests.server.listening import GET, Echo, connect, listening


async def test_drain_lets_a_request_finish_and_refuses_new_connections() -> None:
    app = Echo()
    async with listening(app) as listener:
        reader, writer = await connect(listener)
        writer.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(app.held.wait(), 5)
        async with asyncio.TaskGroup() as group:
            drained = group.create_task(listener.drain(10))
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
        await listener.drain(0.05)
        assert app.cancelled.is_set()
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


async def test_an_idle_connection_does_not_hold_up_the_drain() -> None:
    async with listening(Echo()) as listener:
        reader, writer = await connect(listener)
        writer.write(GET)
        assert (await asyncio.wait_for(reader.read(100), 5)).startswith(b"HTTP/1.1 200 OK")
        await asyncio.wait_for(listener.drain(30), 5)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_an_address_in_use_says_so() -> None:
    taken = bind("127.0.0.1:0")
    taken.listen()
    with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1"):
        bind(f"127.0.0.1:{taken.getsockname()[1]}")
    taken.close()
