"""Whose word about the client's address is believed."""

from typing import Any

import pytest

from headgate.server.forwarded import client_address, parse_networks, trusting

TRUSTED = parse_networks(["10.0.0.0/8", "::1/128"])


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.1.2.3, 10.9.9.9", "203.0.113.7"),
        ("2001:db8::5, ::1", "2001:db8::5"),
        ("", None),
        ("10.1.2.3", None),
        ("203.0.113.7, nonsense", None),
        ("203.0.113.7\r\nx: y", None),
    ],
)
def test_the_last_address_that_no_trusted_proxy_wrote(header: str, address: str | None) -> None:
    assert client_address(header, TRUSTED) == address


async def seen_by_app(peer: str, headers: list[tuple[bytes, bytes]], networks: Any = TRUSTED) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    async def app(scope: dict[str, Any], _receive: Any, _send: Any) -> None:
        seen.update(scope)

    scope = {"type": "http", "client": (peer, 5000), "scheme": "http", "headers": headers}
    await trusting(app, networks)(scope, None, None)  # type: ignore[arg-type]
    return seen


FORWARDED = [(b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https")]


async def test_a_trusted_proxy_is_believed() -> None:
    seen = await seen_by_app("10.0.0.9", FORWARDED)
    assert (seen["client"][0], seen["scheme"]) == ("203.0.113.7", "https")


async def test_anybody_else_is_not() -> None:
    seen = await seen_by_app("198.51.100.1", FORWARDED)
    assert (seen["client"][0], seen["scheme"]) == ("198.51.100.1", "http")


async def test_an_odd_scheme_is_ignored() -> None:
    seen = await seen_by_app("10.0.0.9", [(b"x-forwarded-proto", b"javascript")])
    assert seen["scheme"] == "http"


async def test_without_trusted_proxies_the_app_is_not_wrapped() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert trusting(app, []) is app


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        parse_networks(["everybody"])
