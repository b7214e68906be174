"""The server's protocol with a transport that is none: what a client sends, in one piece and in several."""

import math
import re
from collections.abc import Sequence

from msgspec import Struct

from headgate.domain.errors import BodyTooLargeError, HeadgateError
from headgate.server.head import read_head
from headgate.server.inbound import Application, Inbound
from headgate.server.protocol import MAX_HEADERS, EdgeProtocol, Site
from tests.fuzz.target import pieces_of
from tests.fuzz.turns import Line, Turns

MAX_BODY = 4096
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]*\r\n")
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


class Asked(Struct, frozen=True):
    """A request as the application saw it."""

    method: str
    path: bytes
    query: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    refusal: str | None


class Seen(Struct, frozen=True):
    """What came of one connection."""

    asked: tuple[Asked, ...]
    written: bytes


class Recording:
    """An application that refuses by the head as the real one does, and answers whole or in pieces."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.failures: list[Exception] = []

    def admit(self, inbound: Inbound) -> None:
        inbound.max_body = MAX_BODY
        try:
            head = read_head(inbound.found)
            if head.content_length is not None and head.content_length > MAX_BODY:
                raise BodyTooLargeError("announced")
        except HeadgateError as error:
            inbound.refusal = error

    async def answer(self, inbound: Inbound) -> None:
        try:
            self._answer(inbound)
        except Exception as error:
            self.failures.append(error)
            raise

    def _answer(self, inbound: Inbound) -> None:
        refusal = inbound.refusal.code if inbound.refusal is not None else None
        asked = Asked(
            inbound.method, inbound.raw_path, inbound.query, tuple(inbound.fields), bytes(inbound.body), refusal
        )
        self.asked.append(asked)
        if refusal is not None:
            inbound.whole(400, [(b"x-refusal", refusal.encode())], b"refused")
        elif inbound.raw_path.endswith(b"s"):
            inbound.begin(200, [])
            inbound.write(b"one ")
            inbound.end(b"two")
        else:
            inbound.whole(200, [], b"%d" % len(inbound.body))


def run(data: bytes) -> None:
    """The outcome is the same wherever the bytes are cut, and is lawful HTTP whatever they are."""
    whole = _converse([data])
    assert _converse(pieces_of(data)) == whole
    # Where the loop turns between the pieces more may be answered before a fault is seen, but nothing else.
    turned = _converse(pieces_of(data), turn=True).asked
    common = min(len(turned), len(whole.asked))
    assert turned[:common] == whole.asked[:common]
    for asked in (*turned, *whole.asked):
        _check_request(asked)
    _check_answers(whole)


def _converse(pieces: Sequence[bytes], *, turn: bool = False) -> Seen:
    loop, application = Turns(), Recording()
    try:
        site = Site(Application(application.admit, application.answer), 10.0, 100, loop)
        site.date = b"date: Tue, 24 Nov 2026 00:00:00 GMT\r\n"
        protocol = EdgeProtocol(site, loop)
        line = Line(loop, protocol)
        protocol.connection_made(line)
        for piece in pieces:
            if line.closing:
                break
            protocol.data_received(piece)
            if turn:
                loop.settle()
        loop.settle()
        _check_rest(protocol, line, loop)
        assert not site.tasks
        assert not site.connections
        assert not loop.failures, loop.failures
        assert not application.failures, application.failures
        return Seen(tuple(application.asked), bytes(line.written))
    finally:
        loop.close()


def _check_rest(protocol: EdgeProtocol, line: Line, loop: Turns) -> None:
    """Whatever a client leaves behind, the sweep ends its connection some day."""
    if not line.closing:
        assert protocol.deadline < math.inf, "nothing would ever end this connection"
        loop.now = protocol.deadline + 1
        protocol.look(loop.now)
        loop.settle()
    assert line.closing
    assert protocol.is_lost


def _check_request(asked: Asked) -> None:
    fields = asked.fields
    assert len(fields) <= MAX_HEADERS
    assert asked.method.isascii()
    for name, value in fields:
        assert _TOKEN.fullmatch(name), name
        assert not set(value) & {0, 10, 13}, value
    hosts = [value for name, value in fields if name == b"host"]
    assert len(hosts) <= 1
    lengths = {value for name, value in fields if name == b"content-length"}
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    assert not (lengths and codings)
    assert len(lengths) <= 1
    if lengths and asked.refusal is None:
        assert len(asked.body) == int(next(iter(lengths)))
    if not lengths and not codings:
        assert not asked.body


def _check_answers(seen: Seen) -> None:
    """Every byte that was written belongs to an answer, and there are no more answers than requests and a refusal."""
    rest, methods, answers = seen.written, [asked.method for asked in seen.asked], 0
    while rest:
        head = _STATUS.match(rest)
        assert head is not None, rest[:200]
        fields, end, rest = rest.partition(b"\r\n\r\n")
        assert end
        if head[1] == b"100":
            continue
        method = methods[answers] if answers < len(methods) else "GET"
        answers += 1
        if method == "HEAD":
            continue
        rest = _skip_body(fields, rest)
    assert answers <= len(seen.asked) + 1


def _skip_body(fields: bytes, rest: bytes) -> bytes:
    length = re.search(rb"(?:^|\n)content-length: ([0-9]+)(?:\r|$)", fields)
    if length is not None:
        assert len(rest) >= int(length[1])
        return rest[int(length[1]) :]
    if b"transfer-encoding: chunked" not in fields:
        assert b"connection: close" in fields
        return b""
    while True:
        size = _CHUNK.match(rest)
        assert size is not None, rest[:100]
        end = size.end() + int(size[1], 16)
        assert rest[end : end + 2] == b"\r\n"
        rest = rest[end + 2 :]
        if size[1] == b"0":
            return rest
