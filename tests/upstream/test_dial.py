import asyncio
import socket
import sys

import pytest

from headgate.upstream.addresses import Origin
from headgate.upstream.dial import checked_addresses
from headgate.upstream.lean import LeanTransport
from headgate.upstream.options import TransportOptions
from headgate.upstream.proxies import Proxy
from headgate.upstream.transport import AddressRefusedError, ConnectError, Timeouts, UpstreamRequest
from tests.upstream.scripted_server import OK, Peer, answering, scripted


def resolving(*addresses: str, **options: object) -> TransportOptions:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        return addresses

    return TransportOptions(resolve=resolve, **options)  # type: ignore[arg-type]


async def test_refused_addresses_are_left_out_and_families_take_turns() -> None:
    options = resolving("2606:4700::1", "2606:4700::2", "127.0.0.1", "8.8.8.8", "169.254.169.254", "8.8.4.4")
    found = await checked_addresses("api.example.com", 443, options)
    assert found == ("2606:4700::1", "8.8.8.8", "2606:4700::2", "8.8.4.4")


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("10.0.0.1", "::1"), ("169.254.169.254",)])
async def test_a_name_with_refused_addresses_only_is_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(AddressRefusedError) as caught:
        await checked_addresses("api.example.com", 443, resolving(*addresses))
    assert addresses[0] in caught.value.message


async def test_a_name_without_addresses_is_a_connect_error() -> None:
    with pytest.raises(ConnectError):
        await checked_addresses("api.example.com", 443, resolving())


async def test_an_address_is_not_looked_up() -> None:
    assert await checked_addresses("8.8.8.8", 443, resolving("127.0.0.1")) == ("8.8.8.8",)


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 and a full backlog that drops are Linux's")
async def test_an_address_that_swallows_everything_costs_half_the_time_and_not_the_request() -> None:
    async with scripted(answering(OK)) as server:
        hole = socket.socket()
        fillers = [socket.socket() for _ in range(4)]
        try:
            hole.bind(("127.0.0.2", server.port))
            hole.listen(0)
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.2", server.port))
            options = resolving("127.0.0.2", "127.0.0.1", allow_private_network=True)
            transport = LeanTransport(Origin("http", "api.example.com", server.port), options)
            request = UpstreamRequest("POST", "/", (), b"", Timeouts(connect=0.8))
            assert await (await transport.send(request)).read() == b"hello"
            await transport.aclose()
        finally:
            for sock in (hole, *fillers):
                sock.close()


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "status 502"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 3\r\n\r\nno!", "status 407"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak"),
        (b"HTTP/1.1 xyz\r\n\r\n", "does not speak"),
        (b"HTTP/1.1 200 OK\r\n\r\nsurplus", "before it was used"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 20_000, "talked too much"),
        (b"HTTP/1.1 200 OK\r\n", "closed"),
    ],
)
async def test_a_proxy_that_does_not_make_a_tunnel_is_a_connect_error(verdict: bytes, words: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(verdict)

    async with scripted(script) as proxy:
        options = TransportOptions(proxy=Proxy("127.0.0.1", proxy.port))
        transport = LeanTransport(Origin("https", "api.example.com", 443), options)
        with pytest.raises(ConnectError, match=words) as caught:
            await transport.send(UpstreamRequest("POST", "/", (), b"", Timeouts(connect=3)))
        assert not caught.value.sent
        await transport.aclose()


async def test_a_proxy_that_does_not_resolve_is_a_connect_error() -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    options = TransportOptions(proxy=Proxy("proxy.corp", 3128), resolve=resolve)
    transport = LeanTransport(Origin("https", "api.example.com", 443), options)
    with pytest.raises(ConnectError, match=r"proxy\.corp does not resolve"):
        await transport.send(UpstreamRequest("POST", "/", (), b"", Timeouts()))
    await transport.aclose()


async def test_cancelling_while_dialling_leaves_nothing_behind() -> None:
    started = asyncio.Event()

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        started.set()
        await asyncio.Event().wait()
        return ()

    options = TransportOptions(resolve=resolve, max_connections=1)
    transport = LeanTransport(Origin("https", "api.example.com", 443), options)
    for _ in range(3):  # a slot that was lost would make the next round wait for it
        started.clear()
        sending = asyncio.get_running_loop().create_task(
            transport.send(UpstreamRequest("POST", "/", (), b"", Timeouts()))
        )
        await asyncio.wait_for(started.wait(), 2)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    await transport.aclose()
