import asyncio

from headgate.upstream.addresses import Origin
from headgate.upstream.aiohttp_transport import AiohttpTransport
from headgate.upstream.options import TransportOptions
from headgate.upstream.transport import Timeouts, UpstreamRequest
from tests.upstream.scripted_server import CHUNKED, OK, Peer, chunk, scripted, until

REQUEST = UpstreamRequest("POST", "/", (), b"{}", Timeouts())


async def test_connections_that_grow_too_old_are_replaced_without_cutting_an_exchange() -> None:
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.index == 0:
            await peer.send(CHUNKED + chunk(b"a"))
            await gate.wait()
            await peer.send(chunk(b"b") + b"0\r\n\r\n")
        else:
            await peer.send(OK)
        await peer.eof()

    async with scripted(script) as server:
        options = TransportOptions(allow_private_network=True, max_connection_age_s=0.05)
        transport = AiohttpTransport(Origin("http", "127.0.0.1", server.port), options)
        long = await transport.send(REQUEST)
        loop = asyncio.get_running_loop()
        old_at = loop.time() + 0.06
        await until(lambda: loop.time() > old_at)
        assert await (await transport.send(REQUEST)).read() == b"hello"
        gate.set()
        assert await long.read() == b"ab"
        await until(lambda: server.eofs == 1)  # the old generation closed with its last exchange
        await transport.aclose()
        await until(lambda: server.eofs == 2)
