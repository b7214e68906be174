"""Whose word about the client's address is believed: ``server.trusted_proxies``."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from headgate.server.asgi import AsgiApp, Receive, Send

Networks = Sequence[IPv4Network | IPv6Network]


def parse_networks(texts: Sequence[str]) -> Networks:
    """Return networks from texts such as ``10.0.0.0/8``. Raises `ValueError` for anything else."""
    return [ip_network(text) for text in texts]


def trusting(app: AsgiApp, networks: Networks) -> AsgiApp:
    """Return ``app`` seeing the real client where a trusted proxy names it in ``x-forwarded-for`` and ``-proto``."""
    if not networks:
        return app

    async def forwarded(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        if peer is not None and _is_trusted(peer[0], networks):
            headers = dict(scope["headers"])
            fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            address = client_address(",".join(fields), networks)
            if address is not None:
                scope = scope | {"client": (address, 0)}
            if headers.get(b"x-forwarded-proto") in (b"http", b"https"):
                scope = scope | {"scheme": headers[b"x-forwarded-proto"].decode()}
        await app(scope, receive, send)

    return forwarded


def client_address(forwarded_for: str, networks: Networks) -> str | None:
    """Return the last address that no trusted proxy wrote: what stands left of it may be the client's invention."""
    for part in reversed(forwarded_for.split(",")):
        address = part.strip()
        try:
            ip_address(address)
        except ValueError:
            return None
        if not _is_trusted(address, networks):
            return address
    return None


def _is_trusted(address: str, networks: Networks) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)
