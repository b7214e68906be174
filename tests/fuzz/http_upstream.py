"""The upstream client's connection with a transport that is none: what a provider sends, whole and in pieces."""

import os
from collections.abc import Coroutine, Sequence
from typing import Any

from msgspec import Struct

from headgate.upstream.connection import Connection
from headgate.upstream.exchange import Exchange
from headgate.upstream.outbox import Outbox
from headgate.upstream.transport import Timeouts, UpstreamFailure, UpstreamRequest
from tests.fuzz.target import pieces_of
from tests.fuzz.turns import Line, Turns

MAX_BODY = 1024 * 1024
_TIMEOUTS = Timeouts()


class Outcome(Struct, frozen=True):
    """What a caller learns of one exchange."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    failure: str | None


class _Socket:
    """Stands for a socket that never has anything to read: a pipe whose other end is silent."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return self.number


def run(data: bytes) -> None:
    """A caller learns the same wherever the bytes are cut, read whole or pumped, and nothing else is ever raised."""
    pieces = pieces_of(data)
    whole = _exchange([data], "POST")
    assert whole.body is None or len(whole.body) <= MAX_BODY
    assert _exchange(pieces, "POST") == whole
    assert _exchange(pieces, "POST", pumped=True) == whole
    assert _exchange(pieces, "POST", late=True) == whole
    bodiless = _exchange([data], "HEAD")
    assert not bodiless.body
    assert _exchange(pieces, "HEAD") == bodiless


def _exchange(pieces: Sequence[bytes], method: str, *, pumped: bool = False, late: bool = False) -> Outcome:
    """Send one request; ``late`` lets the caller look only when everything has arrived."""
    loop = Turns()
    reading, writing = os.pipe()
    try:
        connection = Connection(
            loop,
            outbox=Outbox(loop),
            idle_expiry_s=30.0,
            max_age_s=300.0,
            on_idle=lambda _: None,
            on_lost=lambda _: None,
        )
        line = Line(loop, connection, {"socket": _Socket(reading)})
        connection.connection_made(line)
        request = UpstreamRequest(method, "/v1/x", (), b"{}", _TIMEOUTS, MAX_BODY)
        exchange = connection.start(b"HEAD\r\n", request, loop.time(), loop.time() + _TIMEOUTS.total)
        caller = _take(exchange, pumped=pumped)
        task = None if late else loop.create_task(caller)
        for piece in pieces:
            loop.settle()
            if line.closing:
                break
            connection.data_received(piece)
        task = task or loop.create_task(caller)
        loop.settle()
        if not line.closing:
            connection.eof_received()
            line.lose(None)
        loop.settle()
        assert task.done(), "the caller waits for ever"
        assert connection.lost
        assert not loop.failures, loop.failures
        return task.result()
    finally:
        loop.close()
        os.close(reading)
        os.close(writing)


def _take(exchange: Exchange, *, pumped: bool) -> Coroutine[Any, Any, Outcome]:
    async def take() -> Outcome:
        body = bytearray()

        def sink(data: bytes) -> None:
            body.extend(data)

        try:
            await exchange.arrived()
        except UpstreamFailure as failure:
            return Outcome(0, (), None, failure.kind)
        try:
            if pumped:
                await exchange.pump(sink)
            else:
                body += await exchange.read()
        except UpstreamFailure as failure:
            return Outcome(exchange.status, exchange.headers, None, failure.kind)
        return Outcome(exchange.status, exchange.headers, bytes(body), None)

    return take()
