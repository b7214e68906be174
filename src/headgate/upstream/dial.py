"""Making one connection: resolve, check each address, connect to a checked one, tunnel, TLS."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Final

from headgate.upstream.addresses import Origin, check_host, refused_address
from headgate.upstream.connection import Connection
from headgate.upstream.options import TransportOptions
from headgate.upstream.proxies import Proxy
from headgate.upstream.transport import AddressRefusedError, ConnectError, TlsError

_MAX_PROXY_HEAD_BYTES: Final = 16 * 1024


async def dial(
    origin: Origin,
    options: TransportOptions,
    tls: ssl.SSLContext | None,
    deadline: float,
    make_connection: Callable[[], Connection],
) -> Connection:
    """Return an open connection. The caller bounds the time; ``deadline`` (loop time, s) divides it among addresses.

    Raises:
        UpstreamFailure: `AddressRefusedError`, `ConnectError` or `TlsError`, always with ``sent=False``.
    """
    proxy = options.proxy
    if proxy is None:
        addresses = await checked_addresses(origin.host, origin.port, options)
        sock = await _connect_any(addresses, origin.port, deadline, origin.authority)
    else:
        refuse_host(origin.host, options)
        sock = await _connect_any(await _proxy_addresses(proxy, options), proxy.port, deadline, "the proxy")
    try:
        if proxy is not None and tls is not None:
            await _tunnel(sock, origin, proxy)
        return await _open(sock, origin, tls, make_connection)
    except BaseException:
        sock.close()
        raise


async def checked_addresses(host: str, port: int, options: TransportOptions) -> tuple[str, ...]:
    """Resolve ``host`` once and return the addresses that the policy allows, families taking turns (RFC 8305 §4).

    Raises:
        AddressRefusedError: there are addresses, but none that may be connected to.
        ConnectError: the name does not resolve.
    """
    refuse_host(host, options)
    found = await _resolve(host, port, options)
    refused: list[str] = []
    allowed: list[str] = []
    for address in found:
        reason = refused_address(address, allow_private_network=options.allow_private_network)
        if reason is None:
            allowed.append(address)
        else:
            refused.append(reason)
    if not allowed:
        raise AddressRefusedError(f"{host} may not be connected to: {refused[0]}", sent=False)
    return _taking_turns(allowed)


def refuse_host(host: str, options: TransportOptions) -> None:
    """Raise `AddressRefusedError` where the words of ``host`` are refused already (`addresses.check_host`)."""
    reason = check_host(host, allow_private_network=options.allow_private_network)
    if reason is not None:
        raise AddressRefusedError(f"{host} may not be connected to: {reason}", sent=False)


async def _proxy_addresses(proxy: Proxy, options: TransportOptions) -> tuple[str, ...]:
    # The operator's environment names the proxy, which usually stands on a private network: the policy is for origins.
    return _taking_turns(await _resolve(proxy.host, proxy.port, options))


async def _resolve(host: str, port: int, options: TransportOptions) -> Sequence[str]:
    if is_address(host):
        return (host,)
    try:
        found = await options.resolve(host, port)
    except OSError as error:
        raise ConnectError(f"{host} does not resolve: {error.strerror or error}", sent=False) from error
    if not found:
        raise ConnectError(f"{host} has no address", sent=False)
    return found


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _taking_turns(addresses: Sequence[str]) -> tuple[str, ...]:
    first_is_v6 = ":" in addresses[0]
    first = [address for address in addresses if (":" in address) == first_is_v6]
    other = [address for address in addresses if (":" in address) != first_is_v6]
    return tuple(address for pair in zip_longest(first, other) for address in pair if address is not None)


async def _connect_any(addresses: Sequence[str], port: int, deadline: float, whom: str) -> socket.socket:
    """Try each address in turn. One that does not answer may use half of the time that is left, the last one all."""
    loop = asyncio.get_running_loop()
    last_error: OSError | None = None
    for index, address in enumerate(addresses):
        left = deadline - loop.time()
        share = left if index == len(addresses) - 1 else left / 2
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            last_error = error
            continue
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(max(share, 0.0)):
                await loop.sock_connect(sock, (address, port))
        except OSError as error:  # TimeoutError is one
            sock.close()
            last_error = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(last_error, TimeoutError):
        # The caller's own bound strikes at the same moment; its word for this is ConnectTimeoutError.
        raise last_error
    why = last_error.strerror if last_error is not None and last_error.strerror else "no address left"
    raise ConnectError(f"no connection to {whom}: {why}", sent=False) from last_error


async def _tunnel(sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Ask the proxy for a tunnel to the origin (RFC 9110 §9.3.6)."""
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"host: {host}:{origin.port}"]
    if proxy.authorization is not None:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    try:
        await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode("ascii"))
        head = b""
        while b"\r\n\r\n" not in head:
            data = await loop.sock_recv(sock, 4096)
            head += data
            if not data or len(head) > _MAX_PROXY_HEAD_BYTES:
                raise ConnectError("the proxy closed the connection or talked too much", sent=False)
    except OSError as error:
        raise ConnectError(f"the proxy failed: {error.strerror or error}", sent=False) from error
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not (words[1].isdigit() and len(words[1]) == 3):
        raise ConnectError("the proxy does not speak HTTP/1.1", sent=False)
    if not words[1].startswith(b"2"):
        raise ConnectError(f"the proxy refuses the tunnel with status {words[1].decode('ascii')}", sent=False)
    if not head.endswith(b"\r\n\r\n"):
        # In TLS the client speaks first, so these bytes are not the origin's.
        raise ConnectError("the proxy sent bytes into the tunnel before it was used", sent=False)


async def _open(
    sock: socket.socket, origin: Origin, tls: ssl.SSLContext | None, make_connection: Callable[[], Connection]
) -> Connection:
    loop = asyncio.get_running_loop()
    try:
        if tls is None:
            _, connection = await loop.create_connection(make_connection, sock=sock)
        else:
            _, connection = await loop.create_connection(
                make_connection, sock=sock, ssl=tls, server_hostname=origin.host
            )
    except ssl.SSLCertVerificationError as error:
        raise TlsError(f"the certificate of {origin.host} is refused: {error.verify_message}", sent=False) from error
    except ssl.SSLError as error:
        raise TlsError(f"no TLS with {origin.host}: {error.reason or error}", sent=False) from error
    except TimeoutError:
        raise
    except OSError as error:
        kind = TlsError if tls is not None else ConnectError
        raise kind(f"{origin.host} closed the connection in the handshake", sent=False) from error
    return connection
