"""The way to a provider, for every network transport: addresses, TLS, proxies."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from headgate.upstream.addresses import Origin
from headgate.upstream.proxies import Proxy, choose_proxy
from headgate.upstream.tls import client_context
from headgate.upstream.transport import (
    AddressRefusedError,
    ConnectError,
    ConnectionCutError,
    ConnectTimeoutError,
    Timeouts,
    TlsError,
    UpstreamFailure,
)
from tests.upstream.callers import (
    loopback,
    opened,
    post,
)
from tests.upstream.scripted_server import (
    CHUNKED,
    OK,
    Peer,
    Script,
    answering,
    chunk,
    scripted,
    until,
)


async def test_nobody_listening_is_a_connect_error_with_nothing_sent(kind: str) -> None:
    async with scripted(answering(OK)) as server:
        pass
    async with opened(kind, server) as transport:
        with pytest.raises(ConnectError) as caught:
            await transport.send(post())
        assert not caught.value.sent


async def test_a_name_that_does_not_resolve_is_a_connect_error(kind: str) -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        raise OSError("no such name")

    async with (
        scripted(answering(OK)) as server,
        opened(kind, server, host="api.example.com", resolve=resolve) as transport,
    ):
        with pytest.raises(ConnectError):
            await transport.send(post())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "0x7f.1", "::ffff:127.0.0.1"]
)
async def test_addresses_of_the_inside_are_refused_without_leave(kind: str, host: str) -> None:
    async with scripted(answering(OK)) as server:
        async with opened(kind, server, host=host, allow_private_network=False) as transport:
            with pytest.raises(AddressRefusedError) as caught:
                await transport.send(post())
            assert not caught.value.sent
        assert server.connections == 0


async def test_metadata_is_refused_even_with_leave(kind: str) -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        return ("169.254.169.254", "fe80::1")

    async with (
        scripted(answering(OK)) as server,
        opened(kind, server, host="api.example.com", resolve=resolve) as transport,
    ):
        with pytest.raises(AddressRefusedError):
            await transport.send(post())


async def test_a_name_that_turns_private_later_is_refused_at_connect_time(kind: str) -> None:
    """DNS rebinding: what counts is the address of this very connection."""
    answers = iter([("203.0.113.7",), ("127.0.0.1",)])
    asked: list[str] = []

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        asked.append(host)
        return next(answers)

    async with scripted(answering(OK)) as server:
        options = {"host": "api.example.com", "resolve": resolve, "allow_private_network": False}
        async with opened(kind, server, **options) as transport:  # type: ignore[arg-type]
            with pytest.raises(UpstreamFailure):
                await transport.send(post(timeouts=Timeouts(connect=0.1, total=0.2)))
            with pytest.raises(AddressRefusedError):
                await transport.send(post())
        assert asked == ["api.example.com", "api.example.com"]
        assert server.connections == 0


async def test_the_checked_address_is_the_one_connected_to(kind: str) -> None:
    asked = 0

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        nonlocal asked
        asked += 1
        return ("127.0.0.1",) if asked == 1 else ("127.0.0.99",)

    async with (
        scripted(answering(OK)) as server,
        opened(kind, server, host="api.example.com", resolve=resolve) as transport,
    ):
        assert await (await transport.send(post())).read() == b"hello"
    assert asked == 1
    assert f"host: api.example.com:{server.port}".encode() in server.requests[0].lower()


async def test_the_next_address_is_tried_where_one_does_not_answer(kind: str) -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        return ("::1", "127.0.0.2", "127.0.0.1")

    async with (
        scripted(answering(OK)) as server,
        opened(kind, server, host="api.example.com", resolve=resolve) as transport,
    ):
        assert await (await transport.send(post())).read() == b"hello"


@dataclass
class Certificates:
    server: ssl.SSLContext
    server_mutual: ssl.SSLContext
    ca: str
    other_ca: str
    client: str


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder: Path = tmp_path_factory.mktemp("certificates")
    authority, other = trustme.CA(), trustme.CA()
    leaf = authority.issue_cert("api.example.com", "127.0.0.1")
    client = authority.issue_cert("gateway@example.com")
    contexts: list[ssl.SSLContext] = []
    for mutual in (False, True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        if mutual:
            authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        contexts.append(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    client.private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    return Certificates(
        contexts[0], contexts[1], str(folder / "ca.pem"), str(folder / "other.pem"), str(folder / "client.pem")
    )


@pytest.mark.parametrize("host", ["api.example.com", "127.0.0.1"])
async def test_tls_with_a_corporate_ca(kind: str, certificates: Certificates, host: str) -> None:
    tls = client_context(ca=certificates.ca)
    async with (
        scripted(answering(OK), tls=certificates.server) as server,
        opened(kind, server, scheme="https", host=host, tls=tls, resolve=loopback) as transport,
    ):
        for _ in range(3):
            assert await (await transport.send(post())).read() == b"hello"
    assert server.connections == 1


@pytest.mark.parametrize("case", ["wrong host", "unknown authority", "system authorities only"])
async def test_tls_that_does_not_verify_is_refused(kind: str, certificates: Certificates, case: str) -> None:
    ca = {"wrong host": certificates.ca, "unknown authority": certificates.other_ca}.get(case)
    host = "other.example.com" if case == "wrong host" else "api.example.com"
    async with scripted(answering(OK), tls=certificates.server) as server:
        tls = client_context(ca=ca)
        async with opened(kind, server, scheme="https", host=host, tls=tls, resolve=loopback) as transport:
            with pytest.raises(TlsError) as caught:
                await transport.send(post())
            assert not caught.value.sent
    assert server.requests == []


async def test_tls_towards_a_server_that_speaks_none(kind: str) -> None:
    async with (
        scripted(answering(OK)) as server,
        opened(kind, server, scheme="https", host="api.example.com", resolve=loopback) as transport,
    ):
        with pytest.raises(UpstreamFailure) as caught:
            await transport.send(post(timeouts=Timeouts(connect=0.3)))
        assert caught.value.kind in ("tls_failed", "connect_timeout")


async def test_a_handshake_that_stalls_is_a_connect_timeout(kind: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.eof()

    async with (
        scripted(script) as server,
        opened(kind, server, scheme="https", host="api.example.com", resolve=loopback) as transport,
    ):
        with pytest.raises(ConnectTimeoutError):
            await transport.send(post(timeouts=Timeouts(connect=0.2)))


async def test_a_request_cancelled_in_the_handshake_is_not_said_to_be_sent(kind: str) -> None:
    sent: list[str] = []

    async def script(peer: Peer) -> None:
        assert await peer.reader.read(1)
        await peer.eof()

    async with (
        scripted(script) as server,
        opened(kind, server, scheme="https", host="api.example.com", resolve=loopback) as transport,
    ):
        request = post(on_sent=lambda: sent.append("sent"))
        task = asyncio.get_running_loop().create_task(transport.send(request))
        await until(lambda: server.connections == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.eofs == 1)
    assert sent == []


async def test_mutual_tls(kind: str, certificates: Certificates) -> None:
    async with scripted(answering(OK), tls=certificates.server_mutual) as server:
        tls = client_context(ca=certificates.ca, cert=certificates.client)
        async with opened(kind, server, scheme="https", host="api.example.com", tls=tls, resolve=loopback) as transport:
            assert await (await transport.send(post())).read() == b"hello"
        without = client_context(ca=certificates.ca)
        options = {"scheme": "https", "host": "api.example.com", "tls": without, "resolve": loopback}
        async with opened(kind, server, **options) as transport:  # type: ignore[arg-type]
            # In TLS 1.3 the server's refusal comes after the client thinks the handshake is done.
            with pytest.raises(UpstreamFailure) as caught:
                await transport.send(post())
            assert caught.value.kind in ("tls_failed", "connection_cut")
    assert len(server.requests) == 1


async def test_a_stream_over_tls_arrives_and_a_cut_is_seen(kind: str, certificates: Certificates) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send_slowly([CHUNKED, *(chunk(b"event\n") for _ in range(20))])
        if peer.index == 0:
            await peer.send(b"0\r\n\r\n")
            await peer.eof()
        peer.writer.transport.abort()

    tls = client_context(ca=certificates.ca)
    async with (
        scripted(script, tls=certificates.server) as server,
        opened(
            kind, server, scheme="https", host="api.example.com", tls=tls, resolve=loopback, idle_expiry_s=0.1
        ) as transport,
    ):
        pieces: list[bytes] = []
        await (await transport.send(post())).pump(pieces.append)
        assert b"".join(pieces) == b"event\n" * 20
        await until(lambda: server.eofs == 1)
        with pytest.raises(ConnectionCutError):
            await (await transport.send(post())).pump(pieces.append)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_an_unframed_body_over_tls_that_ends_without_notice_is_cut(certificates: Certificates) -> None:
    """Without a length, only TLS's close_notify tells the end from a cut (RFC 9112 §9.8)."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello")
        if peer.index == 0:
            peer.close()
            await peer.eof()
        else:
            peer.writer.transport.abort()

    tls = client_context(ca=certificates.ca)
    options = {"scheme": "https", "host": "api.example.com", "tls": tls, "resolve": loopback}
    async with scripted(script, tls=certificates.server) as server, opened("lean", server, **options) as transport:  # type: ignore[arg-type]
        assert await (await transport.send(post())).read() == b"hello"
        with pytest.raises(ConnectionCutError):
            await (await transport.send(post())).read()


