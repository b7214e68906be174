import asyncio
import os

import pytest

from headgate.upstream.addresses import Origin
from headgate.upstream.lean import LeanTransport
from headgate.upstream.options import TransportOptions
from headgate.upstream.transport import ConnectError, Timeouts, UpstreamFailure, UpstreamRequest
from tests.upstream.scripted_server import OK, Peer, answering, scripted, until


def request() -> UpstreamRequest:
    return UpstreamRequest("POST", "/", (), b"{}", Timeouts(connect=5, first_event=5, idle=5, total=10))


async def test_the_connection_used_last_is_used_next() -> None:
    gate = asyncio.Event()
    served: list[int] = []

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            served.append(peer.index)
            await gate.wait()
            await peer.send(OK)

    async with scripted(script) as server:
        transport = LeanTransport(
            Origin("http", "127.0.0.1", server.port), TransportOptions(allow_private_network=True)
        )

        async def one() -> None:
            await (await transport.send(request())).read()

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(one())
            await until(lambda: len(served) == 3)
            gate.set()
        for _ in range(5):
            await one()
        assert len(set(served[3:])) == 1
        await transport.aclose()


async def test_waiting_requests_are_served_in_order() -> None:
    order: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            order.append((await peer.request())[-2:])
            await peer.send(OK)

    async with scripted(script) as server:
        options = TransportOptions(allow_private_network=True, max_connections=1)
        transport = LeanTransport(Origin("http", "127.0.0.1", server.port), options)

        async def one(number: int) -> None:
            body = b"%02d" % number
            answer = await transport.send(UpstreamRequest("POST", "/", (), body, Timeouts()))
            await answer.read()

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(one(number))
        assert order == [b"%02d" % number for number in range(20)]
        await transport.aclose()


async def test_no_slot_is_lost_whatever_happens_to_requests() -> None:
    """Resets, cuts, cancellations and refusals at random; afterwards every connection can still be had at once."""
    slots = 4
    calm = False
    arrived = 0
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal arrived
        while True:
            await peer.request()
            chance = os.urandom(1)[0]
            if calm:
                arrived += 1
                await gate.wait()
            elif chance < 40:
                peer.reset()
                return
            elif chance < 80:
                await peer.send(OK[: chance - 20])
                return
            await peer.send(OK)

    async with scripted(script) as server:
        options = TransportOptions(allow_private_network=True, max_connections=slots)
        transport = LeanTransport(Origin("http", "127.0.0.1", server.port), options)

        async def stormy() -> None:
            try:
                answer = await transport.send(request())
                if os.urandom(1)[0] < 30:
                    await answer.aclose()
                else:
                    await answer.read()
            except UpstreamFailure:
                pass

        tasks = [asyncio.get_running_loop().create_task(stormy()) for _ in range(400)]
        for task in tasks:
            if os.urandom(1)[0] < 60:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        calm = True

        async def quiet() -> None:
            assert await (await transport.send(request())).read() == b"hello"

        async with asyncio.TaskGroup() as group:
            for _ in range(slots + 2):
                group.create_task(quiet())
            await until(lambda: arrived == slots)
            gate.set()
        assert arrived == slots + 2
        await transport.aclose()


async def test_a_closed_transport_refuses_requests() -> None:
    async with scripted(answering(OK)) as server:
        transport = LeanTransport(
            Origin("http", "127.0.0.1", server.port), TransportOptions(allow_private_network=True)
        )
        await (await transport.send(request())).read()
        await transport.aclose()
        await transport.aclose()
        with pytest.raises(ConnectError, match="closed"):
            await transport.send(request())


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_slot_given_to_a_request_that_is_cancelled_in_that_moment_goes_on() -> None:
    """The order of callbacks within one turn of the loop matters here, so the standard loop is used."""
    loop = asyncio.get_running_loop()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK if peer.index else OK[:-1])
        await peer.eof()

    async with scripted(script) as server:
        options = TransportOptions(allow_private_network=True, max_connections=1)
        transport = LeanTransport(Origin("http", "127.0.0.1", server.port), options)
        holder = await transport.send(request())
        waiting = loop.create_task(transport.send(request()))
        await asyncio.sleep(0)
        await holder.aclose()  # connection_lost is the next callback, and frees the slot …
        loop.call_soon(waiting.cancel)  # … before this one
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await (await transport.send(request())).read() == b"hello"
        await transport.aclose()


async def test_a_connection_given_to_a_request_that_is_cancelled_in_that_moment_goes_on() -> None:
    loop = asyncio.get_running_loop()
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(OK[:-1])
            await gate.wait()
            await peer.send(OK[-1:])

    async with scripted(script) as server:
        options = TransportOptions(allow_private_network=True, max_connections=1)
        transport = LeanTransport(Origin("http", "127.0.0.1", server.port), options)
        holder = await transport.send(request())
        waiting = loop.create_task(transport.send(request()))
        await asyncio.sleep(0)

        def sink(data: bytes) -> None:
            if data.endswith(b"o"):
                # It runs after the connection was handed over, and before the request that waits for it wakes up.
                loop.call_soon(waiting.cancel)

        gate.set()
        await holder.pump(sink)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await (await transport.send(request())).read() == b"hello"
        assert server.connections == 1
        await transport.aclose()


async def test_a_retired_pool_hands_its_busy_connections_to_those_who_wait_and_then_closes_them() -> None:
    async with scripted(answering(OK)) as server:
        options = TransportOptions(allow_private_network=True, max_connections=2)
        transport = LeanTransport(Origin("http", "127.0.0.1", server.port), options)

        async def one() -> bytes:
            return await (await transport.send(request())).read()

        assert await one() == b"hello"
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(20)]
            await until(lambda: len(server.requests) >= 3)
            await transport.retire()
        assert [task.result() for task in tasks] == [b"hello"] * 20
        assert server.most_open <= 2
        await until(lambda: server.open == 0)
        await transport.aclose()
