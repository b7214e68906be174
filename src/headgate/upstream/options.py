"""How a transport is built: the one options Struct that every network transport takes."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from headgate.upstream.proxies import Proxy

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to numeric addresses in order of preference; raises `OSError` where the name does not resolve."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the operating system's resolver (getaddrinfo, in the loop's thread pool)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # A scope id is kept in the fourth member of an IPv6 address; link-local addresses are refused, so it is not needed.
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class TransportOptions(Struct, frozen=True):
    """Everything about a transport that is not its origin."""

    allow_private_network: bool = False
    """Let private and loopback addresses pass the address policy; link-local and metadata ones never do."""
    tls: ssl.SSLContext | None = None
    """From `tls.client_context`; ``None`` builds the default one where the origin is https."""
    proxy: Proxy | None = None
    """From `proxies.choose_proxy`. With a proxy, the proxy resolves the name: only the host's words are checked."""
    max_connections: int = 256
    """Further requests wait in order, at most ``Timeouts.connect``."""
    idle_expiry_s: float = 30.0
    """An unused connection is closed after this."""
    max_connection_age_s: float = 300.0
    """A connection older than this is not used again, so that changes of DNS are followed."""
    resolve: Resolve = system_resolve