def proxying(target_port: int, verdict: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Script:
    """A CONNECT proxy that leads everything to one loopback port."""

    async def script(peer: Peer) -> None:
        peer.server.requests.append(await peer.reader.readuntil(b"\r\n\r\n"))
        await peer.send(verdict)
        if not verdict.startswith(b"HTTP/1.1 200"):
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", target_port)

        async def copy(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                drain.write(data)
                await drain.drain()
            drain.close()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(copy(peer.reader, writer))
                group.create_task(copy(reader, peer.writer))
        except ExceptionGroup:
            pass
        finally:
            writer.close()

    return script


async def test_an_https_origin_is_tunnelled_and_tls_stays_end_to_end(kind: str, certificates: Certificates) -> None:
    tls = client_context(ca=certificates.ca)
    async with scripted(answering(OK), tls=certificates.server) as server, scripted(proxying(server.port)) as proxy:
        way = Proxy("127.0.0.1", proxy.port, "Basic dTpw")
        options = {"scheme": "https", "host": "api.example.com", "tls": tls, "proxy": way}
        async with opened(kind, server, allow_private_network=False, **options) as transport:  # type: ignore[arg-type]
            for _ in range(2):
                assert await (await transport.send(post())).read() == b"hello"
        head = proxy.requests[0].lower()
        assert head.startswith(f"connect api.example.com:{server.port} http/1.1\r\n".encode())
        assert b"proxy-authorization: basic dtpw" in head
        assert b"sk-test" not in head
        assert not any(b"proxy-authorization" in request.lower() for request in server.requests)
        assert proxy.connections == 1


async def test_a_proxy_that_refuses_the_tunnel_is_a_connect_error(kind: str, certificates: Certificates) -> None:
    verdict = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    async with scripted(proxying(0, verdict)) as proxy:
        options = {"scheme": "https", "host": "api.example.com", "proxy": Proxy("127.0.0.1", proxy.port)}
        async with opened(kind, proxy, **options) as transport:  # type: ignore[arg-type]
            with pytest.raises(ConnectError, match="407") as caught:
                await transport.send(post())
            assert not caught.value.sent


async def test_an_http_origin_takes_the_absolute_form_through_a_proxy(kind: str) -> None:
    async with scripted(answering(OK)) as proxy:
        way = Proxy("127.0.0.1", proxy.port, "Basic dTpw")
        async with opened(kind, proxy, host="api.example.com", proxy=way, allow_private_network=False) as transport:
            assert await (await transport.send(post())).read() == b"hello"
    head = proxy.requests[0]
    assert head.startswith(f"POST http://api.example.com:{proxy.port}/v1/chat?x=1 HTTP/1.1\r\n".encode())
    assert b"proxy-authorization: basic dtpw" in head.lower()


@pytest.mark.parametrize("host", ["169.254.169.254", "localhost", "10.1.2.3"])
async def test_a_proxy_is_no_way_around_the_words_of_the_address_policy(kind: str, host: str) -> None:
    async with scripted(answering(OK)) as proxy:
        way = Proxy("127.0.0.1", proxy.port)
        async with opened(kind, proxy, host=host, proxy=way, allow_private_network=False) as transport:
            with pytest.raises(AddressRefusedError):
                await transport.send(post())
        assert proxy.connections == 0


async def test_no_proxy_goes_the_direct_way(kind: str) -> None:
    async with scripted(answering(OK)) as server:
        environ = {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": ".example.com"}
        way = choose_proxy(Origin("http", "api.example.com", server.port), environ)
        async with opened(kind, server, host="api.example.com", proxy=way, resolve=loopback) as transport:
            assert await (await transport.send(post())).read() == b"hello"
        assert server.connections == 1
