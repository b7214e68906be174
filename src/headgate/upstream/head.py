"""The head of a request as bytes, and what the head of an answer says about its body (RFC 9112 §6)."""

import re
from typing import Final

from msgspec import Struct

from headgate.upstream.addresses import Origin
from headgate.upstream.proxies import Proxy
from headgate.upstream.transport import Headers, MalformedHttpError

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 256
MAX_INTERIM_HEADS: Final = 16
"""1xx heads before the answer; a provider has use for one or two."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_BAD_VALUE: Final = re.compile(rb"[\r\n\x00]")
_TARGET: Final = re.compile(r"/[!-~]*")
_OURS: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding", b"proxy-authorization", b"te")
)
_BODY_FIELDS: Final = frozenset((b"content-length", b"transfer-encoding", b"content-encoding"))


class Framing(Struct, frozen=True, gc=False):
    """What the head of an answer says about the body behind it."""

    length: int | None = None
    """From ``content-length``; ``None`` where the body is chunked or ends with the connection."""
    until_close: bool = False
    coding: str = ""
    """The content coding in lower case; empty for none."""


PLAIN: Final = Framing()


def check_request(method: str, target: str, headers: Headers) -> None:
    """Refuse what could end a line early or double one of the transport's own fields.

    Raises:
        ValueError: with words that name the field but never its value.
    """
    if not _TOKEN.fullmatch(method.encode("ascii", "replace")):
        raise ValueError("the method is not a token")
    if not _TARGET.fullmatch(target):
        raise ValueError("the target is a path of visible ASCII characters")
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if _BAD_VALUE.search(value):
            raise ValueError(f"the value of {name.decode('ascii')} contains CR, LF or NUL")
        if name.lower() in _OURS:
            raise ValueError(f"{name.decode('ascii')} is set by the transport")


def render_head(origin: Origin, proxy: Proxy | None, method: str, target: str, headers: Headers) -> bytes:
    """Return a request head but for the length of its body and the blank line.

    Through a proxy an http origin takes the absolute form of the target (RFC 9112 §3.2.2).

    Raises:
        ValueError: see `check_request`.
    """
    check_request(method, target, headers)
    forwarded = proxy is not None and origin.scheme == "http"
    lines = [
        f"{method} {'http://' + origin.authority if forwarded else ''}{target} HTTP/1.1".encode("ascii"),
        b"host: " + origin.authority.encode("ascii"),
        b"accept-encoding: identity",
    ]
    if forwarded and proxy is not None and proxy.authorization is not None:
        lines.append(b"proxy-authorization: " + proxy.authorization.encode("ascii"))
    lines.extend(name + b": " + value for name, value in headers)
    lines.append(b"")
    return b"\r\n".join(lines)


def read_framing(status: int, headers: Headers, *, bodiless: bool) -> Framing:
    """Decide from an answer's head how its body ends.

    The parser has refused two lengths, and a length beside a transfer coding, already. ``bodiless`` is true after HEAD.

    Raises:
        MalformedHttpError: too large, a switch of protocols, or a transfer coding other than exactly ``chunked``.
    """
    if status < 200:
        raise MalformedHttpError("the provider switched protocols although nobody asked", sent=True)
    length: int | None = None
    chunked = False
    coding = ""
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name not in _BODY_FIELDS:
            continue
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            # A second coding, or a second field, is how two parsers are made to disagree.
            if chunked or value.lower() != b"chunked":
                raise MalformedHttpError("the answer's transfer coding is not chunked", sent=True)
            chunked = True
        else:
            coding = f"{coding},{value.decode('latin-1').lower()}" if coding else value.decode("latin-1").lower()
    if size > MAX_HEAD_BYTES:
        raise MalformedHttpError("the answer's head is too large", sent=True)
    if bodiless or status in (204, 304):
        return PLAIN
    if coding == "identity":
        coding = ""
    return Framing(length, not chunked and length is None, coding)


def decoded_headers(headers: Headers, framing: Framing) -> Headers:
    """The headers a caller sees: where the body is decoded, those that describe the bytes on the wire are left out."""
    if not framing.coding:
        return headers
    return tuple(field for field in headers if field[0] not in (b"content-encoding", b"content-length"))
